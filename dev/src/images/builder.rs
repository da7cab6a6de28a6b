//! buildah, with its storage and its settings in the state folder.
//!
//! The storage driver is `vfs`, which copies instead of mounting: an image has two layers of a few megabytes,
//! and no mount is left behind.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::{NamedTempFile, TempDir};

use super::{Error, ImageRef};
use crate::command::{self, QUICK, finish, run};
use crate::folders::Folders;

/// An image takes about a second; the bound is for a busy disk.
const BUILD: Duration = Duration::from_secs(120);

/// Where buildah, run as root, remembers layers of registries, of which there are none.
const BLOB_CACHE: &str = "/var/lib/containers/cache/blob-info-cache-v1.boltdb";

/// An empty folder for the files of one image; it goes when it is dropped.
pub(crate) fn empty_context(folders: &Folders) -> Result<TempDir, Error> {
    let home = home(folders);
    fs::create_dir_all(&home)
        .and_then(|()| tempfile::tempdir_in(&home))
        .map_err(|source| Error::Write { path: home, source })
}

/// Builds the image of one binary, without its debug information, and exports it.
pub(crate) fn build_binary(
    folders: &Folders,
    base: &ImageRef,
    name: &'static str,
    binary: &Path,
    image: &ImageRef,
) -> Result<NamedTempFile, Error> {
    let context = empty_context(folders)?;
    strip(name, binary, &context.path().join(name))?;
    let arguments = [
        "--pull-never".to_owned(),
        format!("--build-arg=BASE={base}"),
        format!("--target={name}"),
        format!("--file={}", folders.checkout.join("Containerfile").display()),
    ];
    build(folders, &arguments, context.path(), image)?;
    let archive = export(folders, image)?;
    forget(folders, image);
    Ok(archive)
}

/// Builds the image that the Containerfile in `context` describes.
pub(crate) fn build_context(folders: &Folders, context: &Path, image: &ImageRef) -> Result<(), Error> {
    build(folders, &[], context, image)
}

/// Whether buildah's storage holds the image.
pub(crate) fn has(folders: &Folders, image: &ImageRef) -> bool {
    let image = image.to_string();
    buildah(folders, &["inspect", "--type=image", "--format={{.FromImageID}}", &image], QUICK).is_ok()
}

/// Writes the image into an archive that containerd can import; it goes when it is dropped.
pub(crate) fn export(folders: &Folders, image: &ImageRef) -> Result<NamedTempFile, Error> {
    let home = home(folders);
    let archive =
        NamedTempFile::new_in(&home).map_err(|source| Error::Write { path: home.clone(), source })?;
    let name = image.to_string();
    // buildah refuses to write into a file that exists.
    let path = archive.path().with_extension("tar");
    let target = format!("oci-archive:{}:{name}", path.display());
    let exported = buildah(folders, &["push", "--quiet", &name, &target], BUILD);
    forget_blob_cache();
    exported.map_err(|source| Error::Export { image: name, source })?;
    fs::rename(&path, archive.path()).map_err(|source| Error::Write { path, source })?;
    Ok(archive)
}

fn build(folders: &Folders, arguments: &[String], context: &Path, image: &ImageRef) -> Result<(), Error> {
    let name = image.to_string();
    let (tag, context) = (format!("--tag={name}"), context.display().to_string());
    let all: Vec<&str> = ["build", "--quiet", "--layers=false", &tag]
        .into_iter()
        .chain(arguments.iter().map(String::as_str))
        .chain([context.as_str()])
        .collect();
    buildah(folders, &all, BUILD).map(drop).map_err(|source| Error::Build { image: name, source })
}

/// Debug information is nine tenths of a binary, and nothing in a pod reads it.
fn strip(name: &'static str, binary: &Path, copy: &Path) -> Result<(), Error> {
    let arguments: [&OsStr; 4] =
        ["--strip-debug".as_ref(), "-o".as_ref(), copy.as_os_str(), binary.as_os_str()];
    run("strip", &arguments, BUILD).map(drop).map_err(|source| Error::Strip { name, source })
}

/// An exported image lives on in containerd, so that buildah's storage stays as small as its base.
pub(crate) fn forget(folders: &Folders, image: &ImageRef) {
    // What stays costs disk until `down`, and nothing else.
    let _ = buildah(folders, &["rmi", &image.to_string()], QUICK);
}

pub(crate) fn forget_blob_cache() {
    let cache = Path::new(BLOB_CACHE);
    let _ = fs::remove_file(cache);
    // The folders go only if nobody else has something in them.
    for folder in cache.ancestors().skip(1).take(2) {
        let _ = fs::remove_dir(folder);
    }
}

fn buildah(folders: &Folders, arguments: &[&str], deadline: Duration) -> Result<String, command::Error> {
    let home = home(folders);
    let mut buildah = Command::new("buildah");
    buildah
        .arg("--root")
        .arg(home.join("storage"))
        .arg("--runroot")
        .arg(home.join("run"))
        .args(["--storage-driver", "vfs"])
        .args(arguments)
        .env("CONTAINERS_CONF", settings(&home));
    finish(&mut buildah, deadline)
}

/// What a buildah that is typed by hand has to find in its environment to use the same storage.
pub(crate) fn environment(folders: &Folders) -> Result<Vec<(&'static str, PathBuf)>, Error> {
    let home = home(folders);
    let path = home.join("storage.conf");
    let (storage, run) = (serde_json::json!(home.join("storage")), serde_json::json!(home.join("run")));
    let text = format!("[storage]\ndriver = \"vfs\"\ngraphroot = {storage}\nrunroot = {run}\n");
    fs::create_dir_all(&home)
        .and_then(|()| fs::write(&path, text))
        .map_err(|source| Error::Write { path: path.clone(), source })?;
    Ok(vec![("CONTAINERS_STORAGE_CONF", path), ("CONTAINERS_CONF", settings(&home))])
}

/// Networks are not used, but buildah makes a folder for them, by default one in `/etc`.
fn settings(home: &Path) -> PathBuf {
    let path = home.join("containers.conf");
    if !path.exists() {
        let folder = serde_json::json!(home.join("networks"));
        let text = format!("[network]\nnetwork_config_dir = {folder}\n");
        // Without the file buildah says itself what it misses.
        let _ = fs::create_dir_all(home).and_then(|()| fs::write(&path, text));
    }
    path
}

fn home(folders: &Folders) -> PathBuf {
    folders.state.join("images")
}
