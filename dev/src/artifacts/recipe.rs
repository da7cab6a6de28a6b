//! How each artifact is made, and from which lock files.

use std::path::Path;
use std::process::Command;
use std::time::Duration;
use std::{fs, io};

use sha2::{Digest, Sha256};

use super::class_archive;
use crate::console::Progress;
use crate::folders::Folders;
use crate::run_logged;

/// Half an hour for a download of less than 1 GiB: a slower line would not do for the rest either.
const DOWNLOAD: Duration = Duration::from_secs(30 * 60);
/// Kubernetes takes 8 minutes on two idle cores, and a machine may be neither.
const COMPILATION: Duration = Duration::from_secs(60 * 60);

const GIB: u64 = 1024 * 1024 * 1024;

const KUBERNETES_COMMANDS: [&str; 6] =
    ["kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl"];

/// Without it the server would call itself `v0.0.0-master`, and Helm's check of its version would fail.
const KUBERNETES_FLAGS: &str = "-s -w \
    -X k8s.io/component-base/version.gitVersion=v1.34.4 \
    -X k8s.io/component-base/version.gitMajor=1 \
    -X k8s.io/component-base/version.gitMinor=34 \
    -X k8s.io/component-base/version.gitTreeState=clean \
    -X k8s.io/component-base/version.gitCommit=unknown";

const LUA_FLAGS: &str = "-s -w";

const HELM_FLAGS: &str = "-s -w -X helm.sh/helm/v3/internal/version.version=v3.22.0";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Artifact {
    Kubernetes,
    Helm,
    Lua,
    Kafka,
    ClickHouse,
    Launcher,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("failed to copy the lock files")]
    Copy {
        #[source]
        source: io::Error,
    },
    #[error(transparent)]
    Run(run_logged::Error),
    #[error("failed to write Kafka's class archive")]
    ClassArchive {
        #[source]
        source: class_archive::Error,
    },
}

impl Artifact {
    pub(crate) const ALL: [Self; 6] =
        [Self::Kubernetes, Self::Helm, Self::Lua, Self::Kafka, Self::ClickHouse, Self::Launcher];

    /// Its folder in the cache and its log.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Kubernetes => "kubernetes",
            Self::Helm => "helm",
            Self::Lua => "lua",
            Self::Kafka => "kafka",
            Self::ClickHouse => "clickhouse",
            Self::Launcher => "clickhouse-launcher",
        }
    }

    /// What a person reads while it is made.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Kubernetes => "compile Kubernetes (once, 5 to 10 minutes)",
            Self::Helm => "compile Helm (once, 2 minutes)",
            Self::Lua => "compile Lua (once)",
            Self::Kafka => "download Kafka (once)",
            Self::ClickHouse => "download ClickHouse (once, 550 MB)",
            Self::Launcher => "compile ClickHouse's launcher (once)",
        }
    }

    /// Disk space that making it takes, measured and rounded up, with what the tools keep in caches of their own.
    pub(crate) fn bytes(self) -> u64 {
        match self {
            Self::Kubernetes => 6 * GIB,
            Self::Helm => 2 * GIB,
            Self::Kafka => GIB / 2,
            Self::ClickHouse => GIB,
            Self::Lua | Self::Launcher => GIB / 64,
        }
    }

    /// The first 16 hexadecimal digits of a hash of all that decides what it is.
    pub(crate) fn key(self) -> String {
        let mut hash = Sha256::new();
        hash.update(self.recipe());
        for lock in self.locks() {
            hash.update((lock.len() as u64).to_be_bytes());
            hash.update(lock);
        }
        hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }

    /// Makes it in the empty folder `into`.
    pub(crate) fn make(self, folders: &Folders, into: &Path, progress: &Progress) -> Result<(), Error> {
        let log = folders.log(&format!("make-{}", self.name()));
        let sources = folders.checkout.join("dev");
        let run = |command, deadline, on_line: &mut dyn FnMut(&str)| {
            run_logged::run(command, &log, deadline, on_line).map_err(Error::Run)
        };
        match self {
            Self::Kubernetes => run(kubernetes(&sources, into), COMPILATION, &mut counted(progress)),
            Self::Helm => run(helm(&sources, into), COMPILATION, &mut counted(progress)),
            Self::Lua => run(lua(&sources, into), COMPILATION, &mut counted(progress)),
            Self::Kafka => {
                run(kafka(&sources, into), DOWNLOAD, &mut |_| ())?;
                progress.detail("class archive");
                class_archive::write(into).map_err(|source| Error::ClassArchive { source })
            }
            Self::ClickHouse => {
                copy_lock_files(&sources.join("clickhouse"), into)?;
                run(clickhouse(into), DOWNLOAD, &mut |_| ())
            }
            Self::Launcher => run(launcher(&folders.checkout, into), COMPILATION, &mut |_| ()),
        }
    }

    /// Changes when it is made in another way from the same lock files.
    fn recipe(self) -> &'static str {
        match self {
            Self::Kubernetes => KUBERNETES_FLAGS,
            Self::Helm => HELM_FLAGS,
            Self::Lua => LUA_FLAGS,
            Self::Kafka | Self::ClickHouse | Self::Launcher => "1",
        }
    }

    fn locks(self) -> &'static [&'static [u8]] {
        match self {
            Self::Kubernetes => {
                &[include_bytes!("../../kubernetes/go.mod"), include_bytes!("../../kubernetes/go.sum")]
            }
            Self::Helm => &[include_bytes!("../../tools/go.mod"), include_bytes!("../../tools/go.sum")],
            Self::Lua => &[include_bytes!("../../lua/go.mod"), include_bytes!("../../lua/go.sum")],
            Self::Kafka => &[include_bytes!("../../kafka/pom.xml"), include_bytes!("class_archive.rs")],
            Self::ClickHouse => &[include_bytes!("../../clickhouse/package-lock.json")],
            Self::Launcher => &[include_bytes!("../bin/clickhouse-server.rs")],
        }
    }
}

fn kubernetes(sources: &Path, into: &Path) -> Command {
    let packages = KUBERNETES_COMMANDS.map(|name| format!("k8s.io/kubernetes/cmd/{name}"));
    let mut command = go_build(&sources.join("kubernetes"), into, KUBERNETES_FLAGS);
    command.args(packages);
    command
}

fn helm(sources: &Path, into: &Path) -> Command {
    let mut command = go_build(&sources.join("tools"), into, HELM_FLAGS);
    command.arg("helm.sh/helm/v3/cmd/helm");
    command
}

fn lua(sources: &Path, into: &Path) -> Command {
    let mut command = go_build(&sources.join("lua"), into, LUA_FLAGS);
    command.arg("github.com/yuin/gopher-lua/cmd/glua");
    command
}

/// `-v` writes the name of each package when it is compiled, which is the progress to show.
fn go_build(module: &Path, into: &Path, linker_flags: &str) -> Command {
    let mut command = Command::new("go");
    command.current_dir(module).args(["build", "-v", "-trimpath", "-ldflags", linker_flags, "-o"]).arg(into);
    command
}

/// `--strict-checksums`: a damaged download fails instead of being warned of.
fn kafka(sources: &Path, into: &Path) -> Command {
    let mut command = Command::new("mvn");
    command
        .args(["--batch-mode", "--quiet", "--strict-checksums", "--file"])
        .arg(sources.join("kafka/pom.xml"))
        .args(["dependency:copy-dependencies", "-DincludeScope=runtime"])
        .arg(format!("-DoutputDirectory={}", into.join("libs").display()));
    command
}

/// The package is a library and runs nothing when it is installed.
fn clickhouse(into: &Path) -> Command {
    let mut command = Command::new("npm");
    command.current_dir(into).args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]);
    command
}

/// `cargo run` builds the program it runs and no other, hence this.
/// In the checkout, so that `rust-toolchain.toml` chooses the compiler.
fn launcher(checkout: &Path, into: &Path) -> Command {
    let mut command = Command::new("rustc");
    command
        .current_dir(checkout)
        .args(["--edition=2024", "-Copt-level=1", "dev/src/bin/clickhouse-server.rs", "-o"])
        .arg(into.join("clickhouse-server"));
    command
}

fn copy_lock_files(from: &Path, into: &Path) -> Result<(), Error> {
    for name in ["package.json", "package-lock.json"] {
        fs::copy(from.join(name), into.join(name)).map_err(|source| Error::Copy { source })?;
    }
    Ok(())
}

/// Counts the lines and shows the last one.
fn counted(progress: &Progress) -> impl FnMut(&str) {
    let mut packages = 0_u32;
    move |package| {
        packages += 1;
        progress.detail(format!("{packages} packages, {package}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_artifact_has_its_own_key_of_16_digits() {
        let mut keys = Artifact::ALL.map(Artifact::key).to_vec();
        assert!(keys.iter().all(|key| key.len() == 16 && key.chars().all(|digit| digit.is_ascii_hexdigit())));
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), Artifact::ALL.len());
    }

    #[test]
    fn the_version_in_the_binaries_is_the_one_that_is_compiled() {
        let modules = include_str!("../../kubernetes/go.mod");
        assert!(modules.contains("k8s.io/kubernetes v1.34.4") && KUBERNETES_FLAGS.contains("=v1.34.4 "));
        let modules = include_str!("../../tools/go.mod");
        assert!(modules.contains("helm.sh/helm/v3 v3.22.0") && HELM_FLAGS.ends_with("=v3.22.0"));
    }

    #[test]
    fn the_lock_file_names_no_registry() {
        assert!(!include_str!("../../clickhouse/package-lock.json").contains("://"));
    }
}
