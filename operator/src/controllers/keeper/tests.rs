use crds::Pipeline;
use kube::{ResourceExt as _, runtime::reflector::Store};
use runtime::health::Health;
use serde_json::json;

use super::*;

fn resource(namespace: &str, name: &str, tenant: &serde_json::Value) -> Guarded<Pipeline> {
    let metadata = json!({"name": name, "namespace": namespace});
    serde_json::from_value(json!({"metadata": metadata, "spec": {"tenantRef": {"name": tenant}}})).unwrap()
}

fn readable(namespace: &str, name: &str) -> Guarded<Pipeline> {
    resource(namespace, name, &json!("acme"))
}

fn unreadable(namespace: &str, name: &str) -> Guarded<Pipeline> {
    resource(namespace, name, &json!(7))
}

/// A store, and the parts of it that these namespaces are.
fn parts<const N: usize>(namespaces: [&str; N]) -> (Store<Pipeline>, Flag, [Part<Pipeline>; N]) {
    let (writer, listed) = (Writer::default(), Health::new().flag("listed"));
    let store = writer.as_reader();
    let keeper = Keeper::new(writer, listed.clone(), N);
    (store, listed, namespaces.map(|name| keeper.part(Place::Namespace(name.to_owned()))))
}

/// A list of a place from its beginning to its end.
fn list(part: &mut Part<Pipeline>, resources: Vec<Guarded<Pipeline>>) {
    part.take(&Ok(Event::Init));
    resources.into_iter().for_each(|resource| part.take(&Ok(Event::InitApply(resource))));
    part.take(&Ok(Event::InitDone));
}

fn kept(store: &Store<Pipeline>) -> Vec<String> {
    let name = |kept: &Arc<Pipeline>| format!("{}/{}", kept.namespace().unwrap(), kept.name_any());
    let mut names: Vec<String> = store.state().iter().map(name).collect();
    names.sort();
    names
}

fn is_ready(store: &Store<Pipeline>) -> bool {
    use futures::FutureExt as _;
    store.wait_until_ready().now_or_never().is_some()
}

#[test]
fn only_what_can_be_read_is_kept() {
    let (store, _, [mut team]) = parts(["team"]);
    let mut kept = |event: Event<Guarded<Pipeline>>| {
        team.take(&Ok(event));
        kept(&store)
    };
    kept(Event::Apply(readable("team", "app")));
    assert_eq!(kept(Event::Apply(readable("team", "web"))), ["team/app", "team/web"]);
    assert_eq!(kept(Event::Apply(unreadable("team", "app"))), ["team/web"]);
    assert_eq!(kept(Event::Apply(unreadable("team", "new"))), ["team/web"]);
    assert_eq!(kept(Event::Apply(readable("team", "app"))), ["team/app", "team/web"]);
    assert_eq!(kept(Event::Delete(unreadable("team", "app"))), ["team/web"]);
    assert_eq!(kept(Event::Delete(readable("team", "web"))), [""; 0]);
}

#[test]
fn a_list_replaces_what_is_known_of_its_own_namespace() {
    let (store, _, [mut team, mut far]) = parts(["team", "far"]);
    list(&mut far, vec![readable("far", "web")]);
    list(&mut team, vec![readable("team", "app"), readable("team", "web"), readable("team", "old")]);
    assert_eq!(kept(&store), ["far/web", "team/app", "team/old", "team/web"]);
    list(&mut team, vec![readable("team", "app"), unreadable("team", "web")]);
    assert_eq!(kept(&store), ["far/web", "team/app"]);
}

/// What a list began with is worth nothing when the list is begun anew.
#[test]
fn a_list_that_broke_off_removes_nothing() {
    let (store, _, [mut team]) = parts(["team"]);
    list(&mut team, vec![readable("team", "app"), readable("team", "web")]);
    team.take(&Ok(Event::Init));
    team.take(&Ok(Event::InitApply(readable("team", "web"))));
    team.take(&Err(watcher::Error::NoResourceVersion));
    assert_eq!(kept(&store), ["team/app", "team/web"]);
    list(&mut team, vec![readable("team", "app")]);
    assert_eq!(kept(&store), ["team/app"]);
}

#[test]
fn the_store_is_ready_when_each_namespace_answered_and_one_was_listed() {
    let (store, listed, [mut team, mut far, mut lost]) = parts(["team", "far", "lost"]);
    let refuse = |part: &mut Part<Pipeline>| part.take(&Err(watcher::Error::NoResourceVersion));
    refuse(&mut lost);
    refuse(&mut lost);
    refuse(&mut team);
    refuse(&mut far);
    assert!(!is_ready(&store) && !listed.is_set(), "nothing was listed");
    list(&mut team, vec![readable("team", "app")]);
    assert!(is_ready(&store) && listed.is_set());
    list(&mut lost, vec![readable("lost", "web")]);
    assert_eq!(kept(&store), ["lost/web", "team/app"], "it is found when it comes");
}

#[test]
fn the_store_waits_for_a_namespace_that_did_not_answer() {
    let (store, listed, [mut team, mut far]) = parts(["team", "far"]);
    list(&mut team, vec![readable("team", "app")]);
    assert!(!is_ready(&store) && !listed.is_set());
    list(&mut far, Vec::new());
    assert!(is_ready(&store) && listed.is_set());
    assert_eq!(kept(&store), ["team/app"]);
}
