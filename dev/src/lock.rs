//! One `up`, `down` or build of images at a time.

use std::fs::{File, TryLockError};
use std::io;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use crate::console::Console;
use crate::folders::{self, Folders};

/// A first `up` compiles Kubernetes; an hour means that it hangs.
const OTHER: Duration = Duration::from_secs(3600);

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
    #[error("failed to start: another program changes the stack since an hour and holds `{}`", path.display())]
    Busy { path: PathBuf },
}

/// The right to change the stack. The kernel gives it back when the value is dropped, or the program killed.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

/// Waits until no other program starts or stops the stack, or builds its images. The lock is in the cache, as `down` removes the state.
pub(crate) fn hold(folders: &Folders, console: &Console) -> Result<Lock, Error> {
    folders::create(&folders.cache).map_err(Error::Folder)?;
    let path = folders.cache.join("stack.lock");
    let locking = |source| Error::Lock { path: path.clone(), source };
    let file = File::create(&path).map_err(locking)?;
    match file.try_lock() {
        Ok(()) => return Ok(Lock { _file: file }),
        Err(TryLockError::Error(source)) => return Err(locking(source)),
        Err(TryLockError::WouldBlock) => {}
    }
    console.step("wait for another `up`, `down` or build of images", || wait(&file, &path))?;
    Ok(Lock { _file: file })
}

#[allow(clippy::disallowed_methods, reason = "bounds how long another program is waited for")]
fn wait(file: &File, path: &std::path::Path) -> Result<(), Error> {
    let end = Instant::now() + OTHER;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::Error(source)) => return Err(Error::Lock { path: path.to_owned(), source }),
            Err(TryLockError::WouldBlock) if Instant::now() >= end => {
                return Err(Error::Busy { path: path.to_owned() });
            }
            Err(TryLockError::WouldBlock) => thread::sleep(POLL),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_waits_for_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_owned();
        let folders = Folders { state: path.clone(), cache: path.clone(), checkout: path };
        let first = hold(&folders, &Console::silent()).unwrap();
        let second = {
            let folders = folders.clone();
            thread::spawn(move || hold(&folders, &Console::silent()).map(drop))
        };
        let taken = File::open(folders.cache.join("stack.lock")).unwrap().try_lock();
        assert!(matches!(taken, Err(TryLockError::WouldBlock)));
        drop(first);
        second.join().unwrap().unwrap();
    }
}
