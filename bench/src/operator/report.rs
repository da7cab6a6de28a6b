//! What is printed: a table for people, and one line for programs.

use std::io::Write as _;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use dev::console::table;
use serde::Serialize;

use super::counts::Counts;
use crate::machine::Machine;

/// What the operator may hold with this many tenants, in MiB.
const BUDGET_MIB: f64 = 100.0;

/// The way until all were ready.
pub(super) struct Readying {
    pub(super) took: Duration,
    pub(super) counts: Counts,
    pub(super) cpu: Duration,
    /// Resident memory before the first tenant.
    pub(super) idle_mib: f64,
}

/// The time in which nothing changed.
pub(super) struct Rest {
    pub(super) took: Duration,
    pub(super) counts: Counts,
    pub(super) cpu: Duration,
    /// Resident memory at its end.
    pub(super) rss_mib: f64,
    /// The most that was ever resident.
    pub(super) peak_mib: f64,
}

/// The last line.
#[derive(Debug, Serialize)]
struct Report {
    bench: &'static str,
    tenants: u32,
    ready_s: f64,
    writes_at_rest: u64,
    rss_mib: f64,
    peak_mib: f64,
    reads_per_reconcile_at_rest: f64,
    reconciles_per_minute_at_rest: f64,
    rest_s: f64,
    cpu_ms_per_reconcile_at_rest: f64,
    writes_per_tenant_until_ready: f64,
    failed_reconciles: u64,
    machine: Machine,
}

impl Report {
    fn of(tenants: u32, readying: &Readying, rest: &Rest) -> Self {
        let reconciles = rest.counts.reconciles();
        let each = |number: f64| rounded(number / (reconciles.max(1)) as f64);
        Self {
            bench: "operator",
            tenants,
            ready_s: rounded(readying.took.as_secs_f64()),
            writes_at_rest: rest.counts.writes(),
            rss_mib: rest.rss_mib,
            peak_mib: rest.peak_mib,
            reads_per_reconcile_at_rest: each(rest.counts.reads() as f64),
            reconciles_per_minute_at_rest: rounded(reconciles as f64 * 60.0 / rest.took.as_secs_f64()),
            rest_s: rounded(rest.took.as_secs_f64()),
            cpu_ms_per_reconcile_at_rest: each(rest.cpu.as_secs_f64() * 1e3),
            writes_per_tenant_until_ready: rounded(readying.counts.writes() as f64 / f64::from(tenants)),
            failed_reconciles: readying.counts.failures() + rest.counts.failures(),
            machine: Machine::this(),
        }
    }
}

pub(super) fn print(tenants: u32, readying: &Readying, rest: &Rest) -> anyhow::Result<()> {
    let report = Report::of(tenants, readying, rest);
    let of = |controller| (readying.counts.reconciles_of(controller), rest.counts.reconciles_of(controller));
    let requests = |counts: &Counts| {
        let each = counts.requests().into_iter().map(|(what, number)| format!("{number} {what}"));
        each.collect::<Vec<_>>().join(", ")
    };
    let row = |what: &str, until_ready: String, at_rest: String| [what.to_owned(), until_ready, at_rest];
    let rows = vec![
        row("seconds", format!("{:.1}", report.ready_s), format!("{:.0}", report.rest_s)),
        row("looks at a tenant", of("tenant").0.to_string(), of("tenant").1.to_string()),
        row("looks at a Pipeline", of("pipeline").0.to_string(), of("pipeline").1.to_string()),
        row("failed looks", readying.counts.failures().to_string(), rest.counts.failures().to_string()),
        row("reads", readying.counts.reads().to_string(), rest.counts.reads().to_string()),
        row("writes", readying.counts.writes().to_string(), rest.counts.writes().to_string()),
        row(
            "CPU seconds",
            format!("{:.1}", readying.cpu.as_secs_f64()),
            format!("{:.1}", rest.cpu.as_secs_f64()),
        ),
        row("MiB before", format!("{:.1}", readying.idle_mib), String::new()),
        row("MiB at the end, at most", String::new(), format!("{:.1}, {:.1}", rest.rss_mib, rest.peak_mib)),
    ];
    let mut out = std::io::stdout();
    writeln!(out, "{}\n", table(["", "until all are ready", "at rest"], rows))?;
    writeln!(out, "requests until all are ready: {}", requests(&readying.counts))?;
    writeln!(out, "requests at rest: {}\n", requests(&rest.counts))?;
    writeln!(out, "{}", serde_json::to_string(&report).context("failed to write the report")?)?;
    ensure!(report.writes_at_rest == 0, "failed to see no writes at rest: {}", report.writes_at_rest);
    ensure!(report.peak_mib < BUDGET_MIB, "failed to stay below {BUDGET_MIB:.0} MiB: {:.1}", report.peak_mib);
    Ok(())
}

/// Two decimals are more than a second run agrees on.
fn rounded(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}
