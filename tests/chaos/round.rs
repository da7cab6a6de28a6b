//! One run, in order: start, measure the capacity, faults under load, recovery, judgement.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use harness::clickhouse::ClickHouse;
use harness::line::Consumer;

use crate::args::{Arguments, Subject};
use crate::course::{self, Log};
use crate::ledger::Ledger;
use crate::load::{self, Speed};
use crate::peer;
use crate::reader::{self, Tables, Verdict, judge};
use crate::report::Report;
use crate::site::Site;

/// How long the senders go as fast as they can, to see how much is stored meanwhile.
const MEASURING: Duration = Duration::from_secs(10);
/// Of the capacity, in percent.
const LOAD: u64 = 60;
/// Bounds the disk: in 600 s at this rate the events take some 5 GB.
const MAX_RATE: u64 = 50_000;
/// Less would be no load; on the slowest machine so far it was twenty times as much.
const MIN_RATE: u64 = 500;
/// Time to store everything before the first fault, and after the last.
const DRAINED: Duration = Duration::from_secs(300);
const RECOVERED: Duration = Duration::from_secs(600);
/// Between two lines of progress, and between two looks for events that are shown twice.
const PROGRESS: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_secs(2);

pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<Report> {
    tell("starting Kafka, ClickHouse, an ingester and what consumes");
    let site = Site::start().await?;
    let (consumers, tables) = start(&site, arguments.subject).await?;
    let ledger = Arc::new(Ledger::new(rand::random()));
    let rate = match arguments.rate {
        Some(rate) => rate,
        None => measure(&site, arguments.subject, &ledger).await?,
    };
    tell(&format!("{} s of faults at {rate} events a second, seed {}", arguments.duration, arguments.seed));
    let (log, watch) = (Arc::new(Log::default()), Watch::default());
    // Kept until the end: they are what recovers.
    let _consumers = under_load(&site, arguments, consumers, &tables, &ledger, rate, &log, &watch).await?;
    tell("all parts are back");
    let (recovered_in, verdict) = recover(&site, arguments.subject, &tables, &ledger).await?;
    Ok(Report {
        subject: arguments.subject,
        duration: arguments.duration(),
        counts: log.counts(),
        crashes: log.crashes(),
        looks: watch.looks.load(Ordering::Relaxed),
        doubled_meanwhile: watch.doubled.load(Ordering::Relaxed),
        rate,
        recovered_in,
        verdict,
    })
}

async fn start(site: &Site, subject: Subject) -> anyhow::Result<(Vec<Consumer>, Tables)> {
    let (consumers, shown, stored, position) = match subject {
        Subject::Millrace => {
            (course::start_consumers(site).await?, "events", "events_raw", "_inc, _kp, _ko, _ki")
        }
        Subject::KafkaEngine => {
            peer::start(site).await?;
            (Vec::new(), "stored", "stored", "id")
        }
    };
    let tables = Tables { shown: site.line.table(shown), stored: site.line.table(stored), position };
    Ok((consumers, tables))
}

fn group(site: &Site, subject: Subject) -> &str {
    match subject {
        Subject::Millrace => site.line.group.as_str(),
        Subject::KafkaEngine => peer::GROUP,
    }
}

/// Sends as fast as it goes, waits until that is stored, and takes a part of the speed at which it was.
async fn measure(site: &Site, subject: Subject, ledger: &Arc<Ledger>) -> anyhow::Result<u64> {
    let begin = now();
    load::send(&site.target(), ledger, Speed::Full, MEASURING).await?;
    site.wait_until_drained(group(site, subject), DRAINED).await?;
    let capacity = (ledger.totals().acknowledged as f64 / begin.elapsed().as_secs_f64()) as u64;
    tell(&format!("the capacity is {capacity} events a second"));
    Ok((capacity * LOAD / 100).clamp(MIN_RATE, MAX_RATE))
}

/// What was seen of `events` while faults went on.
#[derive(Debug, Default)]
struct Watch {
    looks: AtomicU64,
    doubled: AtomicU64,
}

#[allow(clippy::too_many_arguments, reason = "the parts of a run, which one function brings together")]
async fn under_load(
    site: &Site,
    arguments: &Arguments,
    consumers: Vec<Consumer>,
    tables: &Tables,
    ledger: &Arc<Ledger>,
    rate: u64,
    log: &Arc<Log>,
    watch: &Watch,
) -> anyhow::Result<Vec<Consumer>> {
    let (subject, seed, duration) = (arguments.subject, arguments.seed, arguments.duration());
    let target = site.target();
    let work = async {
        tokio::try_join!(
            course::run(site, subject, consumers, seed, duration, log),
            load::send(&target, ledger, Speed::Rate(rate), duration)
        )
    };
    tokio::select! {
        done = work => done.map(|(consumers, ())| consumers),
        never = report_progress(ledger, log) => match never {},
        never = look(&site.line.clickhouse, tables, ledger, watch) => match never {},
    }
}

async fn report_progress(ledger: &Ledger, log: &Log) -> std::convert::Infallible {
    let begin = now();
    loop {
        tokio::time::sleep(PROGRESS).await;
        let totals = ledger.totals();
        tell(&format!(
            "{} s: acked={} unanswered={} kills={} {}",
            begin.elapsed().as_secs(),
            totals.acknowledged,
            totals.unknown,
            log.counts().kills(),
            log.counts().text()
        ));
    }
}

/// Looks for events that are shown twice, in the newest names. While ClickHouse is away there is nothing to see.
async fn look(
    clickhouse: &ClickHouse,
    tables: &Tables,
    ledger: &Ledger,
    watch: &Watch,
) -> std::convert::Infallible {
    let mut age = 0;
    loop {
        tokio::time::sleep(LOOK).await;
        age = (age + 1) % 3;
        let chunk = ledger.chunks().saturating_sub(1 + age);
        if let Ok(doubled) = reader::doubled_now(clickhouse, tables, chunk).await {
            watch.looks.fetch_add(1, Ordering::Relaxed);
            watch.doubled.fetch_max(doubled, Ordering::Relaxed);
        }
    }
}

/// Waits until everything is committed, and reads it.
async fn recover(
    site: &Site,
    subject: Subject,
    tables: &Tables,
    ledger: &Ledger,
) -> anyhow::Result<(Option<Duration>, Verdict)> {
    let begin = now();
    let drained = site.wait_until_drained(group(site, subject), RECOVERED).await;
    if let Err(error) = &drained {
        tell(&format!("{error:#}"));
    }
    let recovered_in = drained.is_ok().then(|| begin.elapsed());
    tell(&format!("reading back {} events", ledger.sent()));
    Ok((recovered_in, judge(&site.line.clickhouse, tables, ledger).await?))
}

/// A line of progress.
fn tell(what: &str) {
    // Whoever closed the output does not want to read it.
    let _ = writeln!(std::io::stdout(), "chaos: {what}");
}

#[allow(clippy::disallowed_methods, reason = "measures how long real processes take")]
fn now() -> Instant {
    Instant::now()
}
