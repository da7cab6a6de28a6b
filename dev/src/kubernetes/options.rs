//! What differs between the shared cluster's control plane and private ones.

use std::net::{Ipv4Addr, SocketAddrV4};

use serde_json::Value;

/// The API server with its etcd and its controllers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlPlaneOptions {
    /// The address of the API server; the others are always on loopback.
    pub listen: Ipv4Addr,
    pub api_port: u16,
    /// etcd, for the API server.
    pub etcd_port: u16,
    /// etcd, for other members of its cluster, of which there are none.
    pub etcd_peer_port: u16,
    /// Health and metrics of the controller manager.
    pub controller_manager_port: u16,
    pub reach: Reach,
    pub controllers: Controllers,
    /// What of the requests is written to the audit log, as Kubernetes defines a policy
    /// (<https://kubernetes.io/docs/tasks/debug/debug-cluster/audit/>); `None` writes nothing.
    pub audit_policy: Option<Value>,
}

/// Who calls the API server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Pods as well, through the Service `kubernetes`.
    Pods,
    /// Programs of this machine; that Service leads nowhere, as an endpoint must not be a loopback address.
    Machine,
}

/// Which controllers run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Controllers {
    All,
    /// Those that end what is deleted (namespaces, and what belongs to what is gone), and make service accounts.
    Deletion,
    /// Those of `Deletion`, and the one that brings Deployments about. What makes pods of it does not run.
    Deployments,
}

impl ControlPlaneOptions {
    pub(super) fn api_address(&self) -> SocketAddrV4 {
        SocketAddrV4::new(self.listen, self.api_port)
    }
}
