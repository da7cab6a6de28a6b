//! The frozen examples of `schema/events`, from the topic through the real consumer into the real tables.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use harness::line::Line;
use harness::shared;
use harness::wait::within;
use serde_json::Value;

use crate::checkout::texts;

const TEST: Duration = Duration::from_secs(120);

#[tokio::test]
async fn each_frozen_example_becomes_the_row_it_says() -> anyhow::Result<()> {
    within(TEST, async {
        let line = Line::make(&shared::kafka()?, &shared::clickhouse()?).await?;
        let headers = line.record_headers();
        let headers: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let examples: Vec<String> = texts(&[".json"])
            .into_iter()
            // Those of its folder `foreign` are no events yet.
            .filter(|(path, _)| path.parent() == Some(Path::new("schema/events")))
            .map(|(_, text)| text)
            .collect();
        assert!(examples.len() >= 5, "the examples are there");
        for example in &examples {
            line.kafka.write(line.topic.as_str(), &headers, example.trim_end().as_bytes()).await?;
        }
        let _consumer = line.consumer().await?;
        line.wait_until_committed(Duration::from_secs(30)).await?;

        // Where a record lay, and hence its version, is this run's.
        let query = format!(
            "SELECT * EXCEPT (_inc, _kp, _ko, _ki, _version) FROM {} ORDER BY event_name, id",
            line.table("events_raw")
        );
        let rows: Vec<BTreeMap<String, Value>> = line.clickhouse.rows(&query).await?;
        assert_eq!(rows.len(), examples.len());
        insta::assert_json_snapshot!(rows);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_record_read_again_from_the_start_changes_nothing() -> anyhow::Result<()> {
    within(TEST, async {
        let line = Line::make(&shared::kafka()?, &shared::clickhouse()?).await?;
        let headers = line.record_headers();
        let headers: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let example = include_str!("../../../schema/events/events.json").trim_end();
        let received = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S.000Z").to_string();
        let fresh = example.replace("2026-01-31T12:00:00.250Z", &received);
        assert_ne!(fresh, example, "the example has the time that is replaced here");
        let mut consumer = line.consumer().await?;
        for _ in 0..2 {
            line.kafka.write(line.topic.as_str(), &headers, fresh.as_bytes()).await?;
        }
        line.wait_until_committed(Duration::from_secs(30)).await?;
        consumer.program.stop().await?;
        // Another group is what a wiped offset is: everything is read from the earliest record again.
        let again = line.with_fresh_group()?;
        let _consumer = again.consumer().await?;
        again.wait_until_committed(Duration::from_secs(30)).await?;
        assert_eq!(
            line.clickhouse.number(&format!("SELECT count() FROM {}", line.table("events_raw"))).await?,
            4
        );
        assert_eq!(
            line.clickhouse.number(&format!("SELECT count() FROM {}", line.table("events"))).await?,
            1
        );
        let positions = format!("SELECT uniqExact(_kp, _ko) FROM {}", line.table("events_raw"));
        assert_eq!(line.clickhouse.number(&positions).await?, 2, "a row says where its record lies");
        Ok(())
    })
    .await
}
