//! The ingester's process.

use anyhow::Context as _;
use clap::Parser as _;
use ingester::Flags;
use runtime::{shutdown::Shutdown, telemetry};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let flags = Flags::parse();
    telemetry::init(&flags.log)?;
    let options = flags.resolve().context("failed to read the options")?;
    let metrics = telemetry::install_metrics()?;
    let shutdown = Shutdown::on_signals()?;
    ingester::run(options, shutdown, metrics).await
}
