//! etcd: the store of the API server.

use std::path::PathBuf;

use super::options::ControlPlaneOptions;
use super::paths::Paths;
use crate::process::Spec;

/// The shared one's; not 2379: a Debian machine may run an etcd of its own there.
pub(crate) const CLIENT_PORT: u16 = 12379;
/// For other members of its cluster, of which there are none; it listens all the same.
pub(crate) const PEER_PORT: u16 = 12380;

/// The process, on loopback only.
///
/// It does not wait for the disk: nothing in it is worth more than the seconds that a new cluster takes.
pub(crate) fn spec(paths: &Paths, options: &ControlPlaneOptions, name: &str) -> Spec {
    let client = format!("http://127.0.0.1:{}", options.etcd_port);
    let peer = format!("http://127.0.0.1:{}", options.etcd_peer_port);
    Spec {
        name: name.to_owned(),
        program: PathBuf::from("etcd"),
        args: vec![
            format!("--data-dir={}", paths.etcd().display()),
            "--unsafe-no-fsync".to_owned(),
            format!("--listen-client-urls={client}"),
            format!("--advertise-client-urls={client}"),
            format!("--listen-peer-urls={peer}"),
            format!("--initial-advertise-peer-urls={peer}"),
            format!("--initial-cluster=default={peer}"),
            // Old revisions are dropped, so that a stack that runs for weeks stays small.
            "--auto-compaction-retention=1".to_owned(),
        ],
        env: Vec::new(),
        working_folder: None,
    }
}
