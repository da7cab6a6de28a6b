//! Debian starts the services of a package that is installed. The stack runs its own etcd and containerd,
//! so nothing may be started, now or at the next boot.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Error, read_optional};
use crate::command::{self, QUICK};

/// What Debian asks before it starts a service: exit status 101 forbids it
/// (<https://people.debian.org/~hmh/invokerc.d-policyrc.d-specification.txt>).
const POLICY: &str = "/usr/sbin/policy-rc.d";
const FORBID: &str =
    "#!/bin/sh\n# Written by the local stack of Millrace while it installs packages.\nexit 101\n";

/// Where systemd is at work.
const SYSTEMD: &str = "/run/systemd/system";

/// Packages that come with a service which starts at boot.
const SERVICES: [(&str, &str); 2] = [("etcd-server", "etcd.service"), ("containerd", "containerd.service")];

/// The policy while packages are installed. It is removed when the value is dropped.
#[derive(Debug)]
pub(super) struct Policy {
    path: PathBuf,
}

/// Forbids services to start, unless the machine has a policy of its own, which is then left alone.
pub(super) fn forbid() -> Result<Option<Policy>, Error> {
    forbid_by(Path::new(POLICY))
}

fn forbid_by(path: &Path) -> Result<Option<Policy>, Error> {
    let failed = |source| Error::Policy { path: path.to_owned(), source };
    match read_optional(path).map_err(failed)? {
        // Left by a run that was killed.
        Some(text) if text == FORBID => Ok(Some(Policy { path: path.to_owned() })),
        Some(_) => Ok(None),
        None => {
            let mut options = fs::OpenOptions::new();
            let mut file = options.write(true).create_new(true).mode(0o755).open(path).map_err(failed)?;
            file.write_all(FORBID.as_bytes()).map_err(failed)?;
            Ok(Some(Policy { path: path.to_owned() }))
        }
    }
}

impl Drop for Policy {
    fn drop(&mut self) {
        // It is ours by its text; if it cannot be removed, the next run finds and removes it.
        let _ = fs::remove_file(&self.path);
    }
}

/// Keeps the services of packages that were just installed from starting at the next boot.
/// One that was there before is its owner's business; a machine without systemd has nothing to disable.
pub(super) fn disable(installed: &[&'static str]) {
    if !Path::new(SYSTEMD).is_dir() {
        return;
    }
    for (_, service) in SERVICES.iter().filter(|(package, _)| installed.contains(package)) {
        let mut systemctl = Command::new("systemctl");
        systemctl.args(["disable", "--now", service]);
        // If it still runs, the check of ports names it at the next `up`.
        let _ = command::finish(&mut systemctl, QUICK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_forbidden_until_the_packages_are_installed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policy-rc.d");
        let policy = forbid_by(&path).unwrap();
        let refusal = command::run("sh", &[&path], QUICK).unwrap_err();
        assert!(refusal.to_string().contains("exit status: 101"), "{refusal}");
        drop(policy);
        assert!(!path.exists());
    }

    #[test]
    fn a_policy_left_by_a_killed_run_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policy-rc.d");
        std::mem::forget(forbid_by(&path).unwrap());
        drop(forbid_by(&path).unwrap());
        assert!(!path.exists());
    }

    #[test]
    fn the_machines_own_policy_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policy-rc.d");
        fs::write(&path, "#!/bin/sh\nexit 0\n").unwrap();
        assert!(forbid_by(&path).unwrap().is_none());
        assert_eq!(fs::read_to_string(&path).unwrap(), "#!/bin/sh\nexit 0\n");
    }
}
