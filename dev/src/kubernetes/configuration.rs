//! The configuration files of the cluster's parts.
//!
//! A part is started again when its configuration changed, and only then:
//! kube-proxy ends itself whenever its file is written, even with the same content.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::process::Spec;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("failed to write the configuration `{}`", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
}

/// The variable that makes a process with another configuration another process.
const PIN: &str = "MILLRACE_CONFIGURATION";

/// The process with this configuration: the running one is replaced when the text has changed.
pub(crate) fn pinned(mut spec: Spec, text: &str) -> Spec {
    let hash = Sha256::digest(text.as_bytes());
    let short: String = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    spec.env.push((PIN.to_owned(), short));
    spec
}

/// Brings `path` to hold `text`, readable by its owner alone. A file that holds it already is not touched.
pub(crate) fn write(path: &Path, text: &str) -> Result<(), Error> {
    if fs::read_to_string(path).is_ok_and(|present| present == text) {
        return Ok(());
    }
    let writing = |source| Error::Write { path: path.to_owned(), source };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(writing)?;
    }
    fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(writing)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn spec() -> Spec {
        Spec {
            name: "kubelet".to_owned(),
            program: "kubelet".into(),
            args: Vec::new(),
            env: Vec::new(),
            working_folder: None,
        }
    }

    #[test]
    fn a_file_with_the_same_text_is_not_touched() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("kube-proxy.json");
        write(&path, "{}").unwrap();
        let before = fs::metadata(&path).unwrap().modified().unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        write(&path, "{}").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), before);
    }

    #[test]
    fn another_configuration_is_another_process() {
        assert_eq!(pinned(spec(), "a"), pinned(spec(), "a"));
        assert_ne!(pinned(spec(), "a"), pinned(spec(), "b"));
    }
}
