//! The mounts below the state folder: pod volumes, container roots, network namespaces.

use std::fs;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, umount2};

/// Detaches every mount below `folder`, the innermost first.
pub(crate) fn detach_below(folder: &Path) {
    for mount in below(folder).iter().rev() {
        // What cannot be detached is found and named when the leftovers are listed.
        let _ = umount2(mount, MntFlags::MNT_DETACH);
    }
}

/// The mount points below `folder`, in the order in which they were mounted.
pub(crate) fn below(folder: &Path) -> Vec<PathBuf> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    mount_points(&table)
        .into_iter()
        .map(|(point, _)| point)
        .filter(|point| point.starts_with(folder))
        .collect()
}

/// The mount points and file-system types of a `mountinfo` table
/// (<https://www.kernel.org/doc/html/latest/filesystems/proc.html>, section 3.5).
pub(crate) fn mount_points(table: &str) -> Vec<(PathBuf, String)> {
    table
        .lines()
        .filter_map(|line| {
            let (before, after) = line.split_once(" - ")?;
            let point = before.split(' ').nth(4)?;
            let kind = after.split(' ').next()?;
            Some((PathBuf::from(unescaped(point)), kind.to_owned()))
        })
        .collect()
}

/// The kernel writes blanks, tabs, line ends and backslashes as three octal digits.
fn unescaped(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(text.to_owned(), |text, (escape, plain)| text.replace(escape, plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_point_with_a_blank_is_read_whole() {
        let table = "36 35 98:0 / /home/a\\040b/state rw,noatime master:1 - tmpfs tmpfs rw\n";
        assert_eq!(mount_points(table), [(PathBuf::from("/home/a b/state"), "tmpfs".to_owned())]);
    }

    #[test]
    fn a_line_without_optional_fields_is_read_as_well() {
        let table = "36 35 98:0 /mnt1 /mnt2 rw - cgroup2 cgroup2 rw\n";
        assert_eq!(mount_points(table), [(PathBuf::from("/mnt2"), "cgroup2".to_owned())]);
    }
}
