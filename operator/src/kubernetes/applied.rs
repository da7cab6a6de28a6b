//! Whether an object already is what would be applied. Pure.
//!
//! Three questions, each with its own answer in the object: does every wanted field have its value and is it still ours,
//! so that nothing has to be repaired, and does our manager own no field that is no longer wanted, so that nothing has
//! to be removed? A field that somebody changed is theirs by then: where the API server takes a map or a list for one
//! value, it may have what we want and more.
//! What others added beside our fields is theirs. Where the API server spells a value in another way, the object is
//! applied once too often, which changes nothing.

use serde_json::Value;

pub(super) fn is_applied(found: &Value, wanted: &Value, manager: &str) -> bool {
    let ours = owned_by(found, manager);
    // An object that the manager never applied is not.
    let Some(first) = ours.first() else { return false };
    has_owned(found, wanted, first) && ours.iter().all(|owned| is_wanted(owned, wanted))
}

/// Whether every wanted field has its value, and every list these elements and no other.
pub(super) fn has(found: &Value, wanted: &Value) -> bool {
    match (found, wanted) {
        (Value::Object(found), Value::Object(wanted)) => {
            wanted.iter().all(|(field, wanted)| match found.get(field) {
                Some(found) => has(found, wanted),
                None => is_empty(wanted),
            })
        }
        (Value::Array(found), Value::Array(wanted)) => {
            found.len() == wanted.len() && found.iter().zip(wanted).all(|(found, wanted)| has(found, wanted))
        }
        (found, wanted) => found == wanted,
    }
}

/// What says which object is meant. Nobody owns it.
const IDENTITY: [&str; 6] = ["apiVersion", "kind", "name", "namespace", "uid", "resourceVersion"];

/// Whether every wanted field has its value and is owned. A list of which single elements are owned may have others of
/// somebody else.
fn has_owned(found: &Value, wanted: &Value, owned: &Value) -> bool {
    let Some(paths) = owned.as_object().filter(|paths| !paths.is_empty()) else {
        return has(found, wanted); // One value, whatever it is made of.
    };
    match (found, wanted) {
        (Value::Object(found), Value::Object(wanted)) => {
            wanted.iter().all(|(field, wanted)| match (found.get(field), paths.get(&format!("f:{field}"))) {
                (None, _) => is_empty(wanted),
                (Some(found), Some(below)) => has_owned(found, wanted, below),
                (Some(found), None) => {
                    (is_empty(wanted) || IDENTITY.contains(&field.as_str())) && has(found, wanted)
                }
            })
        }
        (Value::Array(found), Value::Array(wanted)) => {
            wanted.iter().all(|wanted| paths.iter().any(|path| is_owned_element(found, wanted, path)))
        }
        (found, wanted) => found == wanted,
    }
}

/// Whether a path means this element, and a list has it once and as it is wanted.
fn is_owned_element(found: &[Value], wanted: &Value, (path, below): (&String, &Value)) -> bool {
    let Some((kind, meant)) = path.split_once(':') else { return false };
    let Ok(meant) = serde_json::from_str::<Value>(meant) else { return false };
    match kind {
        "v" => *wanted == meant && found.contains(wanted),
        "k" if has(wanted, &meant) => {
            let mut same = found.iter().filter(|found| has(found, &meant));
            matches!((same.next(), same.next()), (Some(one), None) if has_owned(one, wanted, below))
        }
        _ => false,
    }
}

/// What the API server leaves out.
fn is_empty(value: &Value) -> bool {
    value.is_null()
        || value.as_object().is_some_and(serde_json::Map::is_empty)
        || value.as_array().is_some_and(Vec::is_empty)
}

/// What a manager applied, by the entries of which there may be one for each version of the API.
fn owned_by<'a>(found: &'a Value, manager: &str) -> Vec<&'a Value> {
    let entries = found["metadata"]["managedFields"].as_array().map_or(&[][..], Vec::as_slice);
    let is_ours = |entry: &&Value| {
        entry["manager"] == manager && entry["operation"] == "Apply" && entry["subresource"].is_null()
    };
    entries.iter().filter(is_ours).map(|entry| &entry["fieldsV1"]).collect()
}

/// Whether each of the owned fields stands in the manifest. The keys are those of
/// <https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/object-meta/>: `f:` a field, `k:` an element
/// of a list by its key, `v:` one by its value, `i:` one by its place, `.` the thing itself.
fn is_wanted(owned: &Value, wanted: &Value) -> bool {
    let Some(owned) = owned.as_object() else { return true };
    owned.iter().all(|(path, below)| match path.split_once(':') {
        None => path == ".",
        Some(("f", field)) => wanted.get(field).is_some_and(|wanted| is_wanted(below, wanted)),
        Some(("k", key)) => element(wanted, key, has).is_some_and(|element| is_wanted(below, element)),
        Some(("v", value)) => element(wanted, value, |element, value| element == value).is_some(),
        Some(("i", place)) => place.parse::<usize>().is_ok_and(|place| wanted.get(place).is_some()),
        Some(_) => false,
    })
}

/// The element of a list that is meant by a key or value in JSON.
fn element<'a>(list: &'a Value, meant: &str, is_meant: impl Fn(&Value, &Value) -> bool) -> Option<&'a Value> {
    let meant = serde_json::from_str(meant).ok()?;
    list.as_array()?.iter().find(|element| is_meant(element, &meant))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn wanted() -> Value {
        json!({
            "metadata": {"name": "web", "labels": {"a.example.com/b": "c"}, "ownerReferences": [{"uid": "u1"}]},
            "spec": {
                "replicas": 2,
                "containers": [{"name": "ingester", "image": "ingester:1", "args": ["x"]}],
                "ports": [{"port": 8080, "protocol": "TCP"}],
            },
        })
    }

    /// The object as the API server answers with it: with fields of others, and who owns what.
    fn found() -> Value {
        let mut found = wanted();
        found["metadata"]["uid"] = json!("u2");
        found["metadata"]["annotations"] = json!({"deployment.kubernetes.io/revision": "1"});
        found["spec"]["containers"][0]["imagePullPolicy"] = json!("IfNotPresent");
        found["status"] = json!({"replicas": 2});
        found["metadata"]["managedFields"] = json!([
            {"manager": "kube-controller-manager", "operation": "Update", "subresource": "status",
             "fieldsV1": {"f:status": {"f:replicas": {}}}},
            {"manager": "us", "operation": "Update", "fieldsV1": {"f:spec": {"f:paused": {}}}},
            {"manager": "us", "operation": "Apply", "subresource": "status", "fieldsV1": {"f:status": {}}},
            {"manager": "us", "operation": "Apply", "fieldsV1": {
                "f:metadata": {
                    "f:labels": {"f:a.example.com/b": {}},
                    "f:ownerReferences": {"k:{\"uid\":\"u1\"}": {}},
                },
                "f:spec": {
                    "f:replicas": {},
                    "f:containers": {"k:{\"name\":\"ingester\"}": {
                        ".": {}, "f:name": {}, "f:image": {}, "f:args": {"v:\"x\"": {}},
                    }},
                    "f:ports": {"k:{\"port\":8080,\"protocol\":\"TCP\"}": {
                        ".": {}, "f:port": {}, "f:protocol": {},
                    }},
                },
            }},
        ]);
        found
    }

    #[track_caller]
    fn check(expected: bool, edit: impl FnOnce(&mut Value, &mut Value)) {
        let (mut found, mut wanted) = (found(), wanted());
        edit(&mut found, &mut wanted);
        assert_eq!(is_applied(&found, &wanted, "us"), expected);
    }

    #[test]
    fn what_was_applied_and_left_alone_is_applied() {
        check(true, |_, _| {});
    }

    #[test]
    fn what_others_add_is_theirs() {
        check(true, |found, _| found["metadata"]["labels"]["x"] = json!("y"));
    }

    /// As an admission webhook does it.
    #[test]
    fn an_element_more_is_theirs_where_single_ones_are_ours() {
        check(true, |found, _| {
            let containers = found["spec"]["containers"].as_array_mut().unwrap();
            containers.insert(0, json!({"name": "sidecar", "image": "sidecar:1"}));
        });
        check(true, |found, _| found["spec"]["ports"].as_array_mut().unwrap().push(json!({"port": 9})));
        check(false, |found, _| {
            found["spec"]["containers"] = json!([{"name": "sidecar", "image": "ingester:1"}])
        });
        check(false, |found, _| {
            let containers = found["spec"]["containers"].as_array_mut().unwrap();
            containers.push(json!({"name": "sidecar", "image": "sidecar:1"}));
            containers[0]["image"] = json!("other:1");
        });
    }

    #[test]
    fn an_element_that_is_there_twice_is_drift() {
        check(false, |found, _| {
            let containers = found["spec"]["containers"].as_array_mut().unwrap();
            containers.push(json!({"name": "ingester", "image": "other:1"}));
        });
    }

    /// The API server takes a selector for one value, which belongs to whoever changed it last.
    #[test]
    fn what_somebody_added_to_a_value_of_ours_is_drift() {
        let select = |found: &mut Value, wanted: &mut Value| {
            wanted["spec"]["selector"] = json!({"app": "web"});
            found["spec"]["selector"] = json!({"app": "web", "x": "y"});
        };
        check(false, |found, wanted| select(found, wanted));
        check(true, |found, wanted| {
            select(found, wanted);
            found["spec"]["selector"].as_object_mut().unwrap().remove("x");
            found["metadata"]["managedFields"][3]["fieldsV1"]["f:spec"]["f:selector"] = json!({});
        });
    }

    #[test]
    fn an_element_more_is_drift_where_the_whole_list_is_ours() {
        check(false, |found, wanted| {
            for object in [&mut *found, wanted] {
                object["spec"]["tolerations"] = json!([{"key": "a"}]);
            }
            found["metadata"]["managedFields"][3]["fieldsV1"]["f:spec"]["f:tolerations"] = json!({});
            found["spec"]["tolerations"].as_array_mut().unwrap().push(json!({"key": "b"}));
        });
    }

    #[test]
    fn what_the_api_server_leaves_out_is_no_wish() {
        check(true, |_, wanted| wanted["spec"]["limits"] = json!({}));
        check(true, |_, wanted| wanted["spec"]["tolerations"] = json!([]));
    }

    #[test]
    fn a_changed_wish_is_applied() {
        check(false, |_, wanted| wanted["spec"]["replicas"] = json!(3));
        check(false, |_, wanted| wanted["metadata"]["labels"]["x"] = json!("y"));
        check(false, |_, wanted| wanted["spec"]["containers"][0]["args"] = json!(["x", "y"]));
    }

    #[test]
    fn a_dropped_wish_is_removed() {
        check(false, |_, wanted| wanted["metadata"]["labels"] = json!({}));
        check(false, |_, wanted| {
            wanted["spec"].as_object_mut().unwrap().remove("ports");
        });
        check(false, |_, wanted| {
            wanted["spec"]["containers"][0].as_object_mut().unwrap().remove("args");
        });
    }

    #[test]
    fn drift_is_repaired() {
        check(false, |found, _| found["spec"]["replicas"] = json!(9));
        check(false, |found, _| found["spec"]["containers"][0]["image"] = json!("other:1"));
        check(false, |found, _| found["metadata"]["ownerReferences"] = json!([]));
        check(false, |found, _| found["spec"]["containers"][0]["args"] = json!(["z"]));
    }

    #[test]
    fn an_object_that_we_never_applied_is_applied() {
        check(false, |found, _| found["metadata"]["managedFields"] = json!([]));
        check(false, |found, _| found["metadata"]["managedFields"][3]["manager"] = json!("somebody"));
    }
}
