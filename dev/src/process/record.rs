//! What is written down of a running process, and the comparison with what runs.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Spec;

/// The identity of a process. The start time counts from the machine's boot, hence the boot beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    pid: u32,
    start_ticks: u64,
    boot_id: String,
    /// A hash of the command line and environment. A program compiled by another compiler may
    /// compute another hash, which costs a restart of the process and nothing else.
    spec_hash: u64,
}

impl Record {
    /// The record of the process that was just started; `None` if it ended already.
    pub(super) fn of(pid: u32, spec: &Spec) -> Option<Self> {
        let start_ticks = running_since(pid)?;
        Some(Self { pid, start_ticks, boot_id: boot_id(), spec_hash: hash(spec) })
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    pub(super) fn describes(&self, spec: &Spec) -> bool {
        self.spec_hash == hash(spec)
    }

    pub(super) fn is_running(&self) -> bool {
        running_since(self.pid) == Some(self.start_ticks) && self.boot_id == boot_id()
    }

    /// The record of that name; a torn one counts as none.
    pub(super) fn read(folder: &Path, name: &str) -> Option<Self> {
        serde_json::from_slice(&fs::read(file(folder, name)).ok()?).ok()
    }

    /// Writes a new file and renames it, so that a reader sees the old record or the new one.
    pub(super) fn write(&self, folder: &Path, name: &str) -> io::Result<()> {
        let target = file(folder, name);
        let new = target.with_extension("json.new");
        fs::write(&new, serde_json::to_vec(self).map_err(io::Error::other)?)?;
        fs::rename(new, target)
    }

    pub(super) fn forget(folder: &Path, name: &str) -> io::Result<()> {
        match fs::remove_file(file(folder, name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// The names of all records in the folder, sorted.
    pub(super) fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries
            .filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".json").map(str::to_owned))
            .collect();
        names.sort();
        names
    }
}

fn file(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.json"))
}

fn hash(spec: &Spec) -> u64 {
    let mut hasher = DefaultHasher::new();
    spec.hash(&mut hasher);
    hasher.finish()
}

/// The kernel's name for the time since the machine's start; empty where the kernel has none, which compares equal.
fn boot_id() -> String {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    text.trim().to_owned()
}

/// When the process was started, in clock ticks since the boot; `None` if there is none or it has ended.
fn running_since(pid: u32) -> Option<u64> {
    start_ticks(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Reads `/proc/<pid>/stat` (proc(5)): field 2 is the program's name in brackets, which may hold anything,
/// field 3 the state, field 20 the number of threads and field 22 the start time.
/// A zombie with other threads is a process that was killed and is still ending: its ports and files are in use.
fn start_ticks(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = after_name.split_ascii_whitespace().collect();
    let has_ended = match *fields.first()? {
        "Z" => fields.get(17)?.parse::<u32>().ok()? <= 1,
        state => matches!(state, "X" | "x"),
    };
    if has_ended {
        return None;
    }
    fields.get(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stat(name: &str, state: &str) -> String {
        stat_of_threads(name, state, 1)
    }

    fn stat_of_threads(name: &str, state: &str, threads: u32) -> String {
        format!("42 ({name}) {state} 1 42 42 0 -1 4194560 1 0 0 0 1 2 0 0 20 0 {threads} 0 777 1000 50 184")
    }

    #[test]
    fn the_start_time_is_field_22() {
        assert_eq!(start_ticks(&stat("sleep", "S")), Some(777));
    }

    #[test]
    fn a_bracket_in_the_program_name_does_not_shift_the_fields() {
        assert_eq!(start_ticks(&stat("a) S 1 (b", "S")), Some(777));
    }

    #[test]
    fn a_zombie_does_not_run() {
        assert_eq!(start_ticks(&stat("sleep", "Z")), None);
    }

    #[test]
    fn a_zombie_whose_threads_have_not_all_ended_does() {
        assert_eq!(start_ticks(&stat_of_threads("kube-apiserver", "Z", 3)), Some(777));
    }

    #[test]
    fn a_torn_line_is_no_process() {
        assert_eq!(start_ticks("42 (sl"), None);
    }
}
