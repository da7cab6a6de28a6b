//! What ClickHouse reads back of the consumer's blocks is what was sent, and ClickHouse agrees with the rule by which
//! properties become texts.

use std::collections::BTreeMap;
use std::time::Duration;

use harness::kafka::Kafka;
use harness::line::Line;
use harness::private::{PrivateClickHouse, PrivateKafka};
use harness::wait::within;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::Deserialize;
use uuid::Uuid;

const TEST: Duration = Duration::from_secs(180);
const STORED: Duration = Duration::from_secs(60);
const EVENTS: usize = 3_000;
const LINES_PER_RECORD: usize = 100;

/// A property as JSON has it, and the text that it is to become.
struct Property {
    key: String,
    json: String,
    text: String,
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
struct Stored {
    id: Uuid,
    event_name: String,
    distinct_id: String,
    day: String,
    properties: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
struct Blocks {
    all: u64,
    sorted: u64,
}

/// Characters that need care somewhere on the way.
const CHARACTERS: [&str; 12] = ["a", "b", "Z", "0", " ", "é", "🦀", "\"", "\\", "\n", "/", "\u{7f}"];

fn text(random: &mut StdRng, most: usize) -> String {
    let length = random.random_range(0..=most);
    (0..length).map(|_| CHARACTERS[random.random_range(0..CHARACTERS.len())]).collect()
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a text is JSON")
}

fn property(random: &mut StdRng, key: String) -> Property {
    let (json, text) = match random.random_range(0..6) {
        0 => {
            let text = text(random, 40);
            (quoted(&text), text)
        }
        1 => ("null".to_owned(), String::new()),
        2 => {
            let word = if random.random_bool(0.5) { "true" } else { "false" };
            (word.to_owned(), word.to_owned())
        }
        3 => {
            let number = random.random::<i64>().to_string();
            (number.clone(), number)
        }
        4 => {
            let numbers = ["14.0", "-0", "1e400", "0.10", "123456789012345678901234567890", "1E+2"];
            let number = numbers[random.random_range(0..numbers.len())];
            (number.to_owned(), number.to_owned())
        }
        _nested => {
            let inner = format!("[{},{{\"k\":\"v\"}},[]]", random.random_range(0..9));
            (inner.replace(',', " , "), inner)
        }
    };
    Property { key, json, text }
}

/// An event as a line, and the row it is to become.
fn event(random: &mut StdRng, number: usize) -> (String, String, Stored) {
    let id = uuid::Builder::from_random_bytes(random.random()).into_uuid();
    let event_name = ["a", "b", "page_view", "page_views", "Größe"][random.random_range(0..5)].to_owned();
    // Every length that the hash of the sort key treats in its own way.
    let distinct_id: String = "user-0123456789".chars().cycle().take(number % 150).collect();
    let day = format!("2026-01-{:02}", random.random_range(1..=3));
    let properties: Vec<Property> = (0..random.random_range(0..8))
        .map(|n| {
            let key = format!("{n}{}", text(random, 5));
            property(random, if n == 0 { String::new() } else { key })
        })
        .collect();
    let members: Vec<String> =
        properties.iter().map(|property| format!("{}:{}", quoted(&property.key), property.json)).collect();
    let document = format!("{{{}}}", members.join(","));
    let line = format!(
        "{{\"id\":\"{id}\",\"event_name\":{},\"distinct_id\":{},\"timestamp\":\"{day}T12:00:00.000Z\",\
         \"received_at\":\"2026-01-31T12:00:00.000Z\",\"properties\":{document}}}",
        quoted(&event_name),
        quoted(&distinct_id),
    );
    let properties = properties.into_iter().map(|property| (property.key, property.text)).collect();
    (line, document, Stored { id, event_name, distinct_id, day, properties })
}

#[tokio::test]
async fn what_is_read_back_is_what_was_sent() -> anyhow::Result<()> {
    within(TEST, async {
        let (kafka, server) = (PrivateKafka::start().await?, PrivateClickHouse::start().await?);
        let line = Line::make(&Kafka::plain(&kafka.address()), &server.reader()).await?;
        let mut random = StdRng::seed_from_u64(7);
        let events: Vec<_> = (0..EVENTS).map(|number| event(&mut random, number)).collect();
        let headers = line.record_headers();
        let headers: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        for record in events.chunks(LINES_PER_RECORD) {
            let lines: Vec<&str> = record.iter().map(|(line, ..)| line.as_str()).collect();
            line.kafka.write(line.topic.as_str(), &headers, lines.join("\n").as_bytes()).await?;
        }
        let _consumer = line.consumer().await?;
        line.wait_for_events(EVENTS as u64, STORED).await?;

        assert_are_stored(&line, &events).await?;
        assert_came_sorted(&line).await?;
        assert_agrees(&line, &events).await
    })
    .await
}

async fn assert_are_stored(line: &Line, events: &[(String, String, Stored)]) -> anyhow::Result<()> {
    let table = line.table("events_raw");
    let mut stored: Vec<Stored> = line
        .clickhouse
        .rows(&format!("SELECT id, event_name, distinct_id, toString(day) AS day, properties FROM {table}"))
        .await?;
    stored.sort_by_key(|row| row.id);
    let mut expected: Vec<&Stored> = events.iter().map(|(_, _, row)| row).collect();
    expected.sort_by_key(|row| row.id);
    assert_eq!(stored.len(), expected.len());
    for (stored, expected) in stored.iter().zip(expected) {
        assert_eq!(stored, expected);
    }
    Ok(())
}

/// The server sorts no block of ours: each has the order of the table already.
async fn assert_came_sorted(line: &Line) -> anyhow::Result<()> {
    line.clickhouse.run("SYSTEM FLUSH LOGS").await?;
    let blocks: Vec<Blocks> = line
        .clickhouse
        .rows(&format!(
            "SELECT sum(ProfileEvents['MergeTreeDataWriterBlocks']) AS all, \
             sum(ProfileEvents['MergeTreeDataWriterBlocksAlreadySorted']) AS sorted FROM system.query_log \
             WHERE type = 'QueryFinish' AND query_kind = 'Insert' AND has(tables, '{}')",
            line.table("events_raw")
        ))
        .await?;
    assert!(blocks[0].all > 0 && blocks[0].sorted == blocks[0].all, "{blocks:?}");
    Ok(())
}

/// ClickHouse's own functions over the same documents: all keys, and the values whose text they keep. They write
/// decimals and `-0` anew, and give a document up for a number that is too large for them; there they cannot agree.
async fn assert_agrees(line: &Line, events: &[(String, String, Stored)]) -> anyhow::Result<()> {
    let (documents, table) = (line.table("documents"), line.table("events_raw"));
    line.clickhouse
        .run(&format!("CREATE TABLE {documents} (id UUID, document String) ENGINE = MergeTree ORDER BY id"))
        .await?;
    let rows: Vec<String> = events
        .iter()
        .map(|(_, document, row)| serde_json::json!({"id": row.id, "document": document}).to_string())
        .collect();
    line.clickhouse.run(&format!("INSERT INTO {documents} FORMAT JSONEachRow\n{}", rows.join("\n"))).await?;
    // Each value in the text of ClickHouse, where it has one that it does not write anew.
    let values = format!(
        "SELECT document, arrayJoin(JSONExtractKeysAndValuesRaw(document)) AS pair, pair.1 AS key, \
         properties[key] AS ours, JSONType(document, key) AS kind, multiIf(pair.2 = 'null', '', \
         kind = 'String', JSONExtractString(document, key), pair.2) AS theirs \
         FROM {documents} JOIN {table} USING id WHERE isValidJSON(document)"
    );
    let compared = format!("({values}) WHERE kind != 'Double' AND ours != '-0'");
    let disagreeing: Vec<BTreeMap<String, String>> = line
        .clickhouse
        .rows(&format!("SELECT document, key, ours, theirs FROM {compared} AND ours != theirs LIMIT 3"))
        .await?;
    assert!(disagreeing.is_empty(), "{disagreeing:?}");
    let count = line.clickhouse.number(&format!("SELECT count() FROM {compared}")).await?;
    assert!(count > EVENTS as u64, "only {count} values were compared");
    let other_keys: u64 = line
        .clickhouse
        .number(&format!(
            "SELECT count() FROM {documents} JOIN {table} USING id \
             WHERE isValidJSON(document) AND JSONExtractKeys(document) != mapKeys(properties)"
        ))
        .await?;
    assert_eq!(other_keys, 0);
    Ok(())
}
