//! The properties of random worlds.

use proptest::prelude::*;

use super::{
    end::end,
    found::of_strangers,
    rest::{Order, rest},
    runner::{block_on, check},
    scene::scene,
};
use crate::{
    perturbation::difference,
    testing::{ACME, World},
};

/// Cases where nothing else is asked for.
const CASES: u32 = 40;

/// Another tenant in another namespace, which has nothing to do with any of this.
const BYSTANDER: &str = "
apiVersion: analytics.millrace.dev/v1alpha1
kind: AnalyticsTenant
metadata: {name: globex, namespace: other}
spec: {deletionPolicy: {kafka: Delete, clickhouse: Delete}}
";

#[test]
fn rule_19_random_worlds_come_to_one_rest_and_lose_nothing() {
    let bystanders = World::default();
    bystanders.apply(BYSTANDER);
    block_on(rest(&bystanders, Order::Tenants)).unwrap();
    let order = prop_oneof![Just(Order::Pipelines), any::<u64>().prop_map(|seed| Order::Shuffled { seed })];
    check(CASES, &(scene(), order), |(scene, order)| {
        let world = bystanders.fork();
        async move {
            scene.set(&world).await;
            let other = world.fork();
            at_rest(&world, Order::Tenants).await?;
            at_rest(&other, order).await.map_err(|error| format!("{order:?}: {error}"))?;
            if !has_its_database(&world) {
                return Ok(());
            }
            match difference(&end(&world), &end(&other)) {
                Some(difference) => Err(format!("with {order:?} the end is another one\n{difference}")),
                None => Ok(()),
            }
        }
    });
}

/// Whether the tenant has what its Pipelines work with. Where it lost that, what they did just before is a matter of
/// who looked first.
fn has_its_database(world: &World) -> bool {
    let tenant = world.object(ACME).unwrap_or_default();
    let is_there = tenant["status"]["database"]["tableUuid"].is_string();
    is_there && tenant["metadata"]["deletionTimestamp"].is_null()
}

async fn at_rest(world: &World, order: Order) -> Result<(), String> {
    let before = of_strangers(world);
    rest(world, order).await?;
    let after = of_strangers(world);
    match before.iter().find(|thing| !after.contains(thing)) {
        Some(thing) => Err(format!("was not left alone: {thing}")),
        None => Ok(()),
    }
}
