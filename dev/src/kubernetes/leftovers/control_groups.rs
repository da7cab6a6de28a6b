//! The control groups that kubelet makes for pods: a folder `kubepods` in each hierarchy.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use super::{entries, mounts};

/// A group of processes that just ended stays busy for a moment.
const ATTEMPTS: u32 = 50;
const PAUSE: Duration = Duration::from_millis(40);

/// Removes the groups of pods, which must have ended; version 1 and version 2 hierarchies alike.
pub(crate) fn remove() {
    for _ in 0..ATTEMPTS {
        let groups = remaining();
        if groups.is_empty() {
            return;
        }
        for group in groups {
            remove_tree(&group);
        }
        if remaining().is_empty() {
            return;
        }
        thread::sleep(PAUSE);
    }
}

pub(crate) fn remaining() -> Vec<PathBuf> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    mounts::mount_points(&table)
        .into_iter()
        .filter(|(_, kind)| kind == "cgroup" || kind == "cgroup2")
        .map(|(point, _)| point.join("kubepods"))
        .filter(|group| group.is_dir())
        .collect()
}

/// Folders of a control group are removed from the inside out; the files in them go with them.
fn remove_tree(group: &Path) {
    for child in entries(group) {
        if child.is_dir() {
            remove_tree(&child);
        }
    }
    // A busy group is tried again, and named when the leftovers are listed.
    let _ = fs::remove_dir(group);
}
