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
    /// Where its probes and metrics are.
    pub port: u16,
    shutdown: Shutdown,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Operator {
    /// Starts it with this client, and with these flags beside those that every operator needs. It leads alone unless
    /// a flag names the Lease that it shares.
    ///
    /// # Errors
    /// When the flags are wrong.
    pub fn start(client: Client, flags: &[String]) -> anyhow::Result<Self> {
        let port = free_port()?;
        let mut words = vec![
            "operator".to_owned(),
            format!("--listen=127.0.0.1:{port}"),
            "--ingester-image=localhost/none:none".to_owned(),
            "--consumer-image=localhost/none:none".to_owned(),
            "--kafka-replication-factor=1".to_owned(),
            "--kafka-min-insync-replicas=1".to_owned(),
        ];
        if !flags.iter().any(|flag| flag.starts_with("--lease-name=")) {
            words.push(format!("--lease-name={}", uuid::Uuid::new_v4()));
        }
        words.extend(flags.iter().cloned());
        let options = Options::try_parse_from(words)?;
        let shutdown = Shutdown::manual();
        #[allow(clippy::disallowed_methods, reason = "its owner is the value that is returned")]
        let task = tokio::spawn(operator::run(options, client, shutdown.clone()));
        Ok(Self { port, shutdown, task })
    }

    /// Whether it still runs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        !self.task.is_finished()
    }

    /// Asks it to end.
    pub fn ask_to_stop(&self) {
        self.shutdown.request();
    }

    /// Waits until it ended.
    ///
    /// # Errors
    /// Its failure, or that it did not end.
    pub async fn ended(mut self) -> anyhow::Result<()> {
        tokio::time::timeout(END, &mut self.task).await.context("the operator did not end")??
    }

    /// Asks it to end and waits until it did.
    ///
    /// # Errors
    /// As `ended`.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.ask_to_stop();
        self.ended().await
    }

    /// Ends it as `kill -9` does, where it is.
    pub async fn vanish(mut self) {
        self.task.abort();
        // That it was ended is no news.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        self.shutdown.request();
        self.task.abort();
    }
}
