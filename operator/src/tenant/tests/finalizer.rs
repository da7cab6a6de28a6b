//! Finalizers that somebody removed by hand.

use serde_json::{Value, json};

use crate::{
    labels,
    tables::DatabaseComment,
    testing::{ACME, ACME_DEFAULT, TENANT, World},
};

const WEB: &str = "pipelines/team/web";
const BY_HAND: &str = "
apiVersion: analytics.millrace.dev/v1alpha1
kind: Pipeline
metadata: {name: web, namespace: team}
spec: {tenantRef: {name: acme}}
";

async fn settled() -> World {
    let world = World::default();
    world.apply(TENANT);
    world.apply(BY_HAND);
    world.settle().await;
    world
}

fn remove_finalizer(world: &World, key: &str) {
    world.edit(key, |object| object["metadata"]["finalizers"] = json!([]));
}

fn topics(world: &World, pipeline: &str) -> Vec<Value> {
    let status = world.object(pipeline).unwrap()["status"].clone();
    ["topic", "deadLetterTopic"].map(|topic| status[topic]["id"].clone()).to_vec()
}

#[tokio::test]
async fn a_finalizer_that_is_removed_while_the_resource_lives_comes_back() {
    let world = settled().await;
    for key in [ACME, ACME_DEFAULT] {
        remove_finalizer(&world, key);
    }
    world.settle().await;
    for key in [ACME, ACME_DEFAULT] {
        assert_eq!(world.object(key).unwrap()["metadata"]["finalizers"], json!([labels::FINALIZER]), "{key}");
    }
}

/// The tenant went without its clean-up: nobody released its database or noted its topics.
#[tokio::test]
async fn the_database_of_a_tenant_without_finalizer_is_taken_over_after_it_was_released_by_hand() {
    let world = settled().await;
    world.delete(WEB);
    world.settle().await;
    let (database, topic_ids) =
        (world.object(ACME).unwrap()["status"]["database"].clone(), topics(&world, ACME_DEFAULT));
    remove_finalizer(&world, ACME);
    world.delete(ACME);
    world.settle().await;
    assert!(world.object(ACME_DEFAULT).is_none());
    let told = world.told("TopicsRetained").join(" ");
    assert!(topic_ids.iter().all(|id| told.contains(id.as_str().unwrap())), "{told}");

    let before = world.state().databases.clone();
    world.apply(TENANT);
    world.settle().await;
    assert_eq!(world.reason(ACME, "DatabaseReady").as_deref(), Some("NameConflict"));
    assert_eq!(world.state().databases, before, "it is not touched unasked");

    // As the message says, with the topics that the Events named.
    let message = world.message(ACME, "DatabaseReady").unwrap();
    let statement =
        message.split('`').find(|text| text.starts_with("ALTER DATABASE t_team_acme MODIFY COMMENT '"));
    let comment = statement.unwrap().split('\'').nth(1).unwrap();
    let ids: Vec<&str> = topic_ids.iter().map(|id| id.as_str().unwrap()).collect();
    let released = DatabaseComment::parse(&format!("{comment} topics={}", ids.join(",")));
    assert!(matches!(released, DatabaseComment::Released { .. }), "{released:?}");
    world.state().databases.get_mut("t_team_acme").unwrap().comment = released;
    world.settle().await;
    assert_eq!(world.reason(ACME, "Ready").as_deref(), Some("Ready"));
    assert_eq!(world.object(ACME).unwrap()["status"]["database"], database);
    assert_eq!(topics(&world, ACME_DEFAULT), topic_ids);
}

#[tokio::test]
async fn the_topics_of_a_pipeline_without_finalizer_are_taken_over_after_their_ids_were_noted_by_hand() {
    let world = settled().await;
    let ids = topics(&world, WEB);
    remove_finalizer(&world, WEB);
    world.delete(WEB);
    world.apply(BY_HAND);
    world.settle().await;
    assert_eq!(world.reason(WEB, "TopicReady").as_deref(), Some("NameConflict"));
    let message = world.message(WEB, "TopicReady").unwrap();
    assert!(message.contains("`status.retainedTopics`"), "{message}");
    assert_eq!(topics(&world, WEB), [Value::Null, Value::Null]);

    world.edit(ACME, |tenant| tenant["status"]["retainedTopics"] = json!(ids));
    world.settle().await;
    assert_eq!(world.reason(WEB, "Ready").as_deref(), Some("Ready"));
    assert_eq!(topics(&world, WEB), ids);
}
