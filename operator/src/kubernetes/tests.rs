use crds::Reason;
use k8s_openapi::{
    api::core::v1::Secret,
    apimachinery::pkg::apis::meta::v1::{OwnerReference, Time},
};
use serde_json::json;

use super::*;
use crate::{
    failure::Failure,
    progress::told,
    testing::{ACME_KEYS, World},
};

mod troubles;

fn owner(kind: &str, name: &str, uid: &str) -> Option<Vec<OwnerReference>> {
    let (kind, name, uid) = (kind.to_owned(), name.to_owned(), uid.to_owned());
    Some(vec![OwnerReference { kind, name, uid, controller: Some(true), ..OwnerReference::default() }])
}

fn ours() -> ObjectMeta {
    ObjectMeta {
        owner_references: owner("AnalyticsTenant", "acme", "u1"),
        labels: Some(labels::of_tenant("acme")),
        ..ObjectMeta::default()
    }
}

#[test]
fn only_what_is_ours_or_nobodys_is_taken() {
    let foreign = |owner: &str| Err(Refusal::Foreign { owner: owner.to_owned() });
    let with_owner = |owner_references| ObjectMeta { owner_references, ..ours() };
    let deleted = Some(Time("2026-01-01T00:00:00Z".parse().unwrap()));
    let cases = [
        (ours(), Ok(())),
        (ObjectMeta { deletion_timestamp: deleted, ..ours() }, Err(Refusal::Leftover)),
        (with_owner(owner("AnalyticsTenant", "acme", "u0")), Err(Refusal::Leftover)),
        (with_owner(owner("AnalyticsTenant", "other", "u0")), foreign("AnalyticsTenant `other`")),
        (with_owner(owner("ReplicaSet", "acme", "u0")), foreign("ReplicaSet `acme`")),
        (with_owner(None), Ok(())),
        (ObjectMeta { labels: None, ..with_owner(None) }, foreign("nobody")),
    ];
    for (found, expected) in cases {
        assert_eq!(may_take(&found, &ours()), expected, "{found:?}");
    }
}

#[test]
fn rule_25_the_kind_of_failure_follows_from_the_answer() {
    let failure = |code: u16| {
        let status = kube::core::Status { code, ..kube::core::Status::failure("no", "No") };
        let source = CallError::from(kube::Error::Api(Box::new(status)));
        let error = Error::Apply { object: "Secret `x`".to_owned(), source };
        (error.failure(), error.reason())
    };
    assert_eq!(failure(403), (Failure::Permission, Reason::KubernetesPermissionDenied));
    assert_eq!(failure(409), (Failure::Transient, Reason::KubernetesChanged));
    assert_eq!(failure(422), (Failure::Refused, Reason::KubernetesRefused));
    assert_eq!(failure(404), (Failure::Transient, Reason::KubernetesUnreachable));
    assert_eq!(failure(503), (Failure::Transient, Reason::KubernetesUnreachable));
}

#[test]
fn a_field_that_the_definition_lacks_needs_an_administrator() {
    let words = "failed to create typed patch object (team/web; x/v1, Kind=Pipeline): .status.topic.missingSince: \
                 field not declared in schema";
    let status = kube::core::Status { code: 500, ..kube::core::Status::failure(words, "") };
    let source = CallError::from(kube::Error::Api(Box::new(status)));
    let error = Error::WriteStatus { object: "Pipeline `web`".to_owned(), source };
    assert_eq!((error.failure(), error.reason()), (Failure::Permission, Reason::KubernetesRefused));
    let told = told(&error);
    assert!(!told.contains("missingSince") && told.contains("apply the definitions"), "{told}");
}

#[test]
fn an_answer_that_cannot_be_read_is_not_cited() {
    let cause = serde_json::from_str::<u8>(r#""hunter2""#).unwrap_err();
    assert!(cause.to_string().contains("hunter2"));
    let source = CallError::from(kube::Error::SerdeError(cause));
    let error = Error::Apply { object: "Secret `x`".to_owned(), source };
    assert!(!told(&error).contains("hunter2"), "{}", told(&error));
}

#[test]
fn the_api_server_is_cited_once() {
    let status = kube::core::Status::failure("spec.replicas must not be negative", "Invalid");
    let source = CallError::from(kube::Error::Api(Box::new(status)));
    let error = Error::Apply { object: "Deployment `x`".to_owned(), source };
    assert_eq!(told(&error), "failed to apply Deployment `x`: spec.replicas must not be negative");
}

#[test]
fn a_call_that_was_not_answered_tells_why() {
    let cause = std::io::Error::new(std::io::ErrorKind::ConnectionRefused, "refused");
    let source = CallError::from(kube::Error::Service(Box::new(cause)));
    assert_eq!(source.to_string(), "ServiceError: refused");
}

fn world_with_a_secret() -> World {
    let world = World::default();
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": "acme-api-keys", "namespace": "team", "uid": "u5", "resourceVersion": "5"},
    });
    world.state().objects.insert(ACME_KEYS.to_owned(), secret);
    world
}

fn kubernetes(world: &World) -> Kubernetes {
    Kubernetes::new(world.client(), "test")
}

fn secret(uid: &str) -> ObjectMeta {
    ObjectMeta {
        name: Some("acme-api-keys".to_owned()),
        namespace: Some("team".to_owned()),
        uid: Some(uid.to_owned()),
        ..ObjectMeta::default()
    }
}

/// Somebody else makes the object between the look at its name and the change.
#[tokio::test]
async fn an_object_that_appears_meanwhile_keeps_its_values() {
    let world = world_with_a_secret();
    let theirs = json!({"default": "dGhlaXJz"});
    world.edit(ACME_KEYS, |secret| secret["data"] = theirs.clone());
    world.state().refusals = vec![(format!("GET {ACME_KEYS}"), 404)];
    let refused = kubernetes(&world).apply::<Secret>(&with_key("b3Vycw==")).await.unwrap_err();
    assert_eq!(refused.reason(), Reason::KubernetesChanged);
    assert_eq!(world.object(ACME_KEYS).unwrap()["data"], theirs);
}

fn with_key(value: &str) -> serde_json::Value {
    json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": "acme-api-keys", "namespace": "team"}, "data": {"default": value},
    })
}

/// Both saw the name free. Server-side apply knows managers, and two operators are one.
#[tokio::test]
async fn an_object_that_another_operator_applies_meanwhile_is_overwritten() {
    let world = World::default();
    kubernetes(&world).apply::<Secret>(&with_key("dGhlaXJz")).await.unwrap();
    world.state().refusals = vec![(format!("GET {ACME_KEYS}"), 404)];
    kubernetes(&world).apply::<Secret>(&with_key("b3Vycw==")).await.unwrap();
    assert_eq!(world.object(ACME_KEYS).unwrap()["data"], json!({"default": "b3Vycw=="}));
}

fn typed(manifest: serde_json::Value) -> Secret {
    serde_json::from_value(manifest).unwrap()
}

#[tokio::test]
async fn what_is_only_made_leaves_what_is_there() {
    let world = World::default();
    let made = kubernetes(&world).create(&typed(with_key("dGhlaXJz"))).await.unwrap();
    let given = kubernetes(&world).create(&typed(with_key("b3Vycw=="))).await.unwrap();
    assert_eq!(given, made);
    assert!(made.metadata.uid.is_some() && made.metadata.resource_version.is_some());
}

#[tokio::test]
async fn rule_24_another_version_than_the_seen_one_is_not_changed() {
    let world = World::default();
    let seen = kubernetes(&world).create(&typed(with_key("dGhlaXJz"))).await.unwrap();
    world.edit(ACME_KEYS, |secret| {
        secret["metadata"]["labels"] = json!(labels::of_tenant("acme"));
    });
    let mut manifest = with_key("b3Vycw==");
    manifest["metadata"]["uid"] = json!(seen.metadata.uid);
    let versions = [("1", Some(Reason::KubernetesChanged)), ("2", None)];
    for (version, refusal) in versions {
        manifest["metadata"]["resourceVersion"] = json!(version);
        let outcome = kubernetes(&world).apply::<Secret>(&manifest).await;
        assert_eq!(outcome.err().map(|error| error.reason()), refusal, "{version}");
    }
    assert_eq!(world.object(ACME_KEYS).unwrap()["data"], json!({"default": "b3Vycw=="}));
}

#[tokio::test]
async fn another_incarnation_is_not_deleted() {
    let world = world_with_a_secret();
    let refused = kubernetes(&world).delete::<Secret>(&secret("u4")).await.unwrap_err();
    assert_eq!(refused.reason(), Reason::KubernetesChanged);
    assert!(world.object(ACME_KEYS).is_some());
}

#[tokio::test]
async fn what_is_gone_is_deleted() {
    let world = world_with_a_secret();
    kubernetes(&world).delete::<Secret>(&secret("u5")).await.unwrap();
    assert!(world.object(ACME_KEYS).is_none());
    kubernetes(&world).delete::<Secret>(&secret("u5")).await.unwrap();
}

#[tokio::test]
async fn an_object_that_is_not_there_is_no_failure_to_read() {
    assert!(kubernetes(&World::default()).get::<Secret>("team", "x").await.unwrap().is_none());
}
