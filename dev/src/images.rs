//! Container images for the local cluster, without a daemon and without a registry.
//!
//! ```text
//! binary -> tag (hash of its bytes) -> is it imported? -> strip -> buildah -> OCI archive -> containerd
//! ```
//!
//! Invariant: a tag names one content for ever, because it is the hash of what went into the image.
//! An unchanged binary is therefore never built or imported twice, and pods use `IfNotPresent`.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::command;
use crate::console::Console;
use crate::folders::Folders;
use crate::lock;

mod base;
mod builder;
mod cargo;
mod pause;
mod store;
mod tag;
mod workbench;

pub(crate) use pause::{ensure as ensure_pause, reference as pause_reference};
pub use workbench::Workbench;

/// The images that the chart installs; each is a binary of the workspace and a target of the Containerfile.
pub const NAMES: [&str; 3] = ["operator", "ingester", "consumer"];

/// Where the images of the local stack seem to come from; no registry answers there.
pub const REPOSITORY: &str = "localhost/millrace";

/// An image that pods of the local cluster can use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageRef {
    /// The image without its tag: `localhost/millrace/operator`.
    pub repository: String,
    /// 16 hexadecimal digits of the hash of the image's content.
    pub tag: String,
}

impl fmt::Display for ImageRef {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.repository, self.tag)
    }
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("failed to compile the binaries of the images")]
    Compile {
        #[source]
        source: command::Error,
    },
    #[error("failed to find the binary `{name}` in what cargo built")]
    FindBinary { name: &'static str },
    #[error("failed to read `{}`", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("failed to write `{}`", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("failed to fetch the Debian packages of the base image")]
    FetchPackages {
        #[source]
        source: command::Error,
    },
    #[error("failed to unpack the Debian packages of the base image")]
    UnpackPackages {
        #[source]
        source: command::Error,
    },
    #[error(
        "failed to compile the pause program, is a C compiler with a static libc there (`apt-get install gcc libc6-dev`)?"
    )]
    CompilePause {
        #[source]
        source: command::Error,
    },
    #[error("failed to strip a copy of the binary `{name}`")]
    Strip {
        name: &'static str,
        #[source]
        source: command::Error,
    },
    #[error("failed to build the image `{image}`")]
    Build {
        image: String,
        #[source]
        source: command::Error,
    },
    #[error("failed to export the image `{image}`")]
    Export {
        image: String,
        #[source]
        source: command::Error,
    },
    #[error("failed to ask containerd for its images, does the stack run (`make up`)?")]
    ListImages {
        #[source]
        source: command::Error,
    },
    #[error("failed to import the image `{image}` into containerd")]
    Import {
        image: String,
        #[source]
        source: command::Error,
    },
}

/// Compiles the three binaries as the tests do, and makes their images.
pub fn compile_and_build(folders: &Folders, console: &Console) -> anyhow::Result<Vec<ImageRef>> {
    let binaries =
        console.step("compile operator, ingester and consumer", || cargo::build(&folders.checkout))?;
    build(folders, console, &binaries)
}

/// Makes the images of the binaries in `binaries` and imports them into the local cluster.
///
/// Returns one reference per entry of [`NAMES`], in that order.
/// Fails if a binary is missing, if a Debian package cannot be fetched, or if the stack does not run.
pub fn build(folders: &Folders, console: &Console, binaries: &Path) -> anyhow::Result<Vec<ImageRef>> {
    // buildah's storage is not made for two of them, and each would remove the other's fresh images.
    let _lock = lock::hold(folders, console)?;
    let containerfile = folders.checkout.join("Containerfile");
    let store = store::Store::new(folders);
    let mut images = Vec::new();
    for name in NAMES {
        let binary = binaries.join(name);
        let image = ImageRef {
            repository: format!("{REPOSITORY}/{name}"),
            tag: tag::of_files(&[&binary, &containerfile], &format!("{} {name}", base::RECIPE))?,
        };
        if !store.has(&image)? {
            console.step(&format!("build the image {image}"), || {
                let base = base::ensure(folders)?;
                let archive = builder::build_binary(folders, &base, name, &binary, &image)?;
                store.import(&image, archive.path())
            })?;
        }
        store.keep_the_last(&image)?;
        images.push(image);
    }
    Ok(images)
}

/// One reference per line, as `dev images` prints them.
#[must_use]
pub fn lines(images: &[ImageRef]) -> String {
    images.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
