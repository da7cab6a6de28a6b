//! Which manager owns which field of an object, as server-side apply keeps it. Lists are owned as a whole.

use serde_json::{Map, Value, json};

/// Who applies, and to which part of an object. The status is a part of its own: what is applied to one part removes
/// nothing from the other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Applier<'a> {
    pub(super) manager: &'a str,
    pub(super) subresource: Option<&'static str>,
}

/// Whether applying a manifest without force would change a field that the manager does not own.
///
/// A manager never conflicts with itself: two processes under one name overwrite each other's values.
pub(super) fn is_in_conflict(found: &Value, sent: &Value, manager: &str) -> bool {
    differs(found, sent, &applied_by(found, Applier { manager, subresource: None }))
}

fn differs(found: &Value, sent: &Value, owned: &Value) -> bool {
    match (found, sent) {
        (Value::Object(found), Value::Object(sent)) => sent.iter().any(|(field, sent)| {
            found.get(field).is_some_and(|found| differs(found, sent, &owned[format!("f:{field}")]))
        }),
        (found, sent) => found != sent && owned.is_null(),
    }
}

/// Notes that a manager applied a manifest, and removes what it applied before, sends no longer, and nobody else owns.
pub(super) fn note_applied(object: &mut Value, sent: &Value, applier: Applier<'_>) {
    let (before, after) = (applied_by(object, applier), fields(sent));
    let others: Vec<Value> =
        entries(object).iter().filter(|entry| !is_applied_by(entry, applier)).cloned().collect();
    let theirs: Vec<&Value> = others.iter().map(|entry| &entry["fieldsV1"]).collect();
    remove_dropped(object, &before, &after, &theirs);
    let mut ours = entry(applier.manager, "Apply", after);
    if let Some(subresource) = applier.subresource {
        ours["subresource"] = json!(subresource);
    }
    let mut all: Vec<Value> = others.into_iter().chain([ours]).collect();
    all.sort_by_key(Value::to_string);
    object["metadata"]["managedFields"] = all.into();
}

/// Notes that a manager made an object with anything but server-side apply.
pub(super) fn note_created(object: &mut Value, manager: &str) {
    object["metadata"]["managedFields"] = json!([entry(manager, "Update", fields(object))]);
}

fn remove_dropped(object: &mut Value, before: &Value, after: &Value, theirs: &[&Value]) {
    for (key, below) in before.as_object().into_iter().flatten() {
        let field = key.trim_start_matches("f:");
        let theirs: Vec<&Value> =
            theirs.iter().map(|owned| &owned[key]).filter(|owned| !owned.is_null()).collect();
        let is_dropped = after.get(key).is_none();
        if is_dropped && theirs.is_empty() {
            object.as_object_mut().unwrap().remove(field);
        } else if let Some(object) = object.get_mut(field) {
            remove_dropped(object, below, &after[key], &theirs);
        }
    }
}

fn entry(manager: &str, operation: &str, owned: Value) -> Value {
    json!({ "manager": manager, "operation": operation, "fieldsType": "FieldsV1", "fieldsV1": owned })
}

fn entries(object: &Value) -> &[Value] {
    object["metadata"]["managedFields"].as_array().map_or(&[], Vec::as_slice)
}

fn is_applied_by(entry: &Value, applier: Applier<'_>) -> bool {
    entry["manager"] == applier.manager
        && entry["operation"] == "Apply"
        && entry["subresource"].as_str() == applier.subresource
}

fn applied_by(object: &Value, applier: Applier<'_>) -> Value {
    entries(object)
        .iter()
        .find(|entry| is_applied_by(entry, applier))
        .map_or(Value::Null, |entry| entry["fieldsV1"].clone())
}

/// The fields of a manifest as a manager owns them.
fn fields(sent: &Value) -> Value {
    const IDENTITY: [&str; 6] = ["apiVersion", "kind", "name", "namespace", "uid", "resourceVersion"];
    let owned =
        sent.as_object().into_iter().flatten().filter(|(field, _)| !IDENTITY.contains(&field.as_str()));
    owned.map(|(field, value)| (format!("f:{field}"), fields(value))).collect::<Map<_, _>>().into()
}
