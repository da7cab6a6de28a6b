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
    let some = deployment(json!({}));
    let message = |ingester: Option<&Deployment>, consumer: &Deployment| match workloads(ingester, consumer) {
        Workloads::Running => None,
        Workloads::Idle { reason: Reason::ScaledToZero, message } => Some(message),
        Workloads::Idle { reason, .. } => panic!("{reason:?}"),
    };
    assert_eq!(message(Some(&some), &some), None);
    assert_eq!(message(None, &some), None);
    assert!(message(Some(&none()), &some).unwrap().contains("no events are taken"));
    assert!(message(Some(&some), &none()).unwrap().contains("are taken and wait in Kafka"));
    assert!(message(Some(&none()), &none()).unwrap().contains("neither taken nor stored"));
    assert!(message(None, &none()).unwrap().contains("events wait in Kafka"));
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
    let (http, kafka): (Source, Source) = (
        serde_json::from_value(json!({})).unwrap(),
        serde_json::from_value(json!({"kafka": {"topic": "theirs"}})).unwrap(),
    );
    let there = deployment(
        json!({"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2}),
    );
    let mut going = there.clone();
    going.metadata.deletion_timestamp = Some(Time("2026-01-01T00:00:00Z".parse().unwrap()));
    let reason = |source, ingester, consumer| match left_alone(source, ingester, consumer) {
        Progress::Done(Workloads::Running) => Some("Running"),
        Progress::Waiting(waiting) => Some(waiting.reason.as_str()),
        Progress::Untried => None,
        other => panic!("{other:?}"),
    };
    let on_its_way = deployment(json!({}));
    assert_eq!(reason(&http, Some(&there), Some(&there)), Some("Running"));
    assert_eq!(reason(&http, Some(&on_its_way), Some(&there)), Some("RolloutInProgress"));
    assert_eq!(reason(&http, None, Some(&there)), Some("Stopped"));
    assert_eq!(reason(&http, Some(&going), Some(&there)), Some("Stopped"), "it ends");
    assert_eq!(reason(&kafka, None, Some(&there)), Some("Running"));
    assert_eq!(reason(&http, None, None), None, "there never were any");
}
