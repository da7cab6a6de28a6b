//! The courses of faults, one for Kafka, one for ClickHouse, one for what consumes, until their time is over.
//! Each fault is mended by the course that made it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use harness::line::Consumer;
use harness::proxy::Mode;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::args::Subject;
use crate::deck::Deck;
use crate::faults::{Counts, Fault};
use crate::peer;
use crate::site::{Site, disturb};

/// Consumers that stay.
const CONSUMERS: usize = 2;
/// How long a connection is refused when it is cut: long enough for every open one to notice.
const CUT: Duration = Duration::from_millis(300);

/// Calm between two faults of a course, in milliseconds. Kafka needs longer to come back than ClickHouse.
const KAFKA_CALM: (u64, u64) = (3_000, 8_000);
const CLICKHOUSE_CALM: (u64, u64) = (2_000, 6_000);
const CONSUMERS_CALM: (u64, u64) = (2_000, 6_000);

/// How long a part is away after a kill.
const AWAY: (u64, u64) = (100, 2_000);
/// How long a server is frozen.
const FROZEN: (u64, u64) = (500, 6_000);
/// The same for a consumer: longer than the session of its group in one of four times.
const CONSUMER_FROZEN: (u64, u64) = (500, 20_000);
/// How long answers of ClickHouse are lost.
const LOST: (u64, u64) = (500, 2_000);
/// How long a consumer that came stays.
const VISIT: (u64, u64) = (2_000, 8_000);

/// What happened so far.
#[derive(Debug, Default)]
pub(crate) struct Log {
    counts: Mutex<Counts>,
    /// Consumers that ended without having been killed.
    crashes: Mutex<u64>,
}

impl Log {
    pub(crate) fn counts(&self) -> Counts {
        lock(&self.counts).clone()
    }

    pub(crate) fn crashes(&self) -> u64 {
        *lock(&self.crashes)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One course: its chances, its deck and its end.
struct Course<'a> {
    random: StdRng,
    deck: Deck<Fault>,
    calm: (u64, u64),
    end: Instant,
    log: &'a Log,
}

impl Course<'_> {
    /// The next fault, after a calm; none when the time is over.
    async fn next(&mut self) -> Option<Fault> {
        pause(&mut self.random, self.calm).await;
        if now() >= self.end {
            return None;
        }
        let fault = self.deck.draw(&mut self.random)?;
        lock(&self.log.counts).add(fault);
        Some(fault)
    }
}

async fn pause(random: &mut StdRng, (least, most): (u64, u64)) {
    tokio::time::sleep(Duration::from_millis(random.random_range(least..=most))).await;
}

/// Runs all three for a time.
///
/// # Errors
/// When a part does not come back.
pub(crate) async fn run(
    site: &Site,
    subject: Subject,
    consumers: Vec<Consumer>,
    seed: u64,
    duration: Duration,
    log: &Arc<Log>,
) -> anyhow::Result<Vec<Consumer>> {
    let end = now() + duration;
    let course = |number: u64, deck: &[Fault], calm| Course {
        random: StdRng::seed_from_u64(seed.wrapping_mul(31).wrapping_add(number)),
        deck: Deck::of(deck),
        calm,
        end,
        log,
    };
    let consuming = async {
        match subject {
            Subject::Millrace => {
                consumers_course(site, consumers, course(3, &Fault::CONSUMERS, CONSUMERS_CALM)).await
            }
            Subject::KafkaEngine => {
                engine_course(site, course(3, &[Fault::Rebalance], CONSUMERS_CALM)).await?;
                Ok(consumers)
            }
        }
    };
    let ((), (), consumers) = tokio::try_join!(
        kafka_course(site, course(1, &Fault::KAFKA, KAFKA_CALM)),
        clickhouse_course(site, course(2, &Fault::CLICKHOUSE, CLICKHOUSE_CALM)),
        consuming
    )?;
    Ok(consumers)
}

/// The consumers that stay, for our own subject.
///
/// # Errors
/// When they do not become ready.
pub(crate) async fn start_consumers(site: &Site) -> anyhow::Result<Vec<Consumer>> {
    let mut consumers = Vec::new();
    for _ in 0..CONSUMERS {
        consumers.push(site.line.consumer_through(&site.clickhouse_url(), &FLAGS).await?);
    }
    Ok(consumers)
}

/// An insert is in doubt before a frozen server thaws, and a stop ends while Kafka is away.
const FLAGS: [&str; 2] = ["--insert-timeout-ms=4000", "--stop-timeout-ms=3000"];

async fn kafka_course(site: &Site, mut course: Course<'_>) -> anyhow::Result<()> {
    while let Some(fault) = course.next().await {
        match fault {
            Fault::KillKafka => {
                site.kafka.kill().await?;
                pause(&mut course.random, AWAY).await;
                site.kafka.start_again().await.context("Kafka did not come back")?;
            }
            Fault::FreezeKafka => {
                site.kafka.freeze()?;
                pause(&mut course.random, FROZEN).await;
                site.kafka.thaw()?;
            }
            Fault::CutKafka => disturb(&site.kafka_proxy, Mode::Cut, CUT).await,
            Fault::KillClickHouse
            | Fault::FreezeClickHouse
            | Fault::CutClickHouse
            | Fault::LoseAnswers
            | Fault::KillConsumer
            | Fault::FreezeConsumer
            | Fault::Rebalance => anyhow::bail!("`{}` is no fault of Kafka", fault.name()),
        }
    }
    Ok(())
}

async fn clickhouse_course(site: &Site, mut course: Course<'_>) -> anyhow::Result<()> {
    while let Some(fault) = course.next().await {
        match fault {
            Fault::KillClickHouse => {
                site.clickhouse.kill().await?;
                pause(&mut course.random, AWAY).await;
                site.clickhouse.start_again().await.context("ClickHouse did not come back")?;
            }
            Fault::FreezeClickHouse => {
                site.clickhouse.freeze()?;
                pause(&mut course.random, FROZEN).await;
                site.clickhouse.thaw()?;
            }
            Fault::CutClickHouse => disturb(&site.clickhouse_proxy, Mode::Cut, CUT).await,
            Fault::LoseAnswers => {
                let time = Duration::from_millis(course.random.random_range(LOST.0..=LOST.1));
                disturb(&site.clickhouse_proxy, Mode::LoseAnswers, time).await;
            }
            Fault::KillKafka
            | Fault::FreezeKafka
            | Fault::CutKafka
            | Fault::KillConsumer
            | Fault::FreezeConsumer
            | Fault::Rebalance => anyhow::bail!("`{}` is no fault of ClickHouse", fault.name()),
        }
    }
    Ok(())
}

async fn consumers_course(
    site: &Site,
    mut consumers: Vec<Consumer>,
    mut course: Course<'_>,
) -> anyhow::Result<Vec<Consumer>> {
    while let Some(fault) = course.next().await {
        replace_ended(site, &mut consumers, course.log)?;
        let chosen = course.random.random_range(0..consumers.len());
        let consumer = &mut consumers[chosen];
        match fault {
            Fault::KillConsumer => {
                consumer.program.kill()?;
                pause(&mut course.random, AWAY).await;
                consumer.start_again(&site.line)?;
            }
            Fault::FreezeConsumer => {
                consumer.program.freeze()?;
                pause(&mut course.random, CONSUMER_FROZEN).await;
                consumer.program.thaw()?;
            }
            Fault::Rebalance => {
                let mut guest = site.line.start_consumer(&site.clickhouse_url(), &FLAGS)?;
                pause(&mut course.random, VISIT).await;
                guest.program.stop().await?;
            }
            Fault::KillKafka
            | Fault::FreezeKafka
            | Fault::CutKafka
            | Fault::KillClickHouse
            | Fault::FreezeClickHouse
            | Fault::CutClickHouse
            | Fault::LoseAnswers => anyhow::bail!("`{}` is no fault of consumers", fault.name()),
        }
    }
    replace_ended(site, &mut consumers, course.log)?;
    Ok(consumers)
}

/// Does what Kubernetes does with a process that ended by itself.
fn replace_ended(site: &Site, consumers: &mut [Consumer], log: &Log) -> anyhow::Result<()> {
    for consumer in consumers {
        if !consumer.program.is_running()? {
            *lock(&log.crashes) += 1;
            consumer.start_again(&site.line)?;
        }
    }
    Ok(())
}

/// The engine lives in ClickHouse's process, so that of this course only the rebalance is left.
async fn engine_course(site: &Site, mut course: Course<'_>) -> anyhow::Result<()> {
    while course.next().await.is_some() {
        // ClickHouse may be away in the middle of it; the next visit begins by ending the last one.
        let _ = peer::begin_visit(site).await;
        pause(&mut course.random, VISIT).await;
        let _ = peer::end_visit(site).await;
    }
    Ok(())
}

#[allow(clippy::disallowed_methods, reason = "a course lasts for a time")]
fn now() -> Instant {
    Instant::now()
}
