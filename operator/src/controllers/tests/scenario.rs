//! A controller on the world in memory, and a scenario beside it.

use runtime::health::Health;

use super::*;
use crate::{
    controllers,
    retries::Pace,
    testing::{TENANT, World},
};

/// Nothing here takes as long.
const DEADLINE: Duration = Duration::from_secs(30);

/// A tenant with everything that it needs. Broken watches are asked for again within milliseconds; where something is
/// missing, only a watch leads to another look.
pub(super) async fn settled() -> World {
    let world = World::default();
    world.state().pace = Pace {
        first: Duration::from_millis(1),
        soon: 10 * DEADLINE,
        watch: Duration::from_millis(10),
        ..Pace::default()
    };
    world.apply(TENANT);
    world.settle().await;
    world.take_log();
    world
}

/// Runs the Pipeline controller as long as the scenario takes.
pub(super) async fn beside_the_pipelines(world: &World, listed: Flag, scenario: impl Future<Output = ()>) {
    let (ctx, stop) = (world.context(pipeline::MANAGER), CancellationToken::new());
    let controller = controllers::pipelines(world.client(), ctx, Writer::default(), listed, stop.clone());
    beside(controller, stop, scenario).await;
}

/// Runs the AnalyticsTenant controller as long as the scenario takes.
pub(super) async fn beside_the_tenants(
    world: &World,
    writer: Writer<AnalyticsTenant>,
    scenario: impl Future<Output = ()>,
) {
    let (ctx, stop) = (world.context(tenant::MANAGER), CancellationToken::new());
    let controller = tenants(world.client(), ctx, writer, flag(), stop.clone());
    beside(controller, stop, scenario).await;
}

/// Runs a controller as long as the scenario takes.
pub(super) async fn beside(
    controller: impl Future<Output = anyhow::Result<()>>,
    stop: CancellationToken,
    scenario: impl Future<Output = ()>,
) {
    let scenario = async {
        tokio::time::timeout(DEADLINE, scenario).await.unwrap();
        stop.cancel();
    };
    futures::join!(controller, scenario).0.unwrap();
}

/// Looks again and again, until it holds.
pub(super) async fn until(holds: impl Fn() -> bool) {
    while !holds() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// How often a kind was listed, or its watch asked for.
pub(super) fn looks(world: &World, look: &str) -> usize {
    world.state().looks.iter().filter(|line| *line == look).count()
}

pub(super) fn flag() -> Flag {
    Health::new().flag("listed")
}
