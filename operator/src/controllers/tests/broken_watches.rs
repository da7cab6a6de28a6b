//! What one broken watch does to everything else: nothing.

use super::*;
use scenario::{beside_the_pipelines, flag, looks, settled, until};

use crate::testing::{ACME_DEFAULT, World};

const INGESTER: &str = "deployments/team/acme-default-ingester";
/// Much longer than a reconcile takes here, and shorter than what kube pauses a controller for after four errors.
const AT_ONCE: Duration = Duration::from_secs(3);

fn scale(world: &World, replicas: u64) {
    world.edit(ACME_DEFAULT, |pipeline| {
        pipeline["spec"]["ingester"]["replicas"] = replicas.into();
        pipeline["metadata"]["generation"] = (replicas + 100).into();
    });
}

fn is_scaled(world: &World, replicas: u64) -> bool {
    world.object(INGESTER).unwrap()["spec"]["replicas"] == replicas
}

#[tokio::test]
async fn rule_28_a_forbidden_watch_of_one_kind_holds_up_no_other() {
    for look in ["LIST ingresses", "WATCH ingresses"] {
        let world = settled().await;
        world.state().refusals = vec![(look.to_owned(), 403)];
        beside_the_pipelines(&world, flag(), async {
            until(|| looks(&world, look) >= 4).await;
            scale(&world, 5);
            let scaled = tokio::time::timeout(AT_ONCE, until(|| is_scaled(&world, 5))).await;
            assert!(scaled.is_ok(), "held up by a refused {look}");
        })
        .await;
    }
}

#[tokio::test]
async fn the_pipelines_are_listed_once_they_may_be_and_not_before() {
    let (world, listed) = (settled().await, flag());
    world.state().refusals = vec![("LIST pipelines".to_owned(), 403)];
    beside_the_pipelines(&world, listed.clone(), async {
        until(|| looks(&world, "LIST pipelines") >= 4 && looks(&world, "WATCH ingresses") > 0).await;
        assert!(!listed.is_set());
        scale(&world, 5);
        world.state().refusals.clear();
        until(|| listed.is_set() && is_scaled(&world, 5)).await;
    })
    .await;
}

#[tokio::test]
async fn a_stop_before_the_first_list_is_an_end_at_once() {
    let world = settled().await;
    world.state().refusals = vec![("LIST pipelines".to_owned(), 403)];
    let run = beside_the_pipelines(&world, flag(), until(|| looks(&world, "LIST pipelines") > 0));
    assert!(tokio::time::timeout(AT_ONCE, run).await.is_ok(), "it waits for a list that never comes");
}

/// No watch tells of it.
#[tokio::test]
async fn rule_13_what_is_changed_in_kafka_is_found_at_the_next_look() {
    let world = settled().await;
    let retentions = |world: &World| world.state().topic_retentions.clone();
    let wanted = retentions(&world);
    world.state().pace.recheck = Duration::from_millis(10);
    beside_the_pipelines(&world, flag(), async {
        until(|| looks(&world, "WATCH pipelines") > 0).await;
        for _ in 0..2 {
            world.state().topic_retentions.values_mut().for_each(|kept| *kept = 1);
            until(|| retentions(&world) == wanted).await;
        }
    })
    .await;
}
