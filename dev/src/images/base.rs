//! The base image: the same Debian packages as distroless/cc, unpacked into an empty image.
//!
//! The unpacked files are kept in the cache, the image in the state folder.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::{Error, ImageRef, REPOSITORY, builder, tag};
use crate::command::{QUICK, finish, run};
use crate::folders::Folders;

/// Counts the ways in which the base was ever made; a new one makes all images anew.
pub(crate) const RECIPE: &str = "1";

/// The C library, what Rust's panics need of the compiler, and the authorities that TLS clients trust.
const PACKAGES: [&str; 3] = ["libc6", "libgcc-s1", "ca-certificates"];

/// What no program of ours reads. Licences stay.
const LEFT_OUT: [&str; 6] = [
    "./usr/share/doc/*/changelog*",
    "./usr/share/doc/*/NEWS*",
    "./usr/share/lintian",
    "./usr/share/man",
    "./usr/lib/*/gconv",
    "./lib/*/gconv",
];

/// The user of the images, by the number and name that distroless gives it.
const USERS: &str = "root:x:0:0:root:/root:/sbin/nologin\nnobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n";
const GROUPS: &str = "root:x:0:\nnobody:x:65534:\nnonroot:x:65532:\n";
const NAME_SERVICES: &str = "hosts: files dns\n";

const CONTAINERFILE: &str = include_str!("../../base/Containerfile");

/// Three packages of 3 MB; a slow mirror is given time.
const FETCH: Duration = Duration::from_secs(300);

/// Makes the base image, unless it is there, and returns its name.
pub(crate) fn ensure(folders: &Folders) -> Result<ImageRef, Error> {
    let image =
        ImageRef { repository: format!("{REPOSITORY}/base"), tag: tag::of_texts(&[RECIPE, CONTAINERFILE]) };
    if !builder::has(folders, &image) {
        let files = files(folders, &image.tag)?;
        builder::build_context(folders, &files, &image)?;
    }
    Ok(image)
}

/// The build context of the base, from the cache.
fn files(folders: &Folders, key: &str) -> Result<PathBuf, Error> {
    let finished = folders.cache.join("base-image").join(key);
    if finished.is_dir() {
        return Ok(finished);
    }
    let parent = folders.cache.join("base-image");
    fs::create_dir_all(&parent).map_err(writing(&parent))?;
    let unfinished = tempfile::tempdir_in(&parent).map_err(writing(&parent))?;
    let context = unfinished.path().join("context");
    make_files(unfinished.path(), &context)?;
    match fs::rename(&context, &finished) {
        Ok(()) => Ok(finished),
        // Someone else was faster; what they made is the same.
        Err(_) if finished.is_dir() => Ok(finished),
        Err(source) => Err(Error::Write { path: finished, source }),
    }
}

fn make_files(work: &Path, context: &Path) -> Result<(), Error> {
    let (packages, root) = (work.join("packages"), work.join("root"));
    for folder in [&packages, context] {
        fs::create_dir_all(folder).map_err(writing(folder))?;
    }
    make_skeleton(&root)?;
    fetch(&packages)?;
    for package in entries(&packages)? {
        unpack(&package, &root)?;
    }
    write_bundle(&root)?;
    pack(&root, &context.join("rootfs.tar"))?;
    let containerfile = context.join("Containerfile");
    fs::write(&containerfile, CONTAINERFILE).map_err(writing(&containerfile))
}

/// The merged folders of Debian, which packages expect, and the files that packages make when they are installed.
fn make_skeleton(root: &Path) -> Result<(), Error> {
    for folder in ["etc/ssl/certs", "tmp", "home/nonroot"] {
        let folder = root.join(folder);
        fs::create_dir_all(&folder).map_err(writing(&folder))?;
    }
    for name in ["bin", "sbin", "lib", "lib64"] {
        let (folder, link) = (root.join("usr").join(name), root.join(name));
        fs::create_dir_all(&folder).map_err(writing(&folder))?;
        symlink(Path::new("usr").join(name), &link).map_err(writing(&link))?;
    }
    let tmp = root.join("tmp");
    fs::set_permissions(&tmp, fs::Permissions::from_mode(0o1777)).map_err(writing(&tmp))?;
    for (name, text) in [("etc/passwd", USERS), ("etc/group", GROUPS), ("etc/nsswitch.conf", NAME_SERVICES)] {
        let path = root.join(name);
        fs::write(&path, text).map_err(writing(&path))?;
    }
    Ok(())
}

fn fetch(folder: &Path) -> Result<(), Error> {
    let download = || {
        let mut apt = Command::new("apt-get");
        apt.current_dir(folder).args(["--quiet", "download"]).args(PACKAGES);
        finish(&mut apt, FETCH)
    };
    if download().is_ok() {
        return Ok(());
    }
    // A machine that never asked for packages has no list of them.
    run("apt-get", &["--quiet", "update"], FETCH)
        .and_then(|_| download())
        .map(drop)
        .map_err(|source| Error::FetchPackages { source })
}

fn unpack(package: &Path, root: &Path) -> Result<(), Error> {
    let excluded = LEFT_OUT.map(|pattern| format!("--exclude={pattern}"));
    let mut pipe = Command::new("bash");
    pipe.args(["-o", "pipefail", "-c"])
        .arg(r#"package=$1; shift; dpkg-deb --fsys-tarfile "$package" | tar --extract --keep-directory-symlink "$@""#)
        .arg("unpack")
        .arg(package)
        .arg("--directory")
        .arg(root)
        .args(excluded);
    finish(&mut pipe, QUICK).map(drop).map_err(|source| Error::UnpackPackages { source })
}

/// What `update-ca-certificates` does when the package is installed: all certificates in one file.
fn write_bundle(root: &Path) -> Result<(), Error> {
    let mut bundle = Vec::new();
    for certificate in entries(&root.join("usr/share/ca-certificates/mozilla"))? {
        bundle.extend(fs::read(&certificate).map_err(reading(&certificate))?);
    }
    let path = root.join("etc/ssl/certs/ca-certificates.crt");
    fs::write(&path, bundle).map_err(writing(&path))
}

/// The same files make the same archive.
fn pack(root: &Path, archive: &Path) -> Result<(), Error> {
    let mut tar = Command::new("tar");
    tar.args(["--create", "--sort=name", "--mtime=@0", "--numeric-owner"])
        .args(["--owner=0", "--group=0", "--file"])
        .arg(archive)
        .arg("--directory")
        .arg(root)
        .arg(".");
    finish(&mut tar, QUICK).map(drop).map_err(|source| Error::UnpackPackages { source })
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(reading(folder))? {
        paths.push(entry.map_err(reading(folder))?.path());
    }
    paths.sort();
    Ok(paths)
}

fn reading(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Read { path, source }
}

fn writing(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Write { path, source }
}
