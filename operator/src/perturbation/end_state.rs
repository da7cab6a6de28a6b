//! All that is there in the end, without what may differ between two runs: ids, versions, times and random keys.
//!
//! An id is not left out but replaced by what it is the id of, so that a reference to another thing is a difference.

use std::{collections::BTreeMap, fmt::Write as _};

use k8s_openapi::ByteString;
use schema::{
    access::PasswordHash, api_key::KeyDigest, names::UserName, secret::Secret, tenant_id::TenantId,
};
use serde_json::{Value, json};

use crate::testing::{State, World};

/// Differences that are told.
const MOST_TOLD: usize = 8;
/// How many characters of a key its status shows.
const SHOWN_CHARACTERS: usize = 10;

/// Every value by its path.
pub(crate) fn end_state(world: &World) -> BTreeMap<String, String> {
    let state = world.state();
    let names = names(&state);
    let mut end = BTreeMap::new();
    for (key, object) in &state.objects {
        flatten(&mut end, key, &plain(key, object), &names);
    }
    for (name, topic) in &state.topics {
        let retention = state.topic_retentions.get(name);
        let topic = format!("{} {} {} {retention:?}", topic.id, topic.partitions, topic.replication_factor);
        end.insert(format!("topic {name}"), topic);
    }
    for (name, database) in &state.databases {
        let retention = state.retentions.get(name);
        let settings = if state.changed_settings.contains(name) { "changed" } else { "as made" };
        let database = format!("{} {:?} {retention:?} {settings}", database.uuid, database.comment);
        end.insert(format!("database {name}"), database);
    }
    for (index, fact) in state.facts.iter().enumerate() {
        end.insert(format!("fact {index}"), format!("{:?} {} {}", fact.kind, fact.name, fact.text));
    }
    all_named(end, &names)
}

/// The part of a user's name that stands for the tenant's UID.
fn hash_of_owner(uid: &str) -> String {
    let name = UserName::reader(&TenantId::parse("x").unwrap(), uid);
    name.as_str().trim_start_matches("t_x_").trim_end_matches("_reader").to_owned()
}

/// All values in one text are named much faster than one by one.
fn all_named(end: BTreeMap<String, String>, names: &[(String, String)]) -> BTreeMap<String, String> {
    const BETWEEN: &str = "\u{1f}";
    let (paths, values): (Vec<String>, Vec<String>) = end.into_iter().unzip();
    let values = named(&values.join(BETWEEN), names);
    paths.into_iter().zip(values.split(BETWEEN).map(str::to_owned)).collect()
}

/// The first differences, if there are any.
pub(crate) fn difference(
    expected: &BTreeMap<String, String>,
    found: &BTreeMap<String, String>,
) -> Option<String> {
    let paths = expected.keys().chain(found.keys().filter(|path| !expected.contains_key(*path)));
    let differing: Vec<&String> = paths.filter(|path| expected.get(*path) != found.get(*path)).collect();
    let shown = |value: Option<&String>| value.cloned().unwrap_or_else(|| "nothing".to_owned());
    let mut text = String::new();
    for path in differing.iter().take(MOST_TOLD) {
        let _ = writeln!(
            text,
            "  {path}\n    undisturbed: {}\n    here: {}",
            shown(expected.get(*path)),
            shown(found.get(*path))
        );
    }
    (!differing.is_empty()).then_some(text)
}

/// What each random text is, the longest texts first.
fn names(state: &State) -> Vec<(String, String)> {
    let mut names = Vec::new();
    for (key, object) in &state.objects {
        let uid = object["metadata"]["uid"].as_str().unwrap_or_default();
        names.push((uid.to_owned(), format!("<uid of {key}>")));
        if key.starts_with("analyticstenants/") {
            names.push((hash_of_owner(uid), format!("<hash of the uid of {key}>")));
        }
        if key.starts_with("secrets/") && key.contains("-clickhouse") {
            for (name, value) in object["data"].as_object().into_iter().flatten() {
                if name.ends_with("password") {
                    let password = decoded(value);
                    let fingerprint = PasswordHash::of(&Secret::new(password.clone())).fingerprint();
                    names.push((fingerprint, format!("<fingerprint of {key}/{name}>")));
                    names.push((password, format!("<{key}/{name}>")));
                }
            }
        }
        if key.starts_with("secrets/") && key.ends_with("-api-keys") {
            for (name, value) in object["data"].as_object().into_iter().flatten() {
                let api_key = decoded(value);
                names.push((KeyDigest::of(&api_key).to_string(), format!("<digest of {key}/{name}>")));
                let shown = api_key.chars().take(SHOWN_CHARACTERS).collect();
                names.push((shown, format!("<beginning of {key}/{name}>")));
                names.push((api_key, format!("<key {key}/{name}>")));
            }
        }
    }
    for (name, topic) in &state.topics {
        names.push((topic.id.to_string(), format!("<id of topic {name}>")));
    }
    for (name, database) in &state.databases {
        names.push((database.uuid.to_string(), format!("<id of database {name}>")));
        let table = uuid::Uuid::from_u128(database.uuid.as_u128() + 1_000);
        names.push((table.to_string(), format!("<table of database {name}>")));
    }
    names.sort_by_key(|(text, _)| std::cmp::Reverse(text.len()));
    names
}

fn named(text: &str, names: &[(String, String)]) -> String {
    let text = names.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from.as_str(), to));
    without_ids_that_are_gone(text)
}

/// The ids of this world begin with zeros.
fn without_ids_that_are_gone(mut text: String) -> String {
    const START: &str = "00000000-0000-0000-0000-";
    while let Some(at) = text.find(START) {
        text.replace_range(at..at + START.len() + 12, "<an id that is gone>");
    }
    text
}

fn decoded(value: &Value) -> String {
    let bytes: ByteString = serde_json::from_value(value.clone()).unwrap();
    String::from_utf8(bytes.0).unwrap()
}

/// The object with what a Secret holds in clear, and without versions and times.
fn plain(key: &str, object: &Value) -> Value {
    let mut object = object.clone();
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
        entries.sort_by_key(|entry| format!("{}/{}", entry["manager"], entry["operation"]));
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
                    "lastTransitionTime" | "creationTimestamp" | "deletionTimestamp" | "startedAt"
                    | "missingSince" => *value = json!("<time>"),
                    "observedGeneration" => *value = json!(value.as_i64().unwrap_or_default() - generation),
                    // The settings that it is of are compared as they are.
                    crate::labels::SETTINGS_HASH => *value = json!("<hash>"),
                    _ => without_times(value, generation),
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| without_times(value, generation)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn flatten(end: &mut BTreeMap<String, String>, path: &str, value: &Value, names: &[(String, String)]) {
    match value {
        Value::Object(fields) => {
            for (field, value) in fields {
                flatten(end, &format!("{path}.{field}"), value, names);
            }
        }
        // Sorted by ids, which are others in another run.
        Value::Array(values) if path.ends_with("retainedTopics") => {
            let mut topics: Vec<String> =
                values.iter().map(|value| named(&value.to_string(), names)).collect();
            topics.sort();
            end.insert(path.to_owned(), topics.join(", "));
        }
        Value::Array(values) => {
            for (index, value) in values.iter().enumerate() {
                flatten(end, &format!("{path}[{index}]"), value, names);
            }
        }
        Value::Null => {}
        Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            end.insert(path.to_owned(), value.to_string());
        }
    }
}
