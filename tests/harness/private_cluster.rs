//! A Kubernetes API server of one test, with our definitions and without nodes.
//!
//! API server, etcd and garbage collection are real, and no pod is ever made: a Deployment becomes available
//! when a [`crate::stand_in::StandIn`] says so. It does not need the shared stack.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use dev::artifacts;
use dev::folders::Folders;
use dev::kubernetes::{ControlPlaneOptions, PrivateApiServer};
use kube::{Client, Config};
use serde_json::Value;

use crate::kubernetes::{Ground, config_of, run};
use crate::private::blocking;

/// A cluster on loopback that ends with this.
#[derive(Debug)]
pub struct PrivateCluster {
    server: Arc<PrivateApiServer>,
}

impl PrivateCluster {
    /// # Errors
    /// When it does not become ready.
    pub async fn start() -> anyhow::Result<Self> {
        Self::with(|_| ()).await
    }

    /// As `start`, with an audit log as this policy wants it.
    ///
    /// # Errors
    /// As `start`.
    pub async fn start_audited(policy: Value) -> anyhow::Result<Self> {
        Self::with(move |options| options.audit_policy = Some(policy.clone())).await
    }

    /// As `start`, with options changed by the caller, who is asked again when a port turns out to be taken.
    ///
    /// # Errors
    /// As `start`.
    pub async fn with(change: impl FnMut(&mut ControlPlaneOptions) + Send + 'static) -> anyhow::Result<Self> {
        let definitions = crds::manifests::definitions()
            .iter()
            .map(serde_json::to_value)
            .collect::<Result<Vec<_>, _>>()
            .context("a definition is JSON")?;
        let server = blocking(move || PrivateApiServer::start(&definitions, change)).await?;
        Ok(Self { server: Arc::new(server) })
    }

    /// How its administrator reaches it.
    ///
    /// # Errors
    /// When its kubeconfig cannot be read.
    pub async fn config(&self) -> anyhow::Result<Config> {
        config_of(&self.server.kubeconfig()).await
    }

    /// A client of its administrator, which belongs to the runtime that calls this.
    ///
    /// # Errors
    /// As `config`.
    pub async fn client(&self) -> anyhow::Result<Client> {
        Ok(Client::try_from(self.config().await?)?)
    }

    /// A client of a user who has no right that no role gives. The API server adds the group of all
    /// authenticated users, and to a service account the groups of its kind.
    ///
    /// # Errors
    /// As `config`.
    pub async fn client_as(&self, user: &str) -> anyhow::Result<Client> {
        let mut config = self.config().await?;
        config.auth_info.impersonate = Some(user.to_owned());
        Ok(Client::try_from(config)?)
    }

    /// A new namespace, as the administrator sees it.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn ground(&self, text: &str) -> anyhow::Result<Ground> {
        Ground::make_with(self.client().await?, text).await
    }

    /// The administrator's access, for programs.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.server.kubeconfig()
    }

    /// `kubectl` of this version.
    #[must_use]
    pub fn program(&self) -> PathBuf {
        self.server.kubectl()
    }

    /// Runs `kubectl` with these words and returns what it wrote.
    ///
    /// # Errors
    /// When it fails; the text is what it said.
    pub async fn kubectl(&self, words: &[&str]) -> anyhow::Result<String> {
        run(self.server.kubectl(), &self.server.kubeconfig(), words).await
    }

    /// Runs `helm` with these words and returns what it wrote.
    ///
    /// # Errors
    /// When it fails, or was never built (run `make up`); the text is what it said.
    pub async fn helm(&self, words: &[&str]) -> anyhow::Result<String> {
        run(artifacts::helm(&Folders::of_this_user()?), &self.server.kubeconfig(), words).await
    }

    /// The file of the audit log, with an entry in each line.
    #[must_use]
    pub fn audit_log(&self) -> PathBuf {
        self.server.audit_log()
    }

    /// What the audit log has until now; the last line may be half a one.
    ///
    /// # Errors
    /// When there is no log.
    pub fn audited(&self) -> anyhow::Result<Vec<Value>> {
        let path = self.audit_log();
        let text = std::fs::read_to_string(&path).with_context(|| format!("no {}", path.display()))?;
        Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
    }

    /// Ends the API server as `kill -9` does.
    ///
    /// # Errors
    /// When the system refuses.
    pub async fn kill(&self) -> anyhow::Result<()> {
        let server = Arc::clone(&self.server);
        blocking(move || server.kill()).await
    }

    /// Starts the API server on the same data and the same port.
    ///
    /// # Errors
    /// When it does not become ready.
    pub async fn start_again(&self) -> anyhow::Result<()> {
        let server = Arc::clone(&self.server);
        blocking(move || server.start_again()).await
    }
}
