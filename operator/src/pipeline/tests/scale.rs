//! What `kubectl scale` and a HorizontalPodAutoscaler read: how many consumers there are, and how they are selected.

use super::*;

/// The pods of the consumer as the status has them: those that there are, the ready ones, and those that are wanted.
fn replicas(world: &World) -> [Option<i64>; 3] {
    let status = world.object(ACME_DEFAULT).unwrap()["status"].clone();
    ["replicas", "readyReplicas", "desiredReplicas"].map(|field| status[field].as_i64())
}

#[tokio::test]
async fn the_first_status_says_which_pods_are_the_consumers() {
    let world = with_a_new_pipeline().await;
    world.state().refusals = vec![("GET analyticstenants".to_owned(), 500)];
    world.reconcile_pipelines().await;
    let status = world.object(ACME_DEFAULT).unwrap()["status"].clone();
    assert_eq!(status["topic"], json!(null), "nothing was looked at yet");
    let pods = "app.kubernetes.io/instance=acme-default,app.kubernetes.io/name=millrace-consumer";
    assert_eq!(status["selector"], pods);

    world.state().refusals.clear();
    world.settle().await;
    assert_eq!(world.object(ACME_DEFAULT).unwrap()["status"]["selector"], pods);
    let template = world.object(CONSUMER).unwrap()["spec"]["template"]["metadata"]["labels"].clone();
    for label in pods.split(',') {
        let (key, value) = label.split_once('=').unwrap();
        assert_eq!(template[key], value, "the pods have what they are selected by");
    }
}

#[tokio::test]
async fn the_status_counts_the_consumers() {
    let world = settled().await;
    assert_eq!(replicas(&world), [Some(1); 3]);
    world.edit(ACME_DEFAULT, |pipeline| pipeline["spec"]["consumer"] = json!({"replicas": 3}));
    world.settle().await;
    assert_eq!(replicas(&world), [Some(3); 3]);
    world.edit(CONSUMER, |deployment| deployment["status"]["readyReplicas"] = json!(2));
    world.settle().await;
    assert_eq!(replicas(&world), [Some(3), Some(2), Some(3)]);
    world.edit(ACME_DEFAULT, |pipeline| pipeline["spec"]["state"] = json!("Paused"));
    world.settle().await;
    assert_eq!(replicas(&world), [Some(0); 3], "a pause leaves the number in the spec as it is");
}

#[tokio::test]
async fn consumers_are_counted_also_where_nothing_can_be_brought_about() {
    let world = settled().await;
    world.edit(ACME_DEFAULT, |pipeline| pipeline["spec"]["batch"] = json!({"maxRows": -1}));
    world.edit(CONSUMER, |deployment| deployment["status"]["readyReplicas"] = json!(0));
    world.settle().await;
    assert_eq!(world.reason(ACME_DEFAULT, "Ready").as_deref(), Some("InvalidBatch"));
    assert_eq!(replicas(&world), [Some(1), Some(0), Some(1)]);
    world.state().objects.remove(CONSUMER);
    world.settle().await;
    assert_eq!(replicas(&world), [Some(0); 3], "there is no Deployment");

    world.state().refusals = vec![("GET deployments".to_owned(), 500)];
    world.reconcile_pipelines().await;
    assert_eq!(replicas(&world), [Some(0); 3], "what cannot be read is told of as it was");
}

#[tokio::test]
async fn a_pipeline_that_has_to_stop_counts_its_consumers_down() {
    let world = settled().await;
    world.state().topics.get_mut(TOPIC).unwrap().id.0 = uuid::Uuid::from_u128(77);
    world.settle().await;
    assert_eq!(replicas(&world)[2], Some(0));
}
