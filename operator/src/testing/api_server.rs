//! The API server: get, list, create, server-side apply, merge patches, status, deletion with finalizers, watches.

mod managed_fields;

use http_body_util::{BodyExt as _, Full};
use hyper::{HeaderMap, Request, Response, StatusCode};
use kube::{
    Client,
    client::{Body, retry::RetryPolicy},
};
use serde_json::{Value, json};
use tower::{retry::Retry, service_fn};

use super::{
    State, World, guard, vocabulary,
    watches::{self, Answer},
};
use managed_fields::Applier;

/// A client whose requests this world answers.
pub(super) fn client(world: World) -> Client {
    let service = service_fn(move |request: Request<Body>| {
        let world = world.clone();
        async move {
            if let Some(watching) = watches::answer(&world, request.uri()) {
                return watching;
            }
            let (parts, body) = request.into_parts();
            let body = body.collect().await?.to_bytes();
            let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
            let query = parts.uri.query().unwrap_or_default().to_owned();
            let content_type =
                parts.headers.get("content-type").map_or("", |value| value.to_str().unwrap()).to_owned();
            let call = Call {
                method: parts.method.to_string(),
                path: parts.uri.path().to_owned(),
                query,
                content_type,
                parts: Parts::of(&parts.headers),
                body,
            };
            let trouble = world.take_trouble(&call.line());
            if let Some(trouble) = trouble.filter(|trouble| !trouble.carries_out()) {
                return trouble.instead_of(&[]).await;
            }
            let answer = match call.method.as_str() {
                "GET" => call.answer(&mut world.state()),
                _ => world.change(|state| call.answer(state)).await,
            };
            let (code, answer) = match answer {
                Ok(answer) => (200, answer),
                Err(code) => (code, failure(code)),
            };
            world.pause_if_asked().await;
            match trouble {
                Some(trouble) => trouble.instead_of(&serde_json::to_vec(&answer)?).await,
                None => whole(code, &answer),
            }
        }
    });
    // As the client that a configuration makes.
    let service = Retry::new(RetryPolicy::server_retry(), service);
    Client::new(service, "default")
}

/// An answer that is there as a whole.
pub(super) fn whole(code: u16, answer: &Value) -> Answer {
    let body = Full::from(serde_json::to_vec(answer)?);
    Ok(Response::builder()
        .status(StatusCode::from_u16(code)?)
        .body(body.map_err(Into::into).boxed_unsync())?)
}

pub(super) fn failure(code: u16) -> Value {
    let reason = if code == 404 { "NotFound" } else { "Other" };
    json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure",
        "code": code, "reason": reason, "message": "as the test asks",
    })
}

struct Call {
    method: String,
    path: String,
    query: String,
    content_type: String,
    parts: Parts,
    body: Value,
}

/// What a read asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Parts {
    All,
    Metadata,
}

impl Parts {
    fn of(headers: &HeaderMap) -> Self {
        let accepted = headers.get("accept").map_or("", |value| value.to_str().unwrap());
        if accepted.contains("PartialObjectMetadata") { Self::Metadata } else { Self::All }
    }
}

impl Call {
    /// `<plural>/<namespace>/<name>`, and whether it is about the status.
    fn target(&self) -> (String, bool) {
        let parts: Vec<&str> =
            self.path.split('/').skip_while(|part| *part != "namespaces").skip(1).collect();
        let (namespace, plural) = (parts[0], parts[1]);
        // What is made bears its name in the body alone.
        let in_body = self.body["metadata"]["name"].as_str().filter(|_| self.method == "POST");
        let name = parts.get(2).copied().or(in_body).unwrap_or_default();
        (format!("{plural}/{namespace}/{name}"), parts.get(3) == Some(&"status"))
    }

    fn read(&self, state: &mut State, key: &str) -> Result<Value, u16> {
        state.may_read(format!("GET {key}"))?;
        match self.parts {
            _ if key.ends_with('/') => Ok(list(state, key)),
            Parts::Metadata => get(state, key).map(|object| json!({ "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": object["metadata"] })),
            Parts::All => {
                state.is_allowed(&format!("GET {key} whole"))?;
                get(state, key)
            }
        }
    }

    fn is_apply(&self) -> bool {
        self.content_type.contains("apply-patch")
    }

    fn verb(&self) -> &'static str {
        match (self.method.as_str(), self.is_apply()) {
            ("GET", _) => "GET",
            ("POST", _) => "POST",
            ("DELETE", _) => "DELETE",
            ("PATCH", true) => "APPLY",
            ("PATCH", false) => "MERGE",
            (other, _) => panic!("the operator never asks to {other}"),
        }
    }

    /// The request in the log.
    fn line(&self) -> String {
        let (key, is_status) = self.target();
        let what = if is_status { " status" } else { "" };
        format!("{} {key}{what}", self.verb())
    }

    fn answer(self, state: &mut State) -> Result<Value, u16> {
        let (key, is_status) = self.target();
        if self.method == "GET" {
            return self.read(state, &key);
        }
        let (verb, is_apply) = (self.verb(), self.is_apply());
        state.begin(self.line())?;
        if is_apply {
            assert!(self.query.contains("fieldManager="), "{}", self.query);
            assert!(!is_status || self.query.contains("force=true"), "{}", self.query);
        }
        let answer = match verb {
            "POST" if key.starts_with("events/") => {
                vocabulary::assert_event_is_known(&self.body);
                state.events.push(self.body.clone());
                Ok(self.body)
            }
            "POST" => post(state, &key, self.body, manager(&self.query)),
            "DELETE" => {
                is_expected(&get(state, &key)?, &self.body["preconditions"])?;
                state.violations.extend(guard::objection(state, &format!("DELETE {key}")));
                Ok(delete(state, &key))
            }
            _ if is_status => write_status(state, &key, &self.body, is_apply, manager(&self.query)),
            "APPLY" => apply(state, &key, self.body, &self.query),
            _ => merge(state, &key, &self.body),
        };
        state.end()?;
        answer
    }
}

fn get(state: &State, key: &str) -> Result<Value, u16> {
    state.objects.get(key).cloned().ok_or(404)
}

fn list(state: &State, start: &str) -> Value {
    let items: Vec<&Value> =
        state.objects.iter().filter(|(key, _)| key.starts_with(start)).map(|(_, object)| object).collect();
    json!({ "kind": "List", "apiVersion": "v1", "metadata": {}, "items": items })
}

/// Whether the object is the incarnation and the version that a request was made for.
fn is_expected(object: &Value, expected: &Value) -> Result<(), u16> {
    let differs = |field: &str| !expected[field].is_null() && expected[field] != object["metadata"][field];
    if differs("uid") || differs("resourceVersion") { Err(409) } else { Ok(()) }
}

/// The field manager that a request names.
fn manager(query: &str) -> &str {
    query.split("fieldManager=").nth(1).and_then(|rest| rest.split('&').next()).unwrap_or_default()
}

pub(super) fn create(state: &mut State, mut object: Value) {
    let plural = match object["kind"].as_str().unwrap() {
        "AnalyticsTenant" => "analyticstenants",
        "Pipeline" => "pipelines",
        other => panic!("no plural for {other}"),
    };
    let text = |field: &str| object["metadata"][field].as_str().unwrap().to_owned();
    let key = format!("{plural}/{}/{}", text("namespace"), text("name"));
    born(state, &mut object);
    state.objects.insert(key, object);
}

fn born(state: &mut State, object: &mut Value) {
    let number = state.number();
    object["metadata"]["uid"] = json!(format!("uid-{number}"));
    object["metadata"]["generation"] = json!(1);
    object["metadata"]["creationTimestamp"] = json!(format!("2026-01-01T00:{:02}:00Z", number % 60));
    object["metadata"]["resourceVersion"] = json!("1");
    let is_ours = object["apiVersion"].as_str().is_some_and(|version| version.starts_with(crds::GROUP));
    if is_ours && object["status"].is_null() {
        // As the definitions say.
        object["status"] = json!({ "observedGeneration": -1 });
    }
}

/// A change by a user or by another controller. A new spec is a new generation, and so is the wish that it goes.
pub(super) fn edit(object: &mut Value, edit: impl FnOnce(&mut Value)) {
    let before = object.clone();
    edit(object);
    changed(object, &before);
}

/// Counts a change, if there is one.
fn changed(object: &mut Value, before: &Value) {
    let is_doomed = |object: &Value| !object["metadata"]["deletionTimestamp"].is_null();
    if object["spec"] != before["spec"] || is_doomed(object) != is_doomed(before) {
        let generation = object["metadata"]["generation"].as_i64().unwrap_or(0);
        object["metadata"]["generation"] = json!(generation + 1);
    }
    if object != before {
        touched(object);
    }
}

pub(super) fn touched(object: &mut Value) {
    let version: u64 = object["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap();
    object["metadata"]["resourceVersion"] = json!((version + 1).to_string());
}

fn post(state: &mut State, key: &str, mut object: Value, manager: &str) -> Result<Value, u16> {
    if state.objects.contains_key(key) {
        return Err(409);
    }
    managed_fields::note_created(&mut object, manager);
    born(state, &mut object);
    state.objects.insert(key.to_owned(), object.clone());
    Ok(object)
}

fn apply(state: &mut State, key: &str, sent: Value, query: &str) -> Result<Value, u16> {
    let (is_forced, manager) = (query.contains("force=true"), manager(query));
    match state.objects.get(key) {
        Some(found) => {
            let names_one = sent["metadata"]["uid"].is_string();
            assert!(!is_forced || names_one, "{key} is written to whoever it is");
            is_expected(found, &sent["metadata"])?;
            if !is_forced && managed_fields::is_in_conflict(found, &sent, manager) {
                return Err(409);
            }
        }
        // As the API server: a UID means an object that is there.
        None if sent["metadata"]["uid"].is_string() => return Err(409),
        None => {}
    }
    let found = state.objects.get(key).cloned();
    let mut object = found.clone().unwrap_or_else(|| {
        let mut object = sent.clone();
        born(state, &mut object);
        object
    });
    for (field, value) in sent.as_object().unwrap() {
        deep_merge(&mut object[field], value);
    }
    managed_fields::note_applied(&mut object, &sent, Applier { manager, subresource: None });
    found.iter().for_each(|found| changed(&mut object, found));
    roll_out(state, key, &mut object);
    state.objects.insert(key.to_owned(), object.clone());
    Ok(object)
}

/// The pods follow at once what a Deployment asks for.
fn roll_out(state: &State, key: &str, object: &mut Value) {
    if key.starts_with("deployments/") && !state.are_pods_stuck {
        let replicas = object["spec"]["replicas"].clone();
        object["status"] = json!({
            "observedGeneration": object["metadata"]["generation"],
            "replicas": replicas, "updatedReplicas": replicas, "availableReplicas": replicas,
            "readyReplicas": replicas,
        });
    }
}

fn merge(state: &mut State, key: &str, patch: &Value) -> Result<Value, u16> {
    let before = get(state, key)?;
    is_expected(&before, &patch["metadata"])?;
    let mut changes = patch.clone();
    let metadata = changes["metadata"].as_object_mut().unwrap();
    metadata.retain(|field, _| field != "uid" && field != "resourceVersion");
    let mut object = before.clone();
    deep_merge(&mut object, &changes);
    changed(&mut object, &before);
    roll_out(state, key, &mut object);
    state.objects.insert(key.to_owned(), object.clone());
    forget_if_free(state, key);
    Ok(object)
}

fn write_status(
    state: &mut State,
    key: &str,
    sent: &Value,
    is_apply: bool,
    manager: &str,
) -> Result<Value, u16> {
    let before = get(state, key)?;
    is_expected(&before, &sent["metadata"])?;
    vocabulary::assert_conditions_are_known(key, &sent["status"]);
    let mut object = before.clone();
    deep_merge(&mut object["status"], &sent["status"]);
    if is_apply {
        let applied = json!({ "status": sent["status"] });
        managed_fields::note_applied(&mut object, &applied, Applier { manager, subresource: Some("status") });
    }
    changed(&mut object, &before);
    state.objects.insert(key.to_owned(), object.clone());
    Ok(object)
}

pub(super) fn delete(state: &mut State, key: &str) -> Value {
    let object = state.objects.get_mut(key).unwrap();
    if object["metadata"]["deletionTimestamp"].is_null() {
        edit(object, |object| object["metadata"]["deletionTimestamp"] = json!("2099-01-01T00:00:00Z"));
    }
    forget_if_free(state, key);
    json!({ "kind": "Status", "apiVersion": "v1", "status": "Success" })
}

/// An object goes when it is deleted and nothing holds it; what it owns goes with it.
fn forget_if_free(state: &mut State, key: &str) {
    let object = &state.objects[key];
    let is_held = object["metadata"]["finalizers"].as_array().is_some_and(|held| !held.is_empty());
    if object["metadata"]["deletionTimestamp"].is_null() || is_held {
        return;
    }
    let uid = state.objects.remove(key).unwrap()["metadata"]["uid"].clone();
    let is_owned = |child: &Value| child["metadata"]["ownerReferences"][0]["uid"] == uid;
    let owned: Vec<String> =
        state.objects.iter().filter(|(_, child)| is_owned(child)).map(|(key, _)| key.clone()).collect();
    for child in owned {
        delete(state, &child);
    }
}

fn deep_merge(target: &mut Value, patch: &Value) {
    match (target, patch) {
        (Value::Object(target), Value::Object(patch)) => {
            for (field, value) in patch {
                deep_merge(target.entry(field).or_insert(Value::Null), value);
            }
        }
        (target, patch) => *target = patch.clone(),
    }
}

#[cfg(test)]
mod tests;
