//! An operator that serves some namespaces: what it does there, and that it does nothing elsewhere.

use super::*;
use scenario::{beside, flag, looks, settled, until};

use crate::{
    scope::Scope,
    testing::{TENANT, World},
};

const FAR_INGESTER: &str = "deployments/far/acme-default-ingester";
const INGESTER: &str = "deployments/team/acme-default-ingester";

/// Tenants with everything that they need in `team`, `far` and `other`.
async fn three_namespaces() -> World {
    let world = settled().await;
    for namespace in ["far", "other"] {
        let id = format!("spec: {{tenantId: {namespace}}}");
        world.apply(&TENANT.replace("team", namespace).replace("spec: {}", &id));
    }
    world.settle().await;
    world.take_log();
    world
}

/// Runs the Pipeline controller in some namespaces as long as the scenario takes.
async fn beside_those_of(
    world: &World,
    namespaces: &[&str],
    listed: Flag,
    scenario: impl Future<Output = ()>,
) {
    let names: Vec<String> = namespaces.iter().map(|name| (*name).to_owned()).collect();
    world.state().scope = Some(Scope::of(&names).unwrap());
    let (ctx, stop) = (world.context(pipeline::MANAGER), CancellationToken::new());
    let controller =
        crate::controllers::pipelines(world.client(), ctx, Writer::default(), listed, stop.clone());
    beside(controller, stop, scenario).await;
}

fn remove_ingesters(world: &World) {
    world.state().objects.retain(|key, _| !key.ends_with("-ingester"));
}

#[tokio::test]
async fn nothing_is_looked_at_outside_of_the_namespaces_that_are_served() {
    let world = three_namespaces().await;
    remove_ingesters(&world);
    beside_those_of(&world, &["team", "far"], flag(), async {
        until(|| world.object(INGESTER).is_some() && world.object(FAR_INGESTER).is_some()).await;
    })
    .await;
    let served = |look: &String| look.ends_with(" in team") || look.ends_with(" in far");
    assert!(world.state().looks.iter().all(served), "{:?}", world.state().looks);
    let log = world.take_log();
    assert!(!log.iter().any(|line| line.contains("/other/")), "{log:?}");
}

/// Such as one that does not exist, in which no Role can give the operator anything.
#[tokio::test]
async fn a_namespace_that_must_not_be_listed_holds_up_no_other() {
    let (world, listed) = (three_namespaces().await, flag());
    remove_ingesters(&world);
    let refused = |code| {
        ["LIST", "WATCH"].iter().flat_map(move |look| {
            ["pipelines", "deployments", "ingresses", "secrets", "analyticstenants"]
                .map(|kind| (format!("{look} {kind} in far"), code))
        })
    };
    world.state().refusals = refused(403).collect();
    beside_those_of(&world, &["team", "far"], listed.clone(), async {
        until(|| world.object(INGESTER).is_some() && looks(&world, "LIST pipelines in far") >= 4).await;
        assert!(listed.is_set());
        assert!(world.object(FAR_INGESTER).is_none());
        world.state().refusals.clear();
        until(|| world.object(FAR_INGESTER).is_some()).await;
    })
    .await;
}
