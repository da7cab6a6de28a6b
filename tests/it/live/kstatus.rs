//! What tools that wait see of a tenant and its Pipeline, from the creation over an edit to the end.

use std::time::Duration;

use crds::condition::kind;
use crds::{AnalyticsTenant, Pipeline};
use harness::control_plane::ControlPlane;
use harness::kstatus::{KStatus, kstatus};
use harness::private_cluster::PrivateCluster;
use harness::recording::{Recording, Seen};
use harness::stand_in::StandIn;
use harness::wait::{Look, until, within};
use serde_json::{Value, json};

const TEST: Duration = Duration::from_secs(240);
const SEEN: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_who_waits_goes_on_before_tenant_and_pipeline_are_ready() -> anyhow::Result<()> {
    within(TEST, async {
        let plane = ControlPlane::shared().await?;
        let ground = plane.cluster.ground("kstatus").await?;
        let tenants = Recording::start::<AnalyticsTenant>(&ground).await?;
        let pipelines = Recording::start::<Pipeline>(&ground).await?;
        let (tenant, pipeline) = (|| tenants.versions("acme"), || pipelines.versions("acme-default"));

        ground.tenant("acme", json!({})).await?;
        ground.pipeline_with("acme-default", kind::WORKLOADS_AVAILABLE, "False", SEEN).await?;
        assert_none_is_current(&tenant()?, 0);
        assert_none_is_current(&pipeline()?, 0);
        let stand_in = StandIn::start_in(&ground);
        ground.tenant_with("acme", kind::READY, "True", SEEN).await?;
        is_current(&tenants, "acme").await?;
        is_current(&pipelines, "acme-default").await?;

        drop(stand_in);
        let spec = json!({"tenantRef": {"name": "acme"}, "ingester": {"replicas": 3}});
        let edited = ground.pipeline("acme-default", spec).await?.metadata.generation.unwrap_or_default();
        ground.pipeline_with("acme-default", kind::WORKLOADS_AVAILABLE, "False", SEEN).await?;
        assert_none_is_current(&pipeline()?, edited);
        let _stand_in = StandIn::start_in(&ground);
        ground.pipeline_with("acme-default", kind::READY, "True", SEEN).await?;
        is_current(&pipelines, "acme-default").await?;

        ground.delete_tenant("acme", SEEN).await?;
        for (recording, name) in [(&tenants, "acme"), (&pipelines, "acme-default")] {
            until(SEEN, "end in the recording", || async {
                Ok(Look::at(matches!(recording.of(name)?.last(), Some(Seen::Gone(_))), "nothing of it"))
            })
            .await?;
            let states: Vec<KStatus> = recording.versions(name)?.iter().map(kstatus).collect();
            assert_eq!(states.last(), Some(&KStatus::Terminating), "{states:?}");
            assert!(!states.contains(&KStatus::Failed), "{states:?}");
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_an_operator_nothing_is_current() -> anyhow::Result<()> {
    within(TEST, async {
        let cluster = PrivateCluster::start().await?;
        let ground = cluster.ground("unseen").await?;
        ground.tenant("acme", json!({})).await?;
        ground.pipeline("web", json!({"tenantRef": {"name": "acme"}})).await?;
        let tenant = serde_json::to_value(ground.api::<AnalyticsTenant>().get("acme").await?)?;
        let pipeline = serde_json::to_value(ground.api::<Pipeline>().get("web").await?)?;
        assert_eq!([&tenant, &pipeline].map(kstatus), [KStatus::InProgress; 2], "{tenant:#}");
        Ok(())
    })
    .await
}

/// Of the versions from this generation on.
#[track_caller]
fn assert_none_is_current(versions: &[Value], generation: i64) {
    let is_of_now = |version: &&Value| version["metadata"]["generation"].as_i64() >= Some(generation);
    let of_now: Vec<&Value> = versions.iter().filter(is_of_now).collect();
    assert!(!of_now.is_empty(), "nothing was recorded");
    for version in of_now {
        assert_ne!(kstatus(version), KStatus::Current, "{version:#}");
    }
}

async fn is_current(recording: &Recording, name: &str) -> anyhow::Result<()> {
    until(SEEN, &format!("`{name}` to be current"), || async {
        let last = recording.versions(name)?.last().map(kstatus);
        Ok(Look::at(last == Some(KStatus::Current), last))
    })
    .await
}
