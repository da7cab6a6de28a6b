//! What is not stored when a Pipeline is deleted.

use super::*;

const INGESTER: &str = "deployments/team/web-ingester";
const CONSUMER: &str = "deployments/team/web-consumer";

#[tokio::test]
async fn rule_20_the_ingester_goes_then_what_is_left_is_stored_then_the_consumer_goes_then_the_topics() {
    let world = settled("Delete").await;
    world.leave_unstored(WEB, 5);
    world.delete(WEB);
    world.settle().await;
    assert!(world.object(INGESTER).is_none() && world.object(CONSUMER).is_some());
    assert_eq!(world.reason(WEB, "Ready").as_deref(), Some("Deleting"));
    assert_eq!(world.message(WEB, "Ready").as_deref(), Some("being deleted: 5 records are not stored yet"));
    assert!(world.reason(WEB, "DeletionBlocked").is_none(), "nothing is wrong");

    world.leave_unstored(WEB, 0);
    world.settle().await;
    assert!(world.object(WEB).is_none() && world.state().topics.is_empty());
    insta::assert_yaml_snapshot!(world.take_log());
}

/// What an earlier look missed, and one broker that lags behind, do not make a topic gone.
#[tokio::test]
async fn a_topic_that_was_not_shown_for_a_while_is_waited_for_before_its_records_are_given_up() {
    let world = settled("Delete").await;
    world.leave_unstored(WEB, 5);
    world.edit(WEB, |pipeline| pipeline["status"]["topic"]["missingSince"] = json!("2026-01-01T00:00:00Z"));
    world.delete(WEB);
    for _ in 0..20 {
        world.state().lagging_looks = 1;
        world.reconcile_pipelines().await;
    }
    assert!(world.object(CONSUMER).is_some() && world.object(WEB).is_some());
    assert_eq!(world.message(WEB, "Ready").as_deref(), Some("being deleted: 5 records are not stored yet"));
    assert_eq!(world.state().topics.len(), 2);
}

#[tokio::test]
async fn nothing_is_counted_before_the_ingester_is_gone() {
    let world = settled("Delete").await;
    world.edit(INGESTER, |ingester| ingester["metadata"]["finalizers"] = json!(["foregroundDeletion"]));
    world.delete(WEB);
    world.settle().await;
    assert!(world.object(CONSUMER).is_some(), "a request may still be acknowledged");
    assert_eq!(world.message(WEB, "Ready").as_deref(), Some("being deleted: the pods are stopping"));
}

#[tokio::test]
async fn a_topic_with_records_that_are_not_stored_is_kept_for_the_next_pipeline() {
    let world = settled("Delete").await;
    let id = world.state().topics[TOPIC].id.to_string();
    world.leave_unstored(WEB, 5);
    world.delete(WEB);
    world.settle().await;
    let_time_pass(&world);
    world.settle().await;
    assert!(world.object(WEB).is_none());
    assert_eq!(world.state().topics.keys().collect::<Vec<_>>(), [TOPIC], "the dead letters are deleted");
    assert_eq!(world.object(ACME).unwrap()["status"]["retainedTopics"], json!([id]));
    let notes = world.told("TopicKept");
    assert!(
        notes.len() == 1 && notes[0].contains(TOPIC) && notes[0].contains("5 of its records"),
        "{notes:?}"
    );

    world.apply(&web("Delete"));
    world.settle().await;
    assert_eq!(world.reason(WEB, "Ready").as_deref(), Some("Ready"));
    assert_eq!(world.object(WEB).unwrap()["status"]["topic"]["id"], id);
    let group = world.object(WEB).unwrap()["status"]["consumerGroup"].as_str().unwrap().to_owned();
    assert_eq!(world.state().unstored[&group], 5, "its consumer goes on where the other one stopped");
}

#[tokio::test]
async fn a_deletion_that_keeps_says_how_many_records_are_not_stored() {
    for records in [0, 5] {
        let world = settled("Retain").await;
        world.leave_unstored(WEB, records);
        world.delete(WEB);
        world.settle().await;
        if records > 0 {
            let_time_pass(&world);
            world.settle().await;
        }
        assert!(world.object(WEB).is_none());
        let notes = world.told("TopicsRetained");
        assert!(notes.len() == 1 && notes[0].contains(TOPIC), "{notes:?}");
        let says_so = notes[0].ends_with("; 5 records of `millrace.team-acme.web` are not stored");
        assert_eq!(says_so, records == 5, "{notes:?}");
    }
}

/// As where the namespace ends and takes the Deployments before anybody asks.
#[tokio::test]
async fn without_a_consumer_nothing_is_waited_for_and_nothing_is_lost() {
    type Accident = fn(&World);
    let accidents: [(&str, Accident); 3] = [
        ("gone", |world| {
            world.state().objects.remove(CONSUMER);
        }),
        ("on a node that is gone", |world| {
            world.edit(CONSUMER, |consumer| consumer["metadata"]["deletionTimestamp"] = json!(LONG_AGO));
        }),
        ("paused", |world| world.edit(CONSUMER, |consumer| consumer["spec"]["replicas"] = json!(0))),
    ];
    for (what, happens) in accidents {
        let world = settled("Delete").await;
        world.leave_unstored(WEB, 5);
        happens(&world);
        world.delete(WEB);
        world.settle().await;
        assert!(world.object(WEB).is_none(), "{what}");
        assert_eq!(world.state().topics.keys().collect::<Vec<_>>(), [TOPIC], "{what}");
        assert_eq!(world.told("TopicKept").len(), 1, "{what}");
    }
}

#[tokio::test]
async fn records_go_with_their_tables() {
    let world = settled("Delete").await;
    world.leave_unstored(WEB, 5);
    world.edit(ACME, |tenant| tenant["spec"]["deletionPolicy"] = json!({"clickhouse": "Delete"}));
    world.delete(ACME);
    world.delete(WEB);
    world.settle().await;
    assert_eq!(world.stored(), (0, 0));
    assert!(world.object(ACME).is_none() && world.told("TopicKept").is_empty());
}

#[tokio::test]
async fn kafka_away_holds_a_drain_however_long_it_takes() {
    let world = settled("Delete").await;
    world.state().is_kafka_away = true;
    world.delete(WEB);
    let_time_pass(&world);
    world.settle().await;
    assert_eq!(world.reason(WEB, "DeletionBlocked").as_deref(), Some("TopicNotVisible"));
    assert!(world.object(CONSUMER).is_some(), "it may go on storing");
    world.state().is_kafka_away = false;
    world.settle().await;
    assert!(world.object(WEB).is_none() && world.state().topics.is_empty());
}
