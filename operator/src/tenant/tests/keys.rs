//! The keys of a tenant: their end, and those that are brought along.

use std::time::Duration;

use kube::runtime::controller::Action;
use schema::api_key::{self, ENTROPY_BYTES, KeyKind};
use serde_json::json;

use super::*;
use crate::{labels, testing::names_of_keys};

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

/// The API server keeps whole seconds.
#[tokio::test]
async fn an_end_with_a_fraction_of_a_second_is_told_once() {
    let world = with_tenant(TENANT);
    ends(&world, "2999-12-31T23:59:59.5+01:00");
    world.settle().await;
    assert_eq!(world.object(ACME).unwrap()["status"]["apiKeys"][0]["expiresAt"], "2999-12-31T22:59:59Z");
    world.take_log();
    world.reconcile_tenants().await;
    assert_eq!(world.take_log(), Vec::<String>::new());
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

#[tokio::test]
async fn a_tenant_that_failed_is_looked_at_when_its_next_key_ends() {
    let world = with_tenant(TENANT);
    let end = Timestamp::now() + Duration::from_secs(40);
    ends(&world, &end.to_string());
    world.edit(ACME, |tenant| tenant["spec"]["retention"] = json!({"days": 0}));
    let refused = world.reconcile_tenant(ACME).await.unwrap_err();
    assert_eq!(refused.failure(), Failure::Refused);
    let tenant: crds::AnalyticsTenant = serde_json::from_value(world.object(ACME).unwrap()).unwrap();
    let action = super::super::error_policy(tenant.into(), &refused, world.context(super::super::MANAGER));
    // An action tells its delay in words alone.
    let words = format!("{action:?}");
    let seconds = words.split_once("Some(").and_then(|(_, rest)| rest.split_once("s)"));
    let seconds: f64 = seconds.unwrap().0.parse().unwrap();
    assert!((1.0..=40.0).contains(&seconds), "{words}");
}

/// A Secret of the user's own, with this value as its entry `token`.
fn own(world: &World, label: &str, value: &str) {
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": "own", "namespace": "team", "labels": {labels::API_KEY: label}},
        "data": {"token": k8s_openapi::ByteString(value.as_bytes().to_vec())},
    });
    world.state().objects.insert(OWN.to_owned(), secret);
}

const OWN: &str = "secrets/team/own";
const LABELLED: &str = "true";

fn brings(world: &World, entry: &str) {
    world.edit(ACME, |tenant| {
        tenant["spec"]["apiKeys"] = json!([
            {"name": "own", "scopes": ["Ingest"], "secretRef": {"name": "own", "key": entry}},
            {"name": "default", "scopes": ["Ingest"]},
        ]);
    });
}

fn key() -> String {
    api_key::generate(KeyKind::Write, [9; ENTROPY_BYTES]).expose().to_owned()
}

#[tokio::test]
async fn a_key_that_is_brought_along_is_copied_to_the_others() {
    let world = with_tenant(TENANT);
    world.settle().await;
    own(&world, LABELLED, &key());
    brings(&world, "token");
    world.settle().await;
    assert_eq!(world.object(ACME_KEYS).unwrap()["data"]["own"], world.object(OWN).unwrap()["data"]["token"]);
    assert_eq!(names_of_keys(&world), ["default", "own"]);
    assert_eq!(world.reason(ACME, "CredentialsReady").as_deref(), Some("AccessManagementDisabled"));
    assert_eq!(world.reason(ACME, "Ready").as_deref(), Some("Ready"));

    let other = api_key::generate(KeyKind::Write, [8; ENTROPY_BYTES]).expose().to_owned();
    own(&world, LABELLED, &other);
    world.settle().await;
    assert_eq!(world.object(ACME_KEYS).unwrap()["data"]["own"], world.object(OWN).unwrap()["data"]["token"]);
}

#[tokio::test]
async fn a_key_that_cannot_be_brought_along_is_told_once_and_the_others_go_on() {
    type Accident = fn(&World);
    let accidents: [(&str, Accident); 4] = [
        ("SecretNotFound", |world| drop(world.state().objects.remove(OWN))),
        ("SecretNotLabelled", |world| own(world, "false", &key())),
        ("SecretKeyMissing", |world| brings(world, "other")),
        ("SecretKeyUnusable", |world| own(world, LABELLED, "hunter2")),
    ];
    for (reason, happens) in accidents {
        let world = with_tenant(TENANT);
        own(&world, LABELLED, &key());
        world.settle().await;
        brings(&world, "token");
        world.settle().await;
        let before = events(&world);
        happens(&world);
        assert!(world.reconcile_tenants().await.is_empty(), "{reason}: no attempt failed");
        world.settle().await;
        for kind in ["CredentialsReady", "Ready"] {
            assert_eq!(world.reason(ACME, kind).as_deref(), Some(reason), "{kind}");
        }
        assert_eq!((events(&world), world.told("ApiKeyUnusable").len()), (before + 1, 1), "{reason}");
        assert_eq!(names_of_keys(&world), ["default"], "{reason}");
        assert!(!world.message(ACME, "Ready").unwrap().contains("hunter2"));

        own(&world, LABELLED, &key());
        brings(&world, "token");
        world.settle().await;
        assert_eq!(world.reason(ACME, "Ready").as_deref(), Some("Ready"), "{reason}");
        assert_eq!(names_of_keys(&world), ["default", "own"]);
    }
}

#[tokio::test]
async fn a_secret_without_the_label_is_not_read() {
    let world = with_tenant(TENANT);
    own(&world, "false", &key());
    brings(&world, "token");
    world.state().refusals = vec![(format!("GET {OWN} whole"), 403)];
    world.settle().await;
    assert_eq!(world.reason(ACME, "CredentialsReady").as_deref(), Some("SecretNotLabelled"));
    own(&world, LABELLED, &key());
    let failures = world.reconcile_tenants().await;
    assert_eq!(failures[0].failure(), Failure::Permission, "with the label it is");
}

#[tokio::test]
async fn a_secret_that_cannot_be_read_takes_no_key_away() {
    let world = with_tenant(TENANT);
    own(&world, LABELLED, &key());
    brings(&world, "token");
    world.settle().await;
    world.state().refusals = vec![(format!("GET {OWN}"), 403)];
    let failures = world.reconcile_tenants().await;
    assert_eq!(failures[0].failure(), Failure::Permission);
    assert_eq!(names_of_keys(&world), ["default", "own"]);
}

/// As where the chart lowers a plan.
#[tokio::test]
async fn keys_do_not_wait_for_the_rest_of_the_spec() {
    let world = with_tenant(TENANT);
    own(&world, LABELLED, &key());
    brings(&world, "token");
    world.settle().await;
    world.edit(ACME, |tenant| {
        tenant["spec"]["tier"] = json!("Free");
        tenant["spec"]["retention"] = json!({"hours": 25});
    });
    world.settle().await;
    assert_eq!(world.reason(ACME, "Ready").as_deref(), Some("RetentionAbovePlan"));
    assert_eq!(names_of_keys(&world), ["default", "own"]);

    world.state().objects.remove(OWN);
    world.settle().await;
    assert_eq!(names_of_keys(&world), ["default"], "it is revoked");
    assert_eq!(world.reason(ACME, "CredentialsReady").as_deref(), Some("SecretNotFound"));
    assert_eq!(world.reason(ACME, "SpecValid").as_deref(), Some("RetentionAbovePlan"));
    assert_eq!(world.object(ACME).unwrap()["status"]["activeKeys"], 1);
    ends(&world, "2020-01-01T00:00:00Z");
    world.settle().await;
    assert_eq!(world.object(ACME).unwrap()["status"]["apiKeys"][0]["state"], "Expired");
    assert_eq!(world.told("ApiKeysExpired").len(), 1);
}

#[tokio::test]
async fn lost_keys_are_made_anew_and_told() {
    let world = with_tenant(TENANT);
    world.settle().await;
    assert!(world.told("ApiKeysReplaced").is_empty(), "the first ones replace none");
    world.delete(ACME_KEYS);
    world.settle().await;
    let told = world.told("ApiKeysReplaced");
    assert!(told.len() == 1 && told[0].starts_with("keys default were missing or unusable"), "{told:?}");
}
