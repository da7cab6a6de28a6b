//! The options of the benchmarks.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Measures what events cost on the local stack (`make up`).
///
/// The last line of the output is one JSON object.
#[derive(Debug, Parser)]
#[command(name = "bench", max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) measure: Measure,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Measure {
    /// CPU per event of the ingester, of the consumer, and of ClickHouse's inserts.
    ///
    /// Each round sends the events to an ingester, then lets a consumer drain the topic into a new table,
    /// with merges stopped, and compares number and ids of the rows with what was sent.
    Events(EventOptions),
    /// CPU per event of the consumer and of ClickHouse behind it, beside what others use for the same.
    ///
    /// Every system drains the same two topics, one with 100 events a record and one with 1, into a new table of the
    /// same columns with merges stopped, round after round. Kafka and ClickHouse are private ones on loopback.
    Consumer(ConsumerOptions),
    /// CPU per event of fetching, parsing, sorting, encoding and inserting alone, whose sum is the limit.
    ///
    /// The number and the bounds of the batch are those of `consumer`, on which this is done last as well.
    Limits(BedOptions),
    /// The plain consumer that `consumer` measures beside ours.
    #[command(hide = true)]
    PlainConsumer(PlainOptions),
    /// Time until many tenants are ready, and what the operator asks, writes and holds when nothing changes.
    ///
    /// Each tenant has its managed Pipeline, which is scaled to no pods as soon as it is there. API server, Kafka and
    /// ClickHouse are private ones on loopback. A write at rest or more than 100 MiB is a failure.
    Operator(OperatorOptions),
    /// Memory of the demo's idle pods of operator, ingester and consumer: the control group's, without inactive file pages.
    ///
    /// It waits until every pod has been ready for a minute. `make demo` makes the pods.
    Memory(MemoryOptions),
}

#[derive(Debug, Args)]
pub(crate) struct MemoryOptions {
    /// Deletes the demo's pods first, and no other ones, so that what an earlier load left behind in them is not measured.
    #[arg(long)]
    pub(crate) fresh: bool,
}

#[derive(Debug, Args)]
pub(crate) struct EventOptions {
    /// Events of one round.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1_000..))]
    pub(crate) events: u64,
    /// Rounds; the numbers are medians of them.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) rounds: u32,
    /// Events of one request.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=2_500))]
    pub(crate) batch: u64,
    /// Requests under way at once.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub(crate) connections: u32,
    /// Partitions of the topic.
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(i32).range(1..=100))]
    pub(crate) partitions: i32,
    /// The folder with the binaries `ingester` and `consumer`. Default: that of this program.
    #[arg(long)]
    pub(crate) binaries: Option<PathBuf>,
}

/// What is drained, and in which batches.
#[derive(Debug, Args)]
pub(crate) struct BedOptions {
    /// Events of each topic.
    #[arg(long, default_value_t = 5_000_000, value_parser = clap::value_parser!(u64).range(1_000..))]
    pub(crate) events: u64,
    /// Partitions of the topics.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(i32).range(1..=100))]
    pub(crate) partitions: i32,
    /// Rows of our consumer's batch; the default is that of a Pipeline.
    #[arg(long, default_value_t = 50_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_rows: u32,
    /// MiB of our consumer's batch; the default is that of a Pipeline.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u64).range(1..=4_096))]
    pub(crate) max_mib: u64,
}

#[derive(Debug, Args)]
pub(crate) struct ConsumerOptions {
    #[command(flatten)]
    pub(crate) bed: BedOptions,
    /// Rounds; the numbers are medians of them.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) rounds: u32,
    /// Measures our consumer alone.
    #[arg(long)]
    pub(crate) ours_only: bool,
    /// Leaves the last part out, in which merges run until quiet.
    #[arg(long)]
    pub(crate) skip_merged: bool,
    /// Other builds of our consumer, measured in the same rounds.
    #[arg(long = "also", value_name = "CONSUMER")]
    pub(crate) also: Vec<PathBuf>,
    /// The folder with the binary `consumer`. Default: that of this program.
    #[arg(long)]
    pub(crate) binaries: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct OperatorOptions {
    /// Tenants.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=2_000))]
    pub(crate) tenants: u32,
    /// Seconds that the operator is watched at rest; the default is that after which it has looked at everything again.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub(crate) rest_seconds: u64,
    /// The folder with the binary `operator`. Default: that of this program.
    #[arg(long)]
    pub(crate) binaries: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct PlainOptions {
    /// The settings of a consumer.
    #[arg(long)]
    pub(crate) settings: PathBuf,
}
