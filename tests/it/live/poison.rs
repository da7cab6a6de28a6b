//! Rows that the table refuses are found and put aside, and their neighbours are stored.

use std::time::Duration;

use harness::kafka::Kafka;
use harness::line::Line;
use harness::private::{PrivateClickHouse, PrivateKafka};
use harness::wait::within;
use schema::record;
use serde_json::json;
use uuid::Uuid;

const TEST: Duration = Duration::from_secs(400);
/// One row of twenty is refused; each has to be found, and each piece between two of them is an insert.
const PUT_ASIDE: Duration = Duration::from_secs(180);
const RECORDS: u32 = 20;
const LINES: u32 = 100;
/// One of so many events is refused.
const POISON: u32 = 20;

fn is_poison(number: u32) -> bool {
    // Spread, so that neither records nor halves have a pattern.
    (number * 7_919 % 5_003).is_multiple_of(POISON)
}

/// Writes events of which some have a price that is no number.
async fn write(line: &Line) -> anyhow::Result<()> {
    let headers = line.record_headers();
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    for record in 0..RECORDS {
        let event = |number: u32| {
            let price = if is_poison(number) { "much" } else { "12.5" };
            json!({
                "id": Uuid::from_u128(u128::from(number) + 1),
                "event_name": "bought",
                "timestamp": "2026-01-31T12:00:00.000Z",
                "received_at": "2026-01-31T12:00:00.000Z",
                "user_id": format!("user-{number}"),
                "properties": {"price": price, "shop": "north", "coins": "3"},
            })
            .to_string()
        };
        let lines: Vec<String> = (record * LINES..(record + 1) * LINES).map(event).collect();
        line.kafka.write(line.topic.as_str(), &headers, lines.join("\n").as_bytes()).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_refused_rows_are_put_aside_and_their_neighbours_are_stored() -> anyhow::Result<()> {
    within(TEST, async {
        let (kafka, clickhouse) = (PrivateKafka::start().await?, PrivateClickHouse::start().await?);
        let line = Line::make(&Kafka::plain(&kafka.address()), &clickhouse.reader()).await?;
        let table = format!("{}.{}", line.database, schema::names::STORAGE_TABLE);
        let column = "price Float64 MATERIALIZED toFloat64(properties['price'])";
        line.clickhouse.run(&format!("ALTER TABLE {table} ADD COLUMN {column}")).await?;
        write(&line).await?;
        let _consumer = line.consumer().await?;
        line.wait_until_committed(PUT_ASIDE).await?;
        let bad = (0..RECORDS * LINES).filter(|number| is_poison(*number)).count();
        line.wait_for_events(u64::from(RECORDS * LINES) - bad as u64, PUT_ASIDE).await?;
        let letters = line.kafka.read(line.topic.dead_letter().as_str()).await?;
        assert_eq!(letters.len(), bad);
        assert!(letters.iter().all(|letter| {
            letter.headers[record::dead_letter::REASON] == "refused_by_table"
                && String::from_utf8_lossy(&letter.value).contains(r#""price":"much""#)
        }));
        Ok(())
    })
    .await
}
