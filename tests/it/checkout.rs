//! The checkout as the gates see it: its root and the files that are, or are about to be, under version control.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The root of the checkout.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate is one folder below the root")
}

/// Every file that git knows or would add, as paths below the root.
pub(crate) fn files() -> Vec<PathBuf> {
    let listed = Command::new("git")
        .args(["-c", "safe.directory=*", "-C"])
        .arg(root())
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .output()
        .expect("git lists the files of the checkout");
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    let text = String::from_utf8(listed.stdout).expect("our file names are UTF-8");
    let names = text.split('\0').filter(|name| !name.is_empty());
    // A file that was deleted and not yet committed is still listed.
    names.map(PathBuf::from).filter(|path| root().join(path).is_file()).collect()
}

/// The files with one of these endings, with their text.
pub(crate) fn texts(endings: &[&str]) -> Vec<(PathBuf, String)> {
    let is_wanted = |path: &PathBuf| {
        let name = path.to_string_lossy();
        endings.is_empty() || endings.iter().any(|ending| name.ends_with(ending))
    };
    let read = |path: PathBuf| {
        let bytes = std::fs::read(root().join(&path)).expect("a listed file is readable");
        (path, String::from_utf8_lossy(&bytes).into_owned())
    };
    files().into_iter().filter(is_wanted).map(read).collect()
}

/// The text of one file below the root.
pub(crate) fn text(path: &str) -> String {
    std::fs::read_to_string(root().join(path))
        .unwrap_or_else(|error| panic!("failed to read `{path}`: {error}"))
}
