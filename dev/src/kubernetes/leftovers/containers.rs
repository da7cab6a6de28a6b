//! The containers and the shims that watch them. Both outlive containerd.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{entries, file_name};
use crate::command::{QUICK, run};
use crate::kubernetes::paths::Paths;

/// A killed shim is gone within milliseconds; the bound is for a machine under load.
const ATTEMPTS: u32 = 250;
const PAUSE: Duration = Duration::from_millis(20);

/// Kills what still runs: first the shims, which would report the end of their containers, then the containers.
pub(crate) fn end(paths: &Paths) {
    for pid in shims(paths) {
        // It may have ended in the meantime, which is what we want.
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
    for _ in 0..ATTEMPTS {
        if shims(paths).is_empty() {
            break;
        }
        thread::sleep(PAUSE);
    }
    for id in running(paths) {
        let root = namespace(paths).display().to_string();
        // What could not be ended is found and named when the leftovers are listed.
        let _ = run("runc", &["--root", &root, "delete", "--force", &id], QUICK);
    }
}

/// The ids of the containers that runc keeps a record of.
pub(crate) fn running(paths: &Paths) -> Vec<String> {
    entries(&namespace(paths)).iter().map(|path| file_name(path)).collect()
}

/// The process ids of our shims.
pub(crate) fn shims(paths: &Paths) -> Vec<i32> {
    let socket = paths.containerd_socket();
    entries(Path::new("/proc"))
        .iter()
        .filter_map(|process| {
            let pid = file_name(process).parse().ok()?;
            let command_line = fs::read(process.join("cmdline")).ok()?;
            is_shim_of(&command_line, &socket).then_some(pid)
        })
        .collect()
}

/// containerd's namespace for the containers of Kubernetes.
fn namespace(paths: &Paths) -> PathBuf {
    paths.runc().join("k8s.io")
}

fn is_shim_of(command_line: &[u8], socket: &Path) -> bool {
    let words: Vec<String> = command_line
        .split(|byte| *byte == 0)
        .map(|word| String::from_utf8_lossy(word).into_owned())
        .collect();
    let is_shim = words.first().is_some_and(|program| program.ends_with("containerd-shim-runc-v2"));
    let is_ours = words.windows(2).any(|pair| pair[0] == "-address" && Path::new(&pair[1]) == socket);
    is_shim && is_ours
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(command_line: &str, expected: bool) {
        let command_line = command_line.replace(' ', "\0");
        let socket = Path::new("/state/containerd.sock");
        assert_eq!(is_shim_of(command_line.as_bytes(), socket), expected);
    }

    #[test]
    fn a_shim_of_our_containerd_is_ours() {
        check(
            "/usr/bin/containerd-shim-runc-v2 -namespace k8s.io -id 1 -address /state/containerd.sock",
            true,
        );
    }

    #[test]
    fn a_shim_of_another_containerd_is_not_ours() {
        check(
            "/usr/bin/containerd-shim-runc-v2 -namespace moby -id 1 -address /run/containerd/containerd.sock",
            false,
        );
    }

    #[test]
    fn a_program_that_only_names_our_socket_is_not_a_shim() {
        check("/usr/bin/ctr -address /state/containerd.sock images ls", false);
    }
}
