//! The local stack's buildah and containerd, for commands that are typed by hand: the tests run those of the README.

use std::path::PathBuf;

use super::{Error, ImageRef, base, builder, store::Store};
use crate::console::Console;
use crate::folders::Folders;
use crate::lock::{self, Lock};

/// The right to use buildah's storage, and what one has to know to do so.
#[derive(Debug)]
pub struct Workbench {
    /// An image to build upon.
    pub base: ImageRef,
    /// For `buildah` and `ctr`.
    pub environment: Vec<(&'static str, PathBuf)>,
    folders: Folders,
    _lock: Lock,
}

impl Workbench {
    /// Waits until nobody else builds images or changes the stack; nobody does until it is dropped.
    ///
    /// # Errors
    /// When the base image cannot be made.
    pub fn open(folders: &Folders, console: &Console) -> anyhow::Result<Self> {
        let lock = lock::hold(folders, console)?;
        let base = base::ensure(folders)?;
        let mut environment = builder::environment(folders)?;
        environment.extend(Store::new(folders).environment());
        Ok(Self { base, environment, folders: folders.clone(), _lock: lock })
    }

    /// Removes an image from buildah's storage and from containerd's; one that is not there is as good as removed.
    ///
    /// # Errors
    /// When containerd does not answer.
    pub fn remove(&self, image: &ImageRef) -> anyhow::Result<()> {
        builder::forget(&self.folders, image);
        builder::forget_blob_cache();
        Store::new(&self.folders).remove(&image.to_string()).map_err(Error::into)
    }
}
