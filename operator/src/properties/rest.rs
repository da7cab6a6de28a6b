//! Looks at everything, in one order or another, until there is rest.

use rand::{SeedableRng as _, rngs::StdRng, seq::SliceRandom as _};

use crate::testing::World;

/// In which the operator has to come to rest.
const MAX_ROUNDS: usize = 20;
/// Rounds without any change after which nothing is expected any more.
const QUIET_ROUNDS: usize = 2;

/// In which order resources are looked at.
#[derive(Debug, Clone, Copy)]
pub(super) enum Order {
    Tenants,
    Pipelines,
    /// Another one in each round.
    Shuffled {
        seed: u64,
    },
}

/// Rounds until there is rest. Gives the changes.
pub(super) async fn rest(world: &World, order: Order) -> Result<Vec<String>, String> {
    let (mut changes, mut quiet) = (Vec::new(), 0);
    world.state().log.clear();
    for number in 0..MAX_ROUNDS {
        round(world, order, number).await;
        let made = std::mem::take(&mut world.state().log);
        quiet = if made.is_empty() { quiet + 1 } else { 0 };
        changes.extend(made);
        if quiet == QUIET_ROUNDS {
            let violations = std::mem::take(&mut world.state().violations);
            return if violations.is_empty() { Ok(changes) } else { Err(violations.join(", ")) };
        }
    }
    let last = changes.split_off(changes.len().saturating_sub(12));
    Err(format!("no rest after {MAX_ROUNDS} rounds, the last changes: {last:#?}"))
}

/// So many looks at everything, whatever comes of them.
pub(super) async fn rounds(world: &World, count: usize) {
    for number in 0..count {
        round(world, Order::Tenants, number).await;
    }
}

async fn round(world: &World, order: Order, number: usize) {
    match order {
        Order::Tenants => {
            world.reconcile_tenants().await;
            world.reconcile_pipelines().await;
        }
        Order::Pipelines => {
            world.reconcile_pipelines().await;
            world.reconcile_tenants().await;
        }
        Order::Shuffled { seed } => {
            let mut dice = StdRng::seed_from_u64(seed.wrapping_add(number as u64));
            let mut keys: Vec<String> = world.state().objects.keys().cloned().collect();
            keys.shuffle(&mut dice);
            for key in keys {
                look_at(world, &key).await;
            }
        }
    }
}

/// One look at a resource, if it is there and one of ours.
async fn look_at(world: &World, key: &str) {
    if world.object(key).is_none() {
        return;
    }
    // What comes of it is what the properties look at.
    match key.split('/').next() {
        Some("analyticstenants") => drop(world.reconcile_tenant(key).await),
        Some("pipelines") => drop(world.reconcile_pipeline(key).await),
        Some(_) | None => {}
    }
}
