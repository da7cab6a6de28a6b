//! The processes that a cluster of one node consists of.

use super::cluster::{self, Cluster};
use super::network::NODE_ADDRESS;
use super::options::ControlPlaneOptions;
use super::paths::Paths;
use super::tools::Tools;
use super::{after_restart, containerd, control_plane, etcd, health, node};
use crate::command::{self, QUICK, run};
use crate::images;
use crate::process::Spec;

/// The version that `dev/kubernetes/go.mod` requires.
pub(crate) const KUBERNETES_VERSION: &str = "1.34.4";

/// One process of the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Component {
    Etcd,
    ApiServer,
    ControllerManager,
    Scheduler,
    Containerd,
    Kubelet,
    Proxy,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("failed to find `{component}` healthy")]
    Health {
        component: &'static str,
        #[source]
        source: health::Error,
    },
    #[error("failed to find `{component}` healthy")]
    Command {
        component: &'static str,
        #[source]
        source: command::Error,
    },
    #[error("failed to tell the present run of this machine from earlier ones")]
    BootId {
        #[source]
        source: after_restart::Error,
    },
    #[error("failed to find the node ready")]
    Node {
        #[source]
        source: cluster::Error,
    },
}

impl Component {
    /// All of them, each after those it needs.
    pub(crate) const ALL: [Self; 7] = [
        Self::Etcd,
        Self::Containerd,
        Self::ApiServer,
        Self::ControllerManager,
        Self::Scheduler,
        Self::Kubelet,
        Self::Proxy,
    ];

    /// The name of its process record and of its log file.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::ApiServer => "kube-apiserver",
            Self::ControllerManager => "kube-controller-manager",
            Self::Scheduler => "kube-scheduler",
            Self::Containerd => "containerd",
            Self::Kubelet => "kubelet",
            Self::Proxy => "kube-proxy",
        }
    }

    /// Where it listens.
    pub(crate) fn address(self, paths: &Paths, options: &ControlPlaneOptions) -> String {
        let loopback = |port: u16| format!("127.0.0.1:{port}");
        match self {
            Self::Etcd => loopback(options.etcd_port),
            Self::ApiServer => format!("https://{}", options.api_address()),
            Self::ControllerManager => loopback(options.controller_manager_port),
            Self::Scheduler => loopback(control_plane::SCHEDULER_PORT),
            Self::Containerd => paths.containerd_socket().display().to_string(),
            Self::Kubelet => format!("{NODE_ADDRESS}:{}", node::KUBELET_PORT),
            Self::Proxy => loopback(node::PROXY_HEALTH_PORT),
        }
    }

    /// Its version: ours for what we build, else what the program says of itself.
    pub(crate) fn version(self) -> String {
        match self {
            Self::Etcd => said_version("etcd", 2),
            Self::Containerd => said_version("containerd", 2),
            Self::ApiServer | Self::ControllerManager | Self::Scheduler | Self::Kubelet | Self::Proxy => {
                KUBERNETES_VERSION.to_owned()
            }
        }
    }

    pub(crate) fn spec(self, paths: &Paths, tools: &Tools, options: &ControlPlaneOptions) -> Spec {
        let name = self.name();
        match self {
            Self::Etcd => etcd::spec(paths, options, name),
            Self::ApiServer => control_plane::api_server(paths, tools, options, name),
            Self::ControllerManager => control_plane::controller_manager(paths, tools, options, name),
            Self::Scheduler => control_plane::scheduler(paths, tools, name),
            Self::Containerd => containerd::spec(paths, &images::pause_reference().to_string(), name),
            Self::Kubelet => node::kubelet(paths, tools, name),
            Self::Proxy => node::proxy(paths, tools, name),
        }
    }

    /// Asks it whether it works.
    pub(crate) fn check(
        self,
        paths: &Paths,
        cluster: &Cluster,
        options: &ControlPlaneOptions,
    ) -> Result<(), Error> {
        let component = self.name();
        let health =
            |port, path| health::ask(port, path).map_err(|source| Error::Health { component, source });
        let command = |answer: Result<(), command::Error>| {
            answer.map_err(|source| Error::Command { component, source })
        };
        match self {
            Self::Etcd => health(options.etcd_port, "/health"),
            Self::ApiServer => command(cluster.api_is_ready()),
            Self::ControllerManager => command(cluster.is_healthy_at(options.controller_manager_port)),
            Self::Scheduler => command(cluster.is_healthy_at(control_plane::SCHEDULER_PORT)),
            Self::Containerd => command(containerd::answers(paths)),
            Self::Kubelet => {
                health(node::KUBELET_HEALTH_PORT, "/healthz")?;
                let boot_id = after_restart::boot_id().map_err(|source| Error::BootId { source })?;
                cluster.expect_node_ready(&boot_id).map_err(|source| Error::Node { source })
            }
            Self::Proxy => health(node::PROXY_HEALTH_PORT, "/healthz"),
        }
    }
}

/// The word at `position` of the first line that `program --version` writes.
fn said_version(program: &str, position: usize) -> String {
    let said = run(program, &["--version"], QUICK).unwrap_or_default();
    let first_line = said.lines().next().unwrap_or_default();
    first_line.split_whitespace().nth(position).unwrap_or("?").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_one_that_is_built() {
        let modules = include_str!("../../kubernetes/go.mod");
        assert!(modules.contains(&format!("k8s.io/kubernetes v{KUBERNETES_VERSION}")));
    }

    #[test]
    fn every_component_has_a_name_of_its_own() {
        let mut names = Component::ALL.map(Component::name).to_vec();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Component::ALL.len());
    }
}
