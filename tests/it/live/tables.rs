//! The SQL of `schema/clickhouse` on a real server: each event once, whatever was inserted how often.

use std::time::Duration;

use harness::clickhouse::ClickHouse;
use harness::line::make_tables;
use harness::names::unique;
use harness::shared;
use harness::wait::within;
use schema::migrations;
use schema::names::DatabaseName;
use schema::retention::Retention;
use schema::tenant_id::TenantId;
use serde::Deserialize;
use serde_json::{Value, json};

const TEST: Duration = Duration::from_secs(60);

/// A tenant's tables in a database of their own, which goes when the test succeeds.
struct Tables {
    clickhouse: ClickHouse,
    database: DatabaseName,
}

impl Tables {
    async fn make(retention_hours: u64) -> anyhow::Result<Self> {
        let clickhouse = shared::clickhouse()?;
        let database = DatabaseName::of(&TenantId::parse(&unique("tables"))?);
        make_tables(&clickhouse, &database, Retention::from_hours(retention_hours)?).await?;
        Ok(Self { clickhouse, database })
    }

    async fn insert(&self, rows: &[Value]) -> anyhow::Result<()> {
        let rows: Vec<String> = rows.iter().map(Value::to_string).collect();
        let settings = "SETTINGS async_insert = 0, optimize_on_insert = 0, deduplicate_insert = 'disable', \
                        date_time_input_format = 'best_effort'";
        let insert = format!("INSERT INTO {}.events_raw {settings} FORMAT JSONEachRow", self.database);
        self.clickhouse.run(&format!("{insert}\n{}", rows.join("\n"))).await.map(drop)
    }

    async fn count(&self, from: &str) -> anyhow::Result<u64> {
        self.clickhouse.number(&format!("SELECT count() FROM {}.{from}", self.database)).await
    }

    async fn merge(&self) -> anyhow::Result<()> {
        self.clickhouse.run(&format!("OPTIMIZE TABLE {}.events_raw FINAL", self.database)).await.map(drop)
    }

    async fn leave(self) -> anyhow::Result<()> {
        self.clickhouse.run(&format!("DROP DATABASE {}", self.database)).await.map(drop)
    }
}

/// A row that was received just now.
fn row(number: u128, hour: u32, version: u64) -> Value {
    let now = jiff::Timestamp::now();
    let day = now.strftime("%Y-%m-%d").to_string();
    json!({
        "id": uuid::Uuid::from_u128(number), "event_name": "page_view", "distinct_id": "user-1",
        "timestamp": format!("{day}T{hour:02}:30:00.000Z"), "received_at": now.to_string(),
        "properties": {"page": "/"}, "day": day, "_version": version,
    })
}

fn with(mut row: Value, field: &str, value: impl Into<Value>) -> Value {
    row[field] = value.into();
    row
}

#[tokio::test]
async fn what_is_inserted_twice_is_read_once_before_and_after_merges() -> anyhow::Result<()> {
    within(TEST, async {
        let tables = Tables::make(24).await?;
        let rows: Vec<Value> = (0..500).map(|number| row(number, 10, 1)).collect();
        tables.insert(&rows).await?;
        tables.insert(&rows).await?;
        tables.insert(&rows[..100]).await?;
        assert_eq!(tables.count("events_raw").await?, 1100, "no copy is swallowed by a deduplication window");
        assert_eq!(tables.count("events").await?, 500);
        tables.merge().await?;
        assert_eq!(tables.count("events_raw").await?, 500);
        assert_eq!(tables.count("events").await?, 500);
        tables.leave().await
    })
    .await
}

#[tokio::test]
async fn the_highest_version_wins_in_whatever_order_it_came() -> anyhow::Result<()> {
    within(TEST, async {
        let tables = Tables::make(24).await?;
        tables.insert(&[row(1, 15, 2)]).await?;
        tables.insert(&[row(1, 10, 1)]).await?;
        // The two copies lie at different hours: a filter on the hour must not pick the older one.
        for _ in 0..2 {
            assert_eq!(tables.count("events WHERE toHour(timestamp) < 12").await?, 0);
            assert_eq!(tables.count("events WHERE toHour(timestamp) > 12").await?, 1);
            tables.merge().await?;
        }
        tables.leave().await
    })
    .await
}

#[tokio::test]
async fn a_deleted_event_stays_hidden_when_its_creation_comes_again() -> anyhow::Result<()> {
    within(TEST, async {
        let tables = Tables::make(24).await?;
        tables.insert(&[row(1, 10, 1)]).await?;
        tables.insert(&[with(row(1, 10, 1 << 63), "_deleted", 1)]).await?;
        tables.merge().await?;
        tables.insert(&[row(1, 10, 3)]).await?;
        assert_eq!(tables.count("events").await?, 0);
        tables.leave().await
    })
    .await
}

#[tokio::test]
async fn events_of_two_users_days_or_names_are_different_events() -> anyhow::Result<()> {
    within(TEST, async {
        let tables = Tables::make(24).await?;
        tables
            .insert(&[
                row(1, 10, 1),
                with(row(1, 10, 1), "distinct_id", "user-2"),
                with(row(1, 10, 1), "event_name", "click"),
                with(row(1, 10, 1), "day", "2024-01-01"),
            ])
            .await?;
        tables.merge().await?;
        assert_eq!(tables.count("events").await?, 4);
        tables.leave().await
    })
    .await
}

#[tokio::test]
async fn what_is_past_the_retention_is_hidden_at_once_and_gone_after_a_merge() -> anyhow::Result<()> {
    within(TEST, async {
        let tables = Tables::make(48).await?;
        let received = |hours: i64| (jiff::Timestamp::now() - jiff::SignedDuration::from_hours(hours)).to_string();
        // The client's time is years back: only the time of receipt counts.
        let old = with(with(row(1, 10, 1), "timestamp", "2024-01-01T00:00:00.000Z"), "day", "2024-01-01");
        tables
            .insert(&[
                with(old, "received_at", received(1)),
                with(row(2, 10, 1), "received_at", received(30)),
                with(row(3, 10, 1), "received_at", received(50)),
            ])
            .await?;
        assert_eq!(tables.count("events").await?, 2);
        tables.merge().await?;
        assert_eq!(tables.count("events_raw").await?, 2);

        let shorter = Retention::from_hours(24)?;
        tables.clickhouse.run(&migrations::change_retention(&tables.database, shorter)).await?;
        for view in migrations::views(&tables.database, shorter) {
            tables.clickhouse.run(&view.statement).await?;
        }
        assert_eq!(tables.count("events").await?, 1);
        tables.clickhouse.run(&format!("ALTER TABLE {}.events_raw MATERIALIZE TTL SETTINGS mutations_sync = 2", tables.database)).await?;
        tables.merge().await?;
        assert_eq!(tables.count("events_raw").await?, 1);
        let definition = tables
            .clickhouse
            .run(&format!("SELECT create_table_query FROM system.tables WHERE database = '{}' AND name = 'events_raw' FORMAT TSVRaw", tables.database))
            .await?;
        assert!(definition.contains(&migrations::retention_clause(shorter)), "{definition}");
        assert_eq!(migrations::retention_of(&definition), Some(shorter), "{definition}");
        let view = tables
            .clickhouse
            .run(&format!("SELECT create_table_query FROM system.tables WHERE database = '{}' AND name = 'events' FORMAT TSVRaw", tables.database))
            .await?;
        assert_eq!(migrations::retention_shown(&view), Some(shorter), "{view}");
        tables.leave().await
    })
    .await
}

#[tokio::test]
async fn the_hourly_numbers_count_events_and_users_once() -> anyhow::Result<()> {
    #[derive(Debug, PartialEq, Deserialize)]
    struct Hour {
        hour: u8,
        event_name: String,
        events: u64,
        unique_users: u64,
    }
    within(TEST, async {
        let tables = Tables::make(24).await?;
        let rows = [
            row(1, 10, 1),
            row(2, 10, 1),
            with(row(3, 10, 1), "distinct_id", "user-2"),
            with(row(4, 10, 1), "event_name", "click"),
            row(5, 11, 1),
        ];
        tables.insert(&rows).await?;
        tables.insert(&rows).await?;
        let query = "SELECT toHour(hour) AS hour, event_name, toUInt32(events) AS events, \
                     toUInt32(unique_users) AS unique_users";
        let hours: Vec<Hour> = tables
            .clickhouse
            .rows(&format!("{query} FROM {}.hourly_event_stats ORDER BY ALL", tables.database))
            .await?;
        let hour = |hour, name: &str, events, unique_users| Hour {
            hour,
            event_name: name.to_owned(),
            events,
            unique_users,
        };
        assert_eq!(
            hours,
            [hour(10, "click", 1, 1), hour(10, "page_view", 3, 2), hour(11, "page_view", 1, 1)]
        );
        tables.leave().await
    })
    .await
}

#[tokio::test]
async fn a_view_says_which_definition_it_has() -> anyhow::Result<()> {
    within(TEST, async {
        let tables = Tables::make(24).await?;
        for view in migrations::views(&tables.database, Retention::from_hours(24)?) {
            let query = format!(
                "SELECT comment FROM system.tables WHERE database = '{}' AND name = '{}' FORMAT TSVRaw",
                tables.database, view.name
            );
            let comment = tables.clickhouse.run(&query).await?;
            assert!(view.is_described_by(comment.trim_end()), "{comment}");
        }
        tables.leave().await
    })
    .await
}
