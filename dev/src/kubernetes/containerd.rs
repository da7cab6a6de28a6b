//! containerd, with every file of its own below the state folder.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::configuration;
use super::network::{CLUSTER_RANGE, POD_BRIDGE, POD_RANGE, SERVICE_RANGE};
use super::paths::Paths;
use crate::command::{self, QUICK, run};
use crate::process::Spec;

/// The pod network's name; the CNI plugins put it into the names of their files.
pub(crate) const POD_NETWORK: &str = "millrace";

/// Where Debian's `containernetworking-plugins` are.
const CNI_PLUGINS: &str = "/usr/lib/cni";

/// Writes the configurations of containerd and of the pod network.
pub(crate) fn configure(paths: &Paths, pause_image: &str) -> Result<(), configuration::Error> {
    let network = format!("{:#}\n", pod_network(&paths.cni_addresses()));
    configuration::write(&paths.cni().join("10-millrace.conflist"), &network)?;
    configuration::write(&configuration_file(paths), &configuration(paths, pause_image))
}

pub(crate) fn spec(paths: &Paths, pause_image: &str, name: &str) -> Spec {
    let spec = Spec {
        name: name.to_owned(),
        program: PathBuf::from("containerd"),
        args: vec!["--config".to_owned(), configuration_file(paths).display().to_string()],
        env: Vec::new(),
        working_folder: None,
    };
    configuration::pinned(spec, &configuration(paths, pause_image))
}

/// Whether it answers on its socket.
pub(crate) fn answers(paths: &Paths) -> Result<(), command::Error> {
    let socket = paths.containerd_socket().display().to_string();
    run("ctr", &["--address", &socket, "version"], QUICK).map(drop)
}

fn configuration_file(paths: &Paths) -> PathBuf {
    paths.configuration("containerd.toml")
}

/// `restrict_oom_score_adj` because root may lack CAP_SYS_RESOURCE, and runc then dies with
/// `can't get final child's PID from pipe: EOF`.
/// AppArmor is off because its profile would stay in the kernel after `down`.
fn configuration(paths: &Paths, pause_image: &str) -> String {
    let quoted = |path: PathBuf| json!(path).to_string();
    format!(
        r#"version = 2
root = {root}
state = {run}
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs",
]

[grpc]
address = {socket}

[plugins."io.containerd.internal.v1.opt"]
path = {opt}

[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{pause_image}"
restrict_oom_score_adj = true
disable_apparmor = true
netns_mounts_under_state_dir = true

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{CNI_PLUGINS}"
conf_dir = {cni}

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
Root = {runc}
"#,
        root = quoted(paths.containerd().join("root")),
        run = quoted(paths.containerd_run()),
        socket = quoted(paths.containerd_socket()),
        opt = quoted(paths.containerd().join("opt")),
        cni = quoted(paths.cni()),
        runc = quoted(paths.runc()),
    )
}

/// A bridge with addresses from files, and no way out of the machine: a pod has routes to pods, Services and the node.
///
/// There is no `portmap` for host ports: every pod's address is reachable from this machine,
/// and the plugin leaves its packet rules behind.
fn pod_network(addresses: &Path) -> Value {
    json!({
        "cniVersion": "1.0.0",
        "name": POD_NETWORK,
        "plugins": [{
            "type": "bridge",
            "bridge": POD_BRIDGE,
            "isGateway": true,
            "ipMasq": false,
            "hairpinMode": true,
            "ipam": {
                "type": "host-local",
                "dataDir": addresses,
                "ranges": [[{ "subnet": POD_RANGE }]],
                "routes": [{ "dst": CLUSTER_RANGE }, { "dst": SERVICE_RANGE }],
            },
        }],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths() -> Paths {
        Paths::below("/state".into())
    }

    #[test]
    fn containerd_keeps_everything_below_the_state_folder() {
        insta::assert_snapshot!(configuration(&paths(), "localhost/millrace/pause:1"));
    }

    #[test]
    fn pods_have_routes_to_the_cluster_and_none_to_the_world() {
        insta::assert_json_snapshot!(pod_network(&paths().cni_addresses()));
    }
}
