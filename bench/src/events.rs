//! CPU per event of the ingester, of the consumer and of ClickHouse's inserts.
//!
//! Each round is both halves of the line, one after the other, so that a drift of the machine's speed meets both.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use dev::Stack;
use dev::console::{Console, table};
use serde::Serialize;

use self::generator::Generator;
use self::round::Round;
use crate::args::EventOptions;
use crate::clickhouse::{ClickHouse, Inserts};
use crate::cpu::CpuClock;
use crate::kafka::Topics;
use crate::machine::Machine;
use crate::process::{Running, free_port};
use crate::summary::Spread;

pub(crate) mod generator;
mod load;
mod round;

/// Time for a process to be ready.
const READY: Duration = Duration::from_secs(30);

/// Time for the consumer per million events: about 3 s on an idle machine.
const DRAIN_PER_MILLION: Duration = Duration::from_secs(120);

/// Pause between two looks at the table; each costs the server some hundred microseconds.
const LOOK: Duration = Duration::from_millis(100);

/// What one round measured.
#[derive(Debug, Clone, Serialize)]
struct Measured {
    /// CPU microseconds per event.
    ingester: f64,
    consumer: f64,
    insert: f64,
    /// Events per second of wall time; secondary.
    ingested_per_second: f64,
    drained_per_second: f64,
    inserts: u64,
    retries: u64,
    /// The most memory that the process ever held, in MiB.
    ingester_peak_mib: f64,
    consumer_peak_mib: f64,
}

/// The last line.
#[derive(Debug, Serialize)]
struct Report<'a> {
    bench: &'static str,
    events: u64,
    rounds: u32,
    events_per_request: u64,
    partitions: i32,
    connections: u32,
    machine: Machine,
    ingester_us_per_event: Spread,
    consumer_us_per_event: Spread,
    insert_us_per_event: Spread,
    total_us_per_event: Spread,
    each: &'a [Measured],
}

pub(crate) fn run(options: &EventOptions) -> anyhow::Result<()> {
    let stack = Stack::running()?;
    let console = Console::on_stderr();
    let binaries = binaries(options)?;
    let runtime = tokio::runtime::Runtime::new().context("failed to start the runtime")?;
    let mut each = Vec::new();
    for number in 1..=options.rounds {
        let round = Round::new(number, &stack)?;
        let name = format!("round {number} of {}", options.rounds);
        let measured = console.progress(&name, |progress| {
            runtime.block_on(measure(options, &round, &binaries, |text| progress.detail(text)))
        })?;
        each.push(measured);
    }
    print(options, &each)
}

/// The folder of the binaries, checked before the first round.
fn binaries(options: &EventOptions) -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("failed to find this program")?;
    let folder = options.binaries.clone().or_else(|| own.parent().map(Path::to_owned));
    let folder = folder.context("failed to find the folder of the binaries")?;
    for name in ["ingester", "consumer"] {
        ensure!(
            folder.join(name).is_file(),
            "failed to find `{name}` in `{}`, run `make bench`",
            folder.display()
        );
    }
    Ok(folder)
}

/// One round: a new topic and a new table, filled through both processes, checked, and removed.
async fn measure(
    options: &EventOptions,
    round: &Round,
    binaries: &Path,
    tell: impl Fn(String),
) -> anyhow::Result<Measured> {
    let topics = Topics::connect(&round.kafka)?;
    let clickhouse = ClickHouse::new(&round.clickhouse);
    topics.create(&round.topics(), options.partitions).await?;
    clickhouse.create_tables().await?;
    let result = both_halves(options, round, binaries, &clickhouse, tell).await;
    // What is left behind of a failed round is its logs, in its temporary folder, and not its data.
    let removed = (topics.delete(&round.topics()).await, clickhouse.drop_tables().await);
    let measured = result?;
    removed.0?;
    removed.1?;
    Ok(measured)
}

async fn both_halves(
    options: &EventOptions,
    round: &Round,
    binaries: &Path,
    clickhouse: &ClickHouse,
    tell: impl Fn(String),
) -> anyhow::Result<Measured> {
    tell("ingester".to_owned());
    let ingested = ingest(options, round, binaries).await?;
    tell("consumer".to_owned());
    let drained = drain(options, round, binaries, clickhouse).await?;
    let inserts = clickhouse.inserts(options.events).await?;
    verify(options.events, clickhouse, inserts).await?;
    let per_event = |used: Duration| used.as_secs_f64() * 1e6 / options.events as f64;
    let per_second = |took: Duration| options.events as f64 / took.as_secs_f64();
    Ok(Measured {
        ingester: per_event(ingested.cpu),
        consumer: per_event(drained.cpu),
        insert: per_event(Duration::from_micros(inserts.cpu_micros)),
        ingested_per_second: per_second(ingested.wall).round(),
        drained_per_second: per_second(drained.wall).round(),
        inserts: inserts.count,
        retries: ingested.retries,
        ingester_peak_mib: ingested.peak_mib,
        consumer_peak_mib: drained.peak_mib,
    })
}

/// What a process did.
struct Half {
    cpu: Duration,
    wall: Duration,
    retries: u64,
    peak_mib: f64,
}

/// From the first request until the last answer; the start of the process is not part of it.
#[allow(clippy::disallowed_methods, reason = "measures how long real processes take")]
async fn ingest(options: &EventOptions, round: &Round, binaries: &Path) -> anyhow::Result<Half> {
    let (public, admin) = (free_port()?, free_port()?);
    let mut ingester =
        Running::start(&binaries.join("ingester"), round.folder(), &round.ingester_words(public, admin)?)?;
    ingester.until_ready(admin, READY).await?;
    let clock = CpuClock::of(ingester.pid())?;
    let (before, begin) = (clock.used()?, Instant::now());
    let seed = u64::from(round.number);
    let bodies = Generator::new(seed, jiff::Timestamp::now(), options.events, options.batch);
    let retries = load::send(
        &format!("http://127.0.0.1:{public}/ingest"),
        &round.authorization(),
        bodies,
        options.connections,
    )
    .await
    .with_context(|| ingester.log())?;
    let (cpu, wall) = (clock.used()? - before, begin.elapsed());
    let peak_mib = ingester.peak_mib()?;
    ingester.stop()?;
    Ok(Half { cpu, wall, retries, peak_mib })
}

/// From the start of the process until the last event is in the table; its start is part of it.
#[allow(clippy::disallowed_methods, reason = "measures how long real processes take")]
async fn drain(
    options: &EventOptions,
    round: &Round,
    binaries: &Path,
    clickhouse: &ClickHouse,
) -> anyhow::Result<Half> {
    let deadline = DRAIN_PER_MILLION * u32::try_from(options.events.div_ceil(1_000_000)).unwrap_or(u32::MAX);
    let begin = Instant::now();
    let mut consumer =
        Running::start(&binaries.join("consumer"), round.folder(), &round.consumer_words(free_port()?)?)?;
    let clock = CpuClock::of(consumer.pid())?;
    loop {
        let rows = clickhouse.rows().await?;
        if rows >= options.events {
            break;
        }
        consumer.expect_running()?;
        ensure!(
            begin.elapsed() < deadline,
            "failed to drain the topic within {} s: {rows} of {} rows; {}",
            deadline.as_secs(),
            options.events,
            consumer.log()
        );
        tokio::time::sleep(LOOK).await;
    }
    let (cpu, wall) = (clock.used()?, begin.elapsed());
    let peak_mib = consumer.peak_mib()?;
    consumer.stop()?;
    Ok(Half { cpu, wall, retries: 0, peak_mib })
}

/// Each event is there once: as many rows as events, in the table and in the view, all with their own id.
async fn verify(events: u64, clickhouse: &ClickHouse, inserts: Inserts) -> anyhow::Result<()> {
    let view = clickhouse.view().await?;
    ensure!(
        view.rows == events && view.ids == events && inserts.rows == events,
        "failed to find each event once: {events} sent, {} inserted, {} in the view, {} ids",
        inserts.rows,
        view.rows,
        view.ids,
    );
    Ok(())
}

fn print(options: &EventOptions, each: &[Measured]) -> anyhow::Result<()> {
    let spread = |of: fn(&Measured) -> f64| Spread::of(each.iter().map(of));
    let report = Report {
        bench: "events",
        events: options.events,
        rounds: options.rounds,
        events_per_request: options.batch,
        partitions: options.partitions,
        connections: options.connections,
        machine: Machine::this(),
        ingester_us_per_event: spread(|round| round.ingester),
        consumer_us_per_event: spread(|round| round.consumer),
        insert_us_per_event: spread(|round| round.insert),
        total_us_per_event: spread(|round| round.ingester + round.consumer + round.insert),
        each,
    };
    let rows = vec![
        ["ingester".to_owned(), report.ingester_us_per_event.to_string()],
        ["consumer".to_owned(), report.consumer_us_per_event.to_string()],
        ["ClickHouse's insert".to_owned(), report.insert_us_per_event.to_string()],
        ["all three".to_owned(), report.total_us_per_event.to_string()],
    ];
    let mut out = std::io::stdout();
    writeln!(out, "{}\n", table(["part", "CPU us per event: median (min to max)"], rows))?;
    writeln!(out, "{}", serde_json::to_string(&report).context("failed to write the report")?)?;
    Ok(())
}
