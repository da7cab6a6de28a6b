//! Watches of kinds, in a namespace or all of them: a list of what is there, and then every change of it until the test
//! ends.

use std::{collections::BTreeMap, fmt, time::Duration};

use futures::{StreamExt as _, stream};
use http_body_util::{BodyExt as _, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    Response, Uri,
    body::{Bytes, Frame},
};
use serde_json::{Value, json};

use super::{World, api_server};

pub(super) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What the API server answers.
pub(super) type Answer = Result<Response<UnsyncBoxBody<Bytes, Failure>>, Failure>;

/// How often a watch looks for changes.
const TICK: Duration = Duration::from_millis(5);

/// The answer to a request of a watch: the list that it begins with, or the changes.
pub(super) fn answer(world: &World, uri: &Uri) -> Option<Answer> {
    let place = place(uri)?;
    let is_watch = uri.query().is_some_and(|query| query.contains("watch=true"));
    let line = format!("{} {place}", if is_watch { "WATCH" } else { "LIST" });
    world.state().looks.push(line.clone());
    let refusal =
        world.state().refusals.iter().find(|(start, _)| line.starts_with(start)).map(|(_, code)| *code);
    Some(match refusal {
        Some(code) => api_server::whole(code, &api_server::failure(code)),
        None if is_watch => Ok(Response::new(StreamBody::new(changes(world.clone(), place)).boxed_unsync())),
        None => {
            let items: Vec<Value> = place.objects(world).into_values().collect();
            let metadata = json!({ "resourceVersion": "1" });
            api_server::whole(
                200,
                &json!({ "kind": "List", "apiVersion": "v1", "metadata": metadata, "items": items }),
            )
        }
    })
}

/// What is watched.
#[derive(Clone)]
struct Place {
    kind: String,
    namespace: Option<String>,
}

/// What a request of a watch is about. Its lists have pages, and no other list of a namespace has.
fn place(uri: &Uri) -> Option<Place> {
    let Some((_, in_namespace)) = uri.path().split_once("/namespaces/") else {
        return Some(Place { kind: uri.path().rsplit('/').next()?.to_owned(), namespace: None });
    };
    let (namespace, kind) = in_namespace.split_once('/')?;
    let is_of_watch =
        uri.query().is_some_and(|query| query.contains("watch=true") || query.contains("limit="));
    (is_of_watch && !kind.contains('/'))
        .then(|| Place { kind: kind.to_owned(), namespace: Some(namespace.to_owned()) })
}

impl Place {
    fn objects(&self, world: &World) -> BTreeMap<String, Value> {
        let start = match &self.namespace {
            None => format!("{}/", self.kind),
            Some(namespace) => format!("{}/{namespace}/", self.kind),
        };
        let state = world.state();
        let ours = state.objects.iter().filter(|(key, _)| key.starts_with(&start));
        ours.map(|(key, object)| (key.clone(), object.clone())).collect()
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            None => f.write_str(&self.kind),
            Some(namespace) => write!(f, "{} in {namespace}", self.kind),
        }
    }
}

/// Lines of changes. What was listed is told once more, as after a list of an older version.
fn changes(
    world: World,
    place: Place,
) -> impl futures::Stream<Item = Result<Frame<Bytes>, Failure>> + Send + 'static {
    stream::unfold(BTreeMap::new(), move |known| {
        let (world, place) = (world.clone(), place.clone());
        async move {
            loop {
                if world.state().expired.remove(place.kind.as_str()) {
                    return Some((Ok(Frame::data(too_old())), known));
                }
                let (now, is_silent) =
                    (place.objects(&world), world.state().silent.contains(place.kind.as_str()));
                if now != known && !is_silent {
                    return Some((Ok(Frame::data(told(&known, &now))), now));
                }
                tokio::time::sleep(TICK).await;
            }
        }
    })
    .boxed()
}

/// What ends a watch: its client has to list again.
fn too_old() -> Bytes {
    let mut status = api_server::failure(410);
    status["reason"] = json!("Expired");
    format!("{}\n", json!({ "type": "ERROR", "object": status })).into()
}

fn told(known: &BTreeMap<String, Value>, now: &BTreeMap<String, Value>) -> Bytes {
    let mut lines = String::new();
    let mut tell = |kind: &str, object: &Value| {
        lines.push_str(&json!({ "type": kind, "object": object }).to_string());
        lines.push('\n');
    };
    for (key, object) in now {
        match known.get(key) {
            None => tell("ADDED", object),
            Some(before) if before != object => tell("MODIFIED", object),
            Some(_) => {}
        }
    }
    known.iter().filter(|(key, _)| !now.contains_key(*key)).for_each(|(_, object)| tell("DELETED", object));
    lines.into()
}
