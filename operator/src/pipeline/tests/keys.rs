//! The keys on their way to the ingester: nothing else comes before a revocation.

use schema::settings::INGESTER_ENTRY;

use super::*;
use crate::testing::ACME_KEYS;

const SETTINGS: &str = "secrets/team/acme-default-settings";

/// What happens to a world.
type Accident = fn(&World);

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
async fn rule_39_the_settings_hold_no_key() {
    let world = settled().await;
    let key = world.object(ACME_KEYS).unwrap()["data"]["default"].as_str().unwrap().to_owned();
    for (name, object) in &world.state().objects {
        assert!(name == ACME_KEYS || !object.to_string().contains(&key), "{name}");
    }
}

#[tokio::test]
async fn a_key_that_ended_leaves_the_settings_and_comes_back_with_a_later_end() {
    let world = settled().await;
    let ends = |end: &str| {
        world.edit(ACME, |tenant| {
            tenant["spec"]["apiKeys"] = json!([{"name": "default", "scopes": ["Ingest"], "expiresAt": end}]);
        });
    };
    let before = world.object(INGESTER).unwrap();
    ends("2020-01-01T00:00:00Z");
    world.settle().await;
    assert!(accepted(&world).is_empty());
    ends("2999-01-01T00:00:00Z");
    world.settle().await;
    assert_eq!(accepted(&world), ["default"]);
    assert_eq!(world.object(INGESTER).unwrap(), before, "no pod was touched");
}
