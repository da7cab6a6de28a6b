//! Kills, freezes, rebalances and cuts everything at random under load, and counts what became of each event.
//!
//! ```text
//! senders -> ingester -> Kafka -> consumers -> ClickHouse -> reader
//!    \--------------------- ledger ---------------------------/
//! ```
//!
//! Kafka, ClickHouse and the consumers each have a course of faults of their own, so that faults meet; every course
//! mends what it broke. At the end nothing is broken, and what was acknowledged has to be in `events` once.
//!
//! Invariants:
//! - The ledger and the reader share no code with the consumer.
//! - What is broken is decided by the seed; when it happens depends on the machine as well.
//! - Its Kafka and its ClickHouse are its own, and end with it.

mod args;
mod course;
mod deck;
mod faults;
mod ledger;
mod load;
mod peer;
mod reader;
mod report;
mod round;
mod site;

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use tokio::signal::unix::{SignalKind, signal};

use crate::args::Arguments;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let ended = tokio::runtime::Runtime::new()
        .context("failed to start the runtime")
        .and_then(|runtime| runtime.block_on(until_signalled(arguments)));
    match ended {
        Ok(report) => {
            let _ = write!(std::io::stdout(), "{report}");
            report.exit_code()
        }
        Err(error) => {
            // Whoever closed the error output does not want to read it.
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// A signal ends the round where it is, and with it the processes that it started.
async fn until_signalled(arguments: Arguments) -> anyhow::Result<report::Report> {
    let mut interrupt = signal(SignalKind::interrupt()).context("failed to listen for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("failed to listen for SIGTERM")?;
    tokio::select! {
        report = round::run(&arguments) => report,
        _ = interrupt.recv() => anyhow::bail!("interrupted"),
        _ = terminate.recv() => anyhow::bail!("terminated"),
    }
}
