//! A plain consumer, as most teams write it: a value tree per event, one INSERT of JSONEachRow per batch, then the
//! commit. It is a process of its own, so that its CPU can be told apart.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use dev::http::{Client, Post};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::{ClientConfig, Message as _};
use schema::settings::ConsumerSettings;
use serde_json::{Map, Value, json};

const DEADLINE: Duration = Duration::from_secs(60);
const WAIT: Duration = Duration::from_millis(100);

/// Runs until it is killed.
pub(crate) fn run(settings: &Path) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(settings).context("failed to read the settings")?;
    let settings: ConsumerSettings =
        serde_json::from_str(&text).context("failed to understand the settings")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &settings.kafka.bootstrap_servers)
        .set("group.id", settings.group.as_str())
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .create()
        .context("failed to make a consumer")?;
    consumer.subscribe(&[settings.topic.as_str()]).context("failed to subscribe")?;
    let client = Client::new(DEADLINE);
    let (mut body, mut rows) = (Vec::new(), 0);
    loop {
        let message = consumer.poll(WAIT).transpose().context("failed to read")?;
        let is_idle = message.is_none();
        if let Some(message) = message {
            for line in message.payload().unwrap_or_default().split(|byte| *byte == b'\n') {
                let event: Value = serde_json::from_slice(line).context("failed to parse an event")?;
                serde_json::to_writer(&mut body, &row(event, message.partition(), message.offset()))?;
                body.push(b'\n');
                rows += 1;
            }
        }
        if rows >= u64::from(settings.batch.max_rows) || (is_idle && rows > 0) {
            let sent = std::mem::take(&mut body);
            runtime.block_on(insert(&client, &settings, sent))?;
            consumer.commit_consumer_state(CommitMode::Sync).context("failed to commit")?;
            rows = 0;
        }
    }
}

/// The row of an event, every column of the table.
fn row(mut event: Value, partition: i32, offset: i64) -> Value {
    let properties: Map<String, Value> = match event["properties"].take() {
        Value::Object(members) => members.into_iter().map(|(key, value)| (key, text(value).into())).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Map::new(),
    };
    let (timestamp, received_at) = (event["timestamp"].clone(), event["received_at"].clone());
    event["properties"] = properties.into();
    event["day"] = timestamp.as_str().and_then(|text| text.get(..10)).into();
    event["corrected_at"] = timestamp;
    event["sent_at"] = received_at;
    event["_version"] = offset.into();
    event["_deleted"] = 0.into();
    event["_inc"] = json!("00000000-0000-0000-0000-000000000000");
    event["_kp"] = partition.into();
    event["_ko"] = offset.into();
    event["_ki"] = 0.into();
    event
}

fn text(value: Value) -> String {
    match value {
        Value::String(text) => text,
        Value::Null => String::new(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

async fn insert(client: &Client, settings: &ConsumerSettings, body: Vec<u8>) -> anyhow::Result<()> {
    let clickhouse = &settings.clickhouse;
    let statement = format!("INSERT%20INTO%20{}.events_raw%20FORMAT%20JSONEachRow", clickhouse.database);
    let url = format!(
        "{}/?query={statement}&async_insert=0&wait_end_of_query=1&optimize_on_insert=0&\
         date_time_input_format=best_effort&input_format_parallel_parsing=0",
        clickhouse.url.trim_end_matches('/')
    );
    let headers = vec![
        ("X-ClickHouse-User", clickhouse.user.clone()),
        ("X-ClickHouse-Key", clickhouse.password.expose().to_owned()),
    ];
    let answer = client.post(Post { url, headers, body: body.into() }).await?;
    ensure!(answer.status.is_success(), "failed to insert: {answer}");
    Ok(())
}
