//! The Pipeline controller against a world in memory: the order of changes, and what failures leave behind.

use crds::Reason;
use schema::settings::INGESTER_ENTRY;
use serde_json::json;

use crate::{
    failure::Failure,
    labels,
    progress::Problem as _,
    tables::DatabaseComment,
    testing::{ACME, ACME_DEFAULT, ACME_KEYS, TENANT, World},
};

mod foreign;

const TOPIC: &str = "millrace.team-acme.acme-default";
const SETTINGS: &str = "secrets/team/acme-default-settings";
const CONSUMER: &str = "deployments/team/acme-default-consumer";
const INGESTER: &str = "deployments/team/acme-default-ingester";

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
async fn a_pipeline_without_its_tenant_waits() {
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

#[tokio::test]
async fn a_topic_made_anew_by_somebody_else_is_refused_and_left_alone() {
    let world = settled().await;
    let recorded = topic_id(&world);
    world.state().topics.get_mut(TOPIC).unwrap().id.0 = uuid::Uuid::from_u128(77);
    let failures = world.reconcile_pipelines().await;
    assert_eq!((failures[0].failure(), failures[0].reason()), (Failure::Conflict, Reason::NameConflict));
    assert_eq!(topic_id(&world), recorded);
    assert_eq!(world.reason(ACME_DEFAULT, "TopicReady").as_deref(), Some("NameConflict"));
}

/// How many pods of the ingester and of the consumer are asked for.
fn pods(world: &World) -> (i64, i64) {
    let replicas = |key| world.object(key).unwrap()["spec"]["replicas"].as_i64().unwrap();
    (replicas(INGESTER), replicas(CONSUMER))
}

#[tokio::test]
async fn no_pod_works_with_a_topic_of_somebody_else() {
    let world = settled().await;
    assert_eq!(pods(&world), (2, 1));
    world.state().topics.get_mut(TOPIC).unwrap().id.0 = uuid::Uuid::from_u128(77);
    world.reconcile_pipelines().await;
    assert_eq!(pods(&world), (0, 0));
    assert_eq!(world.reason(ACME_DEFAULT, "WorkloadsAvailable").as_deref(), Some("Stopped"));
    assert!(world.message(ACME_DEFAULT, "Ready").unwrap().contains("are stopped"));
    world.take_log();
    world.reconcile_pipelines().await;
    assert!(world.take_log().is_empty(), "stopped once");

    world.state().topics.remove(TOPIC);
    world.settle().await;
    assert_eq!((pods(&world), world.reason(ACME_DEFAULT, "Ready").as_deref()), ((2, 1), Some("Ready")));
}

#[tokio::test]
async fn dead_letters_do_not_go_into_a_topic_of_somebody_else() {
    let world = settled().await;
    let dead_letters = format!("{TOPIC}.dlq");
    world.state().topics.get_mut(&dead_letters).unwrap().id.0 = uuid::Uuid::from_u128(77);
    world.reconcile_pipelines().await;
    assert_eq!(pods(&world), (2, 0), "events are taken and wait in Kafka");
    assert_eq!(world.message(ACME_DEFAULT, "WorkloadsAvailable").as_deref(), Some("the consumer is stopped"));
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
async fn a_lost_topic_is_made_anew_with_a_new_group() {
    let world = settled().await;
    let group = |world: &World| world.object(ACME_DEFAULT).unwrap()["status"]["consumerGroup"].clone();
    let before = (topic_id(&world), group(&world));
    world.state().topics.remove(TOPIC);
    world.settle().await;
    assert_eq!(world.reason(ACME_DEFAULT, "Ready").as_deref(), Some("Ready"));
    assert!(topic_id(&world) != before.0 && group(&world) != before.1);
}

#[tokio::test]
async fn a_broker_that_lags_behind_loses_no_topic() {
    let world = settled().await;
    let before = topic_id(&world);
    world.state().lagging_looks = 4;
    let failures = world.reconcile_pipelines().await;
    assert!(failures.is_empty(), "{failures:?}");
    assert_eq!(topic_id(&world), before);
    let log = world.state().log.clone();
    assert!(log.iter().all(|line| !line.starts_with("POST events")), "no Event of a loss: {log:?}");
}

#[tokio::test]
async fn what_appears_after_a_refused_creation_is_a_strangers() {
    let stranger = settled().await.state().topics[TOPIC].clone();
    let world = with_a_new_pipeline().await;
    world.state().refusals = vec![("ENSURE".to_owned(), 403)];
    let failures = world.reconcile_pipelines().await;
    assert_eq!((failures[0].failure(), failures[0].reason()), (Failure::Refused, Reason::KafkaRefused));
    assert!(world.object(ACME_DEFAULT).unwrap()["status"]["topic"].is_null(), "the intention is withdrawn");

    world.state().refusals.clear();
    world.state().topics.insert(TOPIC.to_owned(), stranger);
    let failures = world.reconcile_pipelines().await;
    assert_eq!(failures[0].failure(), Failure::Conflict);
    assert!(world.object(INGESTER).is_none());
}

#[tokio::test]
async fn a_refused_creation_does_not_forget_the_lost_topic() {
    let world = settled().await;
    let lost = topic_id(&world);
    let mut stranger = world.state().topics.remove(TOPIC).unwrap();
    world.state().refusals = vec![("ENSURE".to_owned(), 403)];
    world.reconcile_pipelines().await;
    assert_eq!(topic_id(&world), lost);
    world.state().refusals.clear();
    stranger.id.0 = uuid::Uuid::from_u128(77);
    world.state().topics.insert(TOPIC.to_owned(), stranger);
    world.reconcile_pipelines().await;
    assert_eq!(world.reason(ACME_DEFAULT, "TopicReady").as_deref(), Some("NameConflict"));
}

#[tokio::test]
async fn a_foreign_topic_of_our_name_is_not_taken_over() {
    let world = settled().await;
    let foreign = world.state().topics[TOPIC].clone();
    let world = with_a_new_pipeline().await;
    world.state().topics.insert(TOPIC.to_owned(), foreign);
    let failures = world.reconcile_pipelines().await;
    assert_eq!(failures[0].failure(), Failure::Conflict);
    assert!(world.object(INGESTER).is_none());
}

#[tokio::test]
async fn a_changed_key_reaches_the_settings_without_touching_the_pods() {
    let world = settled().await;
    let before = (world.object(SETTINGS).unwrap(), world.object(INGESTER).unwrap());
    world.edit(ACME_KEYS, |secret| secret["data"]["default"] = json!("bXJ3XzE="));
    world.reconcile_pipelines().await;
    assert_ne!(world.object(SETTINGS).unwrap()["data"], before.0["data"]);
    assert_eq!(world.object(INGESTER).unwrap(), before.1);
}

/// The digests that the running ingester accepts.
fn accepted(world: &World) -> Vec<String> {
    let entry = world.object(SETTINGS).unwrap()["data"][INGESTER_ENTRY].clone();
    let bytes: k8s_openapi::ByteString = serde_json::from_value(entry).unwrap();
    let settings: serde_json::Value = serde_json::from_slice(&bytes.0).unwrap();
    let keys = settings["pipelines"][0]["keys"].as_array().unwrap().clone();
    keys.iter().map(|key| key["name"].as_str().unwrap().to_owned()).collect()
}

/// What happens to a world.
type Accident = fn(&World);

#[tokio::test]
async fn a_revoked_key_dies_whatever_else_is_wrong() {
    let obstacles: [(&str, Accident); 5] = [
        ("an Ingress cannot be read", |world| {
            world.state().refusals = vec![("GET ingresses".to_owned(), 403)];
        }),
        ("Kafka is away and the topic's id is not known", |world| {
            world.state().is_kafka_away = true;
            world.edit(ACME_DEFAULT, |pipeline| pipeline["status"]["topic"]["id"] = json!(""));
        }),
        ("the topic is somebody else's", |world| {
            world.state().topics.get_mut(TOPIC).unwrap().id.0 = uuid::Uuid::from_u128(77);
        }),
        ("the spec is refused", |world| {
            world.edit(ACME_DEFAULT, |pipeline| {
                pipeline["spec"]["topic"] = json!({"replicationFactor": 1, "minInsyncReplicas": 2});
            });
        }),
        ("the tenant has no tables", |world| {
            world.edit(ACME, |tenant| tenant["status"]["database"]["tableUuid"] = json!(null));
        }),
    ];
    for (what, happens) in obstacles {
        let world = settled().await;
        assert_eq!(accepted(&world), ["default"]);
        happens(&world);
        world.edit(ACME, |tenant| tenant["spec"]["apiKeys"] = json!([]));
        world.reconcile_pipelines().await;
        assert!(accepted(&world).is_empty(), "{what}");
    }
}

#[tokio::test]
async fn the_keys_come_before_every_other_change() {
    let world = settled().await;
    world.edit(ACME, |tenant| tenant["spec"]["apiKeys"] = json!([]));
    world.edit(ACME_DEFAULT, |pipeline| pipeline["spec"]["topic"] = json!({"partitions": 12}));
    world.reconcile_pipelines().await;
    assert_eq!(world.take_log()[0], format!("MERGE {SETTINGS}"));
}

#[tokio::test]
async fn keys_that_cannot_be_brought_to_the_ingester_are_told() {
    let world = settled().await;
    world.edit(ACME, |tenant| tenant["spec"]["apiKeys"] = json!([]));
    world.state().refusals = vec![("MERGE secrets".to_owned(), 403)];
    let failures = world.reconcile_pipelines().await;
    assert_eq!(failures[0].failure(), Failure::Permission);
    assert_eq!(world.reason(ACME_DEFAULT, "Ready").as_deref(), Some("KubernetesPermissionDenied"));
}

#[tokio::test]
async fn the_settings_hold_no_key() {
    let world = settled().await;
    let key = world.object(ACME_KEYS).unwrap()["data"]["default"].as_str().unwrap().to_owned();
    for (name, object) in &world.state().objects {
        assert!(name == ACME_KEYS || !object.to_string().contains(&key), "{name}");
    }
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
async fn a_shorter_retention_waits_for_consent_and_holds_nothing_else_up() {
    const HOUR_MS: i64 = 3_600_000;
    let world = settled().await;
    let hours = |world: &World| world.state().topic_retentions[TOPIC] / HOUR_MS;
    world.edit(ACME_DEFAULT, |pipeline| {
        pipeline["spec"]["topic"] = json!({"retentionHours": 24});
        pipeline["spec"]["ingester"] = json!({"replicas": 3});
    });
    let failures = world.reconcile_pipelines().await;
    assert_eq!(
        (failures[0].failure(), failures[0].reason()),
        (Failure::Refused, Reason::RetentionReductionHeld)
    );
    assert_eq!(hours(&world), 168);
    assert_eq!(world.object(INGESTER).unwrap()["spec"]["replicas"], 3, "the rest of the edit goes on");
    let message = world.message(ACME_DEFAULT, "TopicReady").unwrap();
    assert!(message.contains("`analytics.millrace.dev/allow-retention-hours: \"168-to-24\"`"), "{message}");

    for (allowed, then) in [("24", 168), ("169-to-24", 168), ("168-to-24", 24)] {
        world.edit(ACME_DEFAULT, |pipeline| {
            pipeline["metadata"]["annotations"][labels::ALLOW_RETENTION_HOURS] = allowed.into();
        });
        world.settle().await;
        assert_eq!(hours(&world), then, "{allowed}");
    }
    assert_eq!(world.reason(ACME_DEFAULT, "Ready").as_deref(), Some("Ready"));

    for wanted in [168, 24] {
        world.edit(ACME_DEFAULT, |pipeline| {
            pipeline["spec"]["topic"] = json!({"retentionHours": wanted});
        });
        world.settle().await;
        assert_eq!(hours(&world), 168, "the same consent twice is none");
    }
    assert_eq!(world.reason(ACME_DEFAULT, "TopicReady").as_deref(), Some("RetentionReductionHeld"));
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
