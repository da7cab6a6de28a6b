//! The process: options, log, runtime, exit code.

use std::{process::ExitCode, time::Duration};

use anyhow::Context as _;
use consumer::Options;
use runtime::{shutdown::Shutdown, telemetry};

/// How long a thread that did not end in time may hold up the end of the process.
const THREAD_GRACE: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let options = Options::from_process();
    match start(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(cause) => {
            tracing::error!(error = format!("{cause:#}"), "consumer failed");
            ExitCode::FAILURE
        }
    }
}

/// One thread serves the insert and the probes; the poll loop has its own.
fn start(options: Options) -> anyhow::Result<()> {
    telemetry::init(&options.log)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("failed to start tokio")?;
    let outcome = runtime.block_on(async { consumer::run(options, Shutdown::on_signals()?).await });
    runtime.shutdown_timeout(THREAD_GRACE);
    outcome
}
