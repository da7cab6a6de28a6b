//! Facts about this machine that decide whether the stack can start.

use std::collections::HashSet;
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::statvfs::statvfs;
use nix::sys::utsname::uname;
use nix::unistd::Uid;

use crate::command::{self, QUICK};
use crate::folders::Folders;
use crate::{artifacts, clickhouse, kafka, kubernetes, ports, process};

/// Data, logs and images of a stack on which tests and demo ran, measured and rounded up.
const STATE_BYTES: u64 = 3 * 1024 * 1024 * 1024;

#[derive(Debug, Clone)]
pub(super) struct Facts {
    pub(super) is_root: bool,
    /// Kernel and architecture.
    pub(super) system: String,
    pub(super) has_package_tool: bool,
    /// Of each tool: whether it is there, and its major version (for Go: the number after `1.`) if it says so.
    pub(super) tools: Vec<(Tool, Option<Option<u32>>)>,
    /// Addresses that the stack needs and another program has.
    pub(super) strangers: Vec<(SocketAddrV4, String)>,
    pub(super) disks: Vec<Disk>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Disk {
    pub(super) folder: PathBuf,
    pub(super) free_bytes: u64,
    pub(super) needed_bytes: u64,
}

/// A program that has to be there; what Debian's packages bring is not among them, as `up` installs those.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tool {
    Go,
    Java,
    Maven,
    Npm,
    Node,
}

impl Tool {
    pub(super) const ALL: [Self; 5] = [Self::Go, Self::Java, Self::Maven, Self::Npm, Self::Node];

    pub(super) fn program(self) -> &'static str {
        match self {
            Self::Go => "go",
            Self::Java => "java",
            Self::Maven => "mvn",
            Self::Npm => "npm",
            Self::Node => "node",
        }
    }

    pub(super) fn purpose(self) -> &'static str {
        match self {
            Self::Go => "compiling Kubernetes, Helm and Lua",
            Self::Java => "running Kafka",
            Self::Maven => "downloading Kafka",
            Self::Npm | Self::Node => "downloading ClickHouse",
        }
    }

    /// Go 1.21 fetches the newer Go that a module asks for; Kafka 4 needs Java 17;
    /// npm 7, which came with Node 15, reads our lock files.
    pub(super) fn least_version(self) -> u32 {
        match self {
            Self::Go => 21,
            Self::Java => 17,
            Self::Maven => 3,
            Self::Npm => 7,
            Self::Node => 15,
        }
    }

    pub(super) fn remedy(self) -> &'static str {
        match self {
            Self::Go => "install Go 1.21 or newer: https://go.dev/doc/install",
            Self::Java => "apt-get install openjdk-17-jre-headless",
            Self::Maven => "apt-get install maven",
            Self::Npm | Self::Node => "apt-get install nodejs npm",
        }
    }

    fn version_argument(self) -> &'static str {
        match self {
            Self::Go => "version",
            Self::Java | Self::Maven | Self::Npm | Self::Node => "--version",
        }
    }
}

pub(super) fn gather(folders: &Folders) -> Facts {
    Facts {
        is_root: Uid::effective().is_root(),
        system: system(),
        has_package_tool: process::resolve(Path::new("apt-get")).is_some(),
        tools: Tool::ALL.map(|tool| (tool, found(tool))).to_vec(),
        strangers: strangers(folders),
        disks: disks(folders),
    }
}

fn system() -> String {
    let Ok(name) = uname() else { return "an unknown system".to_owned() };
    format!("{} {}", name.sysname().to_string_lossy(), name.machine().to_string_lossy())
}

fn found(tool: Tool) -> Option<Option<u32>> {
    let program = process::resolve(Path::new(tool.program()))?;
    let mut ask = Command::new(program);
    ask.arg(tool.version_argument());
    let said = command::finish(&mut ask, QUICK).unwrap_or_default();
    Some(major_version(&said))
}

/// The first number of the first version in the text, or the second where the first is 1, as in `go1.26.8`.
fn major_version(said: &str) -> Option<u32> {
    let version = said
        .split(|character: char| !character.is_ascii_digit() && character != '.')
        .find(|word| word.contains('.') && word.starts_with(|first: char| first.is_ascii_digit()))?;
    let mut numbers = version.split('.').map(str::parse::<u32>);
    match numbers.next()?.ok()? {
        1 => numbers.next()?.ok(),
        major => Some(major),
    }
}

/// An address is the stack's own if the process that listens is one that the stack wrote down.
fn strangers(folders: &Folders) -> Vec<(SocketAddrV4, String)> {
    let listeners = ports::listeners();
    let owners = ports::owners();
    let ours: HashSet<u32> = process::all(folders).iter().map(|process| process.pid).collect();
    let stranger = |address: SocketAddrV4| {
        let listener = listeners.iter().find(|listener| listener.blocks(address))?;
        match listener.owner(&owners) {
            Some(pid) if ours.contains(&pid) => None,
            Some(pid) => Some((address, format!("`{}` (process {pid})", ports::program(pid)))),
            None => Some((address, "a process that this user cannot see".to_owned())),
        }
    };
    let wanted = [kafka::listens(), clickhouse::listens(), kubernetes::listens()].concat();
    wanted.into_iter().filter_map(stranger).collect()
}

fn disks(folders: &Folders) -> Vec<Disk> {
    let disk = |folder: &Path, needed_bytes: u64| {
        let free_bytes = free_bytes(folder)?;
        Some(Disk { folder: folder.to_owned(), free_bytes, needed_bytes })
    };
    let missing = artifacts::missing_bytes(folders);
    disk(&folders.state, STATE_BYTES).into_iter().chain(disk(&folders.cache, missing)).collect()
}

/// What a user may still write on the disk of the folder, or of its nearest parent that exists.
fn free_bytes(folder: &Path) -> Option<u64> {
    let existing = folder.ancestors().find(|path| path.exists())?;
    let disk = statvfs(existing).ok()?;
    Some(disk.blocks_available() * disk.fragment_size())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_the_tools_write_them() {
        let cases = [
            ("go version go1.26.8 linux/amd64", Some(26)),
            ("openjdk 17.0.15 2025-04-15\nOpenJDK Runtime Environment", Some(17)),
            ("openjdk version \"1.8.0_402\"", Some(8)),
            ("\u{1b}[1mApache Maven 3.8.7\u{1b}[m", Some(3)),
            ("v20.20.2", Some(20)),
            ("11.19.1", Some(11)),
            ("no version at all", None),
        ];
        for (said, expected) in cases {
            assert_eq!(major_version(said), expected, "{said}");
        }
    }

    #[test]
    fn the_disk_of_a_folder_that_does_not_exist_is_that_of_its_parent() {
        let folder = tempfile::tempdir().unwrap();
        assert!(free_bytes(&folder.path().join("not/there")).unwrap() > 0);
    }
}
