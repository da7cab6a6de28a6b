//! The Pipeline controller against a world in memory: the order of changes, and what failures leave behind.

use jiff::SignedDuration;
use serde_json::json;

use crate::{
    failure::Failure,
    labels,
    progress::Problem as _,
    tables::DatabaseComment,
    testing::{ACME, ACME_DEFAULT, TENANT, World},
};

mod foreign;
mod keys;
mod lost_topics;
mod names;
mod network_policies;
mod recovery;
mod scale;
mod state;
mod suspend;
mod topics;
mod two_operators;

const TOPIC: &str = "millrace.team-acme.acme-default";
const CONSUMER: &str = "deployments/team/acme-default-consumer";
const INGESTER: &str = "deployments/team/acme-default-ingester";
/// For how long a topic may not be shown, where a test looks at that.
const PATIENCE: SignedDuration = SignedDuration::from_secs(10);

async fn settled() -> World {
    let world = World::default();
    world.apply(TENANT);
    world.settle().await;
    world.take_log();
    world
}

/// The tenant is there, its Pipeline was not looked at yet.
async fn with_a_new_pipeline() -> World {
    let world = World::default();
    world.apply(TENANT);
    world.reconcile_tenants().await;
    world.take_log();
    world
}

fn topic_id(world: &World) -> String {
    world.object(ACME_DEFAULT).unwrap()["status"]["topic"]["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn topics_come_before_settings_and_settings_before_pods() {
    let world = with_a_new_pipeline().await;
    let failures = world.reconcile_pipelines().await;
    assert!(failures.is_empty(), "{failures:?}");
    insta::assert_yaml_snapshot!(world.take_log());
}

#[tokio::test]
async fn rule_12_a_pipeline_without_its_tenant_waits() {
    let world = World::default();
    world.apply(
        "
apiVersion: analytics.millrace.dev/v1alpha1
kind: Pipeline
metadata: {name: web, namespace: team}
spec: {tenantRef: {name: acme}}
",
    );
    let failures = world.reconcile_pipelines().await;
    assert!(failures.is_empty(), "a missing tenant is no failure: {failures:?}");
    assert_eq!(world.reason("pipelines/team/web", "Ready").as_deref(), Some("TenantNotFound"));
    let told = ["there is no AnalyticsTenant `acme` in namespace `team`"];
    assert_eq!(world.told("TenantNotFound"), told);
    world.reconcile_pipelines().await;
    assert_eq!(world.told("TenantNotFound"), told, "once");
    world.apply(TENANT);
    world.reconcile_pipelines().await;
    assert_eq!(world.reason("pipelines/team/web", "Ready").as_deref(), Some("TenantNotReady"));
    world.settle().await;
    assert_eq!(world.reason("pipelines/team/web", "Ready").as_deref(), Some("Ready"));
}

#[tokio::test]
async fn kafka_away_at_first_makes_no_pods_and_later_keeps_them() {
    let world = with_a_new_pipeline().await;
    world.state().is_kafka_away = true;
    let failures = world.reconcile_pipelines().await;
    assert_eq!(failures[0].failure(), Failure::Transient);
    assert_eq!(world.reason(ACME_DEFAULT, "WorkloadsAvailable").as_deref(), Some("TopicNotReady"));
    assert!(world.object(INGESTER).is_none());

    world.state().is_kafka_away = false;
    world.settle().await;
    let id = topic_id(&world);
    world.state().is_kafka_away = true;
    world.edit(ACME_DEFAULT, |pipeline| pipeline["spec"]["ingester"] = json!({"replicas": 3}));
    world.reconcile_pipelines().await;
    assert_eq!(world.object(INGESTER).unwrap()["spec"]["replicas"], 3, "an edit does not wait for Kafka");
    assert_eq!(topic_id(&world), id);
}

/// How many pods of the ingester and of the consumer are asked for.
fn pods(world: &World) -> (i64, i64) {
    let replicas = |key| world.object(key).unwrap()["spec"]["replicas"].as_i64().unwrap();
    (replicas(INGESTER), replicas(CONSUMER))
}

#[tokio::test]
async fn no_pod_writes_in_the_name_of_a_tenant_that_lost_it() {
    let world = settled().await;
    let database = "t_team_acme";
    let before = world.state().databases[database].comment.clone();
    let foreign = DatabaseComment::Foreign("mine".to_owned());
    world.state().databases.get_mut(database).unwrap().comment = foreign;
    world.reconcile_tenants().await;
    world.reconcile_pipelines().await;
    assert_eq!(pods(&world), (0, 0));
    assert_eq!(world.reason(ACME_DEFAULT, "TableReady").as_deref(), Some("TenantNotReady"));
    assert!(world.message(ACME_DEFAULT, "Ready").unwrap().contains("are stopped"));

    world.state().databases.get_mut(database).unwrap().comment = before;
    world.settle().await;
    assert_eq!((pods(&world), world.reason(ACME_DEFAULT, "Ready").as_deref()), ((2, 1), Some("Ready")));
}

#[tokio::test]
async fn pods_that_do_not_come_up_hold_the_pipeline_up() {
    let world = World::default();
    world.state().are_pods_stuck = true;
    world.apply(TENANT);
    world.settle().await;
    assert_eq!(world.reason(ACME_DEFAULT, "Ready").as_deref(), Some("RolloutInProgress"));
    assert_eq!(world.reason(ACME, "Ready").as_deref(), Some("PipelineNotReady"));
}

#[tokio::test]
async fn a_refused_child_does_not_hold_up_the_others() {
    let world = with_a_new_pipeline().await;
    world.state().refusals = vec![("APPLY services".to_owned(), 422)];
    let failures = world.reconcile_pipelines().await;
    assert_eq!(failures[0].failure(), Failure::Refused);
    assert!(world.object(INGESTER).is_some());
    assert_eq!(world.reason(ACME_DEFAULT, "Stalled").as_deref(), Some("KubernetesRefused"));
}

#[tokio::test]
async fn what_the_spec_no_longer_asks_for_is_removed() {
    let world = settled().await;
    world.edit(ACME_DEFAULT, |pipeline| {
        pipeline["spec"]["ingester"] = json!({"replicas": 2, "ingress": {"hostname": "events.example.com"}});
    });
    world.settle().await;
    let (ingress, budget) =
        ("ingresses/team/acme-default-ingester", "poddisruptionbudgets/team/acme-default-ingester");
    assert!(world.object(ingress).is_some() && world.object(budget).is_some());
    world.edit(ACME_DEFAULT, |pipeline| pipeline["spec"]["ingester"] = json!({"replicas": 1}));
    world.settle().await;
    assert!(world.object(ingress).is_none() && world.object(budget).is_none());
}

#[tokio::test]
async fn a_failure_before_any_outcome_does_not_leave_an_old_ready() {
    let world = settled().await;
    world.state().refusals = vec![("GET ingresses".to_owned(), 403)];
    world.reconcile_pipelines().await;
    let ready = world.object(ACME_DEFAULT).unwrap()["status"]["conditions"][0].clone();
    assert_eq!(
        (&ready["status"], &ready["reason"]),
        (&json!("Unknown"), &json!("KubernetesPermissionDenied"))
    );
    world.take_log();
    world.reconcile_pipelines().await;
    assert!(world.take_log().is_empty(), "the same failure is written once");
}

#[tokio::test]
async fn an_ordinary_conflict_is_not_told() {
    let world = settled().await;
    world.edit(ACME_DEFAULT, |pipeline| pipeline["spec"]["state"] = json!("Stopped"));
    world.state().refusals = vec![("APPLY pipelines/team/acme-default status".to_owned(), 409)];
    let failures = world.reconcile_pipelines().await;
    assert_eq!(failures[0].failure(), Failure::Transient);
    world.state().refusals.clear();
    assert_eq!(world.take_log(), ["APPLY pipelines/team/acme-default status"], "one try, and no second word");
    assert_eq!(world.reason(ACME_DEFAULT, "Ready").as_deref(), Some("Ready"));
}

#[tokio::test]
async fn a_conflict_over_a_child_is_told_when_it_lasts() {
    let world = settled().await;
    world.edit(INGESTER, |deployment| deployment["spec"]["replicas"] = json!(9));
    world.state().refusals = vec![("APPLY deployments/team/acme-default-ingester".to_owned(), 409)];
    for (failures_before, expected) in [(0, "Ready"), (2, "Ready"), (3, "KubernetesChanged")] {
        world.state().failures_before = failures_before;
        let failures = world.reconcile_pipelines().await;
        assert_eq!(failures[0].failure(), Failure::Transient);
        assert_eq!(world.reason(ACME_DEFAULT, "Ready").as_deref(), Some(expected), "{failures_before}");
    }
}

#[tokio::test]
async fn a_pipeline_without_pods_has_a_reason_of_its_own() {
    let world = settled().await;
    world.edit(ACME_DEFAULT, |pipeline| {
        pipeline["spec"]["ingester"] = json!({"replicas": 0});
        pipeline["spec"]["consumer"] = json!({"replicas": 0});
    });
    world.settle().await;
    for (key, kind) in [(ACME_DEFAULT, "WorkloadsAvailable"), (ACME_DEFAULT, "Ready"), (ACME, "Ready")] {
        assert_eq!(world.reason(key, kind).as_deref(), Some("ScaledToZero"), "{key} {kind}");
        assert!(world.message(key, kind).unwrap().contains("neither taken nor stored"), "{key} {kind}");
    }
}

#[tokio::test]
async fn a_child_that_is_on_its_way_out_is_not_deleted_again() {
    let world = settled().await;
    world.edit(ACME_DEFAULT, |pipeline| {
        pipeline["spec"]["ingester"] = json!({"replicas": 2, "ingress": {"hostname": "events.example.com"}});
    });
    world.settle().await;
    world.edit("ingresses/team/acme-default-ingester", |ingress| {
        ingress["metadata"]["finalizers"] = json!(["somebody.else/holds"]);
    });
    world.edit(ACME_DEFAULT, |pipeline| pipeline["spec"]["ingester"] = json!({"replicas": 2}));
    world.settle().await;
    world.take_log();
    world.reconcile_pipelines().await;
    assert!(world.take_log().is_empty());
}

#[tokio::test]
async fn a_deployment_changed_by_hand_is_repaired() {
    let world = settled().await;
    let before = world.object(INGESTER).unwrap()["spec"].clone();
    world.edit(INGESTER, |deployment| deployment["spec"]["replicas"] = json!(9));
    world.reconcile_pipelines().await;
    assert_eq!(world.object(INGESTER).unwrap()["spec"], before);
}

#[tokio::test]
async fn a_deployment_that_somebody_paused_is_resumed() {
    let world = settled().await;
    for key in [INGESTER, CONSUMER] {
        world.edit(key, |deployment| deployment["spec"]["paused"] = json!(true));
        world.reconcile_pipelines().await;
        assert!(world.object(key).unwrap()["spec"]["paused"].is_null(), "{key}");
    }
    world.settle().await;
    world.take_log();
    world.reconcile_pipelines().await;
    assert!(world.take_log().is_empty(), "once is enough");
}

/// Who may read Deployments could try passwords against a plain hash.
#[tokio::test]
async fn the_hash_on_the_pods_is_of_the_settings_and_of_a_salt_beside_them() {
    const SETTINGS: &str = "secrets/team/acme-default-settings";
    let world = settled().await;
    let hashes = || {
        [INGESTER, CONSUMER].map(|key| {
            let template = &world.object(key).unwrap()["spec"]["template"];
            template["metadata"]["annotations"][labels::SETTINGS_HASH].clone()
        })
    };
    let (before, salt) = (hashes(), world.object(SETTINGS).unwrap()["data"]["salt"].clone());
    assert!(salt.is_string());
    world.edit(ACME_DEFAULT, |pipeline| pipeline["spec"]["ingester"] = json!({"replicas": 3}));
    world.settle().await;
    assert_eq!((hashes(), &world.object(SETTINGS).unwrap()["data"]["salt"]), (before.clone(), &salt));
    for lost in [json!(null), json!("c2hvcnQ=")] {
        let before = hashes();
        world.edit(SETTINGS, |settings| settings["data"]["salt"] = lost.clone());
        world.settle().await;
        let after = hashes();
        assert!(after.iter().zip(&before).all(|(after, before)| after != before), "{lost}");
        assert_ne!(world.object(SETTINGS).unwrap()["data"]["salt"], lost);
    }
}
