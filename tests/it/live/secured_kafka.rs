//! Kafka behind certificates and users: SASL_SSL with SCRAM-SHA-512, for producer, consumer and admin client.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use crds::Pipeline;
use crds::condition::kind;
use dev::kafka::SecuredKafka;
use harness::clickhouse::ClickHouse;
use harness::http::Http;
use harness::kafka::acls::{self, Resource, Right};
use harness::kafka::{Kafka, metadata};
use harness::ledger::Outcome;
use harness::line::Line;
use harness::load::Load;
use harness::names::unique;
use harness::operator::Operator;
use harness::private::{PrivateClickHouse, PrivateKafka};
use harness::private_cluster::PrivateCluster;
use harness::shared;
use harness::wait::{Look, until, within};
use kube::api::DeleteParams;
use schema::secret::Secret;
use schema::settings::RecordFormat;
use serde_json::json;
use tempfile::TempDir;

use crate::checkout::text;

const TEST: Duration = Duration::from_secs(180);
const DONE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn events_pass_through_a_secured_kafka() -> anyhow::Result<()> {
    within(TEST, async {
        let line = Line::make(&shared::secured_kafka()?, &shared::clickhouse()?).await?;
        let ingester = line.ingester(&[]).await?;
        let _consumer = line.consumer().await?;
        let load =
            Load::start(&ingester.url, &line.bearer(), Duration::from_secs(2), Duration::from_secs(20));
        let (ledger, _) = load.finish().await?;
        let sent = ledger.count(Outcome::Acknowledged);
        assert!(sent > 0, "something was acknowledged");
        line.wait_for_events(sent as u64, Duration::from_secs(30)).await?;
        let verdict = ledger.judge(&line.clickhouse.copies(&line.table("events")).await?);
        assert!(verdict.is_exact(), "{verdict}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_wrong_password_makes_the_ingester_unready_and_answers_503() -> anyhow::Result<()> {
    within(TEST, async {
        let mut secured = shared::secured_kafka()?;
        let line = Line::make(&secured, &shared::clickhouse()?).await?;
        if let Some(sasl) = &mut secured.settings.sasl {
            sasl.password = Secret::new("not the password".to_owned());
        }
        let line = line.with_kafka(&secured)?;
        let ingester = line.start_ingester(&["--publish-timeout-ms=2000"])?;
        let http = Http::new(Duration::from_secs(20));
        let answer = until(Duration::from_secs(20), "answer", || async {
            Ok(Look::There(line.post_event(&http, &ingester).await?))
        })
        .await?;
        assert_eq!(answer.status, 503, "{}", answer.text());
        assert!(!answer.header("retry-after").is_empty());
        assert_eq!(http.get(&format!("{}/health/ready", ingester.probes)).await?.status, 503);
        assert_eq!(http.get(&format!("{}/health/live", ingester.probes)).await?.status, 200);
        assert!(!ingester.program.log().contains("not the password"), "the log holds no password");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_operator_makes_grows_and_deletes_topics_of_a_secured_kafka() -> anyhow::Result<()> {
    within(TEST, async {
        let (kafka, secured) = PrivateKafka::start_secured().await?;
        let clickhouse = PrivateClickHouse::start().await?;
        make_grow_and_delete(&kafka, &secured, &clickhouse).await
    })
    .await
}

/// What docs/operations/install.md grants in Kafka is enough for the operator, the ingester and the consumer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_documented_rights_in_kafka_are_enough() -> anyhow::Result<()> {
    within(TEST, async {
        let (kafka, secured) = PrivateKafka::start_guarded().await?;
        let clickhouse = PrivateClickHouse::start().await?;
        let source = unique("orders");
        // Millrace's own prefix, and the one of lines in tests.
        for prefix in ["millrace.", "tests."] {
            acls::allow(&kafka.address(), &secured.username, &documented_rights(prefix, &source)?).await?;
        }
        make_grow_and_delete(&kafka, &secured, &clickhouse).await?;

        let everything = Kafka::plain(&kafka.address());
        let line = Line::make(&everything, &clickhouse.reader()).await?;
        everything.make_topic(&source, 2).await?;
        let event = include_bytes!("../../../schema/events/foreign/complete.json");
        everything.write(&source, &[], event).await?;
        let user = Kafka::secured(&secured);
        let own = line.with_kafka(&user)?;
        let ingester = own.ingester(&[]).await?;
        let consumer = own.consumer().await?;
        let answer = own.post_event(&Http::new(DONE), &ingester).await?;
        assert_eq!(answer.status, 200, "{}", answer.text());
        line.wait_for_events(1, DONE).await.with_context(|| consumer.program.tail())?;
        own.wait_until_committed(DONE).await?;

        let format = RecordFormat::Json(Box::default());
        let foreign = line.reading(&source, format, None).await?.with_kafka(&user)?;
        let reader = foreign.consumer().await?;
        line.wait_for_events(2, DONE).await.with_context(|| reader.program.tail())?;
        foreign.wait_until_committed(DONE).await?;

        // The user may not write there, which its producer is told after the call.
        let _ = user.write(&source, &[], b"{}").await;
        assert_eq!(everything.read(&source).await?.len(), 1, "the topic of others is as it was");
        Ok(())
    })
    .await
}

/// The rights of the table in docs/operations/install.md, with this prefix and this topic of others.
fn documented_rights(prefix: &str, source: &str) -> anyhow::Result<Vec<Right>> {
    let page = text("docs/operations/install.md");
    let (_, section) = page.split_once("## Rights in Kafka").context("a section on rights in Kafka")?;
    let section = section.split("\n## ").next().unwrap_or_default();
    let rows = section.lines().filter(|line| line.starts_with("| ") && line.contains('`'));
    let mut rights = Vec::new();
    for row in rows {
        let (what, operations) =
            row.trim_matches('|').split_once('|').with_context(|| format!("two columns in {row}"))?;
        let resource = if what.contains("consumer groups") { Resource::Group } else { Resource::Topic };
        let prefix = if what.contains("topicPrefix") { prefix } else { source };
        let operations = operations.split('`').skip(1).step_by(2).map(|operation| Right {
            resource,
            prefix: prefix.to_owned(),
            operation: operation.to_owned(),
        });
        rights.extend(operations);
    }
    ensure!(rights.len() > 10, "the table is read: {rights:?}");
    Ok(rights)
}

async fn make_grow_and_delete(
    kafka: &PrivateKafka,
    secured: &SecuredKafka,
    clickhouse: &PrivateClickHouse,
) -> anyhow::Result<()> {
    let cluster = PrivateCluster::start().await?;
    let ground = cluster.ground("secured").await?;
    let folder = TempDir::new()?;
    let flags = flags(secured, &clickhouse.reader(), &folder)?;
    let operator = Operator::start(cluster.client().await?, &flags)?;
    let policy = json!({"kafka": "Delete", "clickhouse": "Delete"});
    ground.tenant("acme", json!({"defaultPipeline": "None", "deletionPolicy": policy})).await?;
    let spec = |partitions: i32, hours: i32| {
        let topic = json!({"partitions": partitions, "retentionHours": hours});
        json!({"tenantRef": {"name": "acme"}, "topic": topic})
    };
    ground.pipeline("web", spec(2, 24)).await?;
    let first = ground.pipeline_with("web", kind::TOPIC_READY, "True", DONE).await?;
    let topic = first.status.and_then(|status| status.topic).context("a topic in the status")?;
    let broker = &kafka.address();
    assert_eq!(topic.id, metadata::topic_id(broker, &topic.name).await?.to_string());

    ground.pipeline("web", spec(4, 48)).await?;
    until(DONE, "grown topic", || async {
        let ends = Kafka::plain(broker).ends(&topic.name).await?;
        Ok(Look::at(ends.len() == 4, ends.len()))
    })
    .await?;
    ground.pipeline_with("web", kind::TOPIC_READY, "True", DONE).await?;

    let pipelines = ground.api::<Pipeline>();
    pipelines.delete("web", &DeleteParams::default()).await?;
    until(DONE, "end of the pipeline", || async {
        Ok(Look::at(pipelines.get_opt("web").await?.is_none(), "it is still there"))
    })
    .await?;
    assert!(metadata::topic_id(broker, &topic.name).await.is_err(), "the topic is gone");
    ground.delete_tenant("acme", DONE).await?;
    operator.stop().await
}

fn flags(kafka: &SecuredKafka, clickhouse: &ClickHouse, folder: &TempDir) -> anyhow::Result<Vec<String>> {
    let written = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).map(|()| path.display().to_string())
    };
    Ok(vec![
        format!("--kafka-bootstrap-servers={}", kafka.bootstrap_servers),
        "--kafka-security-protocol=SASL_SSL".to_owned(),
        "--kafka-sasl-mechanism=SCRAM-SHA-512".to_owned(),
        format!("--kafka-sasl-username={}", kafka.username),
        format!("--kafka-sasl-password-file={}", written("kafka", &kafka.password)?),
        format!("--kafka-ca-file={}", written("ca.pem", &kafka.ca_pem)?),
        format!("--clickhouse-url={}", clickhouse.url),
        format!("--clickhouse-user={}", clickhouse.user),
        format!("--clickhouse-password-file={}", written("clickhouse", &clickhouse.password)?),
    ])
}
