//! What somebody did wrong, or did by hand, and what an older version of the operator must leave alone.

use serde_json::Value;

use super::*;

const SETTINGS: &str = "secrets/team/acme-default-settings";

fn template(world: &World) -> Value {
    world.object(CONSUMER).unwrap()["spec"]["template"].clone()
}

#[tokio::test]
async fn rule_32_a_spec_that_goes_back_wins_at_once_over_a_rollout_that_is_stuck() {
    let world = settled().await;
    let good = template(&world);
    world.state().are_pods_stuck = true;
    world.edit(ACME_DEFAULT, |pipeline| {
        // No node has as many.
        let resources = json!({"requests": {"cpu": "9000"}, "limits": {"cpu": "9000"}});
        pipeline["spec"]["consumer"] = json!({"replicas": 3, "resources": resources});
    });
    world.settle().await;
    assert_ne!(template(&world), good);
    assert_eq!(world.reason(ACME_DEFAULT, "WorkloadsAvailable").as_deref(), Some("RolloutInProgress"));
    world.edit(CONSUMER, |deployment| {
        deployment["status"]["conditions"] = json!([{
            "type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded",
        }]);
    });
    world.settle().await;
    assert_eq!(world.reason(ACME_DEFAULT, "WorkloadsAvailable").as_deref(), Some("RolloutStuck"));

    world.edit(ACME_DEFAULT, |pipeline| drop(pipeline["spec"].as_object_mut().unwrap().remove("consumer")));
    world.reconcile_pipelines().await;
    assert_eq!(template(&world), good, "at the first look, while nothing became ready");
    assert_eq!(world.object(CONSUMER).unwrap()["spec"]["replicas"], 1);
    world.state().are_pods_stuck = false;
    world.edit(CONSUMER, |deployment| {
        deployment["status"] = json!({
            "observedGeneration": deployment["metadata"]["generation"],
            "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1,
        });
    });
    world.settle().await;
    assert_eq!(world.reason(ACME_DEFAULT, "Ready").as_deref(), Some("Ready"));
}

/// What was brought about is known by the ids in the status and by the consents that were used.
#[tokio::test]
async fn rule_35_what_somebody_changed_by_hand_is_told_from_a_new_intent() {
    const WEEK_MS: i64 = 168 * 3_600_000;
    let world = settled().await;
    let keep_for = |ms: i64| {
        world.state().topic_retentions.insert(TOPIC.to_owned(), ms);
    };
    let kept_for = || world.state().topic_retentions[TOPIC];

    keep_for(WEEK_MS / 2);
    world.settle().await;
    assert_eq!(kept_for(), WEEK_MS, "records that are to be kept are");
    keep_for(WEEK_MS * 2);
    world.settle().await;
    assert_eq!(kept_for(), WEEK_MS * 2, "nobody asked to delete records");
    assert_eq!(world.reason(ACME_DEFAULT, "TopicReady").as_deref(), Some("RetentionReductionHeld"));
    world.edit(ACME_DEFAULT, |pipeline| {
        pipeline["metadata"]["annotations"][labels::ALLOW_RETENTION_HOURS] = json!("336-to-168");
    });
    world.settle().await;
    assert_eq!(kept_for(), WEEK_MS);
    keep_for(WEEK_MS * 2);
    world.settle().await;
    assert_eq!(kept_for(), WEEK_MS * 2, "the consent is used: what comes later is somebody's hand");

    keep_for(WEEK_MS);
    world.state().topics.get_mut(TOPIC).unwrap().partitions = 30;
    world.settle().await;
    assert_eq!(world.reason(ACME_DEFAULT, "TopicReady").as_deref(), Some("PartitionsCannotShrink"));
    world.edit(ACME_DEFAULT, |pipeline| pipeline["spec"]["topic"] = json!({"partitions": 30}));
    world.settle().await;
    assert_eq!(world.reason(ACME_DEFAULT, "Ready").as_deref(), Some("Ready"));
}

#[tokio::test]
async fn rule_38_what_a_newer_version_added_is_left_alone() {
    let world = World::default();
    world.apply(TENANT);
    for key in [ACME, ACME_DEFAULT] {
        if key == ACME_DEFAULT {
            world.settle().await;
        }
        world.edit(key, |resource| {
            resource["spec"]["ofTomorrow"] = json!({"a": [1]});
            resource["metadata"]["annotations"]["example.com/of-tomorrow"] = json!("yes");
            let mut held = resource["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
            held.push(json!("example.com/of-tomorrow"));
            resource["metadata"]["finalizers"] = held.into();
        });
    }
    for key in [CONSUMER, SETTINGS] {
        world.edit(key, |child| child["ofTomorrow"] = json!("b"));
    }
    world.edit(ACME_DEFAULT, |pipeline| {
        pipeline["spec"]["batch"] = json!({"maxRows": 77});
        pipeline["spec"]["state"] = json!("Paused");
    });
    world.settle().await;
    for key in [ACME, ACME_DEFAULT] {
        let resource = world.object(key).unwrap();
        assert_eq!(resource["spec"]["ofTomorrow"], json!({"a": [1]}), "{key}");
        assert_eq!(resource["metadata"]["annotations"]["example.com/of-tomorrow"], "yes", "{key}");
        assert_eq!(resource["metadata"]["finalizers"].as_array().unwrap().len(), 2, "{key}");
        assert!(world.reason(key, "Ready").is_some(), "{key} is brought about all the same");
    }
    assert_eq!(world.object(CONSUMER).unwrap()["ofTomorrow"], "b");
    assert_eq!(world.object(SETTINGS).unwrap()["ofTomorrow"], "b");
}
