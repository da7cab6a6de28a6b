//! The policies of ingesters and consumers on a real API server. That a network enforces them is not seen here.

use std::time::Duration;

use crds::condition::kind;
use harness::operator::{Operator, flags};
use harness::private::{PrivateClickHouse, PrivateKafka};
use harness::private_cluster::PrivateCluster;
use harness::stand_in::StandIn;
use harness::wait::{Look, until, within};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::{Api, DeleteParams};
use serde_json::json;

const TEST: Duration = Duration::from_secs(240);
const SEEN: Duration = Duration::from_secs(60);
/// Shorter than the time until everything is looked at again.
const REPAIRED: Duration = Duration::from_secs(20);

const NAMES: [&str; 2] = ["acme-default-ingester", "acme-default-consumer"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_that_is_deleted_by_hand_comes_back_at_once() -> anyhow::Result<()> {
    within(TEST, async {
        let cluster = PrivateCluster::start().await?;
        let ground = cluster.ground("policies").await?;
        let (kafka, clickhouse) = (PrivateKafka::start().await?, PrivateClickHouse::start().await?);
        let folder = tempfile::TempDir::new()?;
        let mut flags = flags(&kafka.address(), &clickhouse, folder.path())?;
        flags.push(r#"--network-policies={"kafkaPorts":[9092],"clickhousePorts":[8123]}"#.to_owned());
        let _operator = Operator::start(cluster.client().await?, &flags)?;
        ground.tenant("acme", json!({})).await?;
        // Whoever waits for pods looks often; at rest, only the watch tells.
        let _stand_in = StandIn::start(&ground.client);
        ground.pipeline_with("acme-default", kind::READY, "True", SEEN).await?;
        let policies: Api<NetworkPolicy> = ground.api();
        for name in NAMES {
            let first = present(&policies, name, None, SEEN).await?;
            policies.delete(name, &DeleteParams::default()).await?;
            present(&policies, name, Some(&first), REPAIRED).await?;
        }
        Ok(())
    })
    .await
}

/// Waits for the policy, or for another than the one with this UID, and returns its UID.
async fn present(
    policies: &Api<NetworkPolicy>,
    name: &str,
    other_than: Option<&str>,
    deadline: Duration,
) -> anyhow::Result<String> {
    until(deadline, &format!("NetworkPolicy `{name}`"), || async {
        let uid = policies.get_opt(name).await?.and_then(|policy| policy.metadata.uid);
        Ok(Look::from(uid.filter(|uid| Some(uid.as_str()) != other_than)))
    })
    .await
}
