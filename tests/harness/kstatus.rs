//! What tools that wait for a resource make of it, as kstatus defines it.
//!
//! Source: <https://github.com/kubernetes-sigs/cli-utils/blob/master/pkg/kstatus/README.md>. Flux, Argo CD and
//! `kubectl` plug-ins follow it; only what concerns resources with conditions of their own is here.

use serde_json::Value;

/// The state of a resource to those who wait for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KStatus {
    InProgress,
    Failed,
    Current,
    Terminating,
}

/// The state that this version of a resource is in. One that says nothing of itself is current.
#[must_use]
pub fn kstatus(resource: &Value) -> KStatus {
    let metadata = &resource["metadata"];
    if metadata["deletionTimestamp"].is_string() {
        return KStatus::Terminating;
    }
    let observed = &resource["status"]["observedGeneration"];
    if observed.is_number() && *observed != metadata["generation"] {
        return KStatus::InProgress;
    }
    if condition(resource, "Reconciling") == Some("True") {
        return KStatus::InProgress;
    }
    if condition(resource, "Stalled") == Some("True") {
        return KStatus::Failed;
    }
    match condition(resource, "Ready") {
        Some("True") | None => KStatus::Current,
        Some(_) => KStatus::InProgress,
    }
}

fn condition<'a>(resource: &'a Value, kind: &str) -> Option<&'a str> {
    let conditions = resource["status"]["conditions"].as_array()?;
    conditions.iter().find(|condition| condition["type"] == kind)?["status"].as_str()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(expected: KStatus, observed: Option<i64>, conditions: &[(&str, &str)]) {
        let conditions: Vec<Value> =
            conditions.iter().map(|(kind, status)| json!({"type": kind, "status": status})).collect();
        let status = json!({"observedGeneration": observed, "conditions": conditions});
        let mut resource = json!({"metadata": {"generation": 2}, "status": status});
        assert_eq!(kstatus(&resource), expected, "{resource}");
        resource["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        assert_eq!(kstatus(&resource), KStatus::Terminating, "{resource}");
    }

    #[test]
    fn a_resource_that_says_nothing_is_current() {
        assert_eq!(kstatus(&json!({"metadata": {"generation": 1}})), KStatus::Current);
        check(KStatus::Current, Some(2), &[]);
    }

    #[test]
    fn a_ready_resource_is_current_unless_it_was_edited() {
        check(KStatus::Current, Some(2), &[("Ready", "True")]);
        check(KStatus::Current, None, &[("Ready", "True")]);
        check(KStatus::InProgress, Some(1), &[("Ready", "True")]);
    }

    #[test]
    fn what_is_not_ready_is_in_progress_unless_it_is_stalled() {
        check(KStatus::InProgress, Some(2), &[("Ready", "Unknown")]);
        check(KStatus::InProgress, Some(2), &[("Ready", "False")]);
        check(KStatus::InProgress, Some(2), &[("Ready", "True"), ("Reconciling", "True")]);
        check(KStatus::Failed, Some(2), &[("Ready", "False"), ("Stalled", "True")]);
        check(KStatus::InProgress, Some(1), &[("Ready", "False"), ("Stalled", "True")]);
    }
}
