//! Pipelines that read a topic of somebody else: it is looked at and never touched.

use std::time::Duration;

use crds::Reason;
use futures::StreamExt as _;
use schema::names::{TopicId, TopicName};
use uuid::Uuid;

use super::*;
use crate::topics::Topic;

const LONE_TENANT: &str = "
apiVersion: analytics.millrace.dev/v1alpha1
kind: AnalyticsTenant
metadata: {name: acme, namespace: team}
spec: {defaultPipeline: None}
";
const OCTANE: &str = "pipelines/team/octane";
const SOURCE: &str = "octane.events";
const DEAD_LETTERS: &str = "millrace.team-acme.octane.dlq";
const READER: &str = "deployments/team/octane-consumer";

fn manifest(topic: &str, policy: &str) -> String {
    format!(
        "{{apiVersion: analytics.millrace.dev/v1alpha1, kind: Pipeline, metadata: {{name: octane, namespace: team}}, \
         spec: {{tenantRef: {{name: acme}}, source: {{kafka: {{topic: {topic}}}}}, deletionPolicy: {{kafka: {policy}}}}}}}"
    )
}

/// Somebody else makes the topic.
fn make_source(world: &World, id: u128) {
    let name = TopicName::parse(SOURCE).unwrap();
    let topic = Topic { name, id: TopicId(Uuid::from_u128(id)), partitions: 3, replication_factor: 1 };
    world.state().topics.insert(SOURCE.to_owned(), topic);
}

async fn with_tenant() -> World {
    let world = World::default();
    world.apply(LONE_TENANT);
    world.settle().await;
    world.take_log();
    world
}

async fn settled_with(policy: &str) -> World {
    let world = with_tenant().await;
    make_source(&world, 500);
    world.apply(&manifest(SOURCE, policy));
    world.settle().await;
    world.take_log();
    world
}

fn ready(world: &World) -> Option<String> {
    world.reason(OCTANE, "Ready")
}

fn topics(world: &World) -> Vec<String> {
    world.state().topics.keys().cloned().collect()
}

#[tokio::test]
async fn a_topic_of_others_gets_dead_letters_settings_and_a_consumer_and_nothing_else() {
    let world = with_tenant().await;
    make_source(&world, 500);
    let before = world.state().topics[SOURCE].clone();
    world.apply(&manifest(SOURCE, "Retain"));
    world.take_log();
    let failures = world.reconcile_pipelines().await;
    assert!(failures.is_empty(), "{failures:?}");
    insta::assert_yaml_snapshot!("what_is_made", world.take_log());
    assert_eq!(world.state().topics[SOURCE], before);
    world.settle().await;
    let mut status = world.object(OCTANE).unwrap()["status"].take();
    for condition in status["conditions"].as_array_mut().unwrap() {
        condition.as_object_mut().unwrap().remove("lastTransitionTime");
    }
    insta::assert_yaml_snapshot!("status", status);
}

#[tokio::test]
async fn a_missing_topic_is_waited_for_and_never_made() {
    let world = with_tenant().await;
    world.apply(&manifest(SOURCE, "Retain"));
    world.settle().await;
    assert!(world.reconcile_pipelines().await.is_empty(), "it is no failure");
    for kind in ["Ready", "TopicReady"] {
        assert_eq!(world.reason(OCTANE, kind).as_deref(), Some("TopicNotFound"), "{kind}");
        assert!(world.message(OCTANE, kind).unwrap().contains(SOURCE), "{kind}");
    }
    assert!(world.reason(OCTANE, "Stalled").is_none());
    assert_eq!(topics(&world), [DEAD_LETTERS]);
    assert!(world.object(READER).is_none());

    make_source(&world, 500);
    world.settle().await;
    assert_eq!(ready(&world).as_deref(), Some("Ready"));
    assert_eq!(world.object(READER).unwrap()["spec"]["replicas"], 1);
}

#[tokio::test]
async fn a_topic_that_goes_away_stops_the_consumer_and_the_next_one_is_another_beginning() {
    let world = settled_with("Retain").await;
    let group = |world: &World| world.object(OCTANE).unwrap()["status"]["consumerGroup"].clone();
    let replicas = |world: &World| world.object(READER).unwrap()["spec"]["replicas"].clone();
    let before = group(&world);
    world.state().topics.remove(SOURCE);
    world.settle().await;
    assert_eq!((ready(&world).as_deref(), replicas(&world)), (Some("TopicNotFound"), json!(0)));
    assert_eq!(world.message(OCTANE, "WorkloadsAvailable").as_deref(), Some("the consumer is stopped"));

    make_source(&world, 501);
    world.settle().await;
    assert_eq!((ready(&world).as_deref(), replicas(&world)), (Some("Ready"), json!(1)));
    assert_ne!(group(&world), before);
    let id = Uuid::from_u128(501).to_string();
    assert_eq!(world.object(OCTANE).unwrap()["status"]["topic"]["id"], id);
    let told = world.told("SourceTopicReplaced");
    assert!(told.len() == 1 && told[0].contains("is gone with what was not stored"), "{told:?}");
}

#[tokio::test]
async fn kafka_away_keeps_the_consumer() {
    let world = settled_with("Retain").await;
    world.state().is_kafka_away = true;
    let failures = world.reconcile_pipelines().await;
    assert_eq!(failures[0].failure(), Failure::Transient);
    assert_eq!(world.object(READER).unwrap()["spec"]["replicas"], 1);
}

#[tokio::test]
async fn a_broker_that_lags_behind_does_not_stop_the_consumer() {
    let world = settled_with("Retain").await;
    world.state().patience = PATIENCE;
    world.state().lagging_looks = 4;
    for reason in ["TopicNotVisible", "TopicNotVisible", "Ready"] {
        world.reconcile_pipelines().await;
        assert_eq!(world.object(READER).unwrap()["spec"]["replicas"], 1);
        assert_eq!(ready(&world).as_deref(), Some(reason));
    }
}

/// Eight reconciles go on at a time.
#[tokio::test]
async fn rule_27_pipelines_whose_topic_is_gone_hold_up_nobody_else() {
    const SETTINGS: &str = "secrets/team/acme-default-settings";
    let world = World::default();
    world.apply(TENANT);
    make_source(&world, 500);
    let readers: Vec<String> = (0..16).map(|number| format!("octane-{number}")).collect();
    for reader in &readers {
        world.apply(&manifest(SOURCE, "Retain").replace("name: octane,", &format!("name: {reader},")));
    }
    world.settle().await;
    world.state().topics.remove(SOURCE);
    world.state().are_searches_endless = true;
    world.edit(ACME, |tenant| tenant["spec"]["apiKeys"] = json!([{"name": "second", "scopes": ["Ingest"]}]));
    world.reconcile_tenants().await;
    let before = world.object(SETTINGS).unwrap()["data"].clone();

    let keys = readers.iter().map(|reader| format!("pipelines/team/{reader}"));
    let all = futures::stream::iter(keys.chain([ACME_DEFAULT.to_owned()])).map(|key| {
        let world = world.clone();
        async move { world.reconcile_pipeline(&key).await.map(drop) }
    });
    let outcomes = all.buffer_unordered(8).collect::<Vec<_>>();
    let outcomes = tokio::time::timeout(Duration::from_secs(20), outcomes).await.unwrap();
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    assert_ne!(world.object(SETTINGS).unwrap()["data"], before, "the revoked key is dead");
    assert_eq!(world.reason("pipelines/team/octane-0", "TopicReady").as_deref(), Some("TopicNotVisible"));
}

#[tokio::test]
async fn dead_letters_do_not_go_into_a_strangers_topic() {
    let world = settled_with("Retain").await;
    world.state().topics.get_mut(DEAD_LETTERS).unwrap().id.0 = Uuid::from_u128(77);
    world.settle().await;
    assert_eq!(world.object(READER).unwrap()["spec"]["replicas"], 0);
    assert_eq!(world.reason(OCTANE, "TopicReady").as_deref(), Some("NameConflict"));
}

#[tokio::test]
async fn no_pipeline_reads_a_topic_of_another_tenant() {
    let world = with_tenant().await;
    world.apply(&manifest("millrace.globex.web", "Retain"));
    let failures = world.reconcile_pipelines().await;
    assert_eq!((failures[0].failure(), failures[0].reason()), (Failure::Refused, Reason::InvalidSourceTopic));
    assert_eq!(world.reason(OCTANE, "Stalled").as_deref(), Some("InvalidSourceTopic"));
    assert!(world.object(READER).is_none() && topics(&world).is_empty());
}

#[tokio::test]
async fn a_topic_that_may_be_read_no_longer_is_not_read() {
    let world = settled_with("Retain").await;
    let allowed = |topics: &[&str]| {
        let topics = topics.iter().map(|topic| (*topic).to_owned()).collect::<Vec<_>>();
        world.state().source_topics = Some(topics.try_into().unwrap());
    };
    let replicas = || world.object(READER).unwrap()["spec"]["replicas"].as_i64();
    allowed(&["octane.*"]);
    world.settle().await;
    assert_eq!(world.take_log(), [""; 0]);
    allowed(&["shop.*"]);
    world.settle().await;
    assert_eq!(world.reason(OCTANE, "SpecValid").as_deref(), Some("SourceTopicNotAllowed"));
    assert_eq!(replicas(), Some(0));
    allowed(&["shop.*", "octane.events"]);
    world.settle().await;
    assert_eq!((ready(&world).as_deref(), replicas()), (Some("Ready"), Some(1)));
}

#[tokio::test]
async fn a_deletion_that_deletes_takes_the_dead_letters_alone() {
    let world = settled_with("Delete").await;
    world.delete(OCTANE);
    world.settle().await;
    assert!(world.object(OCTANE).is_none());
    assert_eq!(topics(&world), [SOURCE]);
}

#[tokio::test]
async fn a_deletion_that_keeps_notes_the_dead_letters_alone() {
    let world = settled_with("Retain").await;
    let dead_letters = world.state().topics[DEAD_LETTERS].id.to_string();
    world.delete(OCTANE);
    world.settle().await;
    assert!(world.object(OCTANE).is_none());
    assert_eq!(world.object(ACME).unwrap()["status"]["retainedTopics"], json!([dead_letters]));

    world.apply(&manifest(SOURCE, "Retain"));
    world.settle().await;
    assert_eq!(ready(&world).as_deref(), Some("Ready"), "the next of this name takes them over");
}

#[tokio::test]
async fn a_pipeline_without_its_consumer_has_a_reason_of_its_own() {
    let world = settled_with("Retain").await;
    world.edit(OCTANE, |pipeline| pipeline["spec"]["consumer"] = json!({"replicas": 0}));
    world.settle().await;
    assert_eq!(ready(&world).as_deref(), Some("ScaledToZero"));
    assert!(world.message(OCTANE, "Ready").unwrap().contains("events wait in Kafka"));
}

#[tokio::test]
async fn a_topic_of_others_is_not_drained() {
    for (state, reason) in [("Paused", "Paused"), ("Stopped", "Stopped")] {
        let world = settled_with("Retain").await;
        world.edit(OCTANE, |pipeline| pipeline["spec"]["state"] = json!(state));
        world.settle().await;
        assert_eq!(ready(&world).as_deref(), Some(reason));
        assert_eq!(world.object(READER).unwrap()["spec"]["replicas"], 0, "{state}");
        assert!(world.object(OCTANE).unwrap()["status"]["drain"].is_null(), "it grows on");

        world.edit(OCTANE, |pipeline| pipeline["spec"]["state"] = json!("Running"));
        world.settle().await;
        assert_eq!(ready(&world).as_deref(), Some("Ready"));
        assert_eq!(world.object(READER).unwrap()["spec"]["replicas"], 1);
    }
}

#[tokio::test]
async fn a_suspended_tenant_reads_no_topic_of_others() {
    for what in ["Ingest", "All"] {
        let world = settled_with("Retain").await;
        world.edit(ACME, |tenant| tenant["spec"]["suspend"] = json!(what));
        world.settle().await;
        assert_eq!(ready(&world).as_deref(), Some("TenantSuspended"), "{what}");
        assert_eq!(world.object(READER).unwrap()["spec"]["replicas"], 0, "{what}");
    }
}
