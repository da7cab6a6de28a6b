use crds::{AnalyticsTenant, Pipeline};
use kube::core::ObjectList;
use serde_json::json;

use super::*;

fn pipeline(spec: Value) -> Value {
    json!({
        "apiVersion": "analytics.millrace.dev/v1alpha1", "kind": "Pipeline",
        "metadata": {"name": "web", "namespace": "team", "uid": "u1", "resourceVersion": "7", "generation": 2},
        "spec": spec,
    })
}

fn guarded<K: DeserializeOwned>(object: Value) -> Guarded<K> {
    serde_json::from_value(object).unwrap()
}

#[track_caller]
fn check(spec: Value, field: &str) {
    let unreadable = guarded::<Pipeline>(pipeline(spec)).0.unwrap_err();
    assert_eq!(unreadable.field, field);
    assert_eq!((unreadable.metadata.name.as_deref(), unreadable.metadata.generation), (Some("web"), Some(2)));
}

#[test]
fn the_path_says_what_cannot_be_read() {
    let tenant = json!({"name": "acme"});
    check(json!({"tenantRef": tenant, "deletionPolicy": {"kafka": "Archive"}}), "spec.deletionPolicy.kafka");
    check(json!({"tenantRef": tenant, "topic": {"partitions": "many"}}), "spec.topic.partitions");
    check(json!({"tenantRef": 7}), "spec.tenantRef");
    check(json!({}), "spec");
    check(json!(null), "spec");
}

#[test]
fn an_object_that_can_be_read_is_read() {
    let web = guarded::<Pipeline>(pipeline(json!({"tenantRef": {"name": "acme"}}))).0.unwrap();
    assert_eq!(web.spec.tenant_ref.name, "acme");
}

#[test]
fn an_unreadable_object_hides_no_other() {
    let good = pipeline(json!({"tenantRef": {"name": "acme"}}));
    let list = json!({
        "apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": "1"},
        "items": [good, pipeline(json!({"tenantRef": 7})), good],
    });
    let list: ObjectList<Guarded<Pipeline>> = serde_json::from_str(&list.to_string()).unwrap();
    assert_eq!(list.items.iter().map(|item| item.0.is_ok()).collect::<Vec<_>>(), [true, false, true]);
}

#[test]
fn metadata_that_cannot_be_read_leaves_the_identity() {
    let mut object = pipeline(json!({"tenantRef": {"name": "acme"}}));
    object["metadata"]["creationTimestamp"] = json!("yesterday");
    let unreadable = guarded::<Pipeline>(object).0.unwrap_err();
    assert_eq!(unreadable.field, "metadata.creationTimestamp");
    assert_eq!(unreadable.metadata.uid.as_deref(), Some("u1"));
    assert_eq!(unreadable.metadata.resource_version.as_deref(), Some("7"));
}

#[test]
fn what_stands_in_an_unreadable_object_is_not_told() {
    let tenant = json!({
        "metadata": {"name": "acme", "namespace": "team"}, "spec": {"deletionPolicy": {"kafka": "hunter2"}},
    });
    let unreadable = guarded::<AnalyticsTenant>(tenant);
    assert!(!format!("{unreadable:?}").contains("hunter2"), "{unreadable:?}");
    assert_eq!(unreadable.0.unwrap_err().text("/spec/deletionPolicy/kafka"), Some("hunter2"));
}

#[test]
fn a_path_has_a_bound() {
    let key = "ö".repeat(MAX_FIELD_BYTES);
    let object =
        json!({"metadata": {"name": "web", "labels": {key: 7}}, "spec": {"tenantRef": {"name": "acme"}}});
    assert!(guarded::<Pipeline>(object).0.unwrap_err().field.len() <= MAX_FIELD_BYTES);
}
