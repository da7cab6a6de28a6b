//! Debian's packages that the stack is made of. Only those that are missing are installed, and no service is started.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use std::{fs, io};

use crate::command::{self, QUICK};
use crate::console::{Console, Progress};
use crate::folders::{self, Folders};
use crate::run_logged;

mod services;

/// Each with what the stack takes from it.
const PACKAGES: [&str; 10] = [
    "etcd-server",
    "containerd",
    "runc",
    "containernetworking-plugins",
    "buildah",
    "nftables",
    "conntrack",
    "iproute2",
    // The pause container is compiled statically.
    "gcc",
    "libc6-dev",
];

/// Some 150 MB from a mirror, and another apt that is waited for.
const INSTALL: Duration = Duration::from_secs(30 * 60);

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Folder(folders::Error),
    #[error("failed to keep packages from starting services: `{}`", path.display())]
    Policy {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("failed to install {}; without the internet, install them by other means", packages.join(" "))]
    Install {
        packages: Vec<&'static str>,
        #[source]
        source: run_logged::Error,
    },
}

/// Installs what is missing. A machine that has all of it is not changed, and apt is not asked.
pub(crate) fn install(folders: &Folders, console: &Console) -> Result<(), Error> {
    let missing = missing(&installed());
    if missing.is_empty() {
        return Ok(());
    }
    folders::create(&folders.logs()).map_err(Error::Folder)?;
    let name = format!("install {}", missing.join(" "));
    console.progress(&name, |progress| {
        let _policy = services::forbid()?;
        let log = folders.log("packages");
        install_all(&missing, &log, progress)
            .map_err(|source| Error::Install { packages: missing.clone(), source })?;
        services::disable(&missing);
        Ok(())
    })
}

fn missing(installed: &BTreeSet<String>) -> Vec<&'static str> {
    PACKAGES.into_iter().filter(|package| !installed.contains(*package)).collect()
}

fn install_all(packages: &[&'static str], log: &Path, progress: &Progress) -> Result<(), run_logged::Error> {
    let mut shown = |line: &str| progress.detail(line.to_owned());
    run_logged::run(apt(&["update"]), log, INSTALL, &mut shown)?;
    let mut install = apt(&["install", "--no-install-recommends"]);
    install.args(packages);
    run_logged::run(install, log, INSTALL, &mut shown)
}

/// Another apt on this machine is waited for, and a configuration file that the user changed stays.
fn apt(arguments: &[&str]) -> Command {
    let mut command = Command::new("apt-get");
    command
        .env("DEBIAN_FRONTEND", "noninteractive")
        .args(["--quiet", "--yes", "-o", "DPkg::Lock::Timeout=300", "-o", "Dpkg::Options::=--force-confold"])
        .args(arguments);
    command
}

/// The names of the packages that are wholly installed, among ours. `dpkg-query` fails if it knows one of them not at all.
fn installed() -> BTreeSet<String> {
    let mut query = Command::new("dpkg-query");
    query.args(["--show", "--showformat=${Package} ${db:Status-Status}\\n"]).args(PACKAGES);
    let said = match command::finish(&mut query, QUICK) {
        Ok(said) => said,
        Err(_) => each_installed(),
    };
    said.lines().filter_map(installed_name).collect()
}

fn each_installed() -> String {
    let ask = |package: &&str| {
        let mut query = Command::new("dpkg-query");
        query.args(["--show", "--showformat=${Package} ${db:Status-Status}\\n", package]);
        command::finish(&mut query, QUICK).unwrap_or_default()
    };
    PACKAGES.iter().map(ask).collect()
}

fn installed_name(line: &str) -> Option<String> {
    line.strip_suffix(" installed").map(str::to_owned)
}

/// Reads a file that may not be there.
fn read_optional(path: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_not_installed_is_missing() {
        let installed: BTreeSet<String> =
            PACKAGES.iter().filter(|name| **name != "runc").map(|name| (*name).to_owned()).collect();
        assert_eq!(missing(&installed), ["runc"]);
    }

    #[test]
    fn a_removed_package_that_left_its_configuration_is_not_installed() {
        assert_eq!(installed_name("runc config-files"), None);
        assert_eq!(installed_name("runc installed"), Some("runc".to_owned()));
    }
}
