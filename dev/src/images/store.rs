//! containerd's store of images, through `ctr`.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Error, ImageRef};
use crate::command::{self, QUICK, run};
use crate::folders::Folders;
use crate::kubernetes::containerd_socket;

/// containerd's namespace of the images and containers of Kubernetes.
const NAMESPACE: &str = "k8s.io";

/// An import takes 0.2 s; the bound is for a busy disk.
const IMPORT: Duration = Duration::from_secs(120);

/// Builds of one image that stay usable: an upgrade and its way back, and a neighbour's run in between.
const KEPT: usize = 6;

/// The images that pods can use.
pub(crate) struct Store {
    socket: PathBuf,
    /// Where the order of imports is written down, one file per image.
    records: PathBuf,
}

impl Store {
    pub(crate) fn new(folders: &Folders) -> Self {
        Self { socket: containerd_socket(folders), records: folders.state.join("images") }
    }

    pub(crate) fn has(&self, image: &ImageRef) -> Result<bool, Error> {
        let filter = format!("name=={image}");
        let found = self
            .ctr(&["images", "list", "--quiet", &filter], QUICK)
            .map_err(|source| Error::ListImages { source })?;
        Ok(found.lines().any(|line| line == image.to_string()))
    }

    pub(crate) fn import(&self, image: &ImageRef, archive: &Path) -> Result<(), Error> {
        let archive = archive.display().to_string();
        self.ctr(&["images", "import", &archive], IMPORT)
            .map(drop)
            .map_err(|source| Error::Import { image: image.to_string(), source })
    }

    /// Notes that `image` is the latest of its name, and removes those that are too old.
    pub(crate) fn keep_the_last(&self, image: &ImageRef) -> Result<(), Error> {
        let name = image.repository.rsplit('/').next().unwrap_or_default();
        let record = self.records.join(format!("{name}.tags"));
        let known = fs::read_to_string(&record).unwrap_or_default();
        let (kept, old) = split_off_old(&known, &image.tag);
        for tag in old {
            self.remove(&format!("{}:{tag}", image.repository))?;
        }
        fs::create_dir_all(&self.records)
            .and_then(|()| fs::write(&record, kept.join("\n")))
            .map_err(|source| Error::Write { path: record, source })
    }

    /// What a `ctr` that is typed by hand has to find in its environment to use the same store.
    pub(crate) fn environment(&self) -> Vec<(&'static str, PathBuf)> {
        vec![("CONTAINERD_ADDRESS", self.socket.clone()), ("CONTAINERD_NAMESPACE", PathBuf::from(NAMESPACE))]
    }

    /// Removes an image under its name and under the hash that the node's image service gave it as a second name.
    pub(crate) fn remove(&self, reference: &str) -> Result<(), Error> {
        let table = self.ctr(&["images", "list"], QUICK).map_err(|source| Error::ListImages { source })?;
        for name in names_of(&table, reference) {
            // An image that is gone already is as good as removed.
            let _ = self.ctr(&["images", "remove", &name], QUICK);
        }
        Ok(())
    }

    fn ctr(&self, arguments: &[&str], deadline: Duration) -> Result<String, command::Error> {
        let socket = self.socket.display().to_string();
        let all = [["--address", &socket, "--namespace", NAMESPACE].as_slice(), arguments].concat();
        run("ctr", &all, deadline)
    }
}

/// The tags to keep, the latest first, and those to remove.
fn split_off_old(known: &str, latest: &str) -> (Vec<String>, Vec<String>) {
    let others = known.lines().filter(|tag| !tag.is_empty() && *tag != latest);
    let mut kept: Vec<String> = std::iter::once(latest).chain(others).map(str::to_owned).collect();
    let old = kept.split_off(kept.len().min(KEPT));
    (kept, old)
}

/// The name and the hashes under which the table of `ctr images list` has this image;
/// a hash is left alone while another name has the same content.
fn names_of(table: &str, reference: &str) -> Vec<String> {
    let images: Vec<(&str, &str)> = table
        .lines()
        .filter_map(|line| {
            let mut columns = line.split_whitespace();
            Some((columns.next()?, columns.nth(1)?))
        })
        .collect();
    let Some((_, content)) = images.iter().find(|(name, _)| *name == reference) else {
        return Vec::new();
    };
    let same: Vec<&str> =
        images.iter().filter(|(_, other)| other == content).map(|(name, _)| *name).collect();
    let is_shared = same.iter().any(|name| *name != reference && !name.starts_with("sha256:"));
    same.into_iter()
        .filter(|name| *name == reference || (!is_shared && name.starts_with("sha256:")))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
REF TYPE DIGEST SIZE PLATFORMS LABELS
localhost/millrace/operator:1 application/x sha256:aa 2.5 MiB linux/amd64 -
localhost/millrace/operator:2 application/x sha256:bb 2.5 MiB linux/amd64 -
localhost/millrace/twin:1 application/x sha256:bb 2.5 MiB linux/amd64 -
sha256:11 application/x sha256:aa 2.5 MiB linux/amd64 -
sha256:22 application/x sha256:bb 2.5 MiB linux/amd64 -
";

    #[test]
    fn an_image_is_removed_with_the_hash_that_names_it_as_well() {
        assert_eq!(
            names_of(TABLE, "localhost/millrace/operator:1"),
            ["localhost/millrace/operator:1", "sha256:11"]
        );
    }

    #[test]
    fn a_hash_that_another_name_needs_stays() {
        assert_eq!(names_of(TABLE, "localhost/millrace/operator:2"), ["localhost/millrace/operator:2"]);
    }

    #[test]
    fn an_image_that_is_gone_has_no_names() {
        assert!(names_of(TABLE, "localhost/millrace/operator:3").is_empty());
    }

    #[test]
    fn the_latest_image_comes_first_and_is_listed_once() {
        let (kept, old) = split_off_old("b\na\n", "a");
        assert_eq!(kept, ["a", "b"]);
        assert!(old.is_empty());
    }

    #[test]
    fn images_beyond_the_bound_are_removed() {
        let (kept, old) = split_off_old("6\n5\n4\n3\n2\n1", "7");
        assert_eq!(kept, ["7", "6", "5", "4", "3", "2"]);
        assert_eq!(old, ["1"]);
    }
}
