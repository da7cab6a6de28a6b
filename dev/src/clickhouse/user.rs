//! The one user that connects. Its password is made once and kept in the ClickHouse's folder.

use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rand::distr::{Alphanumeric, SampleString};

const NAME: &str = "millrace";

/// 24 letters and digits, 142 bits.
const PASSWORD_CHARACTERS: usize = 24;

/// A user with every right, that of reading `system` tables included.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    pub name: String,
    pub password: String,
}

impl fmt::Debug for User {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("User").field("name", &self.name).finish_non_exhaustive()
    }
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("failed to read the password in `{}`", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("failed to write the password to `{}`", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// The user, with a new password if there is none.
pub(super) fn ensure(folder: &Path) -> Result<User, Error> {
    if let Ok(user) = read(folder) {
        return Ok(user);
    }
    let password = Alphanumeric.sample_string(&mut rand::rng(), PASSWORD_CHARACTERS);
    write(&file(folder), &password)?;
    Ok(User { name: NAME.to_owned(), password })
}

pub(super) fn read(folder: &Path) -> Result<User, Error> {
    let path = file(folder);
    let password = fs::read_to_string(&path).map_err(|source| Error::Read { path: path.clone(), source })?;
    // A torn file would hold less, and every login would fail.
    if password.len() == PASSWORD_CHARACTERS {
        return Ok(User { name: NAME.to_owned(), password });
    }
    Err(Error::Read { path, source: io::ErrorKind::UnexpectedEof.into() })
}

fn write(path: &Path, password: &str) -> Result<(), Error> {
    let write = || -> io::Result<()> {
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600).open(path)?.write_all(password.as_bytes())
    };
    write().map_err(|source| Error::Write { path: path.to_owned(), source })
}

fn file(folder: &Path) -> PathBuf {
    folder.join("password")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_made_once_and_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let user = ensure(folder.path()).unwrap();
        assert_eq!(ensure(folder.path()).unwrap(), user);
        assert!(!format!("{user:?}").contains(&user.password));
    }

    #[test]
    fn a_torn_password_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(file(folder.path()), "abc").unwrap();
        assert_eq!(ensure(folder.path()).unwrap().password.len(), PASSWORD_CHARACTERS);
    }
}
