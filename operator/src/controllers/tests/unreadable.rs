//! What a resource of another version does to everything else: nothing. And what is done to it: nothing.

use crds::Reason;

use super::*;
use scenario::{beside_the_pipelines, beside_the_tenants, flag, looks, settled, until};

use crate::{
    failure::Failure,
    progress::Problem as _,
    testing::{ACME, ACME_DEFAULT, ACME_KEYS, TENANT, World, names_of_keys},
};

const INGESTER: &str = "deployments/team/acme-default-ingester";
const NEWER: &str = "pipelines/team/newer";

/// A Pipeline whose policy this version does not know.
const NEWER_PIPELINE: &str = "
apiVersion: analytics.millrace.dev/v1alpha1
kind: Pipeline
metadata: {name: newer, namespace: team}
spec: {tenantRef: {name: acme}, deletionPolicy: {kafka: Archive}}
";

/// A tenant whose policy this version does not know.
const NEWER_TENANT: &str = "
apiVersion: analytics.millrace.dev/v1alpha1
kind: AnalyticsTenant
metadata: {name: newer, namespace: team}
spec: {deletionPolicy: {kafka: Archive}}
";

/// The notes of the Events about a resource.
fn notes(world: &World, name: &str) -> Vec<String> {
    let about = |event: &&serde_json::Value| {
        event["regarding"]["name"] == name && event["reason"] == "UnreadableResource"
    };
    let state = world.state();
    state.events.iter().filter(about).map(|event| event["note"].as_str().unwrap().to_owned()).collect()
}

/// A user sets a field of the spec, or removes it.
fn set_policy(world: &World, key: &str, policy: serde_json::Value) {
    world.edit(key, |resource| {
        resource["spec"]["deletionPolicy"] = policy;
        let generation = resource["metadata"]["generation"].as_i64().unwrap();
        resource["metadata"]["generation"] = (generation + 1).into();
    });
}

#[tokio::test]
async fn a_pipeline_that_cannot_be_read_holds_up_no_other() {
    let (world, listed) = (settled().await, flag());
    world.apply(NEWER_PIPELINE);
    let before = world.object(NEWER);
    world.state().objects.remove(INGESTER);
    beside_the_pipelines(&world, listed.clone(), async {
        until(|| world.object(INGESTER).is_some() && !notes(&world, "newer").is_empty()).await;
    })
    .await;
    assert!(listed.is_set());
    assert_eq!(world.object(NEWER), before);
    let notes = notes(&world, "newer");
    assert_eq!(notes.len(), 1, "the watch tells of it twice: {notes:?}");
    assert!(
        notes[0].contains("`spec.deletionPolicy.kafka`") && !notes[0].contains("Archive"),
        "{}",
        notes[0]
    );
}

#[tokio::test]
async fn a_pipeline_that_can_be_read_no_longer_is_left_alone_until_it_can_be() {
    let world = settled().await;
    beside_the_pipelines(&world, flag(), async {
        until(|| looks(&world, "WATCH pipelines") > 0).await;
        set_policy(&world, ACME_DEFAULT, json!({"kafka": "Archive"}));
        until(|| !notes(&world, "acme-default").is_empty()).await;
        world.take_log();
        world.state().objects.remove(INGESTER);
        world.apply(&NEWER_PIPELINE.replace("Archive", "Delete").replace("newer", "readable"));
        until(|| world.reason("pipelines/team/readable", "Ready").is_some()).await;
        let log = world.take_log();
        assert!(!log.iter().any(|line| line.contains("acme-default")), "{log:?}");
        set_policy(&world, ACME_DEFAULT, json!(null));
        until(|| world.object(INGESTER).is_some()).await;
    })
    .await;
}

/// Only the generation of a spec grows.
#[tokio::test]
async fn a_status_that_cannot_be_read_is_noticed_and_its_mending_too() {
    let world = settled().await;
    let status = world.object(ACME_DEFAULT).unwrap()["status"].clone();
    beside_the_pipelines(&world, flag(), async {
        until(|| looks(&world, "WATCH pipelines") > 0).await;
        world.edit(ACME_DEFAULT, |pipeline| pipeline["status"] = json!({"conditions": "none"}));
        until(|| !notes(&world, "acme-default").is_empty()).await;
        world.state().objects.remove(INGESTER);
        world.edit(ACME_DEFAULT, |pipeline| pipeline["status"] = status);
        until(|| world.object(INGESTER).is_some()).await;
    })
    .await;
}

#[tokio::test]
async fn a_tenant_that_cannot_be_read_holds_up_no_other() {
    let (world, writer) = (World::default(), Writer::default());
    let known: Store<AnalyticsTenant> = writer.as_reader();
    world.apply(NEWER_TENANT);
    world.apply(TENANT);
    let before = world.object("analyticstenants/team/newer");
    beside_the_tenants(&world, writer, async {
        until(|| world.object(ACME_KEYS).is_some() && !notes(&world, "newer").is_empty()).await;
    })
    .await;
    assert_eq!(known.state().len(), 1);
    assert_eq!(world.object("analyticstenants/team/newer"), before);
}

#[tokio::test]
async fn a_tenant_goes_as_soon_as_the_unreadable_pipeline_in_its_way_is_gone() {
    let world = settled().await;
    world.apply(NEWER_PIPELINE);
    world.delete(ACME);
    world.settle().await;
    world.edit(ACME, |tenant| tenant["status"]["conditions"] = json!([]));
    beside_the_tenants(&world, Writer::default(), async {
        until(|| world.reason(ACME, "DeletionBlocked").is_some()).await;
        world.delete(NEWER);
        until(|| world.object(ACME).is_none()).await;
    })
    .await;
}

#[tokio::test]
async fn the_pipelines_of_an_unreadable_tenant_say_so_and_stay() {
    let world = settled().await;
    set_policy(&world, ACME, json!({"kafka": "Archive"}));
    let failures = world.reconcile_pipelines().await;
    assert_eq!((failures[0].failure(), failures[0].reason()), (Failure::Refused, Reason::UnreadableObject));
    assert_eq!(world.reason(ACME_DEFAULT, "Ready").as_deref(), Some("UnreadableObject"));
    let message = world.message(ACME_DEFAULT, "Ready").unwrap();
    assert!(message.contains("`spec.deletionPolicy.kafka`") && !message.contains("Archive"), "{message}");
    assert_eq!(world.object(INGESTER).unwrap()["spec"]["replicas"], 2);
}

#[tokio::test]
async fn the_tenant_of_an_unreadable_managed_pipeline_says_so() {
    let world = settled().await;
    set_policy(&world, ACME_DEFAULT, json!({"kafka": "Archive"}));
    let before = world.object(ACME_DEFAULT);
    let failures = world.reconcile_tenants().await;
    assert_eq!(failures[0].reason(), Reason::UnreadableObject);
    assert_eq!(world.reason(ACME, "Ready").as_deref(), Some("UnreadableObject"));
    assert_eq!(world.object(ACME_DEFAULT), before);
}

#[tokio::test]
async fn an_unreadable_managed_pipeline_holds_up_neither_keys_nor_tables() {
    let world = settled().await;
    set_policy(&world, ACME_DEFAULT, json!({"kafka": "Archive"}));
    world.edit(ACME, |tenant| {
        tenant["spec"]["apiKeys"] = json!([{"name": "other", "scopes": ["Ingest"]}]);
        tenant["spec"]["retention"] = json!({"days": 100});
    });
    world.reconcile_tenants().await;
    assert_eq!(names_of_keys(&world), ["other"]);
    assert_eq!(world.state().retentions["t_team_acme"].hours(), 2400);
    assert_eq!(world.reason(ACME, "CredentialsReady").as_deref(), Some("AccessManagementDisabled"));
    assert_eq!(world.reason(ACME, "Ready").as_deref(), Some("UnreadableObject"));
}

/// The cache is older than the resource.
#[tokio::test]
async fn a_look_that_finds_its_resource_unreadable_does_nothing() {
    let world = settled().await;
    let cached = |key| world.object(key).unwrap();
    let tenant: AnalyticsTenant = serde_json::from_value(cached(ACME)).unwrap();
    let pipeline: Pipeline = serde_json::from_value(cached(ACME_DEFAULT)).unwrap();
    set_policy(&world, ACME, json!({"kafka": "Archive"}));
    set_policy(&world, ACME_DEFAULT, json!({"kafka": "Archive"}));
    tenant::reconcile(tenant.into(), world.context(tenant::MANAGER)).await.unwrap();
    pipeline::reconcile(pipeline.into(), world.context(pipeline::MANAGER)).await.unwrap();
    assert_eq!(world.take_log(), [""; 0]);
}
