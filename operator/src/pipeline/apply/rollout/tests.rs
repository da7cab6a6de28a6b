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
