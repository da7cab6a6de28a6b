//! A Kafka of a test's own, to be killed and started again.

use std::net::Ipv4Addr;

use tempfile::TempDir;

use super::options::{Aim, KafkaOptions};
use super::secrets::SecuredKafka;
use super::{ClassArchive, start_bound, stop};
use crate::artifacts;
use crate::folders::Folders;
use crate::ports;
use crate::process::{self, Process};

/// One broker on loopback. It and its data go when this value is dropped, and its process goes with this program.
#[derive(Debug)]
pub struct PrivateKafka {
    options: KafkaOptions,
    folders: Folders,
    _data: TempDir,
}

impl PrivateKafka {
    /// Starts a Kafka with a listener in the clear, and returns when it serves clients.
    ///
    /// # Errors
    /// When Kafka was never downloaded (run `make up`) or does not become ready.
    pub fn start() -> anyhow::Result<Self> {
        Self::with(|_| ())
    }

    /// As `start`, with a secured listener beside the other.
    ///
    /// # Errors
    /// As `start`.
    pub fn start_secured() -> anyhow::Result<Self> {
        let port = ports::free()?;
        Self::with(|options| options.secured_port = Some(port))
    }

    /// As `start`, with options changed by the caller.
    ///
    /// # Errors
    /// As `start`.
    pub fn with(change: impl FnOnce(&mut KafkaOptions)) -> anyhow::Result<Self> {
        let shared = Folders::of_this_user()?;
        anyhow::ensure!(
            artifacts::kafka(&shared).is_dir(),
            "failed to find Kafka on this machine; run `make up` once"
        );
        let data = tempfile::Builder::new().prefix("millrace-kafka-").tempdir()?;
        let folders = shared.with_state(data.path().to_owned());
        let mut options = KafkaOptions {
            name: "kafka".to_owned(),
            listen: Ipv4Addr::LOCALHOST,
            port: ports::free()?,
            controller_port: ports::free()?,
            secured_port: None,
            heap_mib: 256,
            aim: Aim::QuickStart,
            extra: Vec::new(),
        };
        change(&mut options);
        let kafka = Self { options, folders, _data: data };
        kafka.start_again()?;
        Ok(kafka)
    }

    /// Where clients connect, in the clear. It stays the same over restarts.
    #[must_use]
    pub fn bootstrap_servers(&self) -> String {
        self.options.address().to_string()
    }

    /// How clients use the secured listener.
    ///
    /// # Errors
    /// When it was started without one.
    pub fn secured(&self) -> anyhow::Result<SecuredKafka> {
        self.options.secured(&self.folders)
    }

    /// Ends it with SIGKILL.
    ///
    /// # Errors
    /// When its process is still there afterwards.
    pub fn kill(&self) -> anyhow::Result<()> {
        process::kill(&self.folders, &self.options.name)
    }

    /// Stops it in order.
    ///
    /// # Errors
    /// When its process is still there afterwards.
    pub fn stop(&self) -> anyhow::Result<()> {
        stop(&self.folders, &self.options.name)
    }

    /// Starts it on the same data and ports, and returns when it serves clients.
    ///
    /// # Errors
    /// When it does not become ready.
    pub fn start_again(&self) -> anyhow::Result<()> {
        start_bound(&self.folders, &artifacts::kafka(&self.folders), &self.options, ClassArchive::Read)?;
        Ok(())
    }

    /// Its process, to pause it or to look at its memory; `None` while it is stopped.
    #[must_use]
    pub fn process(&self) -> Option<Process> {
        process::find(&self.folders, &self.options.name)
    }
}

impl Drop for PrivateKafka {
    fn drop(&mut self) {
        // The folder goes next; a process that is left ends with this program.
        let _ = self.kill();
    }
}
