//! Pipelines with a name of their own for the topic: what follows from it, and two that want the same.

use std::pin::pin;

use super::*;
use crate::testing::Fault;

const ORDERS: &str = "millrace.team-acme.orders";
const FIRST: &str = "pipelines/team/first";
const SECOND: &str = "pipelines/team/second";

fn named(pipeline: &str, policy: &str) -> String {
    format!(
        "{{apiVersion: analytics.millrace.dev/v1alpha1, kind: Pipeline, metadata: {{name: {pipeline}, namespace: team}}, \
         spec: {{tenantRef: {{name: acme}}, topic: {{name: {ORDERS}}}, deletionPolicy: {{kafka: {policy}}}}}}}"
    )
}

/// The tenant is there, without Pipelines that were looked at.
async fn with_tenant() -> World {
    let world = World::default();
    world.apply(
        "{apiVersion: analytics.millrace.dev/v1alpha1, kind: AnalyticsTenant, \
         metadata: {name: acme, namespace: team}, spec: {defaultPipeline: None}}",
    );
    world.settle().await;
    world
}

fn recorded(world: &World, key: &str) -> Option<String> {
    let id = world.object(key)?["status"]["topic"]["id"].as_str()?.to_owned();
    (!id.is_empty()).then_some(id)
}

fn ready(world: &World, key: &str) -> Option<String> {
    world.reason(key, "Ready")
}

#[tokio::test]
async fn topics_and_group_have_the_given_name_and_go_with_it() {
    let world = with_tenant().await;
    world.apply(&named("first", "Delete"));
    world.settle().await;
    assert_eq!(ready(&world, FIRST).as_deref(), Some("Ready"));
    let names: Vec<String> = world.state().topics.keys().cloned().collect();
    assert_eq!(names, [ORDERS.to_owned(), format!("{ORDERS}.dlq")]);
    let group = world.object(FIRST).unwrap()["status"]["consumerGroup"].as_str().unwrap().to_owned();
    assert!(group.starts_with(&format!("{ORDERS}.")), "{group}");
    world.take_log();
    world.reconcile_pipelines().await;
    assert!(world.take_log().is_empty());

    world.delete(FIRST);
    world.settle().await;
    assert_eq!((world.object(FIRST), world.stored().0), (None, 0));
}

#[tokio::test]
async fn a_kept_topic_is_taken_over_under_its_name_by_one_of_the_pipelines_that_want_it() {
    let world = with_tenant().await;
    world.apply(&named("first", "Retain"));
    world.settle().await;
    let id = recorded(&world, FIRST);
    world.delete(FIRST);
    world.settle().await;
    world.apply(&named("second", "Retain"));
    world.apply(&named("first", "Retain"));
    world.settle().await;
    assert_eq!((recorded(&world, SECOND), recorded(&world, FIRST)), (id, None));
    assert!(world.told("TopicAdopted")[0].contains(ORDERS));
}

#[tokio::test]
async fn a_name_that_another_tenant_could_have_is_refused() {
    let world = with_tenant().await;
    world.apply(&named("first", "Delete").replace(ORDERS, "millrace.other.orders"));
    let failures = world.reconcile_pipelines().await;
    assert_eq!(failures[0].failure(), Failure::Refused);
    assert_eq!(ready(&world, FIRST).as_deref(), Some("InvalidTopicName"));
    assert!(world.message(FIRST, "Ready").unwrap().contains("begin with `millrace.team-acme.`"));
    assert_eq!(world.stored().0, 0);
}

#[tokio::test]
async fn of_two_pipelines_with_one_name_the_older_has_it_until_it_is_gone() {
    let world = with_tenant().await;
    world.apply(&named("second", "Delete"));
    world.apply(&named("first", "Delete"));
    world.settle().await;
    assert_eq!(ready(&world, SECOND).as_deref(), Some("Ready"));
    assert_eq!(world.reason(FIRST, "Stalled").as_deref(), Some("NameConflict"));
    assert!(world.message(FIRST, "TopicReady").unwrap().contains("belongs to Pipeline `second`"));
    assert_eq!(world.object(FIRST).unwrap()["status"]["topic"], json!(null));
    assert!(world.object("deployments/team/first-consumer").is_none());

    world.delete(SECOND);
    world.settle().await;
    world.settle().await;
    assert_eq!(ready(&world, FIRST).as_deref(), Some("Ready"));
}

#[tokio::test]
async fn a_name_that_a_younger_pipeline_works_with_stays_its_name() {
    let world = with_tenant().await;
    world.apply(&named("second", "Delete"));
    world.settle().await;
    let id = recorded(&world, SECOND);
    world.apply(&named("first", "Delete"));
    // As when the API server that made it has a clock that is late.
    world.edit(FIRST, |pipeline| {
        pipeline["metadata"]["creationTimestamp"] = json!("2020-01-01T00:00:00Z");
    });
    world.state().topics.clear();
    world.settle().await;
    assert_eq!(ready(&world, SECOND).as_deref(), Some("Ready"), "also after its topic was lost");
    assert!(recorded(&world, SECOND) != id);
    assert_eq!(ready(&world, FIRST).as_deref(), Some("NameConflict"));
}

#[tokio::test]
async fn a_pipeline_whose_own_name_was_given_away_says_so() {
    let world = with_tenant().await;
    world.apply(&named("first", "Delete"));
    world.settle().await;
    world.apply(&named("orders", "Delete").replace(&format!("topic: {{name: {ORDERS}}}"), "topic: {}"));
    world.settle().await;
    assert_eq!(ready(&world, "pipelines/team/orders").as_deref(), Some("NameConflict"));
    assert_eq!(ready(&world, FIRST).as_deref(), Some("Ready"));
}

/// One operator stands still before and after each of its changes in turn, while a Pipeline of the same name is made that
/// counts as the older one, and another operator works on that.
#[tokio::test]
async fn two_pipelines_that_begin_at_the_same_time_never_have_one_topic() {
    for fault in [Fault::PauseBefore, Fault::PauseAfter] {
        let mut change = 1;
        while with_a_second_one_at(change, fault).await {
            change += 1;
        }
        assert!(change > 5, "a Pipeline is made with more than {change} changes");
    }
}

/// Whether there is such a change.
async fn with_a_second_one_at(change: usize, fault: Fault) -> bool {
    let world = with_tenant().await;
    world.apply(&named("second", "Delete"));
    let second = world.object(SECOND).unwrap();
    world.fail_at(change, fault);
    let mut slow = pin!(world.reconcile_cached(&[], std::slice::from_ref(&second)));
    tokio::select! {
        biased;
        () = world.stands_still() => {}
        () = &mut slow => return false,
    }
    world.apply(&named("first", "Delete"));
    world.edit(FIRST, |first| {
        first["metadata"]["creationTimestamp"] = second["metadata"]["creationTimestamp"].clone();
        first["metadata"]["uid"] = json!("uid-0");
    });
    let first = world.object(FIRST).unwrap();
    world.reconcile_cached(&[], &[first]).await;
    world.go_on();
    slow.await;
    world.settle().await;
    let recorded = [recorded(&world, FIRST), recorded(&world, SECOND)];
    let mut ready = [FIRST, SECOND].map(|key| ready(&world, key).unwrap_or_default());
    assert_eq!(recorded.iter().flatten().count(), 1, "{fault:?} {change}: {recorded:?} {ready:?}");
    ready.sort_unstable();
    assert_eq!(ready, ["NameConflict", "Ready"], "{fault:?} {change}");
    true
}
