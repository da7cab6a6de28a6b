//! Where the files of the local cluster are. Everything is below the state folder, which `down` removes.

use std::path::{Path, PathBuf};

use crate::folders::Folders;

/// The files of the local cluster.
#[derive(Debug, Clone)]
pub(crate) struct Paths {
    state: PathBuf,
}

impl Paths {
    pub(crate) fn new(folders: &Folders) -> Self {
        Self::below(folders.state.clone())
    }

    pub(crate) fn below(state: PathBuf) -> Self {
        Self { state }
    }

    /// The whole state folder: what runs, is mounted or listens below it is ours.
    pub(crate) fn state(&self) -> &Path {
        &self.state
    }

    /// The administrator's kubeconfig, for `kubectl`, Helm and the tests.
    pub(crate) fn admin_kubeconfig(&self) -> PathBuf {
        self.state.join("kubeconfig")
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.state.join("kubernetes")
    }

    pub(crate) fn pki(&self) -> PathBuf {
        self.folder().join("pki")
    }

    pub(crate) fn certificate(&self, name: &str) -> PathBuf {
        self.pki().join(format!("{name}.crt"))
    }

    pub(crate) fn key(&self, name: &str) -> PathBuf {
        self.pki().join(format!("{name}.key"))
    }

    /// The kubeconfig of a part of the cluster.
    pub(crate) fn kubeconfig(&self, user: &str) -> PathBuf {
        self.folder().join(format!("{user}.kubeconfig"))
    }

    /// The configuration file of a part of the cluster.
    pub(crate) fn configuration(&self, file_name: &str) -> PathBuf {
        self.folder().join(file_name)
    }

    /// What of the requests to the API server is written down.
    pub(crate) fn audit_policy(&self) -> PathBuf {
        self.configuration("audit-policy.json")
    }

    /// Where it is written down.
    pub(crate) fn audit_log(&self) -> PathBuf {
        self.folder().join("audit.log")
    }

    pub(crate) fn etcd(&self) -> PathBuf {
        self.folder().join("etcd")
    }

    pub(crate) fn kubelet(&self) -> PathBuf {
        self.folder().join("kubelet")
    }

    pub(crate) fn containerd(&self) -> PathBuf {
        self.folder().join("containerd")
    }

    pub(crate) fn containerd_socket(&self) -> PathBuf {
        self.containerd().join("containerd.sock")
    }

    /// What containerd keeps in `/run` elsewhere: bundles, network namespaces, pipes.
    /// After a restart of the machine it describes containers that no longer run.
    pub(crate) fn containerd_run(&self) -> PathBuf {
        self.containerd().join("run")
    }

    /// Where runc writes down the containers it started.
    pub(crate) fn runc(&self) -> PathBuf {
        self.containerd().join("runc")
    }

    /// The folder with the pod network's configuration.
    pub(crate) fn cni(&self) -> PathBuf {
        self.folder().join("cni")
    }

    /// The addresses that are given to pods, one file each.
    pub(crate) fn cni_addresses(&self) -> PathBuf {
        self.folder().join("cni-addresses")
    }
}
