//! The options.

use std::time::Duration;

use clap::{Parser, ValueEnum};

/// Kills and freezes Kafka, ClickHouse and consumers at random under load, makes consumers come and go, cuts
/// connections, and then counts what became of each event that was acknowledged.
///
/// The last line is `chaos: kills=N acked=N stored=N missing=N duplicates=N copies=N`. The program fails when an
/// acknowledged event is missing or shown twice, and when there were too few kills, faults or events to tell:
/// 60 kills, 10 faults of each kind and a million events in 600 s, and in proportion in another time.
/// It needs what `make up` downloads, and starts a Kafka and a ClickHouse of its own.
#[derive(Debug, Parser)]
#[command(name = "chaos", max_term_width = 100)]
pub(crate) struct Arguments {
    /// Seconds of faults under load; start, measuring the capacity and recovery come on top.
    #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u64).range(10..=86_400))]
    pub(crate) duration: u64,

    /// Decides which faults follow each other, and how long each lasts.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,

    /// What brings the events from Kafka into ClickHouse.
    #[arg(long, value_enum, default_value_t = Subject::Millrace)]
    pub(crate) subject: Subject,

    /// Events a second. Default: 60 % of the capacity, which is measured first, and at most 50000.
    #[arg(long, value_name = "EVENTS", value_parser = clap::value_parser!(u64).range(100..=100_000))]
    pub(crate) rate: Option<u64>,
}

/// What is put to the test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Subject {
    /// Our consumers.
    Millrace,
    /// ClickHouse's Kafka engine with a materialized view into a plain MergeTree. Its losses are counted and are
    /// no failure of this program.
    KafkaEngine,
}

impl Arguments {
    pub(crate) fn duration(&self) -> Duration {
        Duration::from_secs(self.duration)
    }
}
