//! The tables for a person and the last line. Pure but for the writing.

use std::io::Write as _;
use std::path::Path;

use anyhow::Context as _;
use dev::console::table;
use serde::Serialize;

use super::drain::Drained;
use super::fill::Filled;
use super::limits::{self, Limit};
use super::{LOADS, Measured, System};
use crate::args::ConsumerOptions;
use crate::machine::Machine;
use crate::summary::Spread;

/// The last line. Ratios: best Kafka engine over ours, larger is better; none where it was not measured.
#[derive(Debug, Serialize)]
struct Report {
    bench: &'static str,
    consumer_us_100: f64,
    consumer_us_1: f64,
    server_us: f64,
    ratio_1: Option<f64>,
    ratio_100: Option<f64>,
    ratio_merged: Option<f64>,
    rss_mib: f64,
    limit_pct: Option<f64>,
    events: u64,
    rounds: u32,
    max_rows: u32,
    line_bytes: f64,
    machine: Machine,
}

/// Ours and the best Kafka engine, which are measured once more with merges.
pub(super) fn finalists(systems: &[System], each: &[Measured]) -> Vec<System> {
    let ours = systems.iter().filter(|system| matches!(system, System::Ours(_)));
    ours.chain(best_engine(systems, each, LOADS[0])).cloned().collect()
}

fn best_engine<'s>(systems: &'s [System], each: &[Measured], per_record: u64) -> Option<&'s System> {
    systems
        .iter()
        .filter(|system| matches!(system, System::Engine(_)))
        .min_by(|a, b| median(each, a, per_record, total).total_cmp(&median(each, b, per_record, total)))
}

fn total(drained: &Drained) -> f64 {
    drained.consumer + drained.server
}

fn spread(each: &[Measured], system: &System, per_record: u64, of: fn(&Drained) -> f64) -> Spread {
    let those = each.iter().filter(|one| one.system == *system && one.per_record == per_record);
    Spread::of(those.map(|one| of(&one.drained)))
}

fn median(each: &[Measured], system: &System, per_record: u64, of: fn(&Drained) -> f64) -> f64 {
    spread(each, system, per_record, of).median
}

/// Theirs over ours, round by round.
fn ratio(each: &[Measured], theirs: &System, ours: &System, per_record: u64) -> Spread {
    let of = |system: &System, round: u32| {
        each.iter()
            .find(|one| one.system == *system && one.per_record == per_record && one.round == round)
            .map(|one| total(&one.drained))
    };
    let last = each.iter().map(|one| one.round).max().unwrap_or(0);
    Spread::of((1..=last).filter_map(|round| Some(of(theirs, round)? / of(ours, round)?)))
}

pub(super) fn print(
    options: &ConsumerOptions,
    program: &Path,
    systems: &[System],
    filled: &Filled,
    each: &[Measured],
    merged: &[(System, Drained)],
    limits: &[Limit],
) -> anyhow::Result<()> {
    let ours = System::Ours(program.to_owned());
    let mut out = std::io::stdout();
    for per_record in LOADS {
        let rows = systems.iter().map(|system| row(program, &ours, each, system, per_record)).collect();
        let header = [
            "CPU us per event",
            "consumer",
            "server",
            "together",
            "over ours",
            "insert",
            "wire bytes",
            "parts",
            "peak MiB",
            "exact",
        ];
        writeln!(out, "{per_record} events a record: median (min to max)\n{}\n", table(header, rows))?;
    }
    if !merged.is_empty() {
        let rows = merged.iter().map(|(system, drained)| {
            let number = |number: f64| format!("{number:.2}");
            [
                system.name(program),
                number(drained.consumer),
                number(drained.server),
                number(total(drained)),
                drained.parts.to_string(),
            ]
        });
        let header =
            ["with merges until quiet, 100 a record", "consumer", "server", "together", "parts left"];
        writeln!(out, "{}\n", table(header, rows.collect()))?;
    }
    writeln!(out, "{}\n", limits::shown(limits))?;
    let mut report = report(options, systems, filled, each, merged, &ours);
    report.limit_pct = limit_pct(limits, each, &ours);
    writeln!(out, "{}", serde_json::to_string(&report).context("failed to write the report")?)?;
    Ok(())
}

fn row(program: &Path, ours: &System, each: &[Measured], system: &System, per_record: u64) -> [String; 10] {
    let spread = |of| spread(each, system, per_record, of).to_string();
    let checksum =
        |system: &System| each.iter().find(|one| one.system == *system).map(|one| one.drained.checksum);
    let is_exact = checksum(system) == checksum(ours);
    [
        system.name(program),
        spread(|one| one.consumer),
        spread(|one| one.server),
        spread(total),
        ratio(each, system, ours, per_record).to_string(),
        spread(|one| one.insert),
        format!("{:.0}", median(each, system, per_record, |one| one.wire_bytes)),
        format!("{:.0}", median(each, system, per_record, |one| one.parts as f64)),
        format!("{:.0}", median(each, system, per_record, |one| one.peak_mib)),
        if is_exact { "yes" } else { "numbers rewritten" }.to_owned(),
    ]
}

fn report(
    options: &ConsumerOptions,
    systems: &[System],
    filled: &Filled,
    each: &[Measured],
    merged: &[(System, Drained)],
    ours: &System,
) -> Report {
    let against = |per_record| {
        best_engine(systems, each, per_record).map(|theirs| ratio(each, theirs, ours, per_record).median)
    };
    let merged_total = |wanted: fn(&System) -> bool| {
        merged.iter().find(|(system, _)| wanted(system)).map(|(_, one)| total(one))
    };
    let theirs = merged_total(|system| matches!(system, System::Engine(_)));
    let with_merges = merged_total(|system| matches!(system, System::Ours(_)));
    let peak = each.iter().filter(|one| one.system == *ours).map(|one| one.drained.peak_mib);
    Report {
        bench: "consumer",
        consumer_us_100: median(each, ours, 100, |one| one.consumer),
        consumer_us_1: median(each, ours, 1, |one| one.consumer),
        server_us: median(each, ours, 100, |one| one.insert),
        ratio_1: against(1),
        ratio_100: against(100),
        ratio_merged: theirs
            .zip(with_merges)
            .map(|(theirs, ours)| (theirs / ours * 1_000.0).round() / 1_000.0),
        rss_mib: peak.fold(0.0, f64::max),
        limit_pct: None,
        events: options.bed.events,
        rounds: options.rounds,
        max_rows: options.bed.max_rows,
        line_bytes: (filled.line_bytes as f64 / filled.events as f64).round(),
        machine: Machine::this(),
    }
}

/// The sum of the parts alone over consumer and insert together, in percent, of the load that comes less near.
fn limit_pct(limits: &[Limit], each: &[Measured], ours: &System) -> Option<f64> {
    let reached = limits.iter().map(|limit| {
        let together = median(each, ours, limit.per_record, |one| one.consumer + one.insert);
        (limit.sum() / together * 1_000.0).round() / 10.0
    });
    reached.min_by(f64::total_cmp)
}
