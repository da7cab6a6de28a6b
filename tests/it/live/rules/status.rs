//! What the operator writes about a resource, and when it writes nothing.

use std::time::Duration;

use crds::condition::{ConditionType, Resource, kind};
use crds::{AnalyticsTenant, Pipeline};
use harness::control_plane::ControlPlane;
use harness::kstatus::{KStatus, kstatus};
use harness::kubernetes::Ground;
use harness::recording::Recording;
use harness::stand_in::StandIn;
use harness::wait::{Look, until, within};
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

const TEST: Duration = Duration::from_secs(240);
const SEEN: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_08_at_rest_nothing_is_written_however_often_it_is_looked() -> anyhow::Result<()> {
    within(TEST, async {
        let plane = ControlPlane::shared().await?;
        let ground = plane.cluster.ground("rest").await?;
        let _stand_in = StandIn::start_in(&ground);
        ground.tenant("acme", json!({})).await?;
        ground.tenant_with("acme", kind::READY, "True", SEEN).await?;
        // What was under way when they became ready ends before these are over.
        look_anew(&plane, &ground).await?;
        let before = plane.writes(&ground)?.len();
        for _ in 0..5 {
            look_anew(&plane, &ground).await?;
        }
        let writes = plane.writes(&ground)?;
        assert!(before > 0, "the audit log has what it did before");
        assert!(writes.len() == before, "{:#?}", &writes[before..]);
        Ok(())
    })
    .await
}

/// Makes the operator look at the tenant and the Pipeline twice, of which the first look is over for certain.
async fn look_anew(plane: &ControlPlane, ground: &Ground) -> anyhow::Result<()> {
    for _ in 0..2 {
        for (plural, name) in [("analyticstenants", "acme"), ("pipelines", "acme-default")] {
            let looks = || {
                let is_look = |entry: &&Value| {
                    let object = &entry["objectRef"];
                    entry["verb"] == "get" && object["resource"] == plural && object["name"] == name
                };
                anyhow::Ok(plane.requests(ground)?.iter().filter(is_look).count())
            };
            let before = looks()?;
            let annotation =
                json!({"metadata": {"annotations": {"tests.millrace.dev/look": before.to_string()}}});
            let (params, patch) = (PatchParams::default(), Patch::Merge(annotation));
            if plural == "pipelines" {
                ground.api::<Pipeline>().patch(name, &params, &patch).await?;
            } else {
                ground.api::<AnalyticsTenant>().patch(name, &params, &patch).await?;
            }
            until(SEEN, &format!("look at `{name}`"), || async {
                let now = looks()?;
                Ok(Look::at(now > before, now))
            })
            .await?;
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_09_a_status_says_which_generation_it_is_about() -> anyhow::Result<()> {
    within(TEST, async {
        let plane = ControlPlane::shared().await?;
        let ground = plane.cluster.ground("generations").await?;
        let recordings = (
            Recording::start::<AnalyticsTenant>(&ground).await?,
            Recording::start::<Pipeline>(&ground).await?,
        );
        let _stand_in = StandIn::start_in(&ground);
        ground.tenant("acme", json!({"defaultPipeline": "None"})).await?;
        let spec = |replicas: i32| json!({"tenantRef": {"name": "acme"}, "ingester": {"replicas": replicas}});
        for replicas in 1..=6 {
            ground.pipeline("web", spec(replicas)).await?;
            ground
                .tenant("acme", json!({"defaultPipeline": "None", "displayName": replicas.to_string()}))
                .await?;
        }
        ground.pipeline_with("web", kind::READY, "True", SEEN).await?;
        ground.tenant_with("acme", kind::READY, "True", SEEN).await?;
        for version in [recordings.0.versions("acme")?, recordings.1.versions("web")?].concat() {
            let (generation, status) = (&version["metadata"]["generation"], &version["status"]);
            let observed = &status["observedGeneration"];
            assert!(observed.as_i64() <= generation.as_i64(), "{version:#}");
            let conditions = status["conditions"].as_array().map_or(&[][..], Vec::as_slice);
            assert!(
                conditions.iter().all(|condition| condition["observedGeneration"].is_i64()),
                "{version:#}"
            );
            let is_said_of_now = |condition: &Value| condition["observedGeneration"] == *generation;
            if kstatus(&version) == KStatus::Current {
                assert!(conditions.iter().all(is_said_of_now), "{version:#}");
            }
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_10_the_first_status_has_every_condition_as_unknown() -> anyhow::Result<()> {
    within(TEST, async {
        let plane = ControlPlane::shared().await?;
        let ground = plane.cluster.ground("first").await?;
        let tenants = Recording::start::<AnalyticsTenant>(&ground).await?;
        let pipelines = Recording::start::<Pipeline>(&ground).await?;
        ground.tenant("acme", json!({})).await?;
        ground.pipeline_with("acme-default", kind::TOPIC_READY, "True", SEEN).await?;
        for (recording, name, resource) in
            [(&tenants, "acme", Resource::AnalyticsTenant), (&pipelines, "acme-default", Resource::Pipeline)]
        {
            let versions = recording.versions(name)?;
            let first = versions.iter().find(|version| version["status"]["conditions"][0].is_object());
            let first = first.and_then(|version| version["status"]["conditions"].as_array());
            let first = first.cloned().unwrap_or_default();
            for wanted in ConditionType::of(resource) {
                let found = first.iter().find(|condition| condition["type"] == wanted.as_str());
                let status = found.map_or("absent", |found| found["status"].as_str().unwrap_or_default());
                let expected = match wanted {
                    ConditionType::Reconciling => "True",
                    // Not there while it is false.
                    ConditionType::Paused | ConditionType::Stalled | ConditionType::DeletionBlocked => {
                        "absent"
                    }
                    _ => "Unknown",
                };
                assert_eq!(status, expected, "{} of {name}: {first:#?}", wanted.as_str());
            }
        }
        Ok(())
    })
    .await
}
