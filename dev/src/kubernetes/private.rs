//! A Kubernetes API server of a test's own: real etcd, API server and controllers, and no nodes.
//!
//! ```text
//! certificates -> etcd -> kube-apiserver -> definitions -> controller manager
//! ```
//!
//! Nothing runs in it: it has neither scheduler nor kubelet, and of the controllers, if nobody says other, only those
//! of [`Controllers::Deletion`]. It uses no network but loopback.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::cluster::Cluster;
use super::component::Component;
use super::options::{ControlPlaneOptions, Controllers, Reach};
use super::paths::Paths;
use super::tools::Tools;
use super::{START, certificates, configuration, kubeconfig};
use crate::folders::Folders;
use crate::{artifacts, ports, process};

/// One of its processes, and where it listens.
type Part = (Component, fn(&ControlPlaneOptions) -> u16);

const ETCD: Part = (Component::Etcd, |options| options.etcd_port);
const API_SERVER: Part = (Component::ApiServer, |options| options.api_port);
const CONTROLLER_MANAGER: Part = (Component::ControllerManager, |options| options.controller_manager_port);

/// How often it is started on other ports when another program took one of them between the look and the use.
const ATTEMPTS: usize = 3;

/// What every part says when it cannot listen.
const PORT_TAKEN: &str = "address already in use";

/// One API server on loopback, which knows its administrator and whom he may speak for.
/// It and its data go when this value is dropped, and its processes go with this program.
#[derive(Debug)]
pub struct PrivateApiServer {
    options: ControlPlaneOptions,
    folders: Folders,
    paths: Paths,
    tools: Tools,
    cluster: Cluster,
    _data: TempDir,
}

impl PrivateApiServer {
    /// Starts an API server with these kinds and with options changed by the caller, and returns when it serves
    /// the kinds and its controllers are at work. If a port turns out to be taken, it starts again with others,
    /// and asks the caller again.
    ///
    /// The kinds come before the controllers, since the garbage collector looks for new ones each 30 s only.
    ///
    /// # Errors
    /// When the programs were never built (run `make up`), a definition is refused, or a part does not become
    /// ready; the last lines of its log are part of the text.
    pub fn start(
        definitions: &[Value],
        mut change: impl FnMut(&mut ControlPlaneOptions),
    ) -> anyhow::Result<Self> {
        let mut attempt = || {
            let mut options = options()?;
            change(&mut options);
            let server = Self::prepare(options)?;
            server.bring_up(definitions)?;
            Ok(server)
        };
        for _ in 1..ATTEMPTS {
            match attempt() {
                Err(error) if is_port_taken(&error) => {}
                started => return started,
            }
        }
        attempt()
    }

    /// The administrator's access.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.paths.admin_kubeconfig()
    }

    #[must_use]
    pub fn kubectl(&self) -> PathBuf {
        self.tools.program("kubectl")
    }

    /// One JSON object per line, if the options have a policy. An entry may come a moment after its answer.
    #[must_use]
    pub fn audit_log(&self) -> PathBuf {
        self.paths.audit_log()
    }

    /// Ends the API server with SIGKILL; etcd and the controllers go on.
    ///
    /// # Errors
    /// When its process is still there afterwards.
    pub fn kill(&self) -> anyhow::Result<()> {
        process::kill(&self.folders, Component::ApiServer.name())
    }

    /// Starts what does not run on the same data and ports, and returns when it serves.
    ///
    /// # Errors
    /// When it does not become ready.
    pub fn start_again(&self) -> anyhow::Result<()> {
        self.bring_up_part(ETCD)?;
        self.bring_up_part(API_SERVER)?;
        self.bring_up_part(CONTROLLER_MANAGER)
    }

    /// Everything that has to be on disk before the first part starts.
    fn prepare(options: ControlPlaneOptions) -> anyhow::Result<Self> {
        let shared = Folders::of_this_user()?;
        let programs = artifacts::kubernetes_programs(&shared);
        anyhow::ensure!(programs.is_dir(), "failed to find Kubernetes on this machine; run `make up` once");
        let data = tempfile::Builder::new().prefix("millrace-kubernetes-").tempdir()?;
        let folders = shared.with_state(data.path().to_owned());
        let (paths, tools) = (Paths::new(&folders), Tools::new(programs));
        let cluster = Cluster::new(&paths, &tools);
        certificates::ensure(&paths.pki())?;
        kubeconfig::write(&paths, &options)?;
        if let Some(policy) = &options.audit_policy {
            configuration::write(&paths.audit_policy(), &policy.to_string())?;
        }
        Ok(Self { options, folders, paths, tools, cluster, _data: data })
    }

    fn bring_up(&self, definitions: &[Value]) -> anyhow::Result<()> {
        self.bring_up_part(ETCD)?;
        self.bring_up_part(API_SERVER)?;
        self.define(definitions)?;
        self.bring_up_part(CONTROLLER_MANAGER)?;
        self.wait_for_accounts()
    }

    fn bring_up_part(&self, (part, port): Part) -> anyhow::Result<()> {
        let spec = part.spec(&self.paths, &self.tools, &self.options);
        let process = process::start_bound(&self.folders, &spec)?;
        let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port(&self.options));
        process::until(&self.folders, part.name(), START, || {
            part.check(&self.paths, &self.cluster, &self.options)?;
            // A stranger on the port may give a good answer, until the part notices and ends.
            anyhow::ensure!(
                ports::is_listened_on_by(address, process.pid),
                "another program listens on {address}"
            );
            Ok::<(), anyhow::Error>(())
        })
    }

    fn define(&self, definitions: &[Value]) -> anyhow::Result<()> {
        if definitions.is_empty() {
            return Ok(());
        }
        let file = self.paths.configuration("definitions.json");
        let list = json!({"apiVersion": "v1", "kind": "List", "items": definitions});
        configuration::write(&file, &list.to_string())?;
        Ok(self.cluster.define(&file)?)
    }

    fn wait_for_accounts(&self) -> anyhow::Result<()> {
        process::until(&self.folders, Component::ControllerManager.name(), START, || {
            self.cluster.expect_default_account()
        })
    }
}

impl Drop for PrivateApiServer {
    fn drop(&mut self) {
        // Whoever calls goes before whom it calls. The folder goes next; a process that is left ends with this program.
        for (part, _) in [CONTROLLER_MANAGER, API_SERVER, ETCD] {
            let _ = process::kill(&self.folders, part.name());
        }
    }
}

fn options() -> std::io::Result<ControlPlaneOptions> {
    Ok(ControlPlaneOptions {
        listen: Ipv4Addr::LOCALHOST,
        api_port: ports::free()?,
        etcd_port: ports::free()?,
        etcd_peer_port: ports::free()?,
        controller_manager_port: ports::free()?,
        reach: Reach::Machine,
        controllers: Controllers::Deletion,
        audit_policy: None,
    })
}

fn is_port_taken(error: &anyhow::Error) -> bool {
    format!("{error:#}").contains(PORT_TAKEN)
}
