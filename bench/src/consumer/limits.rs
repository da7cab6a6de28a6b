//! What the parts of the way cost alone: the sum is what consumer and insert could cost together if nothing were lost
//! between them.
//!
//! Fetching is librdkafka's `poll` with the consumer's connection settings and nothing done with the messages; parsing,
//! sorting and encoding are the consumer's own code in a loop over records in memory; the insert is that of the same
//! blocks, one after the other, as `system.query_log` says.

use std::io::Write as _;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use consumer::parts::{Parts, insert_address, kafka_config};
use dev::console::{Console, table};
use dev::http::{Client, Post};
use rdkafka::Message as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::BorrowedMessage;
use schema::settings::ConsumerSettings;
use serde::Serialize;

use super::LOADS;
use super::bed::Bed;
use crate::args::BedOptions;
use crate::clickhouse::ClickHouse;
use crate::cpu::CpuClock;
use crate::machine::Machine;

/// Time for one insert.
const DEADLINE: Duration = Duration::from_secs(60);
/// Time without a message after which the topic is not what was filled.
const SILENCE: Duration = Duration::from_secs(30);
const WAIT: Duration = Duration::from_millis(100);
/// Events that are kept in memory for parsing; more would only be further from the caches than in a consumer.
const KEPT: u64 = 500_000;

/// CPU in microseconds per event.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Limit {
    pub(crate) per_record: u64,
    pub(crate) fetch: f64,
    pub(crate) parse: f64,
    pub(crate) sort: f64,
    pub(crate) encode: f64,
    pub(crate) insert: f64,
}

impl Limit {
    pub(crate) fn sum(&self) -> f64 {
        self.fetch + self.parse + self.sort + self.encode + self.insert
    }
}

/// The last line of `bench limits`.
#[derive(Debug, Serialize)]
struct Report {
    bench: &'static str,
    limits: Vec<Limit>,
    events: u64,
    max_rows: u32,
    machine: Machine,
}

pub(crate) fn run(options: &BedOptions) -> anyhow::Result<()> {
    let console = Console::on_stderr();
    let runtime = tokio::runtime::Runtime::new().context("failed to start the runtime")?;
    let bed = console.step("a Kafka and a ClickHouse of its own", || Bed::start(options))?;
    console.progress("the topics", |_| runtime.block_on(bed.fill(&LOADS)))?;
    let limits = measure_all(&bed, options, &console, &runtime)?;
    let mut out = std::io::stdout();
    writeln!(out, "{}\n", shown(&limits))?;
    let report = Report {
        bench: "limits",
        limits,
        events: options.events,
        max_rows: options.max_rows,
        machine: Machine::this(),
    };
    writeln!(out, "{}", serde_json::to_string(&report).context("failed to write the report")?)?;
    Ok(())
}

pub(super) fn measure_all(
    bed: &Bed,
    options: &BedOptions,
    console: &Console,
    runtime: &tokio::runtime::Runtime,
) -> anyhow::Result<Vec<Limit>> {
    LOADS
        .into_iter()
        .map(|per_record| {
            let name = format!("the parts alone, {per_record} a record");
            console.progress(&name, |_| runtime.block_on(measure(bed, options, per_record)))
        })
        .collect()
}

/// The table for a person.
pub(super) fn shown(limits: &[Limit]) -> String {
    let header = ["CPU us per event", "fetch", "parse", "sort", "encode", "insert", "limit"];
    let rows = limits.iter().map(|limit| {
        let number = |number: f64| format!("{number:.3}");
        [
            format!("the parts alone, {} a record", limit.per_record),
            number(limit.fetch),
            number(limit.parse),
            number(limit.sort),
            number(limit.encode),
            number(limit.insert),
            number(limit.sum()),
        ]
    });
    table(header, rows.collect())
}

struct Kept {
    partition: i32,
    offset: i64,
    payload: Vec<u8>,
}

async fn measure(bed: &Bed, options: &BedOptions, per_record: u64) -> anyhow::Result<Limit> {
    let settings = bed.settings(per_record)?;
    let fetch = fetch(&settings, options.events.div_ceil(per_record))? / options.events as f64;
    let kept = keep(&bed.settings(per_record)?, options.events.min(KEPT).div_ceil(per_record))?;
    let clickhouse = ClickHouse::new(&settings.clickhouse);
    clickhouse.run("TRUNCATE TABLE IF EXISTS system.query_log".to_owned()).await?;
    clickhouse.create_tables().await?;
    let measured = store(&settings, options, &kept, &clickhouse).await;
    let removed = clickhouse.drop_tables().await;
    let Stored { parse, sort, encode, insert } = measured?;
    removed?;
    Ok(Limit { per_record, fetch, parse, sort, encode, insert })
}

/// CPU in microseconds of this process for reading so many messages.
fn fetch(settings: &ConsumerSettings, messages: u64) -> anyhow::Result<f64> {
    let clock = CpuClock::of(std::process::id())?;
    let before = clock.used()?;
    read(settings, messages, |_| ())?;
    Ok(micros(clock.used()? - before))
}

fn keep(settings: &ConsumerSettings, messages: u64) -> anyhow::Result<Vec<Kept>> {
    let mut kept = Vec::new();
    read(settings, messages, |message| {
        let payload = message.payload().unwrap_or_default().to_vec();
        kept.push(Kept { partition: message.partition(), offset: message.offset(), payload });
    })?;
    Ok(kept)
}

fn read(
    settings: &ConsumerSettings,
    messages: u64,
    mut take: impl FnMut(&BorrowedMessage<'_>),
) -> anyhow::Result<()> {
    let consumer: BaseConsumer = kafka_config(settings).create().context("failed to make a consumer")?;
    consumer.subscribe(&[settings.topic.as_str()]).context("failed to subscribe")?;
    let (mut seen, mut silent) = (0, Duration::ZERO);
    while seen < messages {
        match consumer.poll(WAIT).transpose().context("failed to read")? {
            Some(message) => {
                take(&message);
                (seen, silent) = (seen + 1, Duration::ZERO);
            }
            None => silent += WAIT,
        }
        ensure!(silent < SILENCE, "failed to read the topic: {seen} of {messages} messages came");
    }
    Ok(())
}

/// CPU in microseconds per event of everything but fetching.
struct Stored {
    parse: f64,
    sort: f64,
    encode: f64,
    insert: f64,
}

async fn store(
    settings: &ConsumerSettings,
    options: &BedOptions,
    kept: &[Kept],
    clickhouse: &ClickHouse,
) -> anyhow::Result<Stored> {
    let clock = CpuClock::of(std::process::id())?;
    let client = Client::new(DEADLINE);
    let mut parts = Parts::new(settings);
    let (mut parse, mut sort, mut encode, mut rows) = (Duration::ZERO, Duration::ZERO, Duration::ZERO, 0);
    let mut records = kept.iter().cycle();
    while rows < options.events {
        parts.clear();
        let before = clock.used()?;
        let filled = fill(&mut parts, &mut records, u64::from(options.max_rows).min(options.events - rows))?;
        let parsed = clock.used()?;
        parts.sort();
        let sorted = clock.used()?;
        let body = parts.encode();
        encode += clock.used()? - sorted;
        (parse, sort, rows) = (parse + (parsed - before), sort + (sorted - parsed), rows + filled);
        insert(&client, settings, body.concat().into()).await?;
    }
    let inserts = clickhouse.inserts(rows).await?;
    let per_event = |used: Duration| micros(used) / rows as f64;
    Ok(Stored {
        parse: per_event(parse),
        sort: per_event(sort),
        encode: per_event(encode),
        insert: per_event(Duration::from_micros(inserts.cpu_micros)),
    })
}

/// Parses records until there are so many rows, and says how many there are.
fn fill<'k>(
    parts: &mut Parts,
    records: &mut impl Iterator<Item = &'k Kept>,
    wanted: u64,
) -> anyhow::Result<u64> {
    let mut rows = 0;
    while rows < wanted {
        let Kept { partition, offset, payload } = records.next().context("failed to keep a record")?;
        rows = parts.parse(*partition, *offset, payload)? as u64;
    }
    Ok(rows)
}

async fn insert(client: &Client, settings: &ConsumerSettings, body: Bytes) -> anyhow::Result<()> {
    let url = insert_address(&settings.clickhouse);
    let headers = vec![
        ("X-ClickHouse-User", settings.clickhouse.user.clone()),
        ("X-ClickHouse-Key", settings.clickhouse.password.expose().to_owned()),
    ];
    let answer = client.post(Post { url, headers, body }).await?;
    ensure!(answer.status.is_success(), "failed to insert: {answer}");
    Ok(())
}

fn micros(used: Duration) -> f64 {
    used.as_secs_f64() * 1e6
}
