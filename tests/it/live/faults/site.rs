//! What the rows share: a private Kafka and a private ClickHouse for as long as any test uses them, a line of each
//! test's own, and words for what is written and what has to be there.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Weak};
use std::time::Duration;

use harness::kafka::{Kafka, Read};
use harness::ledger::{Ledger, Outcome, Verdict};
use harness::line::{Consumer, Line};
use harness::private::{PrivateClickHouse, PrivateKafka};
use harness::proxy::{Mode, Proxy};
use harness::wait::{Look, until};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use uuid::Uuid;

/// Time for a whole row of the matrix.
pub(super) const ROW: Duration = Duration::from_secs(150);
/// Time for anything that is waited for; a group takes 15 s to give up a member that was killed.
pub(super) const SOON: Duration = Duration::from_secs(60);
/// Events of a record.
const LINES: u32 = 20;
/// When the events happened, and were received.
pub(super) const NOON: &str = "2026-01-31T12:00:00.000Z";

/// The servers of all rows that leave them whole.
pub(super) struct Servers {
    pub(super) kafka: PrivateKafka,
    pub(super) clickhouse: PrivateClickHouse,
}

/// Those that run, if any do: the last test that uses them ends them.
static RUNNING: Mutex<Weak<Servers>> = Mutex::const_new(Weak::new());

async fn servers() -> anyhow::Result<Arc<Servers>> {
    let mut running = RUNNING.lock().await;
    if let Some(servers) = running.upgrade() {
        return Ok(servers);
    }
    let (kafka, clickhouse) = (PrivateKafka::start().await?, PrivateClickHouse::start().await?);
    let servers = Arc::new(Servers { kafka, clickhouse });
    *running = Arc::downgrade(&servers);
    Ok(servers)
}

/// A line, a proxy between its consumers and ClickHouse, and what was written to it.
pub(super) struct Site {
    pub(super) line: Line,
    pub(super) proxy: Proxy,
    _servers: Option<Arc<Servers>>,
}

impl Site {
    /// On the servers that the rows share.
    pub(super) async fn make() -> anyhow::Result<Self> {
        let servers = servers().await?;
        let line = Line::make(&Kafka::plain(&servers.kafka.address()), &servers.clickhouse.reader()).await?;
        Ok(Self { _servers: Some(servers), ..Self::of(line).await? })
    }

    /// On servers of the caller's.
    pub(super) async fn of(line: Line) -> anyhow::Result<Self> {
        let target = line.clickhouse.url.trim_start_matches("http://").parse()?;
        Ok(Self { line, proxy: Proxy::start(target).await?, _servers: None })
    }

    /// The same servers, with another line.
    pub(super) async fn with_line(&self, line: Line) -> anyhow::Result<Self> {
        Ok(Self { _servers: self._servers.clone(), ..Self::of(line).await? })
    }

    /// A ready consumer behind the proxy, which gives a stop little time.
    pub(super) async fn consumer(&self, more: &[&str]) -> anyhow::Result<Consumer> {
        let flags = [&["--stop-timeout-ms=2000"], more].concat();
        self.line.consumer_through(&format!("http://{}", self.proxy.address()), &flags).await
    }

    /// Writes these events, some to a record.
    pub(super) async fn write(&self, numbers: Range<u32>) -> anyhow::Result<()> {
        let events: Vec<u32> = numbers.collect();
        for record in events.chunks(LINES as usize) {
            let lines: Vec<String> = record.iter().map(|number| event(*number).to_string()).collect();
            self.write_lines(&lines).await?;
        }
        Ok(())
    }

    /// Writes a record of ours with these lines.
    pub(super) async fn write_lines(&self, lines: &[String]) -> anyhow::Result<()> {
        let headers = self.line.record_headers();
        let headers: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        self.line.kafka.write(self.line.topic.as_str(), &headers, lines.join("\n").as_bytes()).await
    }

    /// Waits until `events` shows exactly these events, each once, and Kafka knows that they are stored.
    pub(super) async fn assert_exact(&self, numbers: Range<u32>) -> anyhow::Result<Verdict> {
        let verdict = self.assert_shown(numbers).await?;
        self.line.wait_until_committed(SOON).await?;
        Ok(verdict)
    }

    /// Waits until `events` shows exactly these events, each once.
    pub(super) async fn assert_shown(&self, numbers: Range<u32>) -> anyhow::Result<Verdict> {
        let mut ledger = Ledger::default();
        numbers.for_each(|number| ledger.note(id(number), Outcome::Acknowledged));
        self.line.wait_until_exact(&ledger, SOON).await
    }

    /// A number that a query on `events_raw` of this line returns; `{}` stands for the table.
    pub(super) async fn raw(&self, query: &str) -> anyhow::Result<u64> {
        self.line.clickhouse.number(&query.replace("{}", &self.line.table("events_raw"))).await
    }

    /// Rows beyond one for each position in Kafka.
    pub(super) async fn copies(&self) -> anyhow::Result<u64> {
        self.raw("SELECT count() - uniqExact(_inc, _kp, _ko, _ki) FROM {}").await
    }

    /// Changes the storage table.
    pub(super) async fn alter(&self, change: &str) -> anyhow::Result<()> {
        let table = self.line.table("events_raw");
        self.line.clickhouse.run(&format!("ALTER TABLE {table} {change}")).await.map(drop)
    }

    pub(super) async fn committed(&self) -> anyhow::Result<BTreeMap<i32, i64>> {
        self.line.kafka.committed(self.line.group.as_str(), self.line.topic.as_str()).await
    }

    /// The dead letters, as soon as there are so many.
    pub(super) async fn letters(&self, count: usize) -> anyhow::Result<Vec<Read>> {
        let topic = self.line.topic.dead_letter();
        until(SOON, &format!("{count} dead letters"), || async {
            let letters = self.line.kafka.read(topic.as_str()).await?;
            Ok(if letters.len() == count {
                Look::There(letters)
            } else {
                Look::NotYet(format!("{letters:?}"))
            })
        })
        .await
    }

    pub(super) fn set(&self, mode: Mode) {
        self.proxy.set(mode);
    }
}

/// Waits until a metric of a consumer is at least so large.
pub(super) async fn until_metric(
    consumer: &Consumer,
    name: &str,
    labels: &str,
    least: f64,
) -> anyhow::Result<()> {
    until(SOON, &format!("{name}{{{labels}}} of {least}"), || async {
        let value = consumer.metric(name, labels).await?;
        Ok(Look::at(value >= least, value))
    })
    .await
}

pub(super) fn id(number: u32) -> Uuid {
    Uuid::from_u128(u128::from(number) + 1)
}

/// An event as the ingester writes it.
pub(super) fn event(number: u32) -> Value {
    json!({
        "id": id(number),
        "event_name": "bought",
        "user_id": format!("user-{}", number % 7),
        "distinct_id": format!("user-{}", number % 7),
        "timestamp": NOON,
        "received_at": NOON,
        "ip_address": "203.0.113.7",
        "properties": {"price": "12.5", "number": number},
    })
}

/// The same with fields replaced.
pub(super) fn event_with(number: u32, fields: Value) -> String {
    let mut event = event(number);
    if let (Some(event), Value::Object(fields)) = (event.as_object_mut(), fields) {
        event.extend(fields);
    }
    event.to_string()
}

pub(super) async fn pause(duration: Duration) {
    tokio::time::sleep(duration).await;
}
