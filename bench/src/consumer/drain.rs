//! One drain: a new table, a system that reads the topic from its beginning, and what that cost.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use schema::names::DatabaseName;
use serde::{Deserialize, Serialize};

use super::System;
use super::bed::Bed;
use super::engine::{self, Variant};
use super::fill::Filled;
use crate::clickhouse::ClickHouse;
use crate::cpu::CpuClock;
use crate::process::{Running, free_port};

/// Time per million events; the slowest system takes about 30 s.
const PER_MILLION: Duration = Duration::from_secs(180);
/// Pause between two looks at the table; each costs the server some hundred microseconds.
const LOOK: Duration = Duration::from_millis(100);
/// Merges that have not begun by then are not going to.
const QUIET: Duration = Duration::from_secs(6);

/// Whether parts are merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Merges {
    Stopped,
    /// They run, and their CPU counts until none is left to do.
    UntilQuiet,
}

/// CPU in microseconds per event, and more.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Drained {
    /// The process that is not ClickHouse, if there is one.
    pub(crate) consumer: f64,
    /// The whole server.
    pub(crate) server: f64,
    /// What the query log says of the inserts.
    pub(crate) insert: f64,
    pub(crate) inserts: u64,
    pub(crate) parts: u64,
    /// Bytes per event that came in with the inserts.
    pub(crate) wire_bytes: f64,
    pub(crate) peak_mib: f64,
    pub(crate) per_second: f64,
    /// A sum of hashes over all that the client sent: the same for everybody who keeps it exactly.
    pub(crate) checksum: u64,
}

#[derive(Deserialize)]
struct Sums {
    rows: u64,
    ids: u64,
    quantity: u64,
    cents: u64,
    checksum: u64,
}

#[derive(Deserialize)]
struct Count {
    count: u64,
}

/// Everything in a new table, checked and removed.
pub(crate) async fn drain(
    bed: &Bed,
    system: &System,
    per_record: u64,
    filled: &Filled,
    merges: Merges,
) -> anyhow::Result<Drained> {
    let clickhouse = ClickHouse::new(&bed.clickhouse());
    let database = bed.clickhouse().database;
    clickhouse.run("TRUNCATE TABLE IF EXISTS system.query_log".to_owned()).await?;
    clickhouse.create_tables().await?;
    if matches!(system, System::Engine(variant) if *variant != Variant::MapReplacing) {
        make_plain_table(&clickhouse, &database).await?;
    }
    if merges == Merges::UntilQuiet {
        clickhouse.run(format!("SYSTEM START MERGES {database}.events_raw")).await?;
    }
    let result = measure(bed, system, per_record, filled, merges, &clickhouse).await;
    let removed = clickhouse.drop_tables().await;
    let drained = result?;
    removed?;
    Ok(drained)
}

/// Our table with an engine that `optimize_on_insert` does not touch.
async fn make_plain_table(clickhouse: &ClickHouse, database: &DatabaseName) -> anyhow::Result<()> {
    let ours = schema::migrations::MIGRATIONS.iter().find(|step| step.name.contains("events_raw"));
    let ours = ours.context("failed to find the table's migration")?;
    let statement = ours.statement(database, schema::retention::Retention::from_days(1)?);
    let statement = statement.replace("ReplacingMergeTree(_version, _deleted)", "MergeTree");
    clickhouse.run(format!("DROP TABLE {database}.events_raw SYNC")).await?;
    clickhouse.run(statement).await?;
    clickhouse.run(format!("SYSTEM STOP MERGES {database}.events_raw")).await
}

#[allow(clippy::disallowed_methods, reason = "measures how long real processes take")]
async fn measure(
    bed: &Bed,
    system: &System,
    per_record: u64,
    filled: &Filled,
    merges: Merges,
    clickhouse: &ClickHouse,
) -> anyhow::Result<Drained> {
    let server = bed.server_clock()?;
    let (server_before, begin) = (server.used()?, Instant::now());
    let mut runner = start(bed, system, per_record, clickhouse).await?;
    let clock = runner.as_ref().map(|process| CpuClock::of(process.pid())).transpose()?;
    let deadline = PER_MILLION * u32::try_from(filled.events.div_ceil(1_000_000)).unwrap_or(u32::MAX);
    while clickhouse.rows().await? < filled.events {
        let log = || runner.as_ref().map(Running::log).unwrap_or_default();
        ensure!(begin.elapsed() < deadline, "failed to drain within {} s; {}", deadline.as_secs(), log());
        if let Some(process) = &mut runner {
            process.expect_running()?;
        }
        tokio::time::sleep(LOOK).await;
    }
    let wall = begin.elapsed();
    let consumer = clock.map(CpuClock::used).transpose()?.unwrap_or_default();
    let peak_mib = runner.as_ref().map(Running::peak_mib).transpose()?.unwrap_or_default();
    if merges == Merges::UntilQuiet {
        until_quiet(clickhouse).await?;
    }
    let server = server.used()? - server_before;
    stop(system, runner, clickhouse, bed).await?;
    let sums = sums(clickhouse, bed).await?;
    // The engine makes none.
    let inserted = if matches!(system, System::Engine(_)) { 0 } else { filled.events };
    let inserts = clickhouse.inserts(inserted).await?;
    verify(&sums, filled)?;
    let events = filled.events as f64;
    let per_event = |used: Duration| used.as_secs_f64() * 1e6 / events;
    Ok(Drained {
        consumer: per_event(consumer),
        server: per_event(server),
        insert: per_event(Duration::from_micros(inserts.cpu_micros)),
        inserts: inserts.count,
        parts: parts(clickhouse, bed).await?,
        wire_bytes: inserts.received_bytes as f64 / events,
        peak_mib,
        per_second: (events / wall.as_secs_f64()).round(),
        checksum: sums.checksum,
    })
}

/// Starts reading.
async fn start(
    bed: &Bed,
    system: &System,
    per_record: u64,
    clickhouse: &ClickHouse,
) -> anyhow::Result<Option<Running>> {
    let settings = bed.settings(per_record)?;
    let file = bed.folder().join("settings.json");
    std::fs::write(&file, serde_json::to_vec(&settings).context("failed to write the settings")?)
        .context("failed to write the settings")?;
    let file = file.to_string_lossy().into_owned();
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    match system {
        System::Ours(program) => {
            let listen = format!("127.0.0.1:{}", free_port()?);
            let words = words(&["--settings", &file, "--listen", &listen]);
            Running::start(program, &bed.folder(), &words).map(Some)
        }
        System::Plain => {
            let own = std::env::current_exe().context("failed to find this program")?;
            Running::start(&own, &bed.folder(), &words(&["plain-consumer", "--settings", &file])).map(Some)
        }
        System::Engine(variant) => {
            let (database, kafka) =
                (settings.clickhouse.database.to_string(), settings.kafka.bootstrap_servers);
            let group = settings.group.to_string();
            let table = engine::table(*variant, &database, &kafka, &settings.topic, &group, per_record);
            clickhouse.run(table).await?;
            clickhouse.run(engine::view(*variant, &database)).await?;
            Ok(None)
        }
    }
}

async fn stop(
    system: &System,
    runner: Option<Running>,
    clickhouse: &ClickHouse,
    bed: &Bed,
) -> anyhow::Result<()> {
    match (system, runner) {
        (System::Ours(_), Some(process)) => process.stop(),
        (System::Engine(_), _) => {
            let database = bed.clickhouse().database;
            clickhouse.run(format!("DROP TABLE {database}.feed SYNC")).await?;
            clickhouse.run(format!("DROP TABLE {database}.queue SYNC")).await
        }
        // It ends only by being killed, which happens when it is dropped.
        (System::Ours(_), None) | (System::Plain, _) => Ok(()),
    }
}

async fn until_quiet(clickhouse: &ClickHouse) -> anyhow::Result<()> {
    let (mut quiet, pause) = (Duration::ZERO, Duration::from_millis(500));
    while quiet < QUIET {
        let running: Count = clickhouse.ask("SELECT count() AS count FROM system.merges".to_owned()).await?;
        quiet = if running.count == 0 { quiet + pause } else { Duration::ZERO };
        tokio::time::sleep(pause).await;
    }
    Ok(())
}

async fn sums(clickhouse: &ClickHouse, bed: &Bed) -> anyhow::Result<Sums> {
    clickhouse
        .ask(format!(
            "SELECT count() AS rows, uniqExact(id) AS ids, sum(toUInt64OrZero(properties['qty'])) AS quantity, \
             toUInt64(sum(round(toFloat64OrZero(properties['price']) * 100))) AS cents, \
             sum(cityHash64(id, event_name, type, user_id, distinct_id, timestamp, received_at, ip_address, \
             protocol, day, toString(mapSort(properties)))) AS checksum FROM {}.events_raw",
            bed.clickhouse().database
        ))
        .await
}

async fn parts(clickhouse: &ClickHouse, bed: &Bed) -> anyhow::Result<u64> {
    let database = bed.clickhouse().database;
    let question = format!(
        "SELECT count() AS count FROM system.parts WHERE active AND database = '{database}' AND table = 'events_raw'"
    );
    Ok(clickhouse.ask::<Count>(question).await?.count)
}

fn verify(sums: &Sums, filled: &Filled) -> anyhow::Result<()> {
    let Sums { rows, ids, quantity, cents, checksum: _ } = *sums;
    ensure!(
        (rows, ids, quantity, cents) == (filled.events, filled.events, filled.quantity, filled.cents),
        "failed to find each event once: {} filled, {rows} rows, {ids} ids; sums {quantity} of {} and {cents} of {}",
        filled.events,
        filled.quantity,
        filled.cents,
    );
    Ok(())
}
