//! Pipelines of a tenant that is suspended.

use super::*;

fn suspend(world: &World, what: &str) {
    world.edit(ACME, |tenant| {
        tenant["spec"]["suspend"] = json!(what);
        let generation = tenant["metadata"]["generation"].as_i64().unwrap() + 1;
        tenant["metadata"]["generation"] = json!(generation);
    });
}

fn set(world: &World, field: &str, value: &serde_json::Value) {
    world.edit(ACME_DEFAULT, |pipeline| {
        pipeline["spec"][field] = value.clone();
        let generation = pipeline["metadata"]["generation"].as_i64().unwrap() + 1;
        pipeline["metadata"]["generation"] = json!(generation);
    });
}

/// How many pods of the ingester, if it has a Deployment, and of the consumer are asked for.
fn pods(world: &World) -> (Option<i64>, Option<i64>) {
    let replicas = |key| world.object(key).map(|found| found["spec"]["replicas"].as_i64().unwrap());
    (replicas(INGESTER), replicas(CONSUMER))
}

/// What `Ready` of the Pipeline and of its tenant say.
fn reasons(world: &World) -> (String, String) {
    let ready = |key| world.reason(key, "Ready").unwrap();
    (ready(ACME_DEFAULT), ready(ACME))
}

fn are(pipeline: &str, tenant: &str) -> (String, String) {
    (pipeline.to_owned(), tenant.to_owned())
}

#[tokio::test]
async fn without_ingest_what_was_taken_is_stored() {
    let world = settled().await;
    suspend(&world, "Ingest");
    world.settle().await;
    assert_eq!((pods(&world), reasons(&world)), ((None, Some(1)), are("TenantSuspended", "Suspended")));
    assert!(world.reason(ACME, "Reconciling").is_none(), "a wish that is fulfilled is no failure");

    suspend(&world, "None");
    world.settle().await;
    assert_eq!((pods(&world), reasons(&world)), ((Some(2), Some(1)), are("Ready", "Ready")));
}

#[tokio::test]
async fn all_of_a_suspended_tenant_stops_after_what_was_taken_is_stored() {
    let world = settled().await;
    let group = world.object(ACME_DEFAULT).unwrap()["status"]["consumerGroup"].as_str().unwrap().to_owned();
    world.state().unstored.insert(group.clone(), 5);
    suspend(&world, "All");
    world.settle().await;
    assert_eq!((pods(&world), reasons(&world)), ((None, Some(1)), are("Draining", "PipelineNotReady")));
    world.state().unstored.insert(group, 0);
    world.settle().await;
    assert_eq!((pods(&world), reasons(&world)), ((None, Some(0)), are("TenantSuspended", "Suspended")));
    assert_eq!(world.object(ACME_DEFAULT).unwrap()["status"]["drain"]["drained"], true);

    suspend(&world, "None");
    world.settle().await;
    assert_eq!((pods(&world), reasons(&world)), ((Some(2), Some(1)), are("Ready", "Ready")));
    assert!(world.object(ACME_DEFAULT).unwrap()["status"]["drain"].is_null());
}

#[tokio::test]
async fn a_tenant_is_not_called_suspended_before_its_pipeline_is() {
    let world = settled().await;
    suspend(&world, "Ingest");
    world.reconcile_tenants().await;
    assert_eq!(world.reason(ACME, "Ready").as_deref(), Some("PipelineNotReady"));
    assert!(world.message(ACME, "Ready").unwrap().contains("since `suspend` changed"));
}

#[tokio::test]
async fn a_pipeline_has_its_own_state_beside_its_tenants() {
    let world = settled().await;
    set(&world, "state", &json!("Paused"));
    suspend(&world, "Ingest");
    world.settle().await;
    assert_eq!((pods(&world), reasons(&world)), ((None, Some(0)), are("TenantSuspended", "Suspended")));
    assert!(world.reason(ACME_DEFAULT, "Paused").is_some());
    set(&world, "state", &json!("Stopped"));
    world.settle().await;
    assert_eq!((pods(&world), reasons(&world)), ((None, Some(0)), are("Stopped", "Suspended")));
}

#[tokio::test]
async fn a_spec_that_is_refused_does_not_evade_a_suspension() {
    for (what, expected) in [("Ingest", (Some(0), Some(1))), ("All", (Some(0), Some(0)))] {
        let world = settled().await;
        set(&world, "topic", &json!({"replicationFactor": 1, "minInsyncReplicas": 2}));
        suspend(&world, what);
        world.settle().await;
        assert_eq!(pods(&world), expected, "{what}");
        assert_eq!(world.reason(ACME_DEFAULT, "Ready").as_deref(), Some("InvalidReplication"));
        assert_eq!(world.reason(ACME_DEFAULT, "WorkloadsAvailable").as_deref(), Some("TenantSuspended"));
    }
}

/// Without an ingester no event is taken, and `suspend` does not say so any more.
#[tokio::test]
async fn a_refused_spec_says_that_the_ingester_of_a_tenant_that_was_suspended_is_not_back() {
    let world = settled().await;
    suspend(&world, "All");
    world.settle().await;
    set(&world, "topic", &json!({"partitions": 3, "replicationFactor": 1, "minInsyncReplicas": 2}));
    suspend(&world, "None");
    world.settle().await;
    assert_eq!(pods(&world), (None, Some(0)));
    assert_eq!(world.reason(ACME_DEFAULT, "SpecValid").as_deref(), Some("InvalidReplication"));
    assert_eq!(world.reason(ACME_DEFAULT, "WorkloadsAvailable").as_deref(), Some("Stopped"));
    assert!(world.message(ACME_DEFAULT, "WorkloadsAvailable").unwrap().contains("there is no ingester"));
}

/// The Deployments are there, and without pods.
#[tokio::test]
async fn a_refused_spec_says_that_pods_that_a_suspension_stopped_are_not_back() {
    let world = settled().await;
    set(&world, "topic", &json!({"partitions": 3, "replicationFactor": 1, "minInsyncReplicas": 2}));
    world.settle().await;
    suspend(&world, "All");
    world.settle().await;
    assert_eq!(pods(&world), (Some(0), Some(0)));
    suspend(&world, "None");
    world.settle().await;
    assert_eq!(world.reason(ACME_DEFAULT, "WorkloadsAvailable").as_deref(), Some("Stopped"));
    assert!(
        world.message(ACME_DEFAULT, "WorkloadsAvailable").unwrap().contains("no ingester and no consumer")
    );
}

#[tokio::test]
async fn a_refused_spec_leaves_a_pause_as_it_is_told() {
    let world = settled().await;
    set(&world, "state", &json!("Paused"));
    world.settle().await;
    set(&world, "topic", &json!({"partitions": 3, "replicationFactor": 1, "minInsyncReplicas": 2}));
    world.settle().await;
    for kind in ["WorkloadsAvailable", "Paused"] {
        assert_eq!(world.reason(ACME_DEFAULT, kind).as_deref(), Some("Paused"), "{kind}");
    }
}

#[tokio::test]
async fn a_refused_spec_leaves_the_pods_and_their_condition() {
    let world = settled().await;
    set(&world, "topic", &json!({"partitions": 3, "replicationFactor": 1, "minInsyncReplicas": 2}));
    world.settle().await;
    assert_eq!(
        (pods(&world), world.reason(ACME_DEFAULT, "Ready").as_deref()),
        ((Some(2), Some(1)), Some("InvalidReplication"))
    );
    assert_eq!(world.reason(ACME_DEFAULT, "WorkloadsAvailable").as_deref(), Some("Available"));
}
