//! Keeps the cache from growing with every version: what no `up` has used for a month goes when a new one is made.

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime};

/// Long enough for a branch that is returned to; making it again costs minutes.
const UNUSED: Duration = Duration::from_secs(30 * 24 * 3600);

/// Notes the use in the folder's time of modification. A cache that cannot be written still works.
#[allow(clippy::disallowed_methods, reason = "the age of files is measured by the machine's clock")]
pub(super) fn mark_used(artifact: &Path) {
    let _ = File::open(artifact).and_then(|folder| folder.set_modified(SystemTime::now()));
}

/// Removes what was not used for a month among the versions of one artifact.
#[allow(clippy::disallowed_methods, reason = "the age of files is measured by the machine's clock")]
pub(super) fn remove_unused(versions: &Path) {
    remove_older(versions, SystemTime::now() - UNUSED);
}

/// What cannot be removed now is found again by the next one.
fn remove_older(versions: &Path, limit: SystemTime) {
    for entry in fs::read_dir(versions).into_iter().flatten().flatten() {
        let Ok(metadata) = entry.metadata() else { continue };
        let is_old = metadata.modified().is_ok_and(|used| used < limit);
        if metadata.is_dir() && is_old {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_version_that_was_not_used_for_long_is_removed() {
        let cache = tempfile::tempdir().unwrap();
        let (old, used) = (cache.path().join("old"), cache.path().join("used"));
        let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        for version in [&old, &used] {
            fs::create_dir(version).unwrap();
            File::open(version).unwrap().set_modified(long_ago).unwrap();
        }
        mark_used(&used);
        remove_unused(cache.path());
        assert!(!old.exists() && used.exists());
    }
}
