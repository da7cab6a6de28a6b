//! What differs between the shared ClickHouse and private ones.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;

use crate::folders::Folders;

/// One ClickHouse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClickHouseOptions {
    /// The name of its process record, its log and its folder below the state folder.
    pub name: String,
    /// The address it listens on.
    pub listen: Ipv4Addr,
    pub http_port: u16,
    /// The native protocol.
    pub tcp_port: u16,
    /// What all queries, merges and caches may take together. A query that wants more fails; the process stays.
    pub max_memory_mib: u32,
    pub extra: ExtraUsers,
}

/// What `users.xml` has beside the one user: elements of its sections.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExtraUsers {
    pub profiles: String,
    pub quotas: String,
    pub users: String,
}

impl ClickHouseOptions {
    pub(super) fn folder(&self, folders: &Folders) -> PathBuf {
        folders.state.join(&self.name)
    }

    pub(super) fn http_address(&self) -> SocketAddrV4 {
        SocketAddrV4::new(self.listen, self.http_port)
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.http_address())
    }

    pub(super) fn listens(&self) -> Vec<SocketAddrV4> {
        vec![self.http_address(), SocketAddrV4::new(self.listen, self.tcp_port)]
    }
}
