//! Pipelines of protected tenants.

use super::*;

const PROTECTED: [&str; 2] = ["deletionProtection: true", "tier: Enterprise, retention: {days: 30}"];

/// A Pipeline whose topics are to go with it, of a tenant with these fields.
async fn protected_by(fields: &str) -> World {
    let world = World::default();
    world.apply(&TENANT.replace("spec: {", &format!("spec: {{{fields}, ")));
    world.apply(&web("Delete"));
    world.settle().await;
    world
}

/// A namespace that ends takes what is in it in any order.
#[tokio::test]
async fn the_topics_of_a_protected_tenant_outlive_a_pipeline_that_goes_before_it() {
    for fields in PROTECTED {
        let world = protected_by(fields).await;
        for deployment in ["web-ingester", "web-consumer"] {
            world.state().objects.remove(&format!("deployments/team/{deployment}"));
        }
        world.delete(WEB);
        world.reconcile_pipelines().await;
        world.delete(ACME);
        world.settle().await;
        assert_eq!(world.reason(ACME, "DeletionBlocked").as_deref(), Some("ProtectionEnabled"), "{fields}");
        assert!(world.object(WEB).is_none(), "it does not wait for the tenant, which lived");
        assert_eq!(world.state().topics.len(), 2, "{fields}");
    }
}

#[tokio::test]
async fn topics_that_a_protected_tenant_keeps_are_noted_and_told_with_the_reason() {
    let world = protected_by(PROTECTED[0]).await;
    let id = world.state().topics[TOPIC].id.to_string();
    world.delete(WEB);
    world.settle().await;
    assert!(world.object(WEB).is_none());
    assert_eq!(world.object(ACME).unwrap()["status"]["retainedTopics"].as_array().unwrap().len(), 2);
    let told = world.told("TopicsRetained");
    let reason = "although the policy is Delete: AnalyticsTenant `acme` is protected from deletion";
    assert!(told.len() == 1 && told[0].contains(reason), "{told:?}");

    world.apply(&web("Delete"));
    world.settle().await;
    assert_eq!(world.object(WEB).unwrap()["status"]["topic"]["id"], id, "the next one takes it over");
    world.edit(ACME, |tenant| tenant["spec"]["deletionProtection"] = json!(false));
    world.delete(WEB);
    world.settle().await;
    assert!(world.object(WEB).is_none() && world.state().topics.is_empty());
}

/// The time that the protection took is none of the drain's.
#[tokio::test]
async fn a_pipeline_that_was_held_back_has_all_the_time_of_its_drain() {
    let world = protected_by(PROTECTED[0]).await;
    world.leave_unstored(WEB, 5);
    world.delete(ACME);
    world.delete(WEB);
    world.settle().await;
    assert_eq!(world.reason(WEB, "DeletionBlocked").as_deref(), Some("ProtectionEnabled"));
    world.edit(WEB, |pipeline| pipeline["metadata"]["deletionTimestamp"] = json!(LONG_AGO));
    world.edit(ACME, |tenant| tenant["spec"]["deletionProtection"] = json!(false));
    world.settle().await;
    assert_eq!(world.message(WEB, "Ready").as_deref(), Some("being deleted: 5 records are not stored yet"));
    assert!(world.object("deployments/team/web-consumer").is_some());
    world.leave_unstored(WEB, 0);
    world.settle().await;
    assert!(world.object(WEB).is_none() && world.state().topics.is_empty());
    assert!(world.told("TopicKept").is_empty());
}
