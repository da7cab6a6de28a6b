//! Pipelines that are paused, stopped, and started again.

use crds::Reason;

use super::*;

/// Every time that a drain gives is over.
const LONG_AGO: &str = "2026-01-01T00:00:00Z";

fn set(world: &World, state: &str) {
    world.edit(ACME_DEFAULT, |pipeline| {
        pipeline["spec"]["state"] = json!(state);
        let generation = pipeline["metadata"]["generation"].as_i64().unwrap() + 1;
        pipeline["metadata"]["generation"] = json!(generation);
    });
}

fn status(world: &World) -> serde_json::Value {
    world.object(ACME_DEFAULT).unwrap()["status"].clone()
}

/// The time of the drain is over.
fn let_time_pass(world: &World) {
    world.edit(ACME_DEFAULT, |pipeline| pipeline["status"]["drain"]["startedAt"] = json!(LONG_AGO));
}

/// How many pods of the ingester, if it has a Deployment, and of the consumer are asked for.
fn pods(world: &World) -> (Option<i64>, Option<i64>) {
    let replicas = |key| world.object(key).map(|found| found["spec"]["replicas"].as_i64().unwrap());
    (replicas(INGESTER), replicas(CONSUMER))
}

fn ready(world: &World) -> (String, String) {
    let condition = status(world)["conditions"][0].clone();
    assert_eq!(condition["type"], "Ready");
    let text = |field: &str| condition[field].as_str().unwrap().to_owned();
    (text("status"), text("reason"))
}

fn is(status: &str, reason: &str) -> (String, String) {
    (status.to_owned(), reason.to_owned())
}

#[tokio::test]
async fn a_paused_pipeline_takes_events_and_is_ready() {
    let world = settled().await;
    let template = world.object(INGESTER).unwrap()["spec"]["template"].clone();
    set(&world, "Paused");
    world.settle().await;
    assert_eq!((pods(&world), ready(&world)), ((Some(2), Some(0)), is("True", "Paused")));
    assert!(world.message(ACME_DEFAULT, "Paused").unwrap().contains("events wait in Kafka"));
    assert_eq!(world.reason(ACME, "Ready").as_deref(), Some("Paused"), "the tenant says it as well");
    assert!(world.reason(ACME, "Reconciling").is_none() && status(&world)["drain"].is_null());

    set(&world, "Running");
    world.settle().await;
    assert_eq!((pods(&world), ready(&world)), ((Some(2), Some(1)), is("True", "Ready")));
    assert!(world.reason(ACME_DEFAULT, "Paused").is_none());
    assert_eq!(world.object(INGESTER).unwrap()["spec"]["template"], template, "no pod rolled");
}

#[tokio::test]
async fn a_stop_takes_no_more_then_stores_what_is_left_then_ends() {
    let world = settled().await;
    world.leave_unstored(ACME_DEFAULT, 5);
    set(&world, "Stopped");
    world.settle().await;
    assert_eq!((pods(&world), ready(&world)), ((None, Some(1)), is("False", "Draining")));
    assert_eq!(world.message(ACME_DEFAULT, "Ready").as_deref(), Some("5 records are not stored yet"));
    assert!(status(&world)["drain"]["startedAt"].is_string() && status(&world)["drain"]["drained"].is_null());

    world.leave_unstored(ACME_DEFAULT, 0);
    world.settle().await;
    assert_eq!((pods(&world), ready(&world)), ((None, Some(0)), is("True", "Stopped")));
    assert_eq!(status(&world)["drain"]["drained"], true);
    assert_eq!(world.told("Drained").len(), 1);
    insta::assert_yaml_snapshot!("stop", world.take_log());

    set(&world, "Running");
    world.settle().await;
    assert_eq!((pods(&world), ready(&world)), ((Some(2), Some(1)), is("True", "Ready")));
    assert!(status(&world)["drain"].is_null(), "the next stop begins anew");
}

#[tokio::test]
async fn a_drain_that_takes_long_writes_a_status_when_its_size_changes_alone() {
    let world = settled().await;
    world.leave_unstored(ACME_DEFAULT, 4_999);
    set(&world, "Stopped");
    world.settle().await;
    world.take_log();
    for records in (1_000..4_999).rev().step_by(100) {
        world.leave_unstored(ACME_DEFAULT, records);
        world.reconcile_pipelines().await;
    }
    assert_eq!(world.take_log(), [""; 0]);
    world.leave_unstored(ACME_DEFAULT, 999);
    world.settle().await;
    let message = world.message(ACME_DEFAULT, "Ready");
    assert_eq!(message.as_deref(), Some("at least 100 records are not stored yet"));
}

#[tokio::test]
async fn a_stop_ends_when_its_time_is_over_and_says_what_is_left() {
    let world = settled().await;
    world.leave_unstored(ACME_DEFAULT, 5);
    set(&world, "Stopped");
    world.settle().await;
    let_time_pass(&world);
    world.settle().await;
    assert_eq!((pods(&world), ready(&world)), ((None, Some(0)), is("True", "Stopped")));
    let drain = status(&world)["drain"].clone();
    assert_eq!((&drain["drained"], &drain["remaining"]), (&json!(false), &json!(5)));
    assert_eq!(world.told("DrainTimedOut"), ["5 records are not stored and wait in Kafka"]);
    assert!(world.message(ACME_DEFAULT, "Ready").unwrap().contains("5 records"));

    world.take_log();
    world.reconcile_pipelines().await;
    assert!(world.take_log().is_empty(), "a stopped Pipeline is at rest");
}

#[tokio::test]
async fn a_stop_after_a_pause_does_not_wait_and_does_not_say_that_it_did() {
    let world = settled().await;
    set(&world, "Paused");
    world.settle().await;
    world.leave_unstored(ACME_DEFAULT, 5);
    set(&world, "Stopped");
    world.settle().await;
    assert_eq!((pods(&world), ready(&world)), ((None, Some(0)), is("True", "Stopped")));
    assert_eq!(world.told("DrainSkipped"), ["5 records are not stored and wait in Kafka"]);
    assert_eq!(world.told("DrainTimedOut"), [""; 0]);
}

#[tokio::test]
async fn nothing_is_counted_while_an_ingester_may_acknowledge() {
    let world = settled().await;
    world.edit(INGESTER, |ingester| ingester["metadata"]["finalizers"] = json!(["foregroundDeletion"]));
    set(&world, "Stopped");
    world.settle().await;
    assert_eq!(world.message(ACME_DEFAULT, "Ready").as_deref(), Some("the ingester is stopping"));
    assert_eq!(world.object(CONSUMER).unwrap()["spec"]["replicas"], 1);
    world.state().objects.remove(INGESTER);
    world.settle().await;
    assert_eq!(ready(&world), is("True", "Stopped"));
}

#[tokio::test]
async fn a_stop_that_is_taken_back_waits_for_the_old_ingester_alone() {
    let world = settled().await;
    world.edit(INGESTER, |ingester| ingester["metadata"]["finalizers"] = json!(["foregroundDeletion"]));
    world.leave_unstored(ACME_DEFAULT, 5);
    set(&world, "Stopped");
    world.settle().await;
    set(&world, "Running");
    let failures = world.reconcile_pipelines().await;
    assert_eq!(
        (failures[0].failure(), failures[0].reason()),
        (Failure::Transient, Reason::ChildBeingDeleted)
    );
    assert_eq!(world.object(CONSUMER).unwrap()["spec"]["replicas"], 1);
    world.state().objects.remove(INGESTER);
    world.settle().await;
    assert_eq!((pods(&world), ready(&world)), ((Some(2), Some(1)), is("True", "Ready")));
}

#[tokio::test]
async fn a_paused_consumer_is_not_brought_back_to_drain() {
    let world = settled().await;
    set(&world, "Paused");
    world.settle().await;
    world.leave_unstored(ACME_DEFAULT, 5);
    world.take_log();
    set(&world, "Stopped");
    world.settle().await;
    assert_eq!((pods(&world), ready(&world)), ((None, Some(0)), is("True", "Stopped")));
    assert_eq!(status(&world)["drain"]["remaining"], 5);
    let log = world.take_log();
    assert!(!log.contains(&format!("APPLY {CONSUMER}")), "{log:?}");
}

#[tokio::test]
async fn a_pipeline_that_begins_stopped_has_no_pods_at_any_time() {
    let world = with_a_new_pipeline().await;
    set(&world, "Stopped");
    for _ in 0..3 {
        world.reconcile_pipelines().await;
        assert!([(None, None), (None, Some(0))].contains(&pods(&world)), "{:?}", pods(&world));
    }
    assert_eq!(ready(&world), is("True", "Stopped"));
}

#[tokio::test]
async fn kafka_away_does_not_end_a_drain_before_its_time() {
    let world = settled().await;
    world.state().is_kafka_away = true;
    set(&world, "Stopped");
    world.settle().await;
    assert_eq!(pods(&world), (None, Some(1)));
    assert!(world.message(ACME_DEFAULT, "WorkloadsAvailable").unwrap().contains("Kafka does not say"));
    world.edit(ACME_DEFAULT, |pipeline| {
        let a_moment_over = jiff::Timestamp::now() - SignedDuration::from_secs(61);
        pipeline["status"]["drain"]["startedAt"] = json!(a_moment_over.strftime("%FT%TZ").to_string());
    });
    world.settle().await;
    assert_eq!(pods(&world), (None, Some(1)), "it may still say what is left");
    let_time_pass(&world);
    world.settle().await;
    assert_eq!(pods(&world), (None, Some(0)));
    let drain = status(&world)["drain"].clone();
    assert_eq!((&drain["drained"], &drain["remaining"]), (&json!(false), &json!(null)));
}

#[tokio::test]
async fn a_topic_of_somebody_else_wins_over_every_state() {
    for state in ["Paused", "Stopped"] {
        let world = settled().await;
        world.state().topics.get_mut(TOPIC).unwrap().id.0 = uuid::Uuid::from_u128(77);
        world.settle().await;
        set(&world, state);
        world.settle().await;
        assert_eq!(pods(&world), (Some(0), Some(0)), "{state}");
        assert_eq!(ready(&world), is("False", "NameConflict"), "{state}");
    }
}

#[tokio::test]
async fn a_stopped_pipeline_is_deleted_without_a_drain_and_loses_nothing() {
    let world = settled().await;
    world.leave_unstored(ACME_DEFAULT, 5);
    set(&world, "Stopped");
    world.settle().await;
    let_time_pass(&world);
    world.settle().await;
    world.delete(ACME_DEFAULT);
    world.edit(ACME_DEFAULT, |pipeline| pipeline["spec"]["deletionPolicy"] = json!({"kafka": "Delete"}));
    world.reconcile_pipelines().await;
    world.reconcile_pipelines().await;
    assert!(world.object(ACME_DEFAULT).is_none());
    assert_eq!(world.state().topics.keys().collect::<Vec<_>>(), [TOPIC]);
}
