//! A Pipeline that is stopped or deleted on a real Kafka, whose consumer has not stored everything.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use crds::condition::kind;
use crds::{AnalyticsTenant, Pipeline};
use harness::kafka::{Kafka, metadata};
use harness::kubernetes::{Ground, reason};
use harness::operator::{Operator, flags};
use harness::private::{PrivateClickHouse, PrivateKafka};
use harness::private_cluster::PrivateCluster;
use harness::stand_in::StandIn;
use harness::wait::{Look, until, within};
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::DeleteParams;
use serde_json::{Value, json};

const TEST: Duration = Duration::from_secs(240);
const DONE: Duration = Duration::from_secs(60);

/// No consumer runs here; what it would commit, the test commits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_stored_holds_a_stop_and_outlives_a_deletion() -> anyhow::Result<()> {
    within(TEST, async {
        let cluster = PrivateCluster::start().await?;
        let ground = cluster.ground("drain").await?;
        let folder = tempfile::TempDir::new()?;
        let (broker, clickhouse) = (PrivateKafka::start().await?, PrivateClickHouse::start().await?);
        let kafka = Kafka::plain(&broker.address());
        let flags = flags(&broker.address(), &clickhouse, folder.path())?;
        let operator = Operator::start(cluster.client().await?, &flags)?;
        let _stand_in = StandIn::start(&ground.client);
        ground.tenant("acme", json!({"defaultPipeline": "None"})).await?;
        ground.pipeline("web", spec("Running", 600)).await?;
        let running = ground.pipeline_with("web", kind::READY, "True", DONE).await?;
        let (topic, group) = names(&running)?;
        write_three(&kafka, &topic).await?;

        ground.pipeline("web", spec("Stopped", 600)).await?;
        wait_for_message(&ground, "3 records are not stored yet").await?;
        assert_eq!(replicas(&ground, "web-consumer").await?, Some(1), "it goes on storing");
        assert_eq!(replicas(&ground, "web-ingester").await?, None, "it takes no more");
        kafka.set_committed(&group, &topic, &BTreeMap::from([(0, 2)])).await?;
        wait_for_message(&ground, "1 records are not stored yet").await?;
        kafka.set_committed(&group, &topic, &kafka.ends(&topic).await?).await?;
        let stopped = ground.pipeline_with("web", kind::READY, "True", DONE).await?;
        let status = stopped.status.context("a status")?;
        assert_eq!(reason(&status.conditions, kind::READY), Some("Stopped"));
        assert_eq!(status.drain.and_then(|drain| drain.drained), Some(true));
        assert_eq!(replicas(&ground, "web-consumer").await?, Some(0));

        ground.pipeline("web", spec("Running", 1)).await?;
        ground.pipeline_with("web", kind::READY, "True", DONE).await?;
        write_three(&kafka, &topic).await?;
        delete(&ground).await?;
        let id =
            metadata::topic_id(&broker.address(), &topic).await.context("the topic is kept")?.to_string();
        let tenant = ground.api::<AnalyticsTenant>().get("acme").await?;
        assert_eq!(tenant.status.context("a status")?.retained_topics, [id.as_str()]);

        ground.pipeline("web", spec("Running", 600)).await?;
        let next = ground.pipeline_with("web", kind::READY, "True", DONE).await?;
        assert_eq!(next.status.and_then(|status| status.topic).map(|topic| topic.id), Some(id));
        kafka.set_committed(&group, &topic, &kafka.ends(&topic).await?).await?;
        delete(&ground).await?;
        assert!(metadata::topic_id(&broker.address(), &topic).await.is_err(), "nothing of it is lost");
        operator.stop().await
    })
    .await
}

fn spec(state: &str, drain_timeout_seconds: u32) -> Value {
    json!({
        "tenantRef": {"name": "acme"},
        "topic": {"partitions": 1},
        "state": state,
        "drainTimeoutSeconds": drain_timeout_seconds,
        "deletionPolicy": {"kafka": "Delete"},
    })
}

async fn write_three(kafka: &Kafka, topic: &str) -> anyhow::Result<()> {
    for _ in 0..3 {
        kafka.write(topic, &[], b"{}").await?;
    }
    Ok(())
}

/// The topic and the consumer group.
fn names(pipeline: &Pipeline) -> anyhow::Result<(String, String)> {
    let status = pipeline.status.clone().context("a status")?;
    let topic = status.topic.context("a topic in the status")?.name;
    Ok((topic, status.consumer_group.context("a group in the status")?))
}

async fn wait_for_message(ground: &Ground, expected: &str) -> anyhow::Result<()> {
    let pipelines = ground.api::<Pipeline>();
    until(DONE, expected, || async {
        let conditions = pipelines.get("web").await?.status.unwrap_or_default().conditions;
        let ready = conditions.into_iter().find(|condition| condition.kind == kind::READY);
        let message = ready.map(|ready| ready.message).unwrap_or_default();
        Ok(Look::at(message == expected, message))
    })
    .await
}

/// The pods that a Deployment asks for, if it is there.
async fn replicas(ground: &Ground, name: &str) -> anyhow::Result<Option<i32>> {
    let found = ground.api::<Deployment>().get_opt(name).await?;
    Ok(found.and_then(|found| found.spec).and_then(|spec| spec.replicas))
}

async fn delete(ground: &Ground) -> anyhow::Result<()> {
    let pipelines = ground.api::<Pipeline>();
    pipelines.delete("web", &DeleteParams::default()).await?;
    until(DONE, "end of the pipeline", || async {
        Ok(Look::at(pipelines.get_opt("web").await?.is_none(), "it is still there"))
    })
    .await
}
