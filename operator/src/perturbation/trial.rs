//! One run of a scenario, with a fault at one change or read.

use std::{collections::BTreeMap, panic::AssertUnwindSafe, pin::pin};

use futures::FutureExt as _;
use serde_json::{Value, json};

use super::{
    choice::Dice,
    end_state::{difference, end_state},
    mode::{Mode, Target},
    scenario::{Scenario, Step},
};
use crate::testing::World;

/// In which the operator has to come to rest.
const MAX_ROUNDS: usize = 40;

/// A scenario with its undisturbed run.
pub(super) struct Prepared {
    pub(super) scenario: Scenario,
    /// The world in which it begins.
    world: World,
    /// The changes of the undisturbed run.
    pub(super) changes: Vec<String>,
    /// Its reads.
    pub(super) reads: Vec<String>,
    end: BTreeMap<String, String>,
}

/// Which controller looks first in a round.
#[derive(Debug, Clone, Copy)]
enum Order {
    Tenants,
    Pipelines,
}

impl Prepared {
    pub(super) async fn of(scenario: Scenario) -> Self {
        let world = World::default();
        take(&scenario.given, &world).await;
        let run = world.fork();
        run.state().reads.clear();
        let changes = take(&scenario.steps, &run).await;
        assert_eq!(run.state().violations, Vec::<String>::new(), "{}", scenario.name);
        let reads = std::mem::take(&mut run.state().reads);
        Self { end: end_state(&run), scenario, world, changes, reads }
    }

    /// Where a fault can strike, in the order of the undisturbed run.
    pub(super) fn places(&self, mode: Mode) -> &[String] {
        match mode.target() {
            Target::Change(_) => &self.changes,
            Target::Read => &self.reads,
        }
    }
}

/// Takes steps undisturbed. Gives the changes.
async fn take(steps: &[Step], world: &World) -> Vec<String> {
    let mut changes = Vec::new();
    for step in steps {
        step.take(world);
        changes.extend(rest(world, Order::Tenants).await.unwrap());
    }
    changes
}

pub(super) async fn run(prepared: &Prepared, place: usize, mode: Mode, seed: u64) -> Result<(), String> {
    let world = prepared.world.fork();
    let mut dice = Dice::of(seed, prepared.scenario.name, place, mode);
    match mode.target() {
        Target::Change(fault) => world.fail_at(place, fault),
        Target::Read => world.fail_read_at(place),
    }
    let work = async {
        for step in &prepared.scenario.steps {
            step.take(&world);
            disturbed(&world, mode, &mut dice).await?;
        }
        if !world.has_struck() {
            return Err("the place was not reached".to_owned());
        }
        let violations = world.state().violations.clone();
        if !violations.is_empty() {
            return Err(format!("destroyed: {}", violations.join(", ")));
        }
        match difference(&prepared.end, &end_state(&world)) {
            None => Ok(()),
            Some(difference) => Err(format!("the end is another one\n{difference}")),
        }
    };
    AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|_| Err("a panic, see above".to_owned()))
}

/// Works until the fault struck, and then until there is rest.
async fn disturbed(world: &World, mode: Mode, dice: &mut Dice) -> Result<(), String> {
    if !world.has_struck() {
        let mut slow = pin!(until_the_fault(world));
        tokio::select! {
            biased;
            () = world.stands_still() => {
                rest(world, Order::Tenants).await.map_err(|error| format!("the other operator: {error}"))?;
                world.go_on();
                slow.await;
            }
            () = &mut slow => {}
        }
    }
    if !world.has_struck() {
        return Ok(()); // at rest, and as far as the undisturbed run
    }
    if world.has_crashed() {
        world.restart();
        after_the_crash(world, mode, dice).await?;
    }
    rest(world, *dice.choose(&[Order::Tenants, Order::Pipelines])).await.map(|_| ())
}

/// Rounds until the fault strikes or nothing is left to do.
async fn until_the_fault(world: &World) {
    let mut quiet = 0;
    while quiet < QUIET_ROUNDS && !world.has_struck() {
        round(world, Order::Tenants).await;
        quiet = if take_log(world).is_empty() { quiet + 1 } else { 0 };
    }
}

/// What caches show to an operator that starts again.
async fn after_the_crash(world: &World, mode: Mode, dice: &mut Dice) -> Result<(), String> {
    match mode {
        Mode::LateCache => {
            let mut older = |plural| -> Vec<Value> {
                world.versions(plural).iter().map(|versions| dice.choose(versions).clone()).collect()
            };
            let (tenants, pipelines) = (older("analyticstenants"), older("pipelines"));
            world.reconcile_cached(&tenants, &pipelines).await;
            Ok(())
        }
        Mode::Namesake => {
            take_log(world);
            let namesakes = |plural| -> Vec<Value> {
                world.versions(plural).iter().filter_map(|versions| versions.last()).map(namesake).collect()
            };
            world.reconcile_cached(&namesakes("analyticstenants"), &namesakes("pipelines")).await;
            let changes = take_log(world);
            if changes.is_empty() { Ok(()) } else { Err(format!("for a namesake: {changes:#?}")) }
        }
        Mode::CrashBefore
        | Mode::CrashAfter
        | Mode::Refused
        | Mode::AnswerLost
        | Mode::Touched
        | Mode::OvertakenBefore
        | Mode::OvertakenAfter
        | Mode::ReadFailed => Ok(()),
    }
}

/// The same resource of an earlier incarnation, on its way out with all its data.
fn namesake(resource: &Value) -> Value {
    let mut gone = resource.clone();
    gone["metadata"]["uid"] = json!("uid-of-a-namesake");
    gone["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    gone["spec"]["deletionPolicy"]["kafka"] = json!("Delete");
    if gone["kind"] == "AnalyticsTenant" {
        gone["spec"]["deletionPolicy"]["clickhouse"] = json!("Delete");
    }
    gone
}

/// Rounds without any change after which nothing is expected any more: the second shows that the first was no accident.
const QUIET_ROUNDS: usize = 2;

/// Rounds until there is rest. Gives the changes.
async fn rest(world: &World, order: Order) -> Result<Vec<String>, String> {
    let (mut changes, mut quiet) = (Vec::new(), 0);
    take_log(world);
    for _ in 0..MAX_ROUNDS {
        round(world, order).await;
        let made = take_log(world);
        quiet = if made.is_empty() { quiet + 1 } else { 0 };
        changes.extend(made);
        if quiet == QUIET_ROUNDS {
            return Ok(changes);
        }
    }
    let last = changes.split_off(changes.len().saturating_sub(12));
    Err(format!("no rest after {MAX_ROUNDS} rounds, the last changes: {last:#?}"))
}

async fn round(world: &World, order: Order) {
    match order {
        Order::Tenants => {
            world.reconcile_tenants().await;
            world.reconcile_pipelines().await;
        }
        Order::Pipelines => {
            world.reconcile_pipelines().await;
            world.reconcile_tenants().await;
        }
    }
}

/// Every change since the last time, Events included.
fn take_log(world: &World) -> Vec<String> {
    std::mem::take(&mut world.state().log)
}
