//! Watches that tell of nothing, and watches that are too old: the periodic look and the next list make up for it.

use serde_json::Value;

use super::*;
use scenario::{beside_the_pipelines, beside_the_tenants, flag, looks, settled, until};

use crate::testing::{ACME, ACME_DEFAULT, ACME_KEYS, World, names_of_keys};

const SETTINGS: &str = "secrets/team/acme-default-settings";
const INGESTER: &str = "deployments/team/acme-default-ingester";
const LABEL: &str = "app.kubernetes.io/part-of";
/// Much longer than a reconcile takes here, and much shorter than the time until the periodic look.
const AT_ONCE: Duration = Duration::from_secs(10);

/// A world with a child of every kind.
async fn with_every_child() -> World {
    let world = settled().await;
    let policies = json!({"kafkaPorts": [9092], "clickhousePorts": [8123]});
    world.state().network_policies = Some(serde_json::from_value(policies).unwrap());
    world.edit(ACME_DEFAULT, |pipeline| {
        pipeline["spec"]["ingester"] = json!({"replicas": 2, "ingress": {"hostname": "events.example.com"}});
    });
    world.settle().await;
    world
}

/// An object of a kind that the Pipeline has.
fn child(world: &World, kind: &str) -> String {
    if kind == "secrets" {
        return SETTINGS.to_owned();
    }
    let start = format!("{kind}/");
    let state = world.state();
    state.objects.keys().find(|key| key.starts_with(&start)).unwrap_or_else(|| panic!("no {kind}")).clone()
}

fn label(world: &World, key: &str) -> Value {
    world.object(key).map_or(Value::Null, |object| object["metadata"]["labels"][LABEL].clone())
}

const CHILDREN: [&str; 6] =
    ["deployments", "services", "ingresses", "poddisruptionbudgets", "networkpolicies", "secrets"];

async fn at_once(what: &str, holds: impl Fn() -> bool) {
    let waited = tokio::time::timeout(AT_ONCE, until(holds)).await;
    assert!(waited.is_ok(), "{what}: not in time");
}

#[tokio::test]
async fn rule_13_a_child_is_made_again_at_the_next_look_if_no_watch_told_of_its_end() {
    let world = with_every_child().await;
    world.state().pace.recheck = Duration::from_millis(10);
    beside_the_pipelines(&world, flag(), async {
        until(|| CHILDREN.iter().all(|kind| looks(&world, &format!("WATCH {kind}")) > 0)).await;
        world.state().silent = CHILDREN.into();
        for kind in CHILDREN {
            let key = child(&world, kind);
            world.state().objects.remove(&key);
            at_once(&key, || world.object(&key).is_some()).await;
        }
    })
    .await;
}

#[tokio::test]
async fn rule_13_a_spec_is_followed_at_the_next_look_if_no_watch_told_of_its_change() {
    let world = settled().await;
    world.state().pace.recheck = Duration::from_millis(10);
    beside_the_pipelines(&world, flag(), async {
        until(|| looks(&world, "WATCH pipelines") > 0 && looks(&world, "WATCH analyticstenants") > 0).await;
        world.state().silent = ["pipelines", "analyticstenants"].into();
        world.edit(ACME_DEFAULT, |pipeline| pipeline["spec"]["ingester"] = json!({"replicas": 5}));
        at_once("a Pipeline's spec", || world.object(INGESTER).unwrap()["spec"]["replicas"] == 5).await;
        world.edit(ACME, |tenant| tenant["spec"]["suspend"] = json!("Ingest"));
        at_once("a tenant's spec", || {
            world.object(INGESTER).is_none_or(|ingester| ingester["spec"]["replicas"] == 0)
        })
        .await;
    })
    .await;

    let world = settled().await;
    let often = Duration::from_millis(10);
    // A managed Pipeline that was made again is not ready, since nobody looks at it here.
    world.state().pace.recheck = often;
    world.state().pace.soon = often;
    beside_the_tenants(&world, Writer::default(), async {
        let kinds = ["analyticstenants", "secrets", "pipelines"];
        until(|| kinds.iter().all(|kind| looks(&world, &format!("WATCH {kind}")) > 0)).await;
        world.state().silent = kinds.into();
        for key in [ACME_KEYS, ACME_DEFAULT] {
            world.state().objects.remove(key);
            at_once(key, || world.object(key).is_some()).await;
        }
        world.edit(ACME, |tenant| tenant["spec"]["apiKeys"] = json!([{"name": "b", "scopes": ["Ingest"]}]));
        at_once("a tenant's keys", || names_of_keys(&world) == ["b"]).await;
    })
    .await;
}

/// Nothing but the list tells of it: the watch is silent, and the periodic look is far.
#[tokio::test]
async fn rule_28_a_watch_that_is_too_old_leads_to_a_list_and_what_was_missed_is_found() {
    let world = with_every_child().await;
    beside_the_pipelines(&world, flag(), async {
        until(|| CHILDREN.iter().all(|kind| looks(&world, &format!("WATCH {kind}")) > 0)).await;
        world.state().silent = CHILDREN.into();
        for kind in CHILDREN {
            let key = child(&world, kind);
            let before = label(&world, &key);
            world.edit(&key, |object| object["metadata"]["labels"][LABEL] = json!("somebody-else"));
            world.state().expired = [kind].into();
            at_once(&key, || label(&world, &key) == before).await;
        }
    })
    .await;
}

#[tokio::test]
async fn rule_28_what_was_made_and_what_went_while_a_watch_was_silent_is_found_by_the_next_list() {
    const NEW: &str = "pipelines/team/new";
    let world = settled().await;
    beside_the_pipelines(&world, flag(), async {
        until(|| looks(&world, "WATCH pipelines") > 0).await;
        world.state().silent = ["pipelines"].into();
        world.apply(
            "{apiVersion: analytics.millrace.dev/v1alpha1, kind: Pipeline, \
             metadata: {name: new, namespace: team}, spec: {tenantRef: {name: acme}}}",
        );
        world.delete(ACME_DEFAULT);
        world.state().expired = ["pipelines"].into();
        at_once("a new one", || world.reason(NEW, "Ready").is_some()).await;
        at_once("one that goes", || world.object(ACME_DEFAULT).is_none()).await;
    })
    .await;
}
