//! What is built or downloaded once per machine: the Kubernetes programs, Helm, Lua, Kafka, ClickHouse and its launcher.
//!
//! Each is a folder in the cache, named after a hash of its lock files and of how it is made.
//! Invariant: a folder of that name is whole. It is made beside its place and renamed,
//! and of two programs that want the same one, one makes it while the other waits.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use self::recipe::Artifact;
use crate::console::{Console, Progress};
use crate::folders::{self, Folders};

mod age;
mod class_archive;
mod recipe;

/// Time one program waits for another that makes the same artifact: the longest takes some minutes,
/// an hour means that the other one hangs.
const OTHER_BUILDER: Duration = Duration::from_secs(3600);

/// Pause between two looks at the other builder's lock.
const POLL: Duration = Duration::from_millis(200);

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Folder(folders::Error),
    #[error("failed to lock `{}`", path.display())]
    Lock {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("failed to get `{name}`: another program makes it since an hour and holds `{}`", path.display())]
    OtherBuilder { name: &'static str, path: PathBuf },
    #[error("failed to make `{name}`")]
    Make {
        name: &'static str,
        #[source]
        source: recipe::Error,
    },
    #[error("failed to move `{name}` to `{}`", path.display())]
    Move {
        name: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// Makes everything that is missing. The long compilations run one after the other, the downloads beside them.
///
/// # Errors
/// When one of them fails; its log is named.
pub fn prepare(folders: &Folders, console: &Console) -> anyhow::Result<()> {
    let make = |artifacts: &[Artifact]| -> Result<(), Error> {
        artifacts.iter().try_for_each(|artifact| ensure(*artifact, folders, console))
    };
    thread::scope(|scope| {
        let downloads = scope.spawn(|| make(&[Artifact::ClickHouse, Artifact::Kafka]));
        let compiled = make(&[Artifact::Launcher, Artifact::Lua, Artifact::Kubernetes, Artifact::Helm]);
        let downloaded = downloads.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        downloaded.and(compiled)
    })?;
    Ok(())
}

/// The disk space that making the missing artifacts takes, downloads and compilers' caches included.
pub(crate) fn missing_bytes(folders: &Folders) -> u64 {
    let missing = |artifact: &&Artifact| !folder(folders, **artifact).is_dir();
    Artifact::ALL.iter().filter(missing).map(|artifact| artifact.bytes()).sum()
}

/// The folder with kube-apiserver, kubelet, kubectl and the others.
#[must_use]
pub fn kubernetes_programs(folders: &Folders) -> PathBuf {
    folder(folders, Artifact::Kubernetes)
}

/// The program `helm`.
#[must_use]
pub fn helm(folders: &Folders) -> PathBuf {
    folder(folders, Artifact::Helm).join("helm")
}

/// The program `glua`: the Lua that Argo CD runs health checks with.
#[must_use]
pub fn lua(folders: &Folders) -> PathBuf {
    folder(folders, Artifact::Lua).join("glua")
}

/// The folder with Kafka's jars.
pub(crate) fn kafka(folders: &Folders) -> PathBuf {
    folder(folders, Artifact::Kafka)
}

/// The library that holds ClickHouse.
pub(crate) fn clickhouse_library(folders: &Folders) -> PathBuf {
    folder(folders, Artifact::ClickHouse).join("node_modules/@chdb/lib-linux-x64-gnu/libchdb.so")
}

/// The program that runs ClickHouse.
pub(crate) fn clickhouse_launcher(folders: &Folders) -> PathBuf {
    folder(folders, Artifact::Launcher).join("clickhouse-server")
}

fn folder(folders: &Folders, artifact: Artifact) -> PathBuf {
    folders.cache.join(artifact.name()).join(artifact.key())
}

fn ensure(artifact: Artifact, folders: &Folders, console: &Console) -> Result<(), Error> {
    let place = folder(folders, artifact);
    if place.is_dir() {
        age::mark_used(&place);
        return Ok(());
    }
    let parent = folders.cache.join(artifact.name());
    folders::create(&parent).map_err(Error::Folder)?;
    console.progress(artifact.title(), |progress| {
        // Held until the end of this block, and by the kernel given back if this program is killed.
        let _lock = lock(artifact, &parent, progress)?;
        if place.is_dir() {
            return Ok(()); // The other builder made it.
        }
        make(artifact, folders, &place, progress)?;
        age::remove_unused(&parent);
        Ok(())
    })
}

fn make(artifact: Artifact, folders: &Folders, place: &Path, progress: &Progress) -> Result<(), Error> {
    let name = artifact.name();
    let moving = |source| Error::Move { name, path: place.to_owned(), source };
    let unfinished = place.with_extension("unfinished");
    // Left by a builder that was killed; the lock says that none is at work.
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished).map_err(moving)?;
    }
    folders::create(&unfinished).map_err(Error::Folder)?;
    artifact.make(folders, &unfinished, progress).map_err(|source| Error::Make { name, source })?;
    fs::rename(&unfinished, place).map_err(moving)
}

#[allow(clippy::disallowed_methods, reason = "bounds how long another program is waited for")]
fn lock(artifact: Artifact, parent: &Path, progress: &Progress) -> Result<File, Error> {
    let path = parent.join("lock");
    let locking = |source| Error::Lock { path: path.clone(), source };
    let file = File::create(&path).map_err(locking)?;
    let end = Instant::now() + OTHER_BUILDER;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(source)) => return Err(locking(source)),
            Err(TryLockError::WouldBlock) if Instant::now() >= end => {
                return Err(Error::OtherBuilder { name: artifact.name(), path });
            }
            Err(TryLockError::WouldBlock) => progress.detail("another program makes it"),
        }
        thread::sleep(POLL);
    }
}
