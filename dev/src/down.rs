//! `down`: ends everything the stack started and removes everything it left, caches excepted.
//!
//! It works on a stack of which any part is missing. What one step cannot do does not keep the next from its work:
//! in the end it looks for leftovers, and names them.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;

use crate::console::Console;
use crate::folders::Folders;
use crate::{clickhouse, kafka, kubernetes, lock, process};

/// For a process that no part claims, say one of an older version of this program.
const GRACE: Duration = Duration::from_secs(5);

/// Ends the shared stack.
///
/// # Errors
/// When something is left; each thing is named.
pub fn down(folders: &Folders, console: &Console) -> anyhow::Result<()> {
    let _lock = lock::hold(folders, console)?;
    if !folders.state.exists() && remains(folders).is_empty() {
        return Ok(());
    }
    // It shows steps of its own.
    let cluster = kubernetes::down(folders, console).context("failed to stop Kubernetes");
    let others = each(
        console,
        &[
            ("kafka", &|| kafka::down(folders)),
            ("clickhouse", &|| clickhouse::down(folders)),
            ("other processes", &|| stop_rest(folders)),
            ("network", &|| kubernetes::network::down(folders).context("failed to remove the network")),
            ("state folder", &|| remove(folders)),
        ],
    );
    let failures: Vec<String> =
        cluster.err().into_iter().chain(others).map(|error| format!("{error:#}")).collect();
    let left = remains(folders);
    if failures.is_empty() && left.is_empty() {
        return Ok(());
    }
    let list: String = failures.iter().chain(&left).map(|line| format!("\n  - {line}")).collect();
    anyhow::bail!(
        "failed to leave nothing behind; run it again, and if it stays, end or remove by hand:{list}"
    )
}

/// The name under which a step is shown, and its work.
type Step<'a> = (&'static str, &'a dyn Fn() -> anyhow::Result<()>);

/// Does every step, whatever became of the one before, and returns what failed.
fn each(console: &Console, steps: &[Step<'_>]) -> Vec<anyhow::Error> {
    steps.iter().filter_map(|(name, work)| console.step(name, work).err()).collect()
}

fn stop_rest(folders: &Folders) -> anyhow::Result<()> {
    process::all(folders).iter().try_for_each(|process| process::stop(folders, &process.name, GRACE))
}

/// The state folder goes only when nothing is mounted below it: a container's files may be somebody's data.
fn remove(folders: &Folders) -> anyhow::Result<()> {
    let mounts =
        fs::read_to_string("/proc/self/mounts").context("failed to read the mounts of this machine")?;
    anyhow::ensure!(
        !is_mounted_below(&mounts, &folders.state),
        "something is still mounted in the state folder"
    );
    match fs::remove_dir_all(&folders.state) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("failed to remove `{}`", folders.state.display()))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The second field of a line is the mount point, with spaces written as `\040`.
fn is_mounted_below(mounts: &str, folder: &Path) -> bool {
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(1));
    points.map(|point| point.replace("\\040", " ")).any(|point| Path::new(&point).starts_with(folder))
}

/// What should be gone and is not, in words.
fn remains(folders: &Folders) -> Vec<String> {
    let processes = process::all(folders);
    let processes = processes.iter().map(|process| format!("process {} ({})", process.pid, process.name));
    let folder = folders.state.exists().then(|| format!("folder {}", folders.state.display()));
    processes.chain(kubernetes::remains(folders)).chain(folder).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_is_shown_with_its_time_and_a_failed_one_does_not_keep_the_next() {
        let (console, lines) = Console::recorded();
        let steps: [Step<'_>; 2] = [("kafka", &|| anyhow::bail!("it stays")), ("network", &|| Ok(()))];
        let failures = each(&console, &steps);
        assert_eq!(failures.iter().map(ToString::to_string).collect::<Vec<_>>(), ["it stays"]);
        let lines = lines.try_iter().collect::<Vec<_>>();
        assert_eq!(lines, ["  kafka: failed after 0.0 s", "  network: done in 0.0 s"]);
    }

    #[test]
    fn a_mount_below_the_state_folder_is_seen() {
        let mounts = "proc /proc proc rw 0 0\ntmpfs /my\\040state/pods/x tmpfs rw 0 0\n";
        assert!(is_mounted_below(mounts, Path::new("/my state")));
        assert!(!is_mounted_below(mounts, Path::new("/my state/pods/xy")));
        assert!(!is_mounted_below(mounts, Path::new("/other")));
    }
}
