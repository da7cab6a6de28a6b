//! Kafka or ClickHouse away when the operator starts, or when something is to be deleted.

use std::time::Duration;

use crds::condition::kind;
use harness::operator::{Operator, flags};
use harness::private::{PrivateClickHouse, PrivateKafka};
use harness::private_cluster::PrivateCluster;
use harness::stand_in::StandIn;
use harness::wait::{Look, until, within};
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;

const TEST: Duration = Duration::from_secs(240);
const SEEN: Duration = Duration::from_secs(60);
/// The longest back-off after a few failures, and what the work itself takes.
const RECOVERED: Duration = Duration::from_secs(90);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_that_starts_without_kafka_and_clickhouse_says_so_and_recovers() -> anyhow::Result<()> {
    within(TEST, async {
        let cluster = PrivateCluster::start().await?;
        let ground = cluster.ground("unreachable").await?;
        let folder = tempfile::TempDir::new()?;
        let (kafka, clickhouse) = (PrivateKafka::start().await?, PrivateClickHouse::start().await?);
        let flags = flags(&kafka.address(), &clickhouse, folder.path())?;
        clickhouse.kill().await?;
        let operator = Operator::start(cluster.client().await?, &flags)?;
        ground.tenant("acme", json!({})).await?;
        ground.tenant_with("acme", kind::DATABASE_READY, "False", SEEN).await?;
        assert!(operator.is_running());

        kafka.kill().await?;
        clickhouse.start_again().await?;
        ground.tenant_with("acme", kind::DATABASE_READY, "True", RECOVERED).await?;
        ground.pipeline_with("acme-default", kind::TOPIC_READY, "False", SEEN).await?;
        kafka.start_again().await?;
        ground.pipeline_with("acme-default", kind::TOPIC_READY, "True", RECOVERED).await?;
        assert!(operator.is_running());

        // Nothing makes pods here, so that the workloads stay away and say so.
        ground.pipeline_with("acme-default", kind::WORKLOADS_AVAILABLE, "False", SEEN).await?;
        let _stand_in = StandIn::start(&ground.client);
        ground.pipeline_with("acme-default", kind::WORKLOADS_AVAILABLE, "True", SEEN).await?;
        ground.pipeline_with("acme-default", kind::READY, "True", SEEN).await?;
        operator.stop().await
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_waits_for_an_absent_clickhouse_until_it_is_abandoned() -> anyhow::Result<()> {
    within(TEST, async {
        let cluster = PrivateCluster::start().await?;
        let ground = cluster.ground("blocked").await?;
        let folder = tempfile::TempDir::new()?;
        let (kafka, clickhouse) = (PrivateKafka::start().await?, PrivateClickHouse::start().await?);
        let flags = flags(&kafka.address(), &clickhouse, folder.path())?;
        let operator = Operator::start(cluster.client().await?, &flags)?;
        ground.tenant("acme", json!({"defaultPipeline": "None"})).await?;
        ground.tenant_with("acme", kind::READY, "True", SEEN).await?;
        clickhouse.kill().await?;

        let tenants = ground.api::<crds::AnalyticsTenant>();
        tenants.delete("acme", &DeleteParams::default()).await?;
        ground.tenant_with("acme", kind::DELETION_BLOCKED, "True", SEEN).await?;
        let annotation =
            json!({"metadata": {"annotations": {"analytics.millrace.dev/abandon-external": "true"}}});
        tenants.patch("acme", &PatchParams::default(), &Patch::Merge(&annotation)).await?;
        until(RECOVERED, "end of the tenant", || async {
            Ok(Look::at(tenants.get_opt("acme").await?.is_none(), "it is still there"))
        })
        .await?;
        operator.stop().await
    })
    .await
}
