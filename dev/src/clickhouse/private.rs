//! A ClickHouse of a test's own, to be killed and started again.

use std::net::Ipv4Addr;

use tempfile::TempDir;

use super::options::{ClickHouseOptions, ExtraUsers};
use super::user::{self, User};
use super::{GRACE, start_bound};
use crate::artifacts;
use crate::folders::Folders;
use crate::ports;
use crate::process::{self, Process};

/// A small machine runs several of them beside the shared one.
const MAX_MEMORY_MIB: u32 = 2048;

/// One ClickHouse on loopback. It and its data go when this value is dropped, and its process goes with this program.
#[derive(Debug)]
pub struct PrivateClickHouse {
    options: ClickHouseOptions,
    user: User,
    folders: Folders,
    _data: TempDir,
}

impl PrivateClickHouse {
    /// Starts a ClickHouse, and returns when it answers queries.
    ///
    /// # Errors
    /// When ClickHouse was never downloaded (run `make up`) or does not become ready.
    pub fn start() -> anyhow::Result<Self> {
        Self::start_with(ExtraUsers::default())
    }

    /// As `start`, with more users.
    ///
    /// # Errors
    /// As `start`, and when it cannot read them.
    pub fn start_with(extra: ExtraUsers) -> anyhow::Result<Self> {
        let shared = Folders::of_this_user()?;
        let is_here = artifacts::clickhouse_library(&shared).is_file()
            && artifacts::clickhouse_launcher(&shared).is_file();
        anyhow::ensure!(is_here, "failed to find ClickHouse on this machine; run `make up` once");
        let data = tempfile::Builder::new().prefix("millrace-clickhouse-").tempdir()?;
        let folders = shared.with_state(data.path().to_owned());
        let options = ClickHouseOptions {
            name: "clickhouse".to_owned(),
            listen: Ipv4Addr::LOCALHOST,
            http_port: ports::free()?,
            tcp_port: ports::free()?,
            max_memory_mib: MAX_MEMORY_MIB,
            extra,
        };
        start_bound(&folders, &options)?;
        let user = user::read(&options.folder(&folders))?;
        Ok(Self { options, user, folders, _data: data })
    }

    /// The HTTP interface. It stays the same over restarts.
    #[must_use]
    pub fn url(&self) -> String {
        self.options.url()
    }

    /// The user with every right.
    #[must_use]
    pub fn user(&self) -> &User {
        &self.user
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
        process::stop(&self.folders, &self.options.name, GRACE)
    }

    /// Starts it on the same data and ports, and returns when it answers queries.
    ///
    /// # Errors
    /// When it does not become ready.
    pub fn start_again(&self) -> anyhow::Result<()> {
        start_bound(&self.folders, &self.options)?;
        Ok(())
    }

    /// Its process, to pause it or to look at its memory; `None` while it is stopped.
    #[must_use]
    pub fn process(&self) -> Option<Process> {
        process::find(&self.folders, &self.options.name)
    }
}

impl Drop for PrivateClickHouse {
    fn drop(&mut self) {
        // The folder goes next; a process that is left ends with this program.
        let _ = self.kill();
    }
}
