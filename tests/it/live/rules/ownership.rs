//! Whose a field and an object are: the operator's are brought back, a stranger's stay.

use std::fmt::Debug;
use std::time::Duration;

use crds::Pipeline;
use crds::condition::kind;
use harness::control_plane::ControlPlane;
use harness::kubernetes::{Ground, reason};
use harness::stand_in::StandIn;
use harness::wait::{Look, until, within};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Secret, Service};
use k8s_openapi::api::networking::v1::{Ingress, NetworkPolicy};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::{Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

const TEST: Duration = Duration::from_secs(240);
const SEEN: Duration = Duration::from_secs(60);
/// Shorter than the time until everything is looked at again.
const REPAIRED: Duration = Duration::from_secs(20);

/// A Pipeline with every kind of child.
fn everything(replicas: i32) -> Value {
    json!({
        "tenantRef": {"name": "acme"},
        "ingester": {"replicas": replicas, "ingress": {"hostname": "events.example.com"}},
        "consumer": {"replicas": 2},
    })
}

/// A ready tenant with such a Pipeline.
async fn ready(ground: &Ground) -> anyhow::Result<Pipeline> {
    ground.tenant("acme", json!({"defaultPipeline": "None"})).await?;
    ground.pipeline("web", everything(2)).await?;
    ground.pipeline_with("web", kind::READY, "True", SEEN).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_06_a_strangers_fields_stay_and_ours_come_back() -> anyhow::Result<()> {
    within(TEST, async {
        let plane = ControlPlane::shared().await?;
        let ground = plane.cluster.ground("fields").await?;
        let _stand_in = StandIn::start_in(&ground);
        ready(&ground).await?;
        let deployments: Api<Deployment> = ground.api();
        let theirs = json!({"example.com/note": "theirs"});
        let patch = json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {
                "annotations": theirs, "labels": {"example.com/team": "theirs", "app.kubernetes.io/part-of": "theirs"},
            },
            "spec": {"replicas": 9},
        });
        let stranger = PatchParams::apply("stranger").force();
        deployments.patch("web-ingester", &stranger, &Patch::Apply(&patch)).await?;
        has_replicas(&deployments, 2).await?;
        // The next wish of the owner takes nothing of theirs along.
        ground.pipeline("web", everything(3)).await?;
        has_replicas(&deployments, 3).await?;

        let found = deployments.get("web-ingester").await?;
        assert_eq!(found.annotations()["example.com/note"], "theirs");
        assert_eq!(found.labels()["example.com/team"], "theirs");
        assert_eq!(found.labels()["app.kubernetes.io/part-of"], "millrace");
        Ok(())
    })
    .await
}

async fn has_replicas(deployments: &Api<Deployment>, wanted: i32) -> anyhow::Result<()> {
    until(REPAIRED, &format!("{wanted} replicas"), || async {
        let replicas = deployments.get("web-ingester").await?.spec.and_then(|spec| spec.replicas);
        Ok(Look::at(replicas == Some(wanted), replicas))
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_11_every_kind_of_child_that_is_changed_or_deleted_by_hand_comes_back() -> anyhow::Result<()> {
    within(TEST, async {
        let plane = ControlPlane::shared().await?;
        let ground = plane.cluster.ground("drift").await?;
        let _stand_in = StandIn::start_in(&ground);
        ready(&ground).await?;
        let deployment = json!({"spec": {"replicas": 9}});
        let service = json!({"spec": {"selector": {"app.kubernetes.io/name": "else"}}});
        let ingress = json!({"spec": {"rules": [{"host": "else.example.com"}]}});
        let budget = json!({"spec": {"maxUnavailable": 7}});
        let policy = json!({"spec": {"policyTypes": ["Ingress"]}});
        for name in ["web-ingester", "web-consumer"] {
            comes_back::<Deployment>(&ground, name, "/spec/replicas", &deployment).await?;
            comes_back::<PodDisruptionBudget>(&ground, name, "/spec", &budget).await?;
            comes_back::<NetworkPolicy>(&ground, name, "/spec", &policy).await?;
        }
        comes_back::<Service>(&ground, "web-ingester", "/spec/selector", &service).await?;
        comes_back::<Ingress>(&ground, "web-ingester", "/spec", &ingress).await?;
        // What is there as it should be, and more: for the API server each of these is one value.
        let selector = json!({"spec": {"selector": {"example.com/x": "y"}}});
        comes_back::<Service>(&ground, "web-ingester", "/spec/selector", &selector).await?;
        let selected = json!({"spec": {"podSelector": {"matchLabels": {"example.com/x": "y"}}}});
        comes_back::<NetworkPolicy>(&ground, "web-ingester", "/spec", &selected).await?;
        let settings = json!({"data": {"consumer.json": "e30="}});
        comes_back::<Secret>(&ground, "web-settings", "/data/consumer.json", &settings).await?;
        // Its keys are random: what comes back after a deletion has others.
        let labels = json!({"metadata": {"labels": {"app.kubernetes.io/part-of": "else"}}});
        comes_back::<Secret>(&ground, "acme-api-keys", "/metadata/labels", &labels).await
    })
    .await
}

/// Changes a child as somebody with `kubectl edit` would, and deletes it; each time it is as before soon after.
async fn comes_back<K>(ground: &Ground, name: &str, part: &str, change: &Value) -> anyhow::Result<()>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + Debug
        + DeserializeOwned
        + Serialize,
{
    let (children, kind): (Api<K>, _) = (ground.api(), K::kind(&()));
    let now = async || {
        let found = children.get_opt(name).await?;
        anyhow::Ok((
            found.as_ref().and_then(|child| child.meta().uid.clone()),
            found.map(serde_json::to_value).transpose()?,
        ))
    };
    let (first, before) = now().await?;
    let before = before.as_ref().and_then(|child| child.pointer(part)).cloned();
    anyhow::ensure!(before.is_some(), "{kind} `{name}` has {part}");
    let changed = children.patch(name, &PatchParams::default(), &Patch::Merge(change)).await?;
    assert_ne!(serde_json::to_value(changed)?.pointer(part), before.as_ref(), "{kind} `{name}` was changed");
    until(REPAIRED, &format!("repair of {kind} `{name}`"), || async {
        let (uid, child) = now().await?;
        let part = child.as_ref().and_then(|child| child.pointer(part)).cloned();
        Ok(Look::at(uid == first && part == before, part))
    })
    .await?;
    children.delete(name, &DeleteParams::background()).await?;
    until(REPAIRED, &format!("another {kind} `{name}`"), || async {
        let (uid, child) = now().await?;
        let part = child.as_ref().and_then(|child| child.pointer(part)).cloned();
        Ok(Look::at(uid.is_some() && uid != first && part == before, (uid, part)))
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_22_children_belong_to_a_resource_of_their_namespace() -> anyhow::Result<()> {
    within(TEST, async {
        let plane = ControlPlane::shared().await?;
        let ground = plane.cluster.ground("owners").await?;
        let _stand_in = StandIn::start_in(&ground);
        let uid = ready(&ground).await?.uid();
        let ingester = ground.api::<Deployment>().get("web-ingester").await?;
        let settings = ground.api::<Secret>().get("web-settings").await?;
        for owners in [ingester.owner_references(), settings.owner_references()] {
            let owners: Vec<_> = owners.iter().map(|owner| Some(owner.uid.clone())).collect();
            assert_eq!(owners, std::slice::from_ref(&uid));
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_23_a_child_is_taken_over_only_from_nobody_and_with_our_label() -> anyhow::Result<()> {
    within(TEST, async {
        let plane = ControlPlane::shared().await?;
        let ground = plane.cluster.ground("adoption").await?;
        let _stand_in = StandIn::start_in(&ground);
        let services: Api<Service> = ground.api();
        let service = |name: &str, labels: Value| {
            let manifest = json!({
                "metadata": {"name": name, "labels": labels},
                "spec": {"ports": [{"name": "theirs", "port": 9999}], "selector": {"app": "theirs"}},
            });
            serde_json::from_value::<Service>(manifest)
        };
        let ours = json!({"app.kubernetes.io/managed-by": "millrace-operator"});
        let foreign = services.create(&PostParams::default(), &service("web-ingester", json!({}))?).await?;
        let left = services.create(&PostParams::default(), &service("app-ingester", ours)?).await?;
        ground.tenant("acme", json!({"defaultPipeline": "None"})).await?;
        ground.pipeline("web", everything(2)).await?;
        let app = json!({"tenantRef": {"name": "acme"}});
        ground.pipeline("app", app).await?;

        let taken = ground.pipeline_with("app", kind::READY, "True", SEEN).await?;
        let found = services.get("app-ingester").await?;
        assert_eq!(found.uid(), left.uid());
        assert_eq!(found.owner_references().first().map(|owner| owner.uid.clone()), taken.uid());

        let refused = ground.pipeline_with("web", kind::STALLED, "True", SEEN).await?;
        let conditions = refused.status.unwrap_or_default().conditions;
        assert_eq!(reason(&conditions, kind::STALLED), Some("ChildConflict"));
        assert_eq!(services.get("web-ingester").await?.resource_version(), foreign.resource_version());
        Ok(())
    })
    .await
}
