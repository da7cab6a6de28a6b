//! What differs between the shared Kafka and private ones.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;

use super::secrets::{self, SecuredKafka};
use crate::folders::Folders;

/// One Kafka.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KafkaOptions {
    /// The name of its process record, its log and its folder below the state folder.
    pub name: String,
    /// The address clients reach it at.
    pub listen: Ipv4Addr,
    /// The listener in the clear.
    pub port: u16,
    /// For itself, always on loopback.
    pub controller_port: u16,
    /// The listener with TLS and SCRAM-SHA-512, if there is to be one.
    pub secured_port: Option<u16>,
    pub heap_mib: u32,
    pub aim: Aim,
    /// Lines of `server.properties` that win over ours.
    pub extra: Vec<(String, String)>,
}

/// What Java compiles for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aim {
    /// Code that is slower and there sooner: for a Kafka that lives for seconds.
    QuickStart,
    /// The usual two compilers: for one that is measured against.
    Throughput,
}

impl KafkaOptions {
    pub(super) fn folder(&self, folders: &Folders) -> PathBuf {
        folders.state.join(&self.name)
    }

    pub(super) fn address(&self) -> SocketAddrV4 {
        SocketAddrV4::new(self.listen, self.port)
    }

    pub(super) fn listens(&self) -> Vec<SocketAddrV4> {
        let secured = self.secured_port.map(|port| SocketAddrV4::new(self.listen, port));
        let controller = SocketAddrV4::new(Ipv4Addr::LOCALHOST, self.controller_port);
        [self.address(), controller].into_iter().chain(secured).collect()
    }

    /// How clients use the secured listener.
    pub(super) fn secured(&self, folders: &Folders) -> anyhow::Result<SecuredKafka> {
        let port =
            self.secured_port.ok_or_else(|| anyhow::anyhow!("`{}` has no secured listener", self.name))?;
        Ok(secrets::read(&self.folder(folders), SocketAddrV4::new(self.listen, port))?)
    }
}
