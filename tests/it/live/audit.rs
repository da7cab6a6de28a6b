//! The audit of the consumer sees damage that was made by hand, and takes nothing else for damage.

use std::time::Duration;

use anyhow::Context as _;
use harness::http::Http;
use harness::kafka::Kafka;
use harness::line::{Consumer, Line};
use harness::private::{PrivateClickHouse, PrivateKafka};
use harness::wait::{Look, until, within};
use jiff::{SignedDuration, Timestamp};
use schema::migrations;
use schema::retention::Retention;
use schema::settings::AuditSettings;
use serde_json::json;
use uuid::Uuid;

const TEST: Duration = Duration::from_secs(300);
const STORED: Duration = Duration::from_secs(60);
/// What damage may take until it is seen.
const SEEN: Duration = Duration::from_secs(60);
/// Every record is looked up, again and again.
const AUDIT: AuditSettings = AuditSettings { share_per_mille: 1_000, interval_ms: 100 };
const RETENTION_HOURS: u64 = 48;

/// A line on private parts with a consumer that audits.
struct Site {
    clickhouse: PrivateClickHouse,
    line: Line,
    consumer: Consumer,
    http: Http,
    _kafka: PrivateKafka,
}

impl Site {
    async fn make() -> anyhow::Result<Self> {
        let kafka = PrivateKafka::start().await?;
        let clickhouse = PrivateClickHouse::start().await?;
        let line = Line::make(&Kafka::plain(&kafka.address()), &clickhouse.reader()).await?;
        let line = line.with_audit(AUDIT)?;
        change_retention(&line, RETENTION_HOURS).await?;
        let consumer = line.consumer().await?;
        Ok(Self { clickhouse, line, consumer, http: Http::new(Duration::from_secs(10)), _kafka: kafka })
    }

    async fn write(&self, events: &[String]) -> anyhow::Result<()> {
        let headers = self.line.record_headers();
        let headers: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        self.line.kafka.write(self.line.topic.as_str(), &headers, events.join("\n").as_bytes()).await
    }

    async fn run(&self, statement: &str) -> anyhow::Result<()> {
        let table = self.line.table("events_raw");
        let view = self.line.table("events");
        self.line.clickhouse.run(&statement.replace("{table}", &table).replace("{view}", &view)).await?;
        Ok(())
    }

    /// What the consumer counts under this name, labels included.
    async fn metric(&self, name: &str) -> anyhow::Result<f64> {
        let text = self.http.get(&format!("{}/metrics", self.consumer.probes)).await?.text();
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        Ok(value.unwrap_or("0").parse()?)
    }

    async fn audited(&self, what: &str) -> anyhow::Result<f64> {
        self.metric(&format!("audit_events_{what}_total")).await
    }

    /// Waits until the audit has counted so many more.
    async fn until_audited(&self, what: &str, more: f64) -> anyhow::Result<()> {
        let before = self.audited(what).await?;
        until(SEEN, &format!("{more} more {what} events"), || async {
            let seen = self.audited(what).await?;
            Ok(Look::at(seen >= before + more, (before, seen)))
        })
        .await
    }

    async fn assert_nothing_found(&self) -> anyhow::Result<()> {
        let found = (self.audited("missing").await?, self.audited("doubled").await?);
        assert_eq!(found, (0.0, 0.0), "{}", self.consumer.program.tail());
        Ok(())
    }
}

async fn change_retention(line: &Line, hours: u64) -> anyhow::Result<()> {
    let retention = Retention::from_hours(hours)?;
    line.clickhouse.run(&migrations::change_retention(&line.database, retention)).await?;
    for view in migrations::views(&line.database, retention) {
        line.clickhouse.run(&view.statement).await?;
    }
    Ok(())
}

/// An event that was received so many hours ago.
fn event(name: &str, hours: i64) -> anyhow::Result<String> {
    let at = Timestamp::now().checked_sub(SignedDuration::from_hours(hours))?;
    Ok(json!({
        "id": Uuid::new_v4(), "event_name": name, "distinct_id": "it's \\ \"secret\" \t\n", "timestamp": at,
        "received_at": at, "properties": {"plan": "secret"},
    })
    .to_string())
}

fn events(name: &str, count: usize) -> anyhow::Result<Vec<String>> {
    (0..count).map(|_| event(name, 0)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_is_seen_within_a_minute_and_nothing_else_is_taken_for_it() -> anyhow::Result<()> {
    within(TEST, async {
        let site = Site::make().await?;
        // A table that refuses a value makes dead letters.
        site.run("ALTER TABLE {table} ADD CONSTRAINT no_poison CHECK event_name != 'poison'").await?;

        let retried = events("retried", 20)?;
        site.write(&retried).await?;
        site.line.wait_for_events(20, STORED).await?;
        site.write(&retried).await?;
        site.write(&[event("fine", 0)?, "not json".to_owned(), event("fine", 0)?]).await?;
        site.write(&[event("fine", 0)?, event("poison", 0)?, event("fine", 0)?]).await?;
        site.write(&[event("long gone", 24 * 10)?, event("leaving", 48)?]).await?;
        site.write(&events("lost", 1)?).await?;
        site.line.wait_for_events(25, STORED).await.with_context(|| site.consumer.program.tail())?;
        site.line.wait_until_committed(STORED).await?;
        site.until_audited("checked", 150.0).await?;
        site.assert_nothing_found().await?;

        site.clickhouse.kill().await?;
        let failed = "analytics_pipeline_errors_total{stage=\"audit\",reason=\"audit_ask_retention\"}";
        until(SEEN, "an audit that could not look", || async {
            let seen = site.metric(failed).await?;
            Ok(Look::at(seen >= 2.0, seen))
        })
        .await?;
        site.clickhouse.start_again().await?;
        site.until_audited("checked", 50.0).await?;
        site.assert_nothing_found().await?;

        site.run("ALTER TABLE {table} DELETE WHERE event_name = 'lost' SETTINGS mutations_sync = 2").await?;
        site.until_audited("missing", 1.0).await?;
        assert_eq!(site.audited("doubled").await?, 0.0);

        site.run("SYSTEM STOP MERGES {table}").await?;
        site.run("INSERT INTO {table} SELECT * FROM {table} WHERE event_name = 'fine'").await?;
        let not_folding = "SELECT * FROM {table} WHERE received_at > now64(3) - INTERVAL 48 HOUR";
        site.run(&format!("CREATE OR REPLACE VIEW {{view}} AS {not_folding}")).await?;
        site.until_audited("doubled", 1.0).await?;

        let log = site.consumer.program.log();
        let alarms: Vec<&str> = log.lines().filter(|line| line.contains("ERROR")).collect();
        for alarm in ["is committed and not in `events`", "is in `events` more than once"] {
            let line = alarms.iter().find(|line| line.contains(alarm)).copied().unwrap_or_default();
            let has_place = ["partition=", "offset=", "index="].iter().all(|field| line.contains(field));
            assert!(has_place, "{alarm}: {line}");
        }
        assert!(!log.contains("secret"), "the log tells no payload");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_shorter_retention_removed_is_not_missing_and_what_was_lost_is() -> anyhow::Result<()> {
    within(TEST, async {
        let site = Site::make().await?;
        site.write(&[event("removed", 60)?, event("old", 40)?, event("lost", 1)?, event("fine", 0)?]).await?;
        site.line.wait_for_events(3, STORED).await.with_context(|| site.consumer.program.tail())?;
        site.line.wait_until_committed(STORED).await?;
        site.run("OPTIMIZE TABLE {table} FINAL").await?;
        change_retention(&site.line, 720).await?;
        site.until_audited("checked", 20.0).await?;
        site.assert_nothing_found().await?;

        site.run("ALTER TABLE {table} DELETE WHERE event_name = 'lost' SETTINGS mutations_sync = 2").await?;
        site.until_audited("missing", 1.0).await?;
        Ok(())
    })
    .await
}
