//! Forgets what a restart of the machine has ended.
//!
//! Elsewhere containerd's bundles, the network namespaces and the addresses of pods live in `/run`, which a restart empties.
//! Ours live in the state folder, so the first `up` after a restart empties them:
//! otherwise containerd would look for processes under ids that now belong to strangers.

use std::fs;
use std::path::{Path, PathBuf};

use super::leftovers;
use super::paths::Paths;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("failed to read the boot id of this machine")]
    ReadBootId {
        #[source]
        source: std::io::Error,
    },
    #[error("failed to forget `{}` after a restart of the machine", path.display())]
    Forget {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("failed to write `{}`", path.display())]
    Remember {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
}

/// The kernel's name for the time since the last start of the machine.
pub(crate) fn boot_id() -> Result<String, Error> {
    fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map(|text| text.trim().to_owned())
        .map_err(|source| Error::ReadBootId { source })
}

/// Empties the folders that describe running containers, if the machine was started since they were written.
pub(crate) fn forget(paths: &Paths) -> Result<(), Error> {
    let now = boot_id()?;
    let record = paths.configuration("boot-id");
    let then = fs::read_to_string(&record).ok();
    if then.as_deref() == Some(now.as_str()) {
        return Ok(());
    }
    if then.is_some() {
        leftovers::forget_sandboxes();
        for folder in [paths.containerd_run(), paths.runc(), paths.cni_addresses()] {
            forget_folder(&folder)?;
        }
    }
    fs::create_dir_all(paths.folder())
        .and_then(|()| fs::write(&record, now))
        .map_err(|source| Error::Remember { path: record, source })
}

fn forget_folder(folder: &Path) -> Result<(), Error> {
    if !folder.exists() {
        return Ok(());
    }
    fs::remove_dir_all(folder).map_err(|source| Error::Forget { path: folder.to_owned(), source })
}
