//! Where the local stack keeps its files.
//!
//! Invariant: outside of these two folders and the checkout the stack writes nothing that it does not remove.

use std::io;
use std::path::{Path, PathBuf};

/// The folders of one stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folders {
    /// All that runs: data, logs, keys, records of processes. `down` removes it.
    pub state: PathBuf,
    /// What was built or downloaded once. It outlives the stack.
    pub cache: PathBuf,
    /// The checkout this program was built from.
    pub checkout: PathBuf,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("failed to find the home folder: neither `{variable}` nor `HOME` holds an absolute path")]
    NoHome { variable: &'static str },
    #[error("failed to create the folder `{}`", path.display())]
    Create {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

impl Folders {
    /// The folders of the shared stack of this user: `$XDG_STATE_HOME/millrace` and `$XDG_CACHE_HOME/millrace`.
    ///
    /// # Errors
    /// When the environment names no home folder.
    pub fn of_this_user() -> anyhow::Result<Self> {
        Ok(Self::from_environment(variable)?)
    }

    /// The same caches and checkout with another state folder: a private stack that shares nothing that runs.
    #[must_use]
    pub fn with_state(&self, state: PathBuf) -> Self {
        Self { state, ..self.clone() }
    }

    /// The file that both outputs of the process `name` are appended to.
    #[must_use]
    pub fn log(&self, name: &str) -> PathBuf {
        self.logs().join(format!("{name}.log"))
    }

    pub(crate) fn logs(&self) -> PathBuf {
        self.state.join("logs")
    }

    pub(crate) fn processes(&self) -> PathBuf {
        self.state.join("processes")
    }

    fn from_environment(variable: impl Fn(&'static str) -> Option<PathBuf>) -> Result<Self, Error> {
        let below = |name: &'static str, default: &str| {
            variable(name)
                .or_else(|| variable("HOME").map(|home| home.join(default)))
                .map(|folder| folder.join("millrace"))
                .ok_or(Error::NoHome { variable: name })
        };
        Ok(Self {
            state: below("XDG_STATE_HOME", ".local/state")?,
            cache: below("XDG_CACHE_HOME", ".cache")?,
            checkout: checkout(),
        })
    }
}

/// Creates a folder and its parents; one that exists is fine.
pub(crate) fn create(path: &Path) -> Result<(), Error> {
    std::fs::create_dir_all(path).map_err(|source| Error::Create { path: path.to_owned(), source })
}

/// This crate is one folder below the checkout.
fn checkout() -> PathBuf {
    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    crate_folder.parent().unwrap_or(crate_folder).to_owned()
}

/// The XDG specification says that a relative path is to be ignored.
#[allow(
    clippy::disallowed_methods,
    reason = "where the user's folders are is a fact of the environment, not an option"
)]
fn variable(name: &'static str) -> Option<PathBuf> {
    std::env::var(name).ok().map(PathBuf::from).filter(|path| path.is_absolute())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(variables: &'static [(&'static str, &'static str)]) -> Result<Folders, Error> {
        Folders::from_environment(|name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| PathBuf::from(value))
        })
    }

    #[test]
    fn the_home_folder_is_the_default() {
        let folders = with(&[("HOME", "/home/ada")]).unwrap();
        assert_eq!(folders.state, Path::new("/home/ada/.local/state/millrace"));
        assert_eq!(folders.cache, Path::new("/home/ada/.cache/millrace"));
    }

    #[test]
    fn the_xdg_folders_win_over_the_home_folder() {
        let folders =
            with(&[("HOME", "/home/ada"), ("XDG_STATE_HOME", "/s"), ("XDG_CACHE_HOME", "/c")]).unwrap();
        assert_eq!((folders.state, folders.cache), ("/s/millrace".into(), "/c/millrace".into()));
    }

    #[test]
    fn without_any_home_the_error_names_the_variable() {
        assert!(matches!(with(&[]), Err(Error::NoHome { variable: "XDG_STATE_HOME" })));
    }

    #[test]
    fn the_checkout_holds_this_crate() {
        assert!(checkout().join("dev/Cargo.toml").is_file());
    }
}
