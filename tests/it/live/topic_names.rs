//! Names at their longest, from the resource to a real Kafka and back to nothing.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use crds::Pipeline;
use crds::condition::kind;
use harness::kafka::{Kafka, metadata};
use harness::operator::{Operator, flags};
use harness::private::{PrivateClickHouse, PrivateKafka};
use harness::private_cluster::PrivateCluster;
use harness::stand_in::StandIn;
use harness::wait::{Look, until, within};
use kube::api::DeleteParams;
use serde_json::{Value, json};

const TEST: Duration = Duration::from_secs(240);
const DONE: Duration = Duration::from_secs(60);

/// Kafka's own bound, which the dead-letter topic reaches.
const LONGEST: usize = 249;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_longest_names_are_brought_about_used_and_deleted() -> anyhow::Result<()> {
    within(TEST, async {
        let (prefix, id, name) = ("x".repeat(64), "t".repeat(40), "p".repeat(48));
        let beginning = format!("{prefix}.{id}.");
        let topic = format!("{beginning}{}", "n".repeat(LONGEST - ".dlq".len() - beginning.len()));
        let dead_letters = format!("{topic}.dlq");
        ensure!(dead_letters.len() == LONGEST);

        let cluster = PrivateCluster::start().await?;
        let ground = cluster.ground("names").await?;
        let folder = tempfile::TempDir::new()?;
        let (broker, clickhouse) = (PrivateKafka::start().await?, PrivateClickHouse::start().await?);
        let mut flags = flags(&broker.address(), &clickhouse, folder.path())?;
        flags.push(format!("--topic-prefix={prefix}"));
        let operator = Operator::start(cluster.client().await?, &flags)?;
        let _stand_in = StandIn::start(&ground.client);

        // The managed Pipeline has a name of 48 characters as well.
        ground.tenant(&id, json!({"tenantId": id})).await?;
        ground.tenant_with(&id, kind::READY, "True", DONE).await?;
        ground.pipeline(&name, spec(&id, &topic, "Running")).await?;
        let status = ground.pipeline_with(&name, kind::READY, "True", DONE).await?.status;
        let status = status.context("a status")?;
        assert_eq!(status.topic.context("a topic")?.name, topic);
        assert_eq!(status.dead_letter_topic.context("a dead-letter topic")?.name, dead_letters);
        metadata::topic_id(&broker.address(), &dead_letters).await?;

        let group = status.consumer_group.context("a group")?;
        let kafka = Kafka::plain(&broker.address());
        kafka.write(&topic, &[], b"{}").await?;
        kafka.set_committed(&group, &topic, &kafka.ends(&topic).await?).await?;
        ground.pipeline(&name, spec(&id, &topic, "Stopped")).await?;
        let stopped = ground.pipeline_with(&name, kind::READY, "True", DONE).await?;
        let drain = stopped.status.and_then(|status| status.drain).context("a drain")?;
        assert_eq!(drain.drained, Some(true), "the group is asked about");

        let pipelines = ground.api::<Pipeline>();
        pipelines.delete(&name, &DeleteParams::default()).await?;
        until(DONE, "end of the pipeline", || async {
            Ok(Look::at(pipelines.get_opt(&name).await?.is_none(), "it is still there"))
        })
        .await?;
        for topic in [&topic, &dead_letters] {
            let answer = metadata::topic_id(&broker.address(), topic).await;
            let is_unknown = answer.is_err_and(|answer| answer.to_string().contains("answers code 3"));
            assert!(is_unknown, "{topic} is deleted");
        }
        operator.stop().await
    })
    .await
}

fn spec(tenant: &str, topic: &str, state: &str) -> Value {
    json!({
        "tenantRef": {"name": tenant},
        "topic": {"name": topic, "partitions": 1},
        "state": state,
        "deletionPolicy": {"kafka": "Delete"},
    })
}
