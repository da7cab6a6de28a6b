//! What containers leave behind when their processes are gone, and its removal.
//!
//! Invariant: only what is provably ours is touched. A shim is ours by containerd's socket on its command line,
//! a container by runc's record in our folder, a mount by its path, a network file by the pod network's name.
//! A shim's socket is removed when it is dead, for then it is nobody's.
//! Two folders of the kernel and kubelet have no owner's name: `kubepods` among the control groups and
//! kubelet's socket for devices. There is one kubelet per machine (its ports allow no second), so they are ours as well.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use super::containerd::POD_NETWORK;
use super::paths::Paths;

mod containers;
mod control_groups;
mod mounts;

pub(crate) use containers::{end as end_containers, running as running_containers};

/// Where libcni keeps what each plugin answered (`CacheDir` of its `api.go`).
const CNI_RESULTS: &str = "/var/lib/cni/results";
/// Where shims listen (`socketRoot` in containerd's `shim/util_unix.go`).
const SHIM_SOCKETS: &str = "/run/containerd/s";
/// Where kubelet links the log of every container (`legacyContainerLogsDir`).
const CONTAINER_LOGS: &str = "/var/log/containers";
/// Where kubelet listens for device plugins, whatever its root folder is.
const DEVICE_PLUGINS: &str = "/var/lib/kubelet/device-plugins";

/// Removes everything that the parts of the cluster left outside of the state folder, and the mounts inside.
/// All of them must have ended before.
pub(crate) fn remove(paths: &Paths) {
    forget_sandboxes();
    mounts::detach_below(paths.state());
    control_groups::remove();
    remove_log_links(paths);
    remove_device_socket();
}

/// What is still there, in words for a list of leftovers.
pub(crate) fn remains(paths: &Paths) -> Vec<String> {
    let shims = containers::shims(paths).into_iter().map(|pid| format!("process {pid} (containerd-shim)"));
    let containers = running_containers(paths).into_iter().map(|id| format!("container {id}"));
    let mounts = mounts::below(paths.state()).into_iter().map(|path| format!("mount {}", path.display()));
    let groups =
        control_groups::remaining().into_iter().map(|path| format!("control group {}", path.display()));
    shims.chain(containers).chain(mounts).chain(groups).collect()
}

/// Removes the sockets of dead shims and the answers of network plugins, when no sandbox runs any more.
pub(crate) fn forget_sandboxes() {
    for socket in dead_sockets(Path::new(SHIM_SOCKETS)) {
        remove_file(&socket);
    }
    remove_if_empty(&[SHIM_SOCKETS, "/run/containerd"]);
    for sandbox in sandboxes() {
        for result in entries(Path::new(CNI_RESULTS)) {
            if file_name(&result).contains(&sandbox) {
                remove_file(&result);
            }
        }
    }
    remove_if_empty(&[CNI_RESULTS, "/var/lib/cni"]);
}

/// The network interfaces of this machine that pods are plugged in with.
pub(crate) fn attached_interfaces() -> Vec<String> {
    network_results()
        .iter()
        .filter_map(|path| fs::read(path).ok())
        .flat_map(|text| interfaces_of(&text))
        .collect()
}

/// The interfaces on the machine's side, which are those without a sandbox, except for the bridge.
fn interfaces_of(result: &[u8]) -> Vec<String> {
    let Ok(result) = serde_json::from_slice::<serde_json::Value>(result) else {
        return Vec::new();
    };
    let Some(interfaces) = result["result"]["interfaces"].as_array() else {
        return Vec::new();
    };
    interfaces
        .iter()
        .filter(|interface| interface["sandbox"].as_str().unwrap_or_default().is_empty())
        .filter_map(|interface| interface["name"].as_str())
        .filter(|name| name.starts_with("veth"))
        .map(str::to_owned)
        .collect()
}

/// The ids of the sandboxes in our pod network.
/// The loopback network of the same sandbox has a name that all containerds share, hence the id.
fn sandboxes() -> Vec<String> {
    let prefix = format!("{POD_NETWORK}-");
    network_results()
        .iter()
        .filter_map(|path| {
            let name = file_name(path);
            let id = name.strip_prefix(&prefix)?.strip_suffix("-eth0")?;
            Some(id.to_owned())
        })
        .collect()
}

fn network_results() -> Vec<PathBuf> {
    let prefix = format!("{POD_NETWORK}-");
    entries(Path::new(CNI_RESULTS)).into_iter().filter(|path| file_name(path).starts_with(&prefix)).collect()
}

/// The sockets that nobody listens on, because their shims were killed. Those of living shims answer, whoever owns them.
fn dead_sockets(folder: &Path) -> Vec<PathBuf> {
    let is_dead = |socket: &PathBuf| {
        UnixStream::connect(socket).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
    };
    entries(folder).into_iter().filter(is_dead).collect()
}

fn remove_log_links(paths: &Paths) {
    for link in entries(Path::new(CONTAINER_LOGS)) {
        if fs::read_link(&link).is_ok_and(|target| target.starts_with(paths.state())) {
            remove_file(&link);
        }
    }
    remove_if_empty(&[CONTAINER_LOGS]);
}

fn remove_device_socket() {
    remove_file(&Path::new(DEVICE_PLUGINS).join("kubelet.sock"));
    remove_if_empty(&[DEVICE_PLUGINS, "/var/lib/kubelet"]);
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// A file that is gone already is as good as removed.
fn remove_file(path: &Path) {
    let _ = fs::remove_file(path);
}

/// Folders that anyone may use, innermost first: each goes only if nothing is in it.
fn remove_if_empty(folders: &[&str]) {
    for folder in folders {
        let _ = fs::remove_dir(folder);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn only_the_socket_that_nobody_listens_on_is_dead() {
        let folder = tempfile::tempdir().unwrap();
        let (dead, alive) = (folder.path().join("dead"), folder.path().join("alive"));
        drop(UnixListener::bind(&dead).unwrap());
        let _listener = UnixListener::bind(&alive).unwrap();
        assert_eq!(dead_sockets(folder.path()), [dead]);
    }

    #[test]
    fn a_pod_is_plugged_in_with_the_interface_on_the_machines_side() {
        let result = br#"{"kind":"cniCacheV1","result":{"cniVersion":"1.0.0","interfaces":[
            {"name":"mrpods","mac":"02:00:00:00:00:01"},
            {"name":"vethcef6af4b","mac":"02:00:00:00:00:02"},
            {"name":"eth0","mac":"02:00:00:00:00:03","sandbox":"/state/netns/cni-1"}]}}"#;
        assert_eq!(interfaces_of(result), ["vethcef6af4b"]);
    }

    #[test]
    fn a_torn_result_names_no_interface() {
        assert!(interfaces_of(b"{\"result\":").is_empty());
    }
}
