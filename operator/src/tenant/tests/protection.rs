use serde_json::{Value, json};

use crate::testing::{ACME, ACME_DEFAULT, ACME_KEYS, FLEETING_TENANT, World, names_of_keys};

const INGESTER: &str = "deployments/team/acme-default-ingester";

/// A settled tenant of these fields, all of whose data goes with it, whose deletion was asked for.
async fn deleted(fields: &str) -> World {
    let world = World::default();
    world.apply(&FLEETING_TENANT.replace("spec: {", &format!("spec: {{{fields}, ")));
    world.settle().await;
    world.take_log();
    world.delete(ACME);
    world.settle().await;
    world
}

fn set(world: &World, field: &str, value: Value) {
    world.edit(ACME, |tenant| tenant["spec"][field] = value);
}

#[tokio::test]
async fn a_protected_tenant_works_on_until_it_may_go() {
    for fields in ["deletionProtection: true", "tier: Enterprise, retention: {days: 30}"] {
        let world = deleted(fields).await;
        let changes = world.take_log();
        assert!(changes.iter().all(|line| line == "APPLY analyticstenants/team/acme status"), "{changes:?}");
        assert_eq!(world.reason(ACME, "DeletionBlocked").as_deref(), Some("ProtectionEnabled"), "{fields}");
        assert!(
            world.message(ACME, "DeletionBlocked").unwrap().contains("`spec.deletionProtection` is false")
        );
        assert_eq!(world.told("ProtectionEnabled").len(), 1, "once, and not at each look");
        assert_eq!([ACME, ACME_DEFAULT].map(|key| world.reason(key, "Ready").unwrap()), ["Ready", "Ready"]);
        assert_eq!(world.stored(), (2, 1));

        set(&world, "deletionProtection", json!(false));
        world.settle().await;
        assert!(world.state().objects.is_empty(), "{fields}");
        assert_eq!(world.stored(), (0, 0));
    }
}

#[tokio::test]
async fn a_protected_tenant_that_is_to_go_still_hears_of_its_spec_and_mends_what_is_changed_by_hand() {
    let world = deleted("deletionProtection: true").await;
    set(&world, "apiKeys", json!([{"name": "web", "scopes": ["Ingest"]}]));
    world.edit(INGESTER, |deployment| deployment["spec"]["replicas"] = json!(7));
    world.settle().await;
    assert_eq!(names_of_keys(&world), ["web"], "the other one is revoked");
    assert_eq!(world.object(INGESTER).unwrap()["spec"]["replicas"], 2);
    assert_eq!(world.reason(ACME, "DeletionBlocked").as_deref(), Some("ProtectionEnabled"));
}

/// As a deletion in the foreground does, and one of the namespace.
#[tokio::test]
async fn what_kubernetes_takes_from_a_protected_tenant_is_not_made_anew_and_its_data_stays() {
    let world = deleted("deletionProtection: true").await;
    world.delete(ACME_KEYS);
    world.delete(ACME_DEFAULT);
    world.take_log();
    world.settle().await;
    assert!(world.object(ACME_KEYS).is_none());
    assert_eq!(world.reason(ACME_DEFAULT, "DeletionBlocked").as_deref(), Some("ProtectionEnabled"));
    let changes = world.take_log();
    assert!(changes.iter().all(|line| line.ends_with(" status")), "{changes:?}");
    assert!(world.object(INGESTER).is_some());
    assert_eq!(world.stored(), (2, 1));

    set(&world, "deletionProtection", json!(false));
    world.settle().await;
    assert!(world.state().objects.is_empty());
    assert_eq!(world.stored(), (0, 0));
}

#[tokio::test]
async fn protection_is_of_the_tenant_and_not_of_each_pipeline() {
    let world = World::default();
    world.apply(&FLEETING_TENANT.replace("spec: {", "spec: {deletionProtection: true, "));
    world.settle().await;
    let uid = world.object(ACME_DEFAULT).unwrap()["metadata"]["uid"].clone();
    let topics = |world: &World| world.state().topics.clone();
    let before = topics(&world);
    world.delete(ACME_DEFAULT);
    world.settle().await;
    assert_ne!(world.object(ACME_DEFAULT).unwrap()["metadata"]["uid"], uid, "it went, and is made anew");
    assert_eq!(topics(&world), before, "and takes over the topics, which stayed");
}

/// Nobody waits for its clean-up any longer.
#[tokio::test]
async fn a_protected_tenant_without_our_finalizer_is_left_alone() {
    let world = World::default();
    world.apply(&FLEETING_TENANT.replace("spec: {", "spec: {deletionProtection: true, "));
    world.settle().await;
    world.edit(ACME, |tenant| tenant["metadata"]["finalizers"] = json!(["somebody.else/holds"]));
    world.delete(ACME);
    world.take_log();
    world.reconcile_tenants().await;
    assert!(world.take_log().is_empty());
}
