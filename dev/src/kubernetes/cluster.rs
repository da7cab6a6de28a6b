//! Questions and orders to the running cluster, through `kubectl` as its administrator.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::network::NODE_NAME;
use super::paths::Paths;
use super::tools::{Tools, environment};
use crate::command::{self, finish};

/// Time that one call gets; an answer takes about 0.1 s, and a cold API server a few.
const CALL: Duration = Duration::from_secs(10);

/// Time until the API server serves a new kind: some tenths of a second on an idle machine.
const ESTABLISHED: Duration = Duration::from_secs(60);

/// The node's condition, the boot it was reported from, and nothing else.
const NODE_STATE: &str =
    r#"jsonpath={.status.conditions[?(@.type=="Ready")].status} {.status.nodeInfo.bootID}"#;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("failed to read the node")]
    ReadNode {
        #[source]
        source: command::Error,
    },
    #[error("failed to find the node ready: `{state}`")]
    NodeNotReady { state: String },
    #[error("failed to find the default service account")]
    ReadAccount {
        #[source]
        source: command::Error,
    },
}

/// The cluster as its administrator sees it.
#[derive(Debug, Clone)]
pub(crate) struct Cluster {
    kubectl: PathBuf,
    kubeconfig: PathBuf,
    /// What kubectl remembers of the API server goes with it: another one may get its port.
    cache: PathBuf,
}

impl Cluster {
    pub(crate) fn new(paths: &Paths, tools: &Tools) -> Self {
        Self {
            kubectl: tools.program("kubectl"),
            kubeconfig: paths.admin_kubeconfig(),
            cache: paths.state().join("kubectl-cache"),
        }
    }

    /// The API server accepts requests, its store answers and its first roles exist.
    pub(crate) fn api_is_ready(&self) -> Result<(), command::Error> {
        self.call(&["get", "--raw=/readyz"]).map(drop)
    }

    /// A part that answers `/healthz` on loopback with a certificate of our authority.
    pub(crate) fn is_healthy_at(&self, port: u16) -> Result<(), command::Error> {
        let server = format!("--server=https://127.0.0.1:{port}");
        self.call(&[&server, "get", "--raw=/healthz"]).map(drop)
    }

    /// Whether kubelet reported the node ready since the machine's last start.
    pub(crate) fn expect_node_ready(&self, boot_id: &str) -> Result<(), Error> {
        let state = self
            .call(&["get", "node", NODE_NAME, "--output", NODE_STATE])
            .map_err(|source| Error::ReadNode { source })?;
        if state.trim() == format!("True {boot_id}") {
            return Ok(());
        }
        Err(Error::NodeNotReady { state })
    }

    /// Whether pods can be made: they need the service account that the controller manager makes in each namespace.
    pub(crate) fn expect_default_account(&self) -> Result<(), Error> {
        self.call(&["get", "serviceaccount", "default", "--output=name"])
            .map(drop)
            .map_err(|source| Error::ReadAccount { source })
    }

    /// Makes the kinds that a file defines, and returns when they are served.
    pub(crate) fn define(&self, file: &Path) -> Result<(), command::Error> {
        let file = format!("--filename={}", file.display());
        self.call(&["create", &file, "--validate=false"])?;
        let timeout = format!("--timeout={}s", ESTABLISHED.as_secs());
        let mut wait = self.kubectl(&["wait", "--for=condition=Established", &file, &timeout]);
        finish(&mut wait, ESTABLISHED + CALL).map(drop)
    }

    /// Orders all pods to end within a second; kubelet does it later.
    pub(crate) fn end_all_pods(&self) -> Result<(), command::Error> {
        let arguments = ["delete", "pods", "--all", "--all-namespaces", "--grace-period=1", "--wait=false"];
        self.call(&arguments).map(drop)
    }

    fn call(&self, arguments: &[&str]) -> Result<String, command::Error> {
        let mut kubectl = self.kubectl(arguments);
        kubectl.arg(format!("--request-timeout={}s", CALL.as_secs()));
        finish(&mut kubectl, CALL)
    }

    fn kubectl(&self, arguments: &[&str]) -> Command {
        let mut kubectl = Command::new(&self.kubectl);
        kubectl
            .arg(format!("--kubeconfig={}", self.kubeconfig.display()))
            .args(arguments)
            .env("KUBECACHEDIR", &self.cache)
            .envs(environment());
        kubectl
    }
}
