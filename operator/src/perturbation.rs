//! Every change that the operator makes is disturbed, one at a time and in each way that may happen, and every read
//! fails once; the end has to be that of the undisturbed run.
//!
//! ```text
//! scenario -> undisturbed run -> its changes and reads are the places -> place x mode: run again with the fault there
//!          -> compare
//! ```
//!
//! Invariants, whatever happens wherever it does:
//! - The end is the same but for ids, versions, times and random keys.
//! - Nothing that lives is destroyed.
//! - The operator comes to rest and then writes nothing.
//!
//! `cargo test` runs some of the points and `make perturb` all of them. The world is the one in memory: how Kubernetes,
//! Kafka and ClickHouse answer is told by the live tests.

mod choice;
mod end_state;
mod mode;
mod scenario;
mod trial;

use std::{fs, path::PathBuf, time::Instant};

use choice::Choice;
use mode::Mode;
use trial::Prepared;

pub(crate) use end_state::{difference, end_state};

/// Fewer changes than this are no proof, and mean that scenarios were lost.
const FEWEST_POINTS: usize = 300;
/// Failures that are told; the first few say what is wrong.
const MOST_TOLD: usize = 5;

/// A change or a read of a scenario's undisturbed run, and what happens there.
struct Point<'a> {
    prepared: &'a Prepared,
    /// Counted from 1.
    place: usize,
    mode: Mode,
}

#[tokio::test]
async fn rule_03_the_end_is_the_same_whatever_happens_at_a_change_or_a_read() {
    let (choice, started) = (choice::asked_for(), now());
    let mut prepared = Vec::new();
    for scenario in scenario::all() {
        prepared.push(Prepared::of(scenario).await);
    }
    let points = points(&prepared, &choice);
    let mut failures = Vec::new();
    for point in &points {
        if let Err(failure) = trial::run(point.prepared, point.place, point.mode, choice.seed()).await {
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
        let reads: usize = prepared.iter().map(|prepared| prepared.reads.len()).sum();
        assert!(points.len() >= FEWEST_POINTS, "{} points", points.len());
        let summary = format!(
            "perturbed {} points at {changes} changes and {reads} reads of {} scenarios in {:.1} s, seed {}\n",
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
        mode::ALL.into_iter().flat_map(move |mode| {
            let places = prepared.places(mode).iter().enumerate();
            let possible = places.filter(move |(_, line)| mode.is_possible_at(line));
            possible.map(move |(index, _)| Point { prepared, place: index + 1, mode })
        })
    });
    every.filter(|point| choice.has(point.prepared.scenario.name, point.place, point.mode)).collect()
}

/// Where it failed, and how to see that alone.
fn told(point: &Point<'_>, seed: u64) -> String {
    let (name, place, mode) = (&point.prepared.scenario.name, point.place, point.mode);
    let line = &point.prepared.places(mode)[place - 1];
    format!(
        "{name}: {mode:?} at place {place}, `{line}`\n  {}='{name}/{place}/{mode:?}/{seed}' cargo test -p operator --lib perturbation",
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
