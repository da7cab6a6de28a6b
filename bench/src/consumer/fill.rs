//! The topics that every system drains: the same events in both, as the ingester writes them.

use std::borrow::Cow;
use std::time::Duration;

use anyhow::Context as _;
use jiff::Timestamp;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use schema::event::Event;
use schema::names::TopicName;
use schema::record;
use schema::tenant_id::TenantId;
use serde_json::value::RawValue;

use crate::events::generator::{NAMES, REFERRERS, USERS};

/// Time for what is queued to be acknowledged.
const FLUSH: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(20);
const SEED: u64 = 1;

/// What a drained table has to add up to.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Filled {
    pub(crate) events: u64,
    pub(crate) quantity: u64,
    pub(crate) cents: u64,
    /// The bytes of the lines, without line feeds.
    pub(crate) line_bytes: u64,
}

/// Writes `events` events, `per_record` a record, to the partitions in turn.
pub(crate) fn fill(
    kafka: &str,
    topic: &TopicName,
    tenant: &TenantId,
    partitions: i32,
    events: u64,
    per_record: u64,
) -> anyhow::Result<Filled> {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", kafka)
        .set("acks", "all")
        .set("compression.type", "lz4")
        .set("linger.ms", "20")
        .create()
        .context("failed to make a producer")?;
    let mut lines = Lines::new();
    let mut payload = Vec::new();
    for (number, start) in (0..events).step_by(per_record as usize).enumerate() {
        let count = per_record.min(events - start);
        payload.clear();
        for index in 0..count {
            if index > 0 {
                payload.push(b'\n');
            }
            lines.write(&mut payload)?;
        }
        let partition = (number % partitions as usize) as i32;
        send(&producer, topic, partition, &payload, headers(tenant, count))?;
    }
    producer.flush(FLUSH).context("failed to write all records")?;
    anyhow::ensure!(producer.in_flight_count() == 0, "failed to write all records");
    Ok(lines.filled)
}

fn send(
    producer: &BaseProducer,
    topic: &TopicName,
    partition: i32,
    payload: &[u8],
    headers: OwnedHeaders,
) -> anyhow::Result<()> {
    let record = BaseRecord::<(), [u8]>::to(topic.as_str());
    let mut next = record.partition(partition).payload(payload).headers(headers);
    loop {
        match producer.send(next) {
            Ok(()) => {
                producer.poll(Duration::ZERO);
                return Ok(());
            }
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                producer.poll(PAUSE);
                next = back;
            }
            Err((cause, _)) => return Err(cause).context("failed to write a record"),
        }
    }
}

/// Those of the ingester.
fn headers(tenant: &TenantId, count: u64) -> OwnedHeaders {
    let count = count.to_string();
    [
        (record::CONTENT_TYPE, record::NDJSON),
        (record::COUNT, count.as_str()),
        (record::TENANT, tenant.as_str()),
        (record::PIPELINE, "bench"),
        (record::PROTOCOL, "ingest"),
        (record::SCHEMA_VERSION_HEADER, record::SCHEMA_VERSION),
    ]
    .into_iter()
    .fold(OwnedHeaders::new(), |all, (key, value)| all.insert(Header { key, value: Some(value) }))
}

/// Makes one event after the other: those that `bench events` sends, about 222 bytes, as the ingester completes them.
struct Lines {
    random: StdRng,
    now_millis: i64,
    filled: Filled,
}

impl Lines {
    fn new() -> Self {
        let now_millis = Timestamp::now().as_millisecond();
        Self { random: StdRng::seed_from_u64(SEED), now_millis, filled: Filled::default() }
    }

    fn write(&mut self, out: &mut Vec<u8>) -> anyhow::Result<()> {
        let random = &mut self.random;
        let user: Cow<'_, str> = format!("user-{:05}", random.random_range(0..USERS)).into();
        let (path, cents) = (random.random_range(0..1_000), random.random_range(100_u64..10_000));
        let quantity = random.random_range(1..10_u64);
        let referrer = REFERRERS[random.random_range(0..REFERRERS.len())];
        let is_new = random.random_bool(0.5);
        let properties = RawValue::from_string(format!(
            r#"{{"path":"/p/{path}","price":{}.{:02},"qty":{quantity},"ref":"{referrer}","new":{is_new}}}"#,
            cents / 100,
            cents % 100,
        ))?;
        let at = |millis| schema::timestamp::Timestamp::from_millis(millis);
        let event = Event {
            id: uuid::Builder::from_random_bytes(random.random()).into_uuid(),
            event_name: NAMES[random.random_range(0..NAMES.len())].into(),
            kind: "custom".into(),
            distinct_id: user.clone(),
            user_id: user,
            anonymous_id: "".into(),
            session_id: "".into(),
            app_id: "".into(),
            timestamp: at(self.now_millis - random.random_range(0..3_600_000)),
            corrected_at: None,
            sent_at: None,
            received_at: at(self.now_millis),
            properties: &properties,
            ip_address: "127.0.0.1".into(),
            user_agent: "".into(),
            library: "".into(),
            protocol: "ingest".into(),
        };
        let start = out.len();
        serde_json::to_writer(&mut *out, &event).context("failed to write an event")?;
        self.filled.events += 1;
        self.filled.quantity += quantity;
        self.filled.cents += cents;
        self.filled.line_bytes += (out.len() - start) as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sums_are_those_of_the_lines() {
        let (mut lines, mut quantity, mut cents) = (Lines::new(), 0, 0);
        for _ in 0..1_000 {
            let mut line = Vec::new();
            lines.write(&mut line).unwrap();
            let event: serde_json::Value = serde_json::from_slice(&line).unwrap();
            let properties = &event["properties"];
            assert_eq!(properties.as_object().unwrap().len(), 5);
            quantity += properties["qty"].as_u64().unwrap();
            cents += (properties["price"].as_f64().unwrap() * 100.0).round() as u64;
        }
        let Filled { events, quantity: of_lines, cents: cents_of_lines, .. } = lines.filled;
        assert_eq!((events, of_lines, cents_of_lines), (1_000, quantity, cents));
    }
}
