use crds::Reason;
use schema::names::TopicName;
use serde_json::json;
use uuid::Uuid;

use crate::{
    labels,
    progress::Problem as _,
    testing::{ACME, Log, World},
    topics::Topic,
};

mod drain;
mod protection;

const TENANT: &str = "
apiVersion: analytics.millrace.dev/v1alpha1
kind: AnalyticsTenant
metadata: {name: acme, namespace: team}
spec: {defaultPipeline: None}
";
const WEB: &str = "pipelines/team/web";
const TOPIC: &str = "millrace.team-acme.web";
/// Every time that a deletion gives is over.
const LONG_AGO: &str = "2026-01-01T00:00:00Z";

fn web(policy: &str) -> String {
    format!(
        "{{apiVersion: analytics.millrace.dev/v1alpha1, kind: Pipeline, metadata: {{name: web, namespace: team}}, \
         spec: {{tenantRef: {{name: acme}}, deletionPolicy: {{kafka: {policy}}}}}}}"
    )
}

async fn settled(policy: &str) -> World {
    let world = World::default();
    world.apply(TENANT);
    world.apply(&web(policy));
    world.settle().await;
    world.take_log();
    world
}

#[tokio::test]
async fn kept_topics_are_noted_and_taken_over_by_the_next_of_this_name() {
    let world = settled("Retain").await;
    let id = world.state().topics[TOPIC].id.to_string();
    world.delete(WEB);
    world.settle().await;
    let noted = world.object(ACME).unwrap()["status"]["retainedTopics"].clone();
    assert!(noted.as_array().unwrap().contains(&json!(id)), "{noted}");
    world.apply(&web("Retain"));
    world.settle().await;
    assert_eq!(world.object(WEB).unwrap()["status"]["topic"]["id"], id);
    assert_eq!(world.reason(WEB, "Ready").as_deref(), Some("Ready"));
}

#[tokio::test]
async fn a_full_list_of_kept_topics_forgets_those_that_are_gone() {
    for (length, then) in [(998, 1000), (999, 2)] {
        let world = settled("Retain").await;
        let gone: Vec<String> =
            (0..length).map(|number| Uuid::from_u128(9_000 + number).to_string()).collect();
        world.edit(ACME, |tenant| tenant["status"]["retainedTopics"] = json!(gone));
        world.delete(WEB);
        world.settle().await;
        let noted = world.object(ACME).unwrap()["status"]["retainedTopics"].clone();
        assert_eq!(
            noted.as_array().unwrap().len(),
            then,
            "what is not there may be away while there is room"
        );
        assert!(world.state().topics.values().all(|topic| noted.to_string().contains(&topic.id.to_string())));
        assert_eq!(world.told("RetainedTopicsForgotten"), [""; 0]);
    }
}

#[tokio::test]
async fn a_listing_that_shows_less_strands_no_kept_topic() {
    let world = settled("Retain").await;
    let kept = Uuid::from_u128(55).to_string();
    let mut full: Vec<String> = (0..999).map(|number| Uuid::from_u128(9_000 + number).to_string()).collect();
    full.push(kept.clone());
    world.edit(ACME, |tenant| tenant["status"]["retainedTopics"] = json!(full));
    world.state().are_topics_hidden = true;
    world.delete(WEB);
    world.settle().await;
    let noted = world.object(ACME).unwrap()["status"]["retainedTopics"].clone();
    let noted = noted.as_array().unwrap();
    assert!(noted.len() == 1000 && noted.contains(&json!(kept)), "{}", noted.len());
}

/// The bound of the list is that of the definition.
#[tokio::test]
async fn a_list_of_kept_topics_that_is_full_loses_its_oldest_and_holds_no_deletion() {
    let world = settled("Retain").await;
    let full: Vec<String> =
        (1..=1000).map(|number| Uuid::from_u128(9_000_000 - number).to_string()).collect();
    world.edit(ACME, |tenant| tenant["status"]["retainedTopics"] = json!(full));
    world.state().are_topics_hidden = true;
    let ours: Vec<String> = world.state().topics.values().map(|topic| topic.id.to_string()).collect();
    world.delete(WEB);
    world.settle().await;
    assert!(world.object(WEB).is_none());
    let noted = world.object(ACME).unwrap()["status"]["retainedTopics"].clone();
    let noted: Vec<&str> = noted.as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect();
    assert_eq!(noted.len(), 1000);
    assert!(ours.iter().all(|id| noted.contains(&id.as_str())) && noted[..998] == full[2..]);
    let told = world.told("RetainedTopicsForgotten");
    assert!(told.len() == 1 && full[..2].iter().all(|id| told[0].contains(id)), "{told:?}");
}

#[tokio::test]
async fn deleted_topics_are_gone() {
    let world = settled("Delete").await;
    world.delete(WEB);
    world.settle().await;
    assert!(world.object(WEB).is_none() && world.state().topics.is_empty());
}

#[tokio::test]
async fn a_topic_that_somebody_made_anew_is_not_deleted() {
    let world = settled("Delete").await;
    world.state().topics.get_mut(TOPIC).unwrap().id.0 = Uuid::from_u128(77);
    world.delete(WEB);
    world.settle().await;
    assert!(world.object(WEB).is_none());
    assert_eq!(world.state().topics.keys().collect::<Vec<_>>(), [TOPIC]);
}

#[tokio::test]
async fn a_topic_of_another_pipeline_in_the_status_is_not_deleted() {
    let world = settled("Delete").await;
    let other = "millrace.team-acme.other";
    let id = world.state().topics[TOPIC].id.to_string();
    let mut stolen = world.state().topics.remove(TOPIC).unwrap();
    stolen.name = TopicName::parse(other).unwrap();
    world.state().topics.insert(other.to_owned(), stolen);
    world.edit(WEB, |pipeline| {
        pipeline["status"]["topic"] = json!({"name": other, "id": id, "partitions": 6})
    });
    world.delete(WEB);
    world.settle().await;
    assert!(world.state().topics.contains_key(other));
    assert_eq!(world.reason(WEB, "DeletionBlocked").as_deref(), Some("TopicRenamed"));
    assert!(world.message(WEB, "DeletionBlocked").unwrap().contains(other), "it is not left in silence");
    assert!(!world.state().topics.contains_key(&format!("{TOPIC}.dlq")), "the other one is gone");

    world.edit(WEB, |pipeline| {
        pipeline["metadata"]["annotations"][labels::ABANDON_EXTERNAL] = "true".into();
    });
    world.settle().await;
    assert!(world.object(WEB).is_none() && world.state().topics.contains_key(other));
}

#[tokio::test]
async fn kafka_away_blocks_a_deletion_that_deletes() {
    let world = settled("Delete").await;
    world.delete(WEB);
    world.state().is_kafka_away = true;
    world.settle().await;
    let failures = world.reconcile_pipelines().await;
    assert_eq!(failures[0].reason(), Reason::TopicNotVisible);
    assert!(world.reason(WEB, "DeletionBlocked").is_some());
    // As a namespace that is being deleted does.
    world.state().refusals.push(("POST events".to_owned(), 403));
    let log = Log::begin();
    abandon(&world);
    world.settle().await;
    assert!(world.object(WEB).is_none());
    let names: Vec<String> = world.state().topics.values().map(named).collect();
    let expected = format!("left {} behind, as the annotation asks: failed to", names.join(" and "));
    let warnings = log.warnings();
    assert_eq!(warnings.iter().filter(|line| line.starts_with(&expected)).count(), 1, "{warnings:?}");
}

#[tokio::test]
async fn an_event_names_the_topics_that_are_left_behind() {
    let world = settled("Delete").await;
    abandon(&world);
    world.delete(WEB);
    world.state().is_kafka_away = true;
    world.settle().await;
    assert!(world.object(WEB).is_none());
    let (told, state) = (world.told("ExternalResourcesAbandoned"), world.state());
    assert!(
        told.len() == 1 && state.topics.values().all(|topic| told[0].contains(&named(topic))),
        "{told:?}"
    );
}

#[tokio::test]
async fn topics_that_are_left_behind_are_taken_over_when_kafka_is_back() {
    for policy in ["Retain", "Delete"] {
        let world = settled(policy).await;
        let id = world.state().topics[TOPIC].id.to_string();
        abandon(&world);
        world.state().is_kafka_away = true;
        world.delete(WEB);
        world.settle().await;
        assert!(world.object(WEB).is_none(), "{policy}");

        world.state().is_kafka_away = false;
        world.apply(&web(policy));
        world.settle().await;
        assert_eq!(world.object(WEB).unwrap()["status"]["topic"]["id"], id, "{policy}");
        assert_eq!(world.reason(WEB, "Ready").as_deref(), Some("Ready"), "{policy}");
        assert!(!world.told("TopicAdopted").is_empty(), "{policy}");
    }
}

/// Somebody else wrote to the tenant at the same time.
#[tokio::test]
async fn topics_are_not_left_behind_unnoted_because_the_tenant_changed_meanwhile() {
    let world = settled("Delete").await;
    abandon(&world);
    world.state().is_kafka_away = true;
    world.state().refusals.push(("MERGE analyticstenants/team/acme status".to_owned(), 409));
    world.delete(WEB);
    world.settle().await;
    assert!(world.object(WEB).is_some());
    world.state().refusals[0].1 = 403;
    world.settle().await;
    assert!(world.object(WEB).is_none(), "what nothing mends is not waited for");
    assert_eq!(world.told("ExternalResourcesAbandoned").len(), 1);
}

/// The next look notes it.
#[tokio::test]
async fn the_annotation_does_not_excuse_topics_that_nobody_noted() {
    let world = settled("Retain").await;
    abandon(&world);
    world.state().refusals.push(("MERGE analyticstenants/team/acme status".to_owned(), 409));
    world.delete(WEB);
    world.settle().await;
    assert!(world.object(WEB).is_some(), "{:?}", world.take_log());
    assert!(
        world.reason(WEB, "DeletionBlocked").is_none(),
        "somebody changed the tenant, and nothing is wrong"
    );
    assert!(world.told("KubernetesChanged").is_empty());
    world.state().refusals.clear();
    world.settle().await;
    assert!(world.object(WEB).is_none());
    let noted = world.object(ACME).unwrap()["status"]["retainedTopics"].clone();
    assert_eq!(noted.as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn kept_topics_are_named_with_their_ids_and_without_a_tenant_as_such() {
    for (happens, told_of_it) in [(keep as fn(&World), false), (lose_the_tenant, true)] {
        let world = settled("Retain").await;
        world.delete(WEB);
        happens(&world);
        world.settle().await;
        let (told, state) = (world.told("TopicsRetained"), world.state());
        assert!(
            told.len() == 1 && state.topics.values().all(|topic| told[0].contains(&named(topic))),
            "{told:?}"
        );
        assert_eq!(told[0].contains("no AnalyticsTenant `acme`"), told_of_it, "{told:?}");
    }
}

fn keep(_: &World) {}

/// Its finalizer was removed by hand.
fn lose_the_tenant(world: &World) {
    world.state().objects.remove(ACME);
}

fn abandon(world: &World) {
    world.edit(WEB, |pipeline| {
        pipeline["metadata"]["annotations"][labels::ABANDON_EXTERNAL] = "true".into();
    });
}

fn named(topic: &Topic) -> String {
    format!("topic `{}` with the id {}", topic.name, topic.id)
}

#[tokio::test]
async fn kafka_away_does_not_hold_up_a_deletion_that_keeps() {
    let world = settled("Retain").await;
    world.delete(WEB);
    world.state().is_kafka_away = true;
    world.settle().await;
    assert!(
        world.message(WEB, "Ready").unwrap().contains("Kafka does not say"),
        "the drain may be possible yet"
    );
    let_time_pass(&world);
    world.settle().await;
    assert!(world.object(WEB).is_none());
}

/// The time of the drain is over.
fn let_time_pass(world: &World) {
    world.edit(WEB, |pipeline| pipeline["status"]["drain"]["startedAt"] = json!(LONG_AGO));
}
