//! The topics of a Pipeline: whose they are, which pods may use them, and how long they keep records.

use crds::Reason;

use super::*;
use crate::labels;

#[tokio::test]
async fn rule_16_a_topic_made_anew_by_somebody_else_is_refused_and_left_alone() {
    let world = settled().await;
    let recorded = topic_id(&world);
    world.state().topics.get_mut(TOPIC).unwrap().id.0 = uuid::Uuid::from_u128(77);
    assert!(world.reconcile_pipelines().await.is_empty(), "a broker may lag behind");
    let failures = world.reconcile_pipelines().await;
    assert_eq!((failures[0].failure(), failures[0].reason()), (Failure::Conflict, Reason::NameConflict));
    assert_eq!(topic_id(&world), recorded);
    assert_eq!(world.reason(ACME_DEFAULT, "TopicReady").as_deref(), Some("NameConflict"));
}

#[tokio::test]
async fn no_pod_works_with_a_topic_of_somebody_else() {
    let world = settled().await;
    assert_eq!(pods(&world), (2, 1));
    world.state().topics.get_mut(TOPIC).unwrap().id.0 = uuid::Uuid::from_u128(77);
    world.settle().await;
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
async fn a_kafka_that_cannot_be_asked_starts_no_pod_that_a_look_before_stopped() {
    let dead_letters = format!("{TOPIC}.dlq");
    for (topic, left) in [(TOPIC, (0, 0)), (dead_letters.as_str(), (2, 0))] {
        let world = settled().await;
        world.state().topics.get_mut(topic).unwrap().id.0 = uuid::Uuid::from_u128(77);
        world.settle().await;
        assert_eq!(pods(&world), left);
        world.state().is_kafka_away = true;
        world.settle().await;
        assert_ne!(world.reason(ACME_DEFAULT, "TopicReady").as_deref(), Some("NameConflict"), "it was asked");
        assert_eq!(pods(&world), left, "{topic}");
    }
    let world = settled().await;
    world.state().is_kafka_away = true;
    world.settle().await;
    assert_eq!(pods(&world), (2, 1), "what runs goes on");
}

#[tokio::test]
async fn dead_letters_do_not_go_into_a_topic_of_somebody_else() {
    let world = settled().await;
    let dead_letters = format!("{TOPIC}.dlq");
    world.state().topics.get_mut(&dead_letters).unwrap().id.0 = uuid::Uuid::from_u128(77);
    world.settle().await;
    assert_eq!(pods(&world), (2, 0), "events are taken and wait in Kafka");
    assert_eq!(world.message(ACME_DEFAULT, "WorkloadsAvailable").as_deref(), Some("the consumer is stopped"));
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
    world.state().patience = PATIENCE;
    world.state().lagging_looks = 4;
    for reason in ["TopicNotVisible", "TopicNotVisible", "Ready"] {
        let failures = world.reconcile_pipelines().await;
        assert!(failures.is_empty(), "{failures:?}");
        assert_eq!((topic_id(&world), pods(&world)), (before.clone(), (2, 1)));
        assert_eq!(world.reason(ACME_DEFAULT, "Ready").as_deref(), Some(reason));
    }
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
    for _ in 0..2 {
        world.reconcile_pipelines().await;
    }
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

/// Somebody made them so by hand, and Kafka takes no partition back.
#[tokio::test]
async fn more_partitions_of_dead_letters_hold_nothing_up() {
    let (world, dead_letters) = (settled().await, format!("{TOPIC}.dlq"));
    world.state().topics.get_mut(&dead_letters).unwrap().partitions = 12;
    world.state().topic_retentions.insert(dead_letters.clone(), 1);
    world.settle().await;
    assert_eq!(world.reason(ACME_DEFAULT, "Ready").as_deref(), Some("Ready"));
    assert_eq!(world.object(ACME_DEFAULT).unwrap()["status"]["deadLetterTopic"]["partitions"], 12);
    assert!(world.state().topic_retentions[&dead_letters] > 1, "its settings are still corrected");
}

#[tokio::test]
async fn rule_34_a_shorter_retention_waits_for_consent_and_holds_nothing_else_up() {
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
