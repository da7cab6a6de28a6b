//! Holds what the operator writes against what the reference pages say of it.

use crds::{
    Reason,
    condition::{ConditionType, Resource},
    event::EventReason,
};
use serde_json::Value;

/// Fails if a status has a condition that its kind cannot have, or one with a reason that it cannot have.
pub(super) fn assert_conditions_are_known(key: &str, status: &Value) {
    let resource = if key.starts_with("pipelines/") { Resource::Pipeline } else { Resource::AnalyticsTenant };
    for condition in status["conditions"].as_array().into_iter().flatten() {
        let text = |field: &str| condition[field].as_str().unwrap();
        let kind = ConditionType::parse(text("type")).unwrap();
        let reason = Reason::parse(text("reason")).unwrap();
        assert!(ConditionType::of(resource).contains(&kind), "{resource:?} has {kind:?}");
        assert!(reason.conditions().contains(&kind), "{kind:?} has the reason {reason:?}");
    }
}

/// Fails if an Event is none that the pages tell of.
pub(super) fn assert_event_is_known(event: &Value) {
    let (reason, severity) = (event["reason"].as_str().unwrap(), event["type"].as_str().unwrap());
    match EventReason::parse(reason) {
        Some(known) => {
            let about = Resource::parse(event["regarding"]["kind"].as_str().unwrap()).unwrap();
            assert!(known.resources().contains(&about), "{known:?} is told of {about:?}");
            assert_eq!(severity, known.severity().as_str());
        }
        None => {
            let conditions = Reason::parse(reason).unwrap().conditions();
            let is_told = |kind: &ConditionType| {
                [ConditionType::Stalled, ConditionType::DeletionBlocked].contains(kind)
            };
            let is_missing = reason == Reason::TenantNotFound.as_str();
            assert!(is_missing || conditions.iter().any(is_told), "an Event tells of {reason}");
            assert_eq!(severity, "Warning");
        }
    }
}
