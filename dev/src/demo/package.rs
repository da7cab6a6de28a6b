//! Fetches the npm package with the webhook deliveries, once per machine; they are not part of the checkout.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::command::{self, finish};
use crate::console::Console;
use crate::folders::Folders;

/// The files that pin the package and its hash.
const MANIFESTS: [&str; 2] = ["package.json", "package-lock.json"];

/// The deliveries, below the folder that npm filled.
const INDEX: &str = "node_modules/@octokit/webhooks-examples/api.github.com/index.json";

/// Two packages of 1 MB; more than minutes means that no registry answers.
const DEADLINE: Duration = Duration::from_secs(180);

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("failed to read `{}`", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("failed to prepare the folder `{}`", path.display())]
    Prepare {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("failed to fetch the package of webhook deliveries with npm")]
    Fetch {
        #[source]
        source: command::Error,
    },
}

/// The text of the package's list of deliveries.
pub(crate) fn fetch(folders: &Folders, console: &Console) -> Result<String, Error> {
    let manifests = folders.checkout.join("dev/demo");
    let folder = folders.cache.join("demo").join(key(&manifests)?);
    if !folder.join(INDEX).is_file() {
        console.step("fetch the webhook deliveries (npm)", || install(&manifests, &folder))?;
    }
    read(&folder.join(INDEX))
}

/// Changes with the manifests, so that another version of the package never meets an old folder.
fn key(manifests: &Path) -> Result<String, Error> {
    let mut hash = Sha256::new();
    for name in MANIFESTS {
        hash.update(read(&manifests.join(name))?);
    }
    Ok(hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect())
}

/// Fills a folder beside the final one and renames it, so that a fetch that was cut off is never taken for whole.
fn install(manifests: &Path, folder: &Path) -> Result<(), Error> {
    let parent = folder.parent().unwrap_or(folder);
    let prepare = |source| Error::Prepare { path: parent.to_owned(), source };
    fs::create_dir_all(parent).map_err(prepare)?;
    let unfinished = tempfile::tempdir_in(parent).map_err(prepare)?;
    for name in MANIFESTS {
        fs::copy(manifests.join(name), unfinished.path().join(name)).map_err(prepare)?;
    }
    let mut npm = Command::new("npm");
    npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(unfinished.path());
    finish(&mut npm, DEADLINE).map_err(|source| Error::Fetch { source })?;
    match fs::rename(unfinished.keep(), folder) {
        // Another demo was faster and left the same.
        Err(_) if folder.join(INDEX).is_file() => Ok(()),
        result => result.map_err(prepare),
    }
}

fn read(path: &Path) -> Result<String, Error> {
    fs::read_to_string(path).map_err(|source| Error::Read { path: path.to_owned(), source })
}
