//! All that is there in the end, without what may differ between two runs: ids, versions, times and random keys.
//!
//! An id is not left out but counted by its first place, so that a reference to another thing is a difference.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crds::{AnalyticsTenant, Pipeline};
use harness::kafka::metadata::topic_id;
use harness::kubernetes::Ground;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Secret, Service};
use k8s_openapi::api::networking::v1::{Ingress, NetworkPolicy};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::Resource;
use kube::api::{Api, ApiResource, DynamicObject, ListParams};
use schema::api_key::KeyDigest;
use serde_json::{Value, json};
use uuid::Uuid;

use super::World;

/// Differences that are told.
const MOST_TOLD: usize = 8;
/// How many characters of a key its status shows.
const SHOWN_CHARACTERS: usize = 10;
const SETTINGS_HASH: &str = "analytics.millrace.dev/settings-hash";
/// What a Service gets from the API server's range.
const ADDRESSES: [&str; 3] = ["clusterIP", "clusterIPs", "ipFamilies"];
const TIMES: [&str; 6] =
    ["creationTimestamp", "lastTransitionTime", "lastUpdateTime", "startedAt", "time", "deletionTimestamp"];

/// Every value by its path.
pub(super) struct EndState(BTreeMap<String, String>);

impl EndState {
    pub(super) async fn of(world: &World, ground: &Ground) -> anyhow::Result<Self> {
        let mut objects = objects(ground).await?;
        let keys = keys(&objects);
        let retained = take_retained(&mut objects);
        let mut found: BTreeMap<String, Value> =
            objects.into_iter().map(|(key, object)| (key.clone(), plain(&key, object))).collect();
        found.extend(outside(world, ground).await?);
        let mut names = Names { keys, ids: Vec::new(), namespace: ground.name.clone() };
        let mut end = BTreeMap::new();
        // Counted first, so that lists by their ids, which are random, can be sorted by what they are the ids of.
        for (key, topic) in found.extract_if(.., |key, _| key.starts_with("topic ")).collect::<Vec<_>>() {
            flatten(&mut end, &key, &topic, &mut names);
        }
        for (key, value) in &found {
            flatten(&mut end, key, value, &mut names);
        }
        let mut retained: Vec<String> = retained.iter().map(|id| names.named(id)).collect();
        retained.sort();
        end.insert("retained topics".to_owned(), retained.join(", "));
        Ok(Self(end))
    }

    /// The first differences, if there are any.
    pub(super) fn difference(&self, found: &Self) -> Option<String> {
        let paths = self.0.keys().chain(found.0.keys().filter(|path| !self.0.contains_key(*path)));
        let differing: Vec<&String> = paths.filter(|path| self.0.get(*path) != found.0.get(*path)).collect();
        let shown = |value: Option<&String>| value.cloned().unwrap_or_else(|| "nothing".to_owned());
        let mut text = String::new();
        for path in differing.iter().take(MOST_TOLD) {
            let (expected, found) = (shown(self.0.get(*path)), shown(found.0.get(*path)));
            let _ = writeln!(text, "  {path}\n    undisturbed: {expected}\n    here: {found}");
        }
        (!differing.is_empty()).then_some(text)
    }
}

/// Every object that the operator makes or writes to, by kind and name.
async fn objects(ground: &Ground) -> anyhow::Result<BTreeMap<String, Value>> {
    let mut found = BTreeMap::new();
    for kind in [
        ApiResource::erase::<AnalyticsTenant>(&()),
        ApiResource::erase::<Pipeline>(&()),
        ApiResource::erase::<Secret>(&()),
        ApiResource::erase::<Service>(&()),
        ApiResource::erase::<Deployment>(&()),
        ApiResource::erase::<Ingress>(&()),
        ApiResource::erase::<NetworkPolicy>(&()),
        ApiResource::erase::<PodDisruptionBudget>(&()),
    ] {
        let api = Api::<DynamicObject>::namespaced_with(ground.client.clone(), &ground.name, &kind);
        for object in api.list(&ListParams::default()).await?.items {
            let name = object.meta().name.clone().unwrap_or_default();
            found.insert(format!("{}/{name}", kind.plural), serde_json::to_value(object)?);
        }
    }
    Ok(found)
}

/// The topics and the database of the tenant.
async fn outside(world: &World, ground: &Ground) -> anyhow::Result<BTreeMap<String, Value>> {
    let (mut found, clickhouse) = (BTreeMap::new(), world.clickhouse.reader());
    for topic in ["acme-default", "acme-default.dlq"] {
        let name = format!("millrace.{}-acme.{topic}", ground.name);
        let id = topic_id(&world.kafka.address(), &name).await.ok();
        found.insert(format!("topic {topic}"), json!(id.map(|id| id.to_string())));
    }
    let start = format!("t_{}", ground.name.replace('-', "_"));
    let databases =
        format!("SELECT name, uuid, comment FROM system.databases WHERE startsWith(name, '{start}')");
    let tables = format!(
        "SELECT name, uuid, engine_full FROM system.tables WHERE startsWith(database, '{start}') ORDER BY name"
    );
    for (what, query) in [("database", databases), ("table", tables)] {
        for (index, line) in clickhouse.run(&query).await?.lines().enumerate() {
            // The comment lists topics by their ids, which are random.
            found.insert(format!("{what} {index}"), line.split([' ', ',', '=', '\t']).collect());
        }
    }
    Ok(found)
}

/// What each random key, its digest and its beginning are called.
fn keys(objects: &BTreeMap<String, Value>) -> Vec<(String, String)> {
    let mut names = Vec::new();
    let secrets = objects.iter().filter(|(key, _)| key.starts_with("secrets/") && key.ends_with("-api-keys"));
    for (_, secret) in secrets {
        for (name, value) in secret["data"].as_object().into_iter().flatten() {
            let key = decoded(value);
            names.push((KeyDigest::of(&key).to_string(), format!("<digest of {name}>")));
            let beginning = key.chars().take(SHOWN_CHARACTERS).collect();
            names.push((key, format!("<key {name}>")));
            names.push((beginning, format!("<beginning of {name}>")));
        }
    }
    names
}

fn decoded(value: &Value) -> String {
    let bytes = STANDARD.decode(value.as_str().unwrap_or_default()).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A status lists them by their ids, which are random.
fn take_retained(objects: &mut BTreeMap<String, Value>) -> Vec<String> {
    let statuses = objects.values_mut().filter_map(|object| object["status"].as_object_mut());
    let retained = statuses.filter_map(|status| status.remove("retainedTopics"));
    retained.flat_map(|ids| ids.as_array().cloned().unwrap_or_default()).map(|id| id.to_string()).collect()
}

/// The object with what a Secret holds in clear, and without versions, times and addresses.
fn plain(key: &str, mut object: Value) -> Value {
    if key.starts_with("secrets/") {
        for (name, entry) in object["data"].as_object_mut().into_iter().flatten() {
            let text = decoded(entry);
            *entry = match name.as_str() {
                "salt" => json!("<salt>"),
                _ => serde_json::from_str(&text).unwrap_or(Value::String(text)),
            };
        }
    }
    let generation = object["metadata"]["generation"].as_i64().unwrap_or_default();
    if let Some(entries) = object["metadata"]["managedFields"].as_array_mut() {
        entries.sort_by_key(|entry| {
            format!("{}/{}/{}", entry["manager"], entry["operation"], entry["subresource"])
        });
    }
    object["metadata"]["resourceVersion"] = Value::Null;
    without_times(&mut object, generation);
    object
}

/// A generation counts edits, and two runs may need another number of them: what was observed is told relative to it.
fn without_times(value: &mut Value, generation: i64) {
    match value {
        Value::Object(fields) => {
            for (field, value) in fields {
                match field.as_str() {
                    "generation" => *value = Value::Null,
                    "observedGeneration" => *value = json!(value.as_i64().unwrap_or_default() - generation),
                    SETTINGS_HASH => *value = json!("<hash>"),
                    time if TIMES.contains(&time) => *value = json!("<time>"),
                    address if ADDRESSES.contains(&address) => *value = json!("<address>"),
                    _ => without_times(value, generation),
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| without_times(value, generation)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// What random texts are called.
struct Names {
    keys: Vec<(String, String)>,
    /// Ids in the order in which they were met.
    ids: Vec<Uuid>,
    namespace: String,
}

impl Names {
    fn named(&mut self, text: &str) -> String {
        let mut text = text.replace(&self.namespace, "<namespace>");
        text = text.replace(&self.namespace.replace('-', "_"), "<namespace>");
        for (key, name) in &self.keys {
            text = text.replace(key, name);
        }
        let (mut named, mut rest) = (String::new(), text.as_str());
        while let Some(first) = rest.chars().next() {
            match rest.get(..36).and_then(|id| Uuid::try_parse(id).ok()) {
                Some(id) => {
                    let place = self.ids.iter().position(|known| *known == id).unwrap_or_else(|| {
                        self.ids.push(id);
                        self.ids.len() - 1
                    });
                    let _ = write!(named, "<id {place}>");
                    rest = &rest[36..];
                }
                None => {
                    named.push(first);
                    rest = &rest[first.len_utf8()..];
                }
            }
        }
        named
    }
}

fn flatten(end: &mut BTreeMap<String, String>, path: &str, value: &Value, names: &mut Names) {
    match value {
        Value::Object(fields) => {
            for (field, value) in fields {
                let field = names.named(field);
                flatten(end, &format!("{path}.{field}"), value, names);
            }
        }
        Value::Array(words) if path.starts_with("database ") => {
            let mut words: Vec<String> = words.iter().map(|word| names.named(&word.to_string())).collect();
            words.sort();
            end.insert(path.to_owned(), words.join(" "));
        }
        Value::Array(values) => {
            for (index, value) in values.iter().enumerate() {
                flatten(end, &format!("{path}[{index}]"), value, names);
            }
        }
        Value::Null => {}
        Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            end.insert(path.to_owned(), names.named(&value.to_string()));
        }
    }
}
