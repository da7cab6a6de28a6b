//! The operator inside the test's process, on a private API server, for tests with backends of their own.
//!
//! The shared API server has the operator of the chart, and two of them are not what these tests are about.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser as _;
use kube::Client;
use operator::args::Options;
use runtime::shutdown::Shutdown;
use tokio::task::JoinHandle;

use crate::private::PrivateClickHouse;
use crate::process::free_port;

/// Time that it gets to end.
const END: Duration = Duration::from_secs(30);

/// The flags of an operator for these backends. The password goes into the folder, which has to outlive the start.
///
/// # Errors
/// When the file cannot be written.
pub fn flags(
    bootstrap_servers: &str,
    clickhouse: &PrivateClickHouse,
    folder: &Path,
) -> anyhow::Result<Vec<String>> {
    let (reader, password) = (clickhouse.reader(), folder.join("password"));
    std::fs::write(&password, &reader.password)?;
    Ok(vec![
        format!("--kafka-bootstrap-servers={bootstrap_servers}"),
        format!("--clickhouse-url={}", reader.url),
        format!("--clickhouse-user={}", reader.user),
        format!("--clickhouse-password-file={}", password.display()),
    ])
}

/// A running operator. It is stopped when this is dropped.
#[derive(Debug)]
pub struct Operator {
    shutdown: Shutdown,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Operator {
    /// Starts it with this client, and with these flags beside those that every operator needs.
    ///
    /// # Errors
    /// When the flags are wrong.
    pub fn start(client: Client, flags: &[String]) -> anyhow::Result<Self> {
        let mut words = vec![
            "operator".to_owned(),
            format!("--listen=127.0.0.1:{}", free_port()?),
            "--ingester-image=localhost/none:none".to_owned(),
            "--consumer-image=localhost/none:none".to_owned(),
            "--kafka-replication-factor=1".to_owned(),
            "--kafka-min-insync-replicas=1".to_owned(),
        ];
        words.extend(flags.iter().cloned());
        let options = Options::try_parse_from(words)?;
        let shutdown = Shutdown::manual();
        #[allow(clippy::disallowed_methods, reason = "its owner is the value that is returned")]
        let task = tokio::spawn(operator::run(options, client, shutdown.clone()));
        Ok(Self { shutdown, task })
    }

    /// Whether it still runs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        !self.task.is_finished()
    }

    /// Asks it to end and waits until it did.
    ///
    /// # Errors
    /// Its failure, or that it did not end.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        self.shutdown.request();
        tokio::time::timeout(END, &mut self.task).await.context("the operator did not end")??
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        self.shutdown.request();
        self.task.abort();
    }
}
