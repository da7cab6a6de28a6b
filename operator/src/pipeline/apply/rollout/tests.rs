use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::json;

use super::*;

fn deployment(status: serde_json::Value) -> Deployment {
    serde_json::from_value(json!({
        "metadata": {"name": "web-ingester", "generation": 2},
        "spec": {"replicas": 2, "selector": {}, "template": {}},
        "status": status,
    }))
    .unwrap()
}

#[track_caller]
fn check(status: serde_json::Value, reason: Option<Reason>) {
    assert_eq!(unfinished(&deployment(status)).map(|waiting| waiting.reason), reason);
}

#[test]
fn all_pods_of_the_present_version_are_enough() {
    check(
        json!({"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2}),
        None,
    );
}

#[test]
fn a_status_of_an_older_spec_does_not_count() {
    check(
        json!({"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2}),
        Some(Reason::RolloutInProgress),
    );
    check(json!({}), Some(Reason::RolloutInProgress));
}

#[test]
fn a_pod_of_the_version_before_is_waited_for() {
    check(
        json!({"observedGeneration": 2, "replicas": 3, "updatedReplicas": 2, "availableReplicas": 3}),
        Some(Reason::RolloutInProgress),
    );
}

#[test]
fn a_pod_that_is_not_available_is_waited_for() {
    check(
        json!({"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 1}),
        Some(Reason::RolloutInProgress),
    );
}

#[test]
fn a_stuck_rollout_is_called_so() {
    let condition = json!({"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"});
    check(
        json!({"observedGeneration": 2, "replicas": 2, "updatedReplicas": 1, "conditions": [condition]}),
        Some(Reason::RolloutStuck),
    );
}

#[test]
fn no_pods_are_available_when_none_are_asked_for() {
    assert_eq!(unfinished(&none()), None);
}

fn none() -> Deployment {
    let mut none = deployment(json!({"observedGeneration": 2}));
    none.spec.as_mut().unwrap().replicas = Some(0);
    none
}

#[test]
fn pods_that_nobody_asked_for_are_told_of() {
    let message = |ingester: Option<i32>, consumer: i32| match workloads(ingester, consumer) {
        Workloads::Running => None,
        Workloads::Idle { reason: Reason::ScaledToZero, message } => Some(message),
        Workloads::Idle { reason, .. } => panic!("{reason:?}"),
    };
    assert_eq!(message(Some(2), 2), None);
    assert_eq!(message(None, 2), None);
    assert!(message(Some(0), 2).unwrap().contains("no events are taken"));
    assert!(message(Some(2), 0).unwrap().contains("are taken and wait in Kafka"));
    assert!(message(Some(0), 0).unwrap().contains("neither taken nor stored"));
    assert!(message(None, 0).unwrap().contains("events wait in Kafka"));
}

#[test]
fn why_no_pod_is_made_is_told_without_its_name() {
    let told = |message: &str| {
        let condition =
            json!({"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": message});
        unfinished(&deployment(json!({"conditions": [condition]}))).unwrap().message
    };
    let quota =
        told(r#"pods "web-ingester-5d-x7k2p" is forbidden: exceeded quota: small, requested: pods=1"#);
    assert!(quota.ends_with("no pod is made: exceeded quota: small, requested: pods=1"), "{quota}");
    assert!(told("no room").ends_with("no pod is made: no room"));
    let over = json!({"type": "ReplicaFailure", "status": "False", "reason": "x", "message": "no room"});
    let message = unfinished(&deployment(json!({"conditions": [over]}))).unwrap().message;
    assert!(message.ends_with("are available"), "{message}");
}

#[test]
fn pods_that_are_left_alone_are_told_of_as_they_are() {
    let spec = |fields: serde_json::Value| -> PipelineSpec {
        let mut spec = json!({"tenantRef": {"name": "acme"}});
        spec.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        serde_json::from_value(spec).unwrap()
    };
    let (running, paused, stopped) =
        (spec(json!({})), spec(json!({"state": "Paused"})), spec(json!({"state": "Stopped"})));
    let kafka = spec(json!({"source": {"kafka": {"topic": "theirs"}}}));
    let scaled = spec(json!({"ingester": {"replicas": 0}, "consumer": {"replicas": 0}}));
    let there = deployment(
        json!({"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2}),
    );
    let coming = deployment(json!({}));
    let mut going = there.clone();
    going.metadata.deletion_timestamp = Some(Time("2026-01-01T00:00:00Z".parse().unwrap()));
    let (there, coming, going, none) = (Some(&there), Some(&coming), Some(&going), &none());
    let none = Some(none);
    let told = |spec, ingester, consumer| match left_alone(spec, ingester, consumer) {
        Progress::Done(Workloads::Running) => "Running".to_owned(),
        Progress::Done(Workloads::Idle { reason, .. }) => format!("idle {}", reason.as_str()),
        Progress::Waiting(Waiting { reason: Reason::Stopped, message }) => message,
        Progress::Waiting(waiting) => waiting.reason.as_str().to_owned(),
        Progress::Untried => "Untried".to_owned(),
        Progress::Failed(error) => panic!("{error}"),
    };
    let neither = "there is no ingester and no consumer: ";
    let (no_ingester, no_consumer) = ("there is no ingester: ", "there is no consumer: ");
    for (spec, ingester, consumer, expected) in [
        (&running, there, there, "Running"),
        (&running, coming, there, "RolloutInProgress"),
        (&running, None, there, no_ingester),
        (&running, going, there, no_ingester),
        (&running, none, there, no_ingester),
        (&running, there, None, no_consumer),
        (&running, there, going, no_consumer),
        (&running, there, none, no_consumer),
        (&running, none, none, neither),
        (&running, None, none, neither),
        (&running, None, None, "Untried"),
        (&paused, there, none, "idle Paused"),
        (&paused, there, None, "idle Paused"),
        (&paused, there, there, "Pending"),
        (&paused, None, none, no_ingester),
        (&stopped, None, none, "idle Stopped"),
        (&stopped, None, there, "Pending"),
        (&stopped, there, none, "Pending"),
        (&kafka, None, there, "Running"),
        (&kafka, None, none, no_consumer),
        (&kafka, None, None, "Untried"),
        (&scaled, none, none, "idle ScaledToZero"),
        (&scaled, there, there, "Running"),
    ] {
        let told = told(spec, ingester, consumer);
        assert!(told.starts_with(expected), "{told} and not {expected}: {spec:?} {ingester:?} {consumer:?}");
    }
}
