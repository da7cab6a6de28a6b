//! The keys of a tenant: their end.

use std::time::Duration;

use kube::runtime::controller::Action;
use serde_json::json;

use super::*;

fn ends(world: &World, end: &str) {
    world.edit(ACME, |tenant| {
        tenant["spec"]["apiKeys"] = json!([{"name": "default", "scopes": ["Ingest"], "expiresAt": end}]);
    });
}

fn events(world: &World) -> usize {
    world.state().log.iter().filter(|line| line.starts_with("POST events")).count()
}

#[tokio::test]
async fn a_key_that_ended_is_told_once_and_holds_nothing_up() {
    let world = with_tenant(TENANT);
    world.settle().await;
    let key = world.object(ACME_KEYS).unwrap()["data"].clone();
    ends(&world, "2020-01-01T00:00:00Z");
    let before = events(&world);
    world.settle().await;
    assert_eq!(events(&world), before + 1);
    assert_eq!(world.reason(ACME, "CredentialsReady").as_deref(), Some("KeyExpired"));
    assert!(world.message(ACME, "CredentialsReady").unwrap().starts_with("keys default are past their end"));
    assert_eq!(world.reason(ACME, "Ready").as_deref(), Some("Ready"));
    let status = world.object(ACME).unwrap()["status"]["apiKeys"][0].clone();
    assert_eq!((&status["state"], &status["expiresAt"]), (&json!("Expired"), &json!("2020-01-01T00:00:00Z")));

    ends(&world, "2999-01-01T00:00:00Z");
    world.settle().await;
    assert_eq!(world.object(ACME_KEYS).unwrap()["data"], key, "the same key works again");
    assert_eq!(world.object(ACME).unwrap()["status"]["apiKeys"][0]["state"], "Active");
    assert_eq!(world.reason(ACME, "CredentialsReady").as_deref(), Some("AccessManagementDisabled"));
}

#[test]
fn the_next_look_comes_when_the_next_key_ends() {
    let mut tenant: crds::AnalyticsTenant = serde_saphyr::from_str(TENANT).unwrap();
    let mut key = tenant.spec.api_keys()[0].clone();
    key.expires_at = Some(serde_json::from_value(json!("2026-01-31T12:00:03Z")).unwrap());
    tenant.spec.api_keys = Some(vec![key]);
    let outcome = Outcome { spec: Progress::Untried, ..Outcome::refused(Invalid::RetentionUnit) };
    let next = next(outcome, Pace::default(), (&tenant, "2026-01-31T12:00:00Z".parse().unwrap())).unwrap();
    assert_eq!(next, Action::requeue(Duration::from_secs(3)));
}
