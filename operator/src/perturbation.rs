//! Every change that the operator makes is disturbed, one at a time and in each way that may happen; the end has to be
//! that of the undisturbed run.
//!
//! ```text
//! scenario -> undisturbed run -> its changes are the points -> point x mode: run again with the fault there -> compare
//! ```
//!
//! Invariants, whatever happens at whichever change:
//! - The end is the same but for ids, versions, times and random keys.
//! - Nothing that lives is destroyed.
//! - The operator comes to rest and then writes nothing.
//!
//! `cargo test` runs some of the points and `make perturb` all of them. Reads are not disturbed, and the world is the one
//! in memory: how Kubernetes, Kafka and ClickHouse answer is told by the live tests.

mod choice;
mod end_state;
mod mode;
mod scenario;
mod trial;

use std::{fs, path::PathBuf, time::Instant};

use choice::Choice;
use mode::Mode;
use trial::Prepared;

/// Fewer changes than this are no proof, and mean that scenarios were lost.
const FEWEST_POINTS: usize = 300;
/// Failures that are told; the first few say what is wrong.
const MOST_TOLD: usize = 5;

/// A change of a scenario's undisturbed run, and what happens there.
struct Point<'a> {
    prepared: &'a Prepared,
    /// Counted from 1.
    change: usize,
    mode: Mode,
}

#[tokio::test]
async fn rule_03_the_end_is_the_same_whatever_happens_at_a_change() {
    let (choice, started) = (choice::asked_for(), now());
    let mut prepared = Vec::new();
    for scenario in scenario::all() {
        prepared.push(Prepared::of(scenario).await);
    }
    let points = points(&prepared, &choice);
    let mut failures = Vec::new();
    for point in &points {
        if let Err(failure) = trial::run(point.prepared, point.change, point.mode, choice.seed()).await {
            failures.push(format!("{}\n{failure}", told(point, choice.seed())));
        }
    }
    let count = failures.len();
    failures.truncate(MOST_TOLD);
    assert!(
        failures.is_empty(),
        "{count} of {} points, the first ones:\n{}",
        points.len(),
        failures.join("\n\n")
    );
    if choice.is_of_many() {
        let changes: usize = prepared.iter().map(|prepared| prepared.changes.len()).sum();
        assert!(points.len() >= FEWEST_POINTS, "{} points", points.len());
        let summary = format!(
            "perturbed {} points at {changes} changes of {} scenarios in {:.1} s, seed {}\n",
            points.len(),
            prepared.len(),
            (now() - started).as_secs_f64(),
            choice.seed(),
        );
        fs::write(target_folder().join("perturb.txt"), summary).unwrap();
    }
}

fn points<'a>(prepared: &'a [Prepared], choice: &Choice) -> Vec<Point<'a>> {
    let every = prepared.iter().flat_map(|prepared| {
        prepared.changes.iter().enumerate().flat_map(move |(index, line)| {
            let modes = mode::ALL.into_iter().filter(|mode| mode.is_possible_at(line));
            modes.map(move |mode| Point { prepared, change: index + 1, mode })
        })
    });
    every.filter(|point| choice.has(point.prepared.scenario.name, point.change, point.mode)).collect()
}

/// Where it failed, and how to see that alone.
fn told(point: &Point<'_>, seed: u64) -> String {
    let (name, change, mode) = (&point.prepared.scenario.name, point.change, point.mode);
    let line = &point.prepared.changes[change - 1];
    format!(
        "{name}: {mode:?} at change {change}, `{line}`\n  {}='{name}/{change}/{mode:?}/{seed}' cargo test -p operator --lib perturbation",
        choice::VARIABLE
    )
}

#[allow(clippy::disallowed_methods, reason = "the run is measured here")]
fn now() -> Instant {
    Instant::now()
}

/// The folder `target`, of which this program lies in `debug/deps`.
fn target_folder() -> PathBuf {
    std::env::current_exe().unwrap().ancestors().nth(3).unwrap().to_owned()
}
