//! What the real API server does as well, and what tests of the operator stand on.

use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Api, Patch, PatchParams};

use super::*;
use crate::{
    kubernetes::Kubernetes,
    testing::{ACME, TENANT},
};

const WEB: &str = "deployments/team/web";

fn with_tenant() -> World {
    let world = World::default();
    world.apply(TENANT);
    world
}

fn metadata(world: &World, key: &str) -> (i64, String) {
    let metadata = world.object(key).unwrap()["metadata"].clone();
    (metadata["generation"].as_i64().unwrap(), metadata["resourceVersion"].as_str().unwrap().to_owned())
}

fn at(generation: i64, version: &str) -> (i64, String) {
    (generation, version.to_owned())
}

fn found(world: &World) -> crds::AnalyticsTenant {
    serde_json::from_value(world.object(ACME).unwrap()).unwrap()
}

#[test]
fn a_resource_begins_with_the_status_of_the_definitions() {
    assert_eq!(with_tenant().object(ACME).unwrap()["status"], json!({"observedGeneration": -1}));
}

#[test]
fn a_new_spec_and_the_wish_that_it_goes_are_new_generations() {
    let world = with_tenant();
    world.edit(ACME, |tenant| tenant["spec"]["displayName"] = json!("Acme"));
    assert_eq!(metadata(&world, ACME), at(2, "2"));
    world.edit(ACME, |tenant| {
        tenant["metadata"]["labels"] = json!({"a": "b"});
        tenant["metadata"]["finalizers"] = json!(["example.com/x"]);
    });
    assert_eq!(metadata(&world, ACME), at(2, "3"));
    world.delete(ACME);
    world.delete(ACME);
    assert_eq!(metadata(&world, ACME), at(3, "4"));
}

#[tokio::test]
async fn a_merged_spec_is_a_new_generation_and_its_pods_follow() {
    let world = World::default();
    let web = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "team"}, "spec": {"replicas": 2},
    });
    let made: Deployment = Kubernetes::new(world.client(), "us").apply(&web).await.unwrap();
    let deployments: Api<Deployment> = Api::namespaced(world.client(), "team");
    let none = json!({"metadata": {"uid": made.metadata.uid}, "spec": {"replicas": 0}});
    for _ in 0..2 {
        deployments.patch("web", &PatchParams::default(), &Patch::Merge(&none)).await.unwrap();
        assert_eq!(metadata(&world, WEB), at(2, "2"), "the second one changes nothing");
    }
    let status = world.object(WEB).unwrap()["status"].clone();
    assert_eq!((&status["observedGeneration"], &status["replicas"]), (&json!(2), &json!(0)));
}

#[tokio::test]
async fn an_applied_status_removes_its_own_fields_alone_and_is_no_new_generation() {
    let world = with_tenant();
    let (ours, theirs) = (Kubernetes::new(world.client(), "us"), Kubernetes::new(world.client(), "them"));
    ours.write_status(&found(&world), &json!({"tenantId": "a", "retentionHours": 1})).await.unwrap();
    theirs.merge_status(&found(&world), &json!({"retainedTopics": ["t"]})).await.unwrap();
    for _ in 0..2 {
        ours.write_status(&found(&world), &json!({"tenantId": "b"})).await.unwrap();
        let status = world.object(ACME).unwrap()["status"].clone();
        assert_eq!(status, json!({"observedGeneration": -1, "tenantId": "b", "retainedTopics": ["t"]}));
        assert_eq!(metadata(&world, ACME), at(1, "4"), "the second one changes nothing");
    }
}
