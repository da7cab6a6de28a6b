//! What the operator may not watch, and what it cannot read, on a real API server.

use std::time::Duration;

use crds::{AnalyticsTenant, condition::ConditionType};
use harness::kubernetes::{Ground, manifest};
use harness::operator::Operator;
use harness::private_cluster::PrivateCluster;
use harness::process::free_port;
use harness::wait::{Look, until, within};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::ResourceExt as _;
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, DynamicObject};
use serde_json::json;

const TEST: Duration = Duration::from_secs(120);
const SEEN: Duration = Duration::from_secs(30);
const OPERATOR: &str = "system:serviceaccount:millrace-system:millrace";

/// Gives the operator everything but Ingresses.
async fn allow_all_but_ingresses(cluster: &PrivateCluster) -> anyhow::Result<()> {
    let client = cluster.client().await?;
    let groups = ["", "apps", "policy", "events.k8s.io", "coordination.k8s.io", crds::GROUP];
    let role = json!({
        "metadata": {"name": "operator"}, "rules": [{"apiGroups": groups, "resources": ["*"], "verbs": ["*"]}],
    });
    let binding = json!({
        "metadata": {"name": "operator"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "operator"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": OPERATOR}],
    });
    let parameters = PostParams::default();
    Api::<ClusterRole>::all(client.clone()).create(&parameters, &serde_json::from_value(role)?).await?;
    Api::<ClusterRoleBinding>::all(client).create(&parameters, &serde_json::from_value(binding)?).await?;
    Ok(())
}

/// Makes a tenant with a policy that only a newer version of the definitions has.
async fn newer_tenant(ground: &Ground) -> anyhow::Result<()> {
    let definitions = Api::<CustomResourceDefinition>::all(ground.client.clone());
    let policies = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/deletionPolicy/properties/kafka/enum/-";
    let newer = serde_json::from_value(json!([{"op": "add", "path": policies, "value": "Archive"}]))?;
    definitions
        .patch("analyticstenants.analytics.millrace.dev", &PatchParams::default(), &Patch::Json::<()>(newer))
        .await?;
    let kind = ApiResource::erase::<AnalyticsTenant>(&());
    let tenants = Api::<DynamicObject>::namespaced_with(ground.client.clone(), &ground.name, &kind);
    let tenant = manifest("AnalyticsTenant", "newer", json!({"deletionPolicy": {"kafka": "Archive"}}));
    // The API server takes a moment to use a changed definition.
    until(SEEN, "tenant of a newer version", || async {
        let made = tenants.patch("newer", &PatchParams::apply("tests"), &Patch::Apply(&tenant)).await;
        Ok(made.map_or_else(|refusal| Look::NotYet(refusal.to_string()), |_| Look::There(())))
    })
    .await
}

/// The note of the Event that tells of it.
async fn note(ground: &Ground) -> anyhow::Result<String> {
    let events: Api<Event> = ground.api();
    until(SEEN, "Event of the tenant that cannot be read", || async {
        let events = events.list(&ListParams::default()).await?.items;
        let event = events.into_iter().find(|event| event.reason.as_deref() == Some("UnreadableResource"));
        Ok(event.map_or_else(
            || Look::NotYet("there is none".to_owned()),
            |event| Look::There(event.note.unwrap_or_default()),
        ))
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreadable_tenant_and_a_forbidden_watch_hold_up_no_other_tenant() -> anyhow::Result<()> {
    within(TEST, async {
        let cluster = PrivateCluster::start().await?;
        allow_all_but_ingresses(&cluster).await?;
        let ground = cluster.ground("beside").await?;
        newer_tenant(&ground).await?;
        // Neither is there, which delays no keys.
        let flags = [
            format!("--kafka-bootstrap-servers=127.0.0.1:{}", free_port()?),
            format!("--clickhouse-url=http://127.0.0.1:{}", free_port()?),
        ];
        let operator = Operator::start(cluster.client_as(OPERATOR).await?, &flags)?;
        let note = note(&ground).await?;
        assert!(note.contains("`spec.deletionPolicy.kafka`") && !note.contains("Archive"), "{note}");

        ground.tenant("acme", json!({})).await?;
        ground.pipeline("web", json!({"tenantRef": {"name": "acme"}})).await?;
        ground.tenant_with("acme", ConditionType::DatabaseReady.as_str(), "False", SEEN).await?;
        ground.pipeline_with("web", ConditionType::Ready.as_str(), "False", SEEN).await?;
        assert!(ground.api::<Secret>().get_opt("acme-api-keys").await?.is_some());

        let kind = ApiResource::erase::<AnalyticsTenant>(&());
        let tenants = Api::<DynamicObject>::namespaced_with(ground.client.clone(), &ground.name, &kind);
        let left = tenants.get("newer").await?;
        assert!(left.finalizers().is_empty(), "{:?}", left.metadata);
        assert_eq!(left.data["status"]["observedGeneration"], -1, "what the definition fills in");
        operator.stop().await
    })
    .await
}
