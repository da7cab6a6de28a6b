//! What a deletion takes along, what it must leave alone, and that it comes to an end.

use std::time::Duration;

use anyhow::Context as _;
use crds::condition::kind;
use crds::{AnalyticsTenant, Pipeline};
use harness::control_plane::ControlPlane;
use harness::kafka::metadata;
use harness::kubernetes::Ground;
use harness::recording::{Recording, Seen};
use harness::stand_in::StandIn;
use harness::wait::{Look, until, within};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt as _;
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

const TEST: Duration = Duration::from_secs(240);
const SEEN: Duration = Duration::from_secs(60);
/// The namespace controller looks again after some seconds, each time later.
const ENDED: Duration = Duration::from_secs(120);
const FINALIZER: &str = "analytics.millrace.dev/cleanup";

fn pipeline() -> Value {
    json!({"tenantRef": {"name": "acme"}, "ingester": {"ingress": {"hostname": "events.example.com"}}})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_17_a_deletion_names_its_object_and_harms_no_namesake() -> anyhow::Result<()> {
    within(TEST, async {
        let plane = ControlPlane::shared().await?;
        let ground = plane.cluster.ground("namesakes").await?;
        let _stand_in = StandIn::start_in(&ground);
        ground.tenant("acme", json!({"defaultPipeline": "None"})).await?;
        ground.pipeline("web", pipeline()).await?;
        ground.pipeline_with("web", kind::READY, "True", SEEN).await?;
        ground.pipeline("web", json!({"tenantRef": {"name": "acme"}})).await?;
        ground.pipeline_with("web", kind::READY, "True", SEEN).await?;
        let pipelines = ground.api::<Pipeline>();
        for round in 0..3 {
            let gone = delete_at_once(&pipelines, round).await?;
            until(SEEN, "end of the Pipeline before", || async {
                let found = pipelines.get_opt("web").await?.and_then(|found| found.uid());
                Ok(Look::at(found != gone, found))
            })
            .await?;
            let uid = ground.pipeline("web", json!({"tenantRef": {"name": "acme"}})).await?.uid();
            // Whether its topic is still known as its own depends on how the one before went.
            let seen = ground.pipeline_with("web", kind::SPEC_VALID, "True", SEEN).await?;
            assert!(seen.uid() == uid && seen.metadata.deletion_timestamp.is_none(), "{seen:?}");
            until(SEEN, "pods of the new Pipeline, or why there are none", || has_its_pods(&ground, &seen))
                .await?;
        }
        let writes = plane.writes(&ground)?;
        let deletions: Vec<&Value> = writes.iter().filter(|entry| entry["verb"] == "delete").collect();
        assert!(deletions.len() >= 3, "an Ingress and two Deployments: {deletions:#?}");
        for deletion in deletions {
            let named = &deletion["requestObject"]["preconditions"];
            assert!(named["uid"].is_string() && named["resourceVersion"].is_string(), "{deletion:#}");
        }
        Ok(())
    })
    .await
}

/// Deletes the Pipeline as everybody does, and in later rounds without waiting for the operator. Gives its UID.
async fn delete_at_once(pipelines: &Api<Pipeline>, round: usize) -> anyhow::Result<Option<String>> {
    let uid = pipelines.get("web").await?.uid();
    pipelines.delete("web", &DeleteParams::default()).await?;
    if round > 0 {
        let free = Patch::Merge(json!({"metadata": {"finalizers": null}}));
        match pipelines.patch("web", &PatchParams::default(), &free).await {
            Err(kube::Error::Api(answer)) if answer.code == 404 => {}
            freed => drop(freed?),
        }
    }
    Ok(uid)
}

async fn has_its_pods(ground: &Ground, pipeline: &Pipeline) -> anyhow::Result<Look<()>> {
    let found = ground.api::<Deployment>().get_opt("web-consumer").await?;
    let owner = found.and_then(|found| found.owner_references().first().map(|owner| owner.uid.clone()));
    let now = ground.api::<Pipeline>().get("web").await?;
    let conditions = now.status.unwrap_or_default().conditions;
    let refused = harness::kubernetes::reason(&conditions, kind::TOPIC_READY) == Some("NameConflict");
    Ok(Look::at(refused || (owner.is_some() && owner == pipeline.uid()), (owner, conditions)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_18_a_resource_is_held_before_anything_is_made_and_let_go_when_all_is_gone() -> anyhow::Result<()>
{
    within(TEST, async {
        let plane = ControlPlane::shared().await?;
        let ground = plane.cluster.ground("held").await?;
        let _stand_in = StandIn::start_in(&ground);
        let tenants = Recording::start::<AnalyticsTenant>(&ground).await?;
        let pipelines = Recording::start::<Pipeline>(&ground).await?;
        let policy = json!({"kafka": "Delete", "clickhouse": "Delete"});
        ground.tenant("acme", json!({"deletionPolicy": policy})).await?;
        let tenant = ground.tenant_with("acme", kind::READY, "True", SEEN).await?;
        let made = ground.pipeline_with("acme-default", kind::READY, "True", SEEN).await?;
        for versions in [tenants.versions("acme")?, pipelines.versions("acme-default")?] {
            // Whatever the status tells of was made after it was held.
            let told = versions.iter().filter(|version| version["status"]["conditions"][0].is_object());
            for version in told {
                assert_eq!(version["metadata"]["finalizers"], json!([FINALIZER]), "{version:#}");
            }
        }
        let writes = plane.writes(&ground)?;
        let first = writes.first().map(|entry| &entry["requestObject"]["metadata"]["finalizers"]);
        assert_eq!(first, Some(&json!([FINALIZER])));

        let status = made.status.context("a ready Pipeline has a status")?;
        let topics = [status.topic, status.dead_letter_topic].map(|topic| topic.map(|topic| topic.name));
        let database = tenant.status.and_then(|status| status.database).context("a database")?.name;
        ground.api::<AnalyticsTenant>().delete("acme", &DeleteParams::default()).await?;
        gone(&pipelines, "acme-default").await?;
        for topic in topics.into_iter().flatten() {
            assert!(metadata::topic_id(&plane.kafka.address(), &topic).await.is_err(), "`{topic}` is there");
        }
        gone(&tenants, "acme").await?;
        let left = format!("SELECT count() FROM system.databases WHERE name = '{database}'");
        assert_eq!(plane.clickhouse.reader().number(&left).await?, 0);
        Ok(())
    })
    .await
}

async fn gone(recording: &Recording, name: &str) -> anyhow::Result<()> {
    until(SEEN, &format!("end of `{name}`"), || async {
        Ok(Look::at(matches!(recording.of(name)?.last(), Some(Seen::Gone(_))), "it is still there"))
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_21_a_namespace_ends_with_everything_in_it_and_nothing_is_made_meanwhile() -> anyhow::Result<()>
{
    within(TEST, async {
        let plane = ControlPlane::shared().await?;
        let ground = plane.cluster.ground("ending").await?;
        let _stand_in = StandIn::start_in(&ground);
        ground.tenant("acme", json!({})).await?;
        ground.pipeline("web", json!({"tenantRef": {"name": "acme"}})).await?;
        ground.pipeline_with("web", kind::READY, "True", SEEN).await?;
        ground.tenant_with("acme", kind::READY, "True", SEEN).await?;
        let before = plane.writes(&ground)?.len();

        let namespaces = Api::<Namespace>::all(ground.client.clone());
        namespaces.delete(&ground.name, &DeleteParams::default()).await?;
        until(ENDED, "end of the namespace", || async {
            let found = namespaces.get_opt(&ground.name).await?;
            let status = found.as_ref().and_then(|found| found.status.clone());
            Ok(Look::at(found.is_none(), status))
        })
        .await?;
        let made: Vec<Value> = plane.writes(&ground)?.split_off(before).into_iter().filter(is_made).collect();
        assert!(made.is_empty(), "{made:#?}");
        Ok(())
    })
    .await
}

/// Whether the request made an object. Events are told in passing.
fn is_made(entry: &Value) -> bool {
    entry["responseStatus"]["code"] == 201 && entry["objectRef"]["resource"] != "events"
}
