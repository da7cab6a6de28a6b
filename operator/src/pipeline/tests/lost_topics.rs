//! Topics that are gone, or are not to be seen for a while: another Kafka was asked, or one that was put back.

use std::collections::BTreeMap;

use super::*;
use crate::topics::Topic;

/// The operator is pointed at another Kafka. Gives what the one of before has.
fn point_at(world: &World, kafka: BTreeMap<String, Topic>) -> BTreeMap<String, Topic> {
    let mut state = world.state();
    state.topic_retentions.clear();
    std::mem::replace(&mut state.topics, kafka)
}

/// What the status says of both topics.
fn ids(world: &World) -> (String, String) {
    let status = world.object(ACME_DEFAULT).unwrap()["status"].take();
    let id = |topic: &str| status[topic]["id"].as_str().unwrap().to_owned();
    (id("topic"), id("deadLetterTopic"))
}

#[tokio::test]
async fn an_address_of_kafka_that_is_put_back_brings_the_topics_back_with_their_records() {
    let world = settled().await;
    let first = ids(&world);
    let right = point_at(&world, BTreeMap::new());
    world.settle().await;
    let second = ids(&world);
    assert!(second.0 != first.0 && second.1 != first.1, "events go on being taken");
    assert!(!world.told("TopicLost").is_empty());

    // What was taken there waits there, for whoever points at it once more.
    let mut kafkas = [right, BTreeMap::new()];
    for (turn, expected) in [&first, &second, &first].into_iter().enumerate() {
        let there = point_at(&world, std::mem::take(&mut kafkas[turn % 2]));
        kafkas[(turn + 1) % 2] = there;
        world.settle().await;
        assert_eq!(&ids(&world), expected);
        assert_eq!((pods(&world), world.reason(ACME_DEFAULT, "Ready").as_deref()), ((2, 1), Some("Ready")));
        assert!(world.told("TopicAdopted").len() > turn, "somebody is told each time");
    }
}

#[tokio::test]
async fn what_is_lost_is_noted_before_it_is_made_anew() {
    let world = settled().await;
    let first = ids(&world);
    point_at(&world, BTreeMap::new());
    world.state().refusals = vec![("MERGE analyticstenants/team/acme status".to_owned(), 500)];
    world.settle().await;
    assert_eq!(ids(&world), first);
    assert!(world.state().topics.is_empty());
    assert_eq!(world.reason(ACME_DEFAULT, "TopicReady").as_deref(), Some("KubernetesUnreachable"));
    assert_eq!(pods(&world), (2, 1));

    world.state().refusals.clear();
    world.settle().await;
    assert_eq!(world.reason(ACME_DEFAULT, "Ready").as_deref(), Some("Ready"));
    let noted = world.object(ACME).unwrap()["status"]["retainedTopics"].clone();
    let noted: Vec<&str> = noted.as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect();
    assert!(noted.contains(&&*first.0) && noted.contains(&&*first.1), "{noted:?}");
}

/// The listing of the wrong Kafka shows none of the topics that are away.
#[tokio::test]
async fn a_pipeline_deleted_at_the_wrong_kafka_does_not_strand_the_topics_of_others() {
    let world = settled().await;
    world.apply(
        "{apiVersion: analytics.millrace.dev/v1alpha1, kind: Pipeline, metadata: {name: web, namespace: team}, \
         spec: {tenantRef: {name: acme}}}",
    );
    world.settle().await;
    let first = ids(&world);
    let right = point_at(&world, BTreeMap::new());
    world.settle().await;
    world.delete("pipelines/team/web");
    world.settle().await;
    assert!(world.object("pipelines/team/web").is_none());
    point_at(&world, right);
    world.settle().await;
    assert_eq!(ids(&world), first);
}

#[tokio::test]
async fn nobody_is_told_to_delete_a_topic_as_if_it_were_empty() {
    let world = settled().await;
    world.state().topics.get_mut(TOPIC).unwrap().id.0 = uuid::Uuid::from_u128(77);
    world.settle().await;
    let message = world.message(ACME_DEFAULT, "TopicReady").unwrap();
    assert!(message.contains("`status.retainedTopics`") && message.contains("with its records"), "{message}");
}

/// As if the look that did not find the topic first had been long ago.
fn let_time_pass(world: &World) {
    world.edit(ACME_DEFAULT, |pipeline| {
        let since = &mut pipeline["status"]["topic"]["missingSince"];
        assert!(since.is_string(), "it was noted");
        *since = json!("2026-01-01T00:00:00Z");
    });
}

fn missing_since(world: &World) -> Option<String> {
    let since = &world.object(ACME_DEFAULT).unwrap()["status"]["topic"]["missingSince"];
    since.as_str().map(str::to_owned)
}

#[tokio::test]
async fn a_topic_is_gone_when_a_look_long_before_did_not_find_it_either() {
    let world = settled().await;
    let first = ids(&world);
    world.state().patience = PATIENCE;
    world.state().topics.remove(TOPIC);
    for _ in 0..3 {
        assert!(world.reconcile_pipelines().await.is_empty());
        assert_eq!((ids(&world), pods(&world)), (first.clone(), (2, 1)));
        assert_eq!(world.reason(ACME_DEFAULT, "TopicReady").as_deref(), Some("TopicNotVisible"));
        assert!(!world.state().topics.contains_key(TOPIC));
    }
    // Another operator, or this one after a start, knows it from the status.
    let_time_pass(&world);
    assert!(world.reconcile_pipelines().await.is_empty());
    assert_ne!(ids(&world).0, first.0);
    assert_eq!((missing_since(&world), world.told("TopicLost").len()), (None, 1));
}

#[tokio::test]
async fn each_of_two_lost_topics_is_told_of() {
    let world = settled().await;
    world.state().topics.clear();
    world.settle().await;
    let notes = world.told("TopicLost");
    assert_eq!(notes.len(), 2, "{notes:?}");
    assert!(notes[0].contains("`millrace.team-acme.acme-default`"), "{notes:?}");
    assert!(notes[1].contains("`millrace.team-acme.acme-default.dlq`"), "{notes:?}");
}

/// Even where what is wrong with it could not be put right at that look.
#[tokio::test]
async fn a_topic_that_was_shown_again_has_all_its_time_before_it_is_gone() {
    let world = settled().await;
    let first = ids(&world);
    world.state().patience = PATIENCE;
    for refused in ["nothing", "CONFIGURE"] {
        let topic = world.state().topics.remove(TOPIC).unwrap();
        world.reconcile_pipelines().await;
        let_time_pass(&world);
        world.state().topics.insert(TOPIC.to_owned(), topic.clone());
        world.state().topic_retentions.insert(TOPIC.to_owned(), 1);
        world.state().refusals = vec![(refused.to_owned(), 500)];
        world.reconcile_pipelines().await;
        assert_eq!(missing_since(&world), None, "{refused}");

        world.state().refusals.clear();
        world.state().topics.remove(TOPIC);
        world.reconcile_pipelines().await;
        assert_eq!(ids(&world), first, "{refused}");
        world.state().topics.insert(TOPIC.to_owned(), topic);
        world.settle().await;
        assert_eq!(world.reason(ACME_DEFAULT, "Ready").as_deref(), Some("Ready"), "{refused}");
    }
    assert_eq!(world.told("TopicLost"), [""; 0]);
}
