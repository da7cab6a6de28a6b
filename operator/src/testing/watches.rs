//! Watches of whole kinds: a list of what is there, and then every change of it until the test ends.

use std::{collections::BTreeMap, time::Duration};

use futures::{StreamExt as _, stream};
use http_body_util::{BodyExt as _, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    Response, Uri,
    body::{Bytes, Frame},
};
use serde_json::{Value, json};

use super::{World, api_server};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What the API server answers.
pub(super) type Answer = Result<Response<UnsyncBoxBody<Bytes, Failure>>, Failure>;

/// How often a watch looks for changes.
const TICK: Duration = Duration::from_millis(5);

/// The answer to a request that is about no namespace: a kind in all of them.
pub(super) fn answer(world: &World, uri: &Uri) -> Option<Answer> {
    let path = uri.path();
    if path.contains("/namespaces/") {
        return None;
    }
    let kind = path.rsplit('/').next().unwrap_or_default();
    let is_watch = uri.query().is_some_and(|query| query.contains("watch=true"));
    let line = format!("{} {kind}", if is_watch { "WATCH" } else { "LIST" });
    world.state().looks.push(line.clone());
    let refusal =
        world.state().refusals.iter().find(|(start, _)| line.starts_with(start)).map(|(_, code)| *code);
    Some(match refusal {
        Some(code) => api_server::whole(code, &api_server::failure(code)),
        None if is_watch => Ok(Response::new(StreamBody::new(changes(world.clone(), kind)).boxed_unsync())),
        None => {
            let items: Vec<Value> = of_kind(world, kind).into_values().collect();
            let metadata = json!({ "resourceVersion": "1" });
            api_server::whole(
                200,
                &json!({ "kind": "List", "apiVersion": "v1", "metadata": metadata, "items": items }),
            )
        }
    })
}

fn of_kind(world: &World, kind: &str) -> BTreeMap<String, Value> {
    let start = format!("{kind}/");
    let state = world.state();
    let ours = state.objects.iter().filter(|(key, _)| key.starts_with(&start));
    ours.map(|(key, object)| (key.clone(), object.clone())).collect()
}

/// Lines of changes. What was listed is told once more, as after a list of an older version.
fn changes(
    world: World,
    kind: &str,
) -> impl futures::Stream<Item = Result<Frame<Bytes>, Failure>> + Send + 'static {
    let kind = kind.to_owned();
    stream::unfold(BTreeMap::new(), move |known| {
        let (world, kind) = (world.clone(), kind.clone());
        async move {
            loop {
                let now = of_kind(&world, &kind);
                if now != known {
                    return Some((Ok(Frame::data(told(&known, &now))), now));
                }
                tokio::time::sleep(TICK).await;
            }
        }
    })
    .boxed()
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
