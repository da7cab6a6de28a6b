use serde_json::json;

use super::*;

mod broken_watches;
mod late_caches;
mod missed_events;
mod namespaces;
mod scenario;
mod unreadable;

fn pipelines() -> Store<Pipeline> {
    let mut writer = Writer::<Pipeline>::default();
    for (namespace, name, tenant) in
        [("team", "web", "acme"), ("team", "app", "acme"), ("team", "x", "other"), ("far", "web", "acme")]
    {
        let pipeline = json!({
            "apiVersion": "analytics.millrace.dev/v1alpha1", "kind": "Pipeline",
            "metadata": {"name": name, "namespace": namespace}, "spec": {"tenantRef": {"name": tenant}},
        });
        writer.apply_watcher_event(&watcher::Event::Apply(serde_json::from_value(pipeline).unwrap()));
    }
    writer.as_reader()
}

fn names(pipelines: Vec<ObjectRef<Pipeline>>) -> Vec<String> {
    let mut names: Vec<String> = pipelines
        .iter()
        .map(|pipeline| format!("{}/{}", pipeline.namespace.clone().unwrap(), pipeline.name))
        .collect();
    names.sort();
    names
}

fn secret(labels: std::collections::BTreeMap<String, String>) -> PartialObjectMeta<Secret> {
    let metadata = kube::api::ObjectMeta {
        namespace: Some("team".to_owned()),
        labels: Some(labels),
        ..Default::default()
    };
    PartialObjectMeta { metadata, ..PartialObjectMeta::default() }
}

#[test]
fn a_secret_with_keys_concerns_every_pipeline_of_its_tenant() {
    assert_eq!(names(served_by(&pipelines(), &secret(labels::of_tenant("acme")))), ["team/app", "team/web"]);
}

#[test]
fn a_secret_with_settings_concerns_its_own_pipeline() {
    let labels = labels::of_pipeline("acme", "web", labels::Component::Settings);
    assert_eq!(names(served_by(&pipelines(), &secret(labels))), ["team/web"]);
}

#[test]
fn a_secret_of_somebodys_own_concerns_the_tenants_that_take_keys_from_it() {
    let mut writer = Writer::<AnalyticsTenant>::default();
    for (namespace, name, secret) in
        [("team", "acme", "own"), ("team", "both", "own"), ("team", "other", "else"), ("far", "acme", "own")]
    {
        let key = json!({"name": "web", "scopes": ["Ingest"], "secretRef": {"name": secret, "key": "token"}});
        let tenant = json!({
            "apiVersion": "analytics.millrace.dev/v1alpha1", "kind": "AnalyticsTenant",
            "metadata": {"name": name, "namespace": namespace}, "spec": {"apiKeys": [key]},
        });
        writer.apply_watcher_event(&watcher::Event::Apply(serde_json::from_value(tenant).unwrap()));
    }
    let mut own = secret([].into());
    own.metadata.name = Some("own".to_owned());
    let mut concerned: Vec<String> =
        taking_from(&writer.as_reader(), &own).into_iter().map(|tenant| tenant.name).collect();
    concerned.sort();
    assert_eq!(concerned, ["acme", "both"]);
}

#[test]
fn a_secret_without_our_labels_concerns_nobody() {
    assert!(served_by(&pipelines(), &secret([].into())).is_empty());
}

#[test]
fn pipelines_hear_of_what_they_are_made_from_and_nothing_else() {
    let tenant = |status: serde_json::Value| -> Guarded<AnalyticsTenant> {
        serde_json::from_value(json!({
            "apiVersion": "analytics.millrace.dev/v1alpha1", "kind": "AnalyticsTenant",
            "metadata": {"name": "acme", "namespace": "team", "generation": 1}, "spec": {}, "status": status,
        }))
        .unwrap()
    };
    let hash = |status| what_pipelines_need(&tenant(status));
    let before = json!({"tenantId": "acme", "conditions": []});
    let endpoint = json!({"tenantId": "acme", "conditions": [], "endpoints": {"ingest": "http://x"}});
    let table = json!({"tenantId": "acme", "conditions": [], "database": {"name": "t", "uuid": "u", "tableUuid": "v"}});
    let retained = json!({"tenantId": "acme", "conditions": [], "retainedTopics": ["x"]});
    assert_eq!(hash(before.clone()), hash(endpoint));
    assert_ne!(hash(before.clone()), hash(table));
    assert_ne!(hash(before.clone()), hash(retained));
    assert_ne!(hash(before), hash(json!({"tenantId": 7})));
}
