//! How the operator does with many tenants: time until all are ready, and what it asks and holds at rest.
//!
//! ```text
//! API server, Kafka, ClickHouse -> operator -> tenants, each with its managed Pipeline -> ready -> quiet -> rest
//! ```
//!
//! Every part is a private one on loopback, the operator is a process as in its pod, and there are no nodes: each
//! Pipeline is scaled to no pods as soon as it is there.
//! Invariant: a write at rest, or more memory than the budget, is a failure after the numbers are printed.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use dev::console::Console;

use self::bed::Bed;
use self::counts::Counts;
use self::report::{Readying, Rest};
use self::tenants::Tenants;
use crate::args::OperatorOptions;
use crate::cpu::CpuClock;
use crate::process::Running;

mod bed;
mod counts;
mod report;
mod tenants;

/// Time for the operator to be ready without any tenant.
const START: Duration = Duration::from_secs(30);

/// Time for one tenant to be ready, so that a run that hangs ends; two cores need about a tenth of it.
const READY_PER_TENANT: Duration = Duration::from_secs(3);

/// The operator is at rest when it has written nothing for so long.
const QUIET: Duration = Duration::from_secs(10);

/// Time to come to rest after the last tenant is ready.
const UNTIL_QUIET: Duration = Duration::from_secs(180);

/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(500);

pub(crate) fn run(options: &OperatorOptions) -> anyhow::Result<()> {
    let program = program(options)?;
    let console = Console::on_stderr();
    let runtime = tokio::runtime::Runtime::new().context("failed to start the runtime")?;
    let bed = console.step("an API server, a Kafka and a ClickHouse of its own", Bed::start)?;
    let (mut operator, admin) = console.step("operator", || runtime.block_on(started(&program, &bed)))?;
    let name = format!("{} tenants with a Pipeline each", options.tenants);
    let readying = console.progress(&name, |progress| {
        runtime.block_on(ready(options.tenants, &bed, &mut operator, admin, |text| progress.detail(text)))
    })?;
    console.step("rest: no writes for 10 s", || runtime.block_on(until_quiet(&mut operator, admin)))?;
    let rest = console.progress("what it does at rest", |progress| {
        let window = Duration::from_secs(options.rest_seconds);
        runtime.block_on(at_rest(window, &mut operator, admin, |text| progress.detail(text)))
    })?;
    operator.stop()?;
    report::print(options.tenants, &readying, &rest)
}

fn program(options: &OperatorOptions) -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("failed to find this program")?;
    let folder = options.binaries.clone().or_else(|| own.parent().map(Path::to_owned));
    let program = folder.context("failed to find the folder of the binaries")?.join("operator");
    ensure!(program.is_file(), "failed to find `{}`, run `make bench-operator`", program.display());
    Ok(program)
}

async fn started(program: &Path, bed: &Bed) -> anyhow::Result<(Running, u16)> {
    let (mut operator, admin) = bed.start_operator(program)?;
    operator.until_ready(admin, START).await?;
    Ok((operator, admin))
}

/// Makes the tenants and waits until all of them and their Pipelines are ready.
#[allow(clippy::disallowed_methods, reason = "measures how long a real operator takes")]
async fn ready(
    number: u32,
    bed: &Bed,
    operator: &mut Running,
    admin: u16,
    tell: impl Fn(String),
) -> anyhow::Result<Readying> {
    let tenants = Tenants::on(bed.client().await?);
    let (idle_mib, clock) = (operator.resident_mib()?, CpuClock::of(operator.pid())?);
    let (before, used) = (Counts::of(admin).await?, clock.used()?);
    let begin = Instant::now();
    tenants.create(number).await?;
    loop {
        let seen = tenants.look().await?;
        if seen.tenants == number && seen.pipelines == number {
            break;
        }
        tell(format!("{} tenants and {} Pipelines are ready", seen.tenants, seen.pipelines));
        operator.expect_running()?;
        ensure!(
            begin.elapsed() < READY_PER_TENANT * number,
            "failed to see all ready in time; {} tenants and {} Pipelines are; {}",
            seen.tenants,
            seen.pipelines,
            seen.example
        );
        tokio::time::sleep(LOOK).await;
    }
    let took = begin.elapsed();
    let counts = Counts::of(admin).await?.since(&before);
    Ok(Readying { took, counts, cpu: clock.used()?.saturating_sub(used), idle_mib })
}

#[allow(clippy::disallowed_methods, reason = "measures how long a real operator takes")]
async fn until_quiet(operator: &mut Running, admin: u16) -> anyhow::Result<()> {
    let begin = Instant::now();
    let mut written = Counts::of(admin).await?.writes();
    let mut since = Instant::now();
    while since.elapsed() < QUIET {
        ensure!(begin.elapsed() < UNTIL_QUIET, "failed to see the operator at rest: it goes on writing");
        tokio::time::sleep(LOOK).await;
        operator.expect_running()?;
        let now = Counts::of(admin).await?.writes();
        if now != written {
            (written, since) = (now, Instant::now());
        }
    }
    Ok(())
}

#[allow(clippy::disallowed_methods, reason = "measures for a real time")]
async fn at_rest(
    window: Duration,
    operator: &mut Running,
    admin: u16,
    tell: impl Fn(String),
) -> anyhow::Result<Rest> {
    let clock = CpuClock::of(operator.pid())?;
    let (before, used, begin) = (Counts::of(admin).await?, clock.used()?, Instant::now());
    while begin.elapsed() < window {
        tokio::time::sleep(LOOK.min(window.saturating_sub(begin.elapsed()))).await;
        operator.expect_running()?;
        tell(format!("of {} s", window.as_secs()));
    }
    let counts = Counts::of(admin).await?.since(&before);
    Ok(Rest {
        took: begin.elapsed(),
        counts,
        cpu: clock.used()?.saturating_sub(used),
        rss_mib: operator.resident_mib()?,
        peak_mib: operator.peak_mib()?,
    })
}
