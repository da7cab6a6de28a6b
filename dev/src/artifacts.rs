//! What is built or downloaded once per machine: the Kubernetes programs, Helm, Kafka, ClickHouse.

use std::path::PathBuf;

use crate::folders::Folders;

/// The folder with kube-apiserver, kubelet, kubectl and the others.
#[must_use]
pub fn kubernetes_programs(folders: &Folders) -> PathBuf {
    folders.cache.join("kubernetes")
}
