//! Topics that other applications write JSON to: read, stored once, and never touched.

use std::time::Duration;

use anyhow::Context as _;
use crds::PipelineStatus;
use crds::condition::kind;
use harness::kafka::{Kafka, metadata};
use harness::kubernetes::Ground;
use harness::line::Line;
use harness::names::unique;
use harness::private::{PrivateClickHouse, PrivateKafka};
use harness::wait::{Look, until, within};
use harness::{chart, shared};
use schema::record::dead_letter;
use schema::settings::RecordFormat;
use schema::timestamp::Timestamp;
use serde_json::json;

const TEST: Duration = Duration::from_secs(300);
const READY: Duration = Duration::from_secs(180);
const STORED: Duration = Duration::from_secs(60);
const GONE: Duration = Duration::from_secs(120);
/// librdkafka finds the new topic by itself.
const NOTICED: Duration = Duration::from_secs(90);

/// What an application writes, a record each: two events, the second of them over several lines, and poison between.
const RECORDS: [&str; 3] = [
    include_str!("../../../schema/events/foreign/complete.json"),
    "{\"event_name\": \"half a",
    include_str!("../../../schema/events/foreign/pretty.json"),
];

async fn write_all(kafka: &Kafka, topic: &str) -> anyhow::Result<()> {
    for record in RECORDS {
        kafka.write(topic, &[], record.as_bytes()).await?;
    }
    Ok(())
}

/// The reasons and the values of the dead letters, and that each says which topic it came from.
async fn dead_letters(kafka: &Kafka, topic: &str, source: &str) -> anyhow::Result<Vec<(String, String)>> {
    let letters = kafka.read(topic).await?;
    assert!(letters.iter().all(|letter| letter.headers[dead_letter::TOPIC] == source));
    letters
        .into_iter()
        .map(|letter| Ok((letter.headers[dead_letter::REASON].clone(), String::from_utf8(letter.value)?)))
        .collect()
}

fn poison() -> Vec<(String, String)> {
    vec![("malformed".to_owned(), RECORDS[1].to_owned())]
}

#[tokio::test]
async fn a_consumer_reads_a_topic_of_others_from_a_time_on_and_again_without_doubles() -> anyhow::Result<()> {
    within(TEST, async {
        let kafka_server = PrivateKafka::start().await?;
        let clickhouse_server = PrivateClickHouse::start().await?;
        let kafka = Kafka::plain(&kafka_server.address());
        let line = Line::make(&kafka, &clickhouse_server.reader()).await?;
        let topic = unique("octane.events");
        kafka.make_topic(&topic, 2).await?;
        write_all(&kafka, &topic).await?;
        // The clock of the broker's records is the one of this machine, in milliseconds.
        tokio::time::sleep(Duration::from_millis(10)).await;
        let start_at = Timestamp::from_millis(jiff::Timestamp::now().as_millisecond());
        tokio::time::sleep(Duration::from_millis(10)).await;

        let format = RecordFormat::Json(Box::default());
        let late = line.reading(&topic, format.clone(), Some(start_at)).await?;
        let mut consumer = late.consumer().await?;
        late.wait_until_committed(STORED).await?;
        late.wait_for_events(0, STORED).await?;
        write_all(&kafka, &topic).await?;
        late.wait_for_events(2, STORED).await?;
        late.wait_until_committed(STORED).await?;
        let letters = line.topic.dead_letter();
        assert_eq!(dead_letters(&kafka, letters.as_str(), &topic).await?, poison());
        consumer.program.stop().await?;

        // A group that knows nothing reads everything: what was stored shows no second time.
        let whole = line.reading(&topic, format, None).await?.with_fresh_group()?;
        let _consumer = whole.consumer().await?;
        whole.wait_until_committed(STORED).await?;
        whole.wait_for_events(4, STORED).await?;
        let raw = format!("SELECT uniqExact(id) FROM {}", line.table("events_raw"));
        assert_eq!(line.clickhouse.number(&raw).await?, 4);
        Ok(())
    })
    .await
}

/// The events have no ids, so that those of the new topic would be taken for those of the old one at their offsets.
#[tokio::test]
async fn a_topic_of_others_that_is_made_anew_loses_and_doubles_nothing() -> anyhow::Result<()> {
    within(TEST, async {
        let kafka_server = PrivateKafka::start().await?;
        let clickhouse_server = PrivateClickHouse::start().await?;
        let kafka = Kafka::plain(&kafka_server.address());
        let line = Line::make(&kafka, &clickhouse_server.reader()).await?;
        let topic = unique("octane.events");
        kafka.make_topic(&topic, 1).await?;
        let event = br#"{"event_name":"click","user_id":"machine","timestamp":"2026-01-31T12:00:00Z"}"#;
        let write = async |count: usize| {
            for _ in 0..count {
                kafka.write(&topic, &[], event).await?;
            }
            anyhow::Ok(())
        };
        write(3).await?;
        let old = line.reading(&topic, RecordFormat::Json(Box::default()), None).await?;
        let mut consumer = old.consumer().await?;
        old.wait_for_events(3, STORED).await?;
        old.wait_until_committed(STORED).await?;

        let new = old.with_topic_made_again(1).await?;
        write(5).await?;
        until(NOTICED, "the topic made anew to be noticed", || async {
            let blocked = consumer.metric("consumer_insert_blocked", "").await?;
            Ok(Look::at(blocked >= 1.0, blocked))
        })
        .await?;
        // As the operator replaces one by the other.
        let _next = new.consumer().await?;
        consumer.program.stop().await?;
        new.wait_until_committed(STORED).await?;
        new.wait_for_events(8, STORED).await?;
        let raw = format!("SELECT uniqExact(id) FROM {}", line.table("events_raw"));
        assert_eq!(line.clickhouse.number(&raw).await?, 8);
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipeline_stores_a_topic_of_others_and_leaves_it_as_it_is() -> anyhow::Result<()> {
    let _operator = chart::operator().await?;
    within(TEST, async {
        let (kafka, clickhouse) = (shared::kafka()?, shared::clickhouse()?);
        let ground = Ground::make("foreign").await?;
        let delete = json!({"kafka": "Delete", "clickhouse": "Delete"});
        ground.tenant("acme", json!({"defaultPipeline": "None", "deletionPolicy": delete})).await?;
        let source = unique("octane.events");
        let spec = json!({"tenantRef": {"name": "acme"}, "source": {"kafka": {"topic": source}}});
        ground.pipeline("octane", spec).await?;

        let waiting = ground.pipeline_with("octane", kind::TOPIC_READY, "False", READY).await?;
        let status = waiting.status.unwrap_or_default();
        let reason = harness::kubernetes::reason(&status.conditions, kind::TOPIC_READY);
        assert_eq!(reason, Some("TopicNotFound"));
        let found = metadata::topic_id(&shared::stack()?.kafka, &source).await;
        assert!(found.is_err(), "nobody made it: {found:?}");

        kafka.make_topic(&source, 3).await?;
        let made = metadata::topic_id(&shared::stack()?.kafka, &source).await?;
        write_all(&kafka, &source).await?;
        let ready = ground.pipeline_with("octane", kind::READY, "True", READY).await?;
        let status = ready.status.context("a ready pipeline has a status")?;
        assert_eq!(status.endpoint, None);
        assert!(ground.pods("octane-ingester-").await?.is_empty());
        let letters = names(&status)?;
        let events = format!("SELECT count() FROM {}.events", database(&status)?);
        until(STORED, "both events", || async {
            let there = clickhouse.number(&events).await?;
            Ok(Look::at(there == 2, there))
        })
        .await?;
        until(STORED, "the poison among the dead letters", || async {
            let there = dead_letters(&kafka, &letters, &source).await?;
            Ok(Look::at(there == poison(), there))
        })
        .await?;

        ground.api::<crds::Pipeline>().delete("octane", &kube::api::DeleteParams::default()).await?;
        until(GONE, "end of the dead letters", || async {
            let id = metadata::topic_id(&shared::stack()?.kafka, &letters).await;
            Ok(Look::at(id.is_err(), id))
        })
        .await?;
        assert_eq!(metadata::topic_id(&shared::stack()?.kafka, &source).await?, made);
        ground.delete_tenant("acme", GONE).await?;
        ground.leave().await
    })
    .await
}

fn names(status: &PipelineStatus) -> anyhow::Result<String> {
    let topic = status.dead_letter_topic.as_ref().context("a ready pipeline has dead letters")?;
    Ok(topic.name.clone())
}

fn database(status: &PipelineStatus) -> anyhow::Result<&str> {
    Ok(&status.table.as_ref().context("a ready pipeline has a table")?.database)
}
