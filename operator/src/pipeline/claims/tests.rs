use serde_json::json;

use super::*;

const ORDERS: &str = "millrace.acme.orders";

/// A Pipeline that was made at a second of a minute, with this spec beside its tenant, and this status.
fn pipeline(
    name: &str,
    second: u8,
    topic: &serde_json::Value,
    status: &serde_json::Value,
) -> serde_json::Value {
    json!({
        "apiVersion": "analytics.millrace.dev/v1alpha1", "kind": "Pipeline",
        "metadata": {
            "name": name, "namespace": "team", "uid": format!("uid-{name}"),
            "creationTimestamp": format!("2026-01-01T00:00:{second:02}Z"),
        },
        "spec": {"tenantRef": {"name": "acme"}, "topic": topic},
        "status": status,
    })
}

/// The owner of the name for the Pipeline `ours`, which was made in second 5, beside another one.
fn owner(our_status: &serde_json::Value, other: serde_json::Value) -> Option<String> {
    let named = json!({"name": ORDERS});
    let ours: Pipeline = serde_json::from_value(pipeline("ours", 5, &named, our_status)).unwrap();
    let all: Vec<Guarded<Pipeline>> = vec![Guarded(Ok(ours.clone())), serde_json::from_value(other).unwrap()];
    let (prefix, name) = (TopicPrefix::parse("millrace").unwrap(), TopicName::parse(ORDERS).unwrap());
    owner_of(Wanted { prefix: &prefix, tenant: "acme", name: &name }, &ours, &all)
}

fn noted(topic: &str) -> serde_json::Value {
    json!({"topic": {"name": topic, "id": "", "partitions": 0}})
}

fn letters_noted(topic: &str) -> serde_json::Value {
    json!({"deadLetterTopic": {"name": topic, "id": "", "partitions": 0}})
}

#[test]
fn a_name_is_the_oldest_ones_while_nobody_has_noted_it() {
    let (named, nothing) = (json!({"name": ORDERS}), json!({}));
    let older = Some("other".to_owned());
    assert_eq!(owner(&nothing, pipeline("other", 4, &named, &nothing)), older);
    assert_eq!(owner(&nothing, pipeline("other", 6, &named, &nothing)), None);
    // `uid-other` comes before `uid-ours`, and `uid-zebra` after it.
    assert_eq!(owner(&nothing, pipeline("other", 5, &named, &nothing)), older);
    assert_eq!(owner(&nothing, pipeline("zebra", 5, &named, &nothing)), None);
}

#[test]
fn whoever_has_noted_a_name_has_it() {
    let (named, nothing) = (json!({"name": ORDERS}), json!({}));
    let other = Some("other".to_owned());
    for status in [noted(ORDERS), letters_noted("millrace.acme.orders.dlq")] {
        assert_eq!(owner(&nothing, pipeline("other", 6, &named, &status)), other, "{status}");
        assert_eq!(owner(&status, pipeline("other", 6, &named, &nothing)), None, "{status}");
        assert_eq!(owner(&status, pipeline("other", 6, &named, &status)), None, "of two notes: {status}");
        assert_eq!(owner(&status, pipeline("other", 4, &named, &status)), other, "of two notes: {status}");
    }
}

#[test]
fn a_pipeline_without_a_given_name_wants_its_own() {
    let nothing = json!({});
    assert_eq!(owner(&nothing, pipeline("orders", 4, &nothing, &nothing)).as_deref(), Some("orders"));
    assert_eq!(owner(&nothing, pipeline("other", 4, &nothing, &nothing)), None);
    let elsewhere = json!({"name": "millrace.acme.elsewhere"});
    assert_eq!(owner(&nothing, pipeline("orders", 4, &elsewhere, &nothing)), None);
}

#[test]
fn pipelines_of_other_tenants_and_those_that_go_want_nothing() {
    let (named, nothing) = (json!({"name": ORDERS}), json!({}));
    let mut others = pipeline("other", 4, &named, &nothing);
    others["spec"]["tenantRef"]["name"] = json!("beta");
    assert_eq!(owner(&nothing, others), None);
    let mut going = pipeline("other", 4, &named, &nothing);
    going["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:09Z");
    assert_eq!(owner(&nothing, going.clone()), None);
    going["status"] = noted(ORDERS);
    assert_eq!(owner(&nothing, going).as_deref(), Some("other"), "it may have the topic until it is gone");
}

#[test]
fn one_that_cannot_be_read_keeps_its_name() {
    let (named, nothing) = (json!({"name": ORDERS}), json!({}));
    let newer = |second, status| {
        let mut other = pipeline("other", second, &named, status);
        other["spec"]["state"] = json!("Hibernated");
        other
    };
    let unreadable: Guarded<Pipeline> = serde_json::from_value(newer(4, &nothing)).unwrap();
    assert!(unreadable.0.is_err());
    assert_eq!(owner(&nothing, newer(4, &nothing)).as_deref(), Some("other"));
    assert_eq!(owner(&nothing, newer(6, &noted(ORDERS))).as_deref(), Some("other"));
}
