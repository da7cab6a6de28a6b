//! The operator's process; see the library.

use anyhow::Context as _;
use clap::Parser as _;
use operator::args::Options;
use runtime::{shutdown::Shutdown, telemetry};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    telemetry::init(&options.log)?;
    let shutdown = Shutdown::on_signals()?;
    let config = kube::Config::infer()
        .await
        .context("failed to find the Kubernetes API: no service account, no kubeconfig")?;
    let client = operator::client(config).context("failed to make the client of the Kubernetes API")?;
    operator::run(options, client, shutdown).await
}
