//! Memory of the idle pods: what the control group holds, without file pages that the kernel can drop at once.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use dev::Stack;
use dev::console::{Console, table};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use self::pods::Pod;
use crate::args::MemoryOptions;
use crate::machine::Machine;

mod pods;

/// How long a pod has to be ready before it counts as idle.
const IDLE: SignedDuration = SignedDuration::from_secs(60);

/// What each program may hold when it is idle, in MiB.
const BUDGETS: [(&str, f64); 3] = [("operator", 50.0), ("ingester", 40.0), ("consumer", 40.0)];

/// One pod's memory.
#[derive(Debug, Clone, Serialize)]
struct Measured {
    pod: String,
    program: String,
    mib: f64,
    budget_mib: f64,
}

#[derive(Debug, Serialize)]
struct Report<'a> {
    bench: &'static str,
    machine: Machine,
    pods: &'a [Measured],
}

pub(crate) fn run(options: &MemoryOptions) -> anyhow::Result<()> {
    let stack = Stack::running()?;
    let console = Console::on_stderr();
    let mut pods = pods::list(&stack)?;
    expect_each_program(&pods)?;
    if options.fresh {
        pods = console.step("replace the pods", || pods::replace(&stack, &pods))?;
    }
    wait_until_idle(&console, &pods);
    // Pods may have come and gone in the meantime; those that stayed are idle.
    let mut idle = pods::list(&stack)?;
    idle.retain(|pod| pods.contains(pod));
    expect_each_program(&idle)?;
    let measured = idle.iter().map(measure).collect::<anyhow::Result<Vec<_>>>()?;
    print(&measured)?;
    let heavy: Vec<_> =
        measured.iter().filter(|pod| pod.mib >= pod.budget_mib).map(|pod| pod.pod.as_str()).collect();
    ensure!(heavy.is_empty(), "failed to stay within the budget: {}", heavy.join(", "));
    Ok(())
}

fn expect_each_program(pods: &[Pod]) -> anyhow::Result<()> {
    for (program, _) in BUDGETS {
        ensure!(
            pods.iter().any(|pod| pod.program == program),
            "failed to find a ready pod of the {program}, run `make demo` first"
        );
    }
    Ok(())
}

/// Waits until the youngest pod has been ready for a minute.
#[allow(clippy::disallowed_methods, reason = "pods have to be idle for a real minute")]
fn wait_until_idle(console: &Console, pods: &[Pod]) {
    let youngest = pods.iter().map(|pod| pod.ready_since).max().unwrap_or(Timestamp::UNIX_EPOCH);
    let left = IDLE - Timestamp::now().duration_since(youngest);
    if let Ok(left) = Duration::try_from(left) {
        let name = format!("wait until all pods have been ready for {} s", IDLE.as_secs());
        let wait = || -> Result<(), std::convert::Infallible> {
            std::thread::sleep(left);
            Ok(())
        };
        // Sleeping cannot fail.
        let _ = console.step(&name, wait);
    }
}

fn measure(pod: &Pod) -> anyhow::Result<Measured> {
    let group = Group::of(pod)?;
    let bytes = group.used()?.saturating_sub(group.inactive_file()?);
    let budget_mib =
        BUDGETS.iter().find(|(program, _)| *program == pod.program).map_or(f64::INFINITY, |(_, mib)| *mib);
    let mib = (bytes as f64 / 1024.0 / 1024.0 * 10.0).round() / 10.0;
    Ok(Measured { pod: pod.name.clone(), program: pod.program.clone(), mib, budget_mib })
}

/// A container's control group, of version 1 or 2.
struct Group {
    folder: PathBuf,
    usage: &'static str,
    inactive_file: &'static str,
}

impl Group {
    /// kubelet names a container's folder after its id, somewhere below `kubepods`.
    fn of(pod: &Pod) -> anyhow::Result<Self> {
        let versions = [
            ("/sys/fs/cgroup/memory", "memory.usage_in_bytes", "total_inactive_file"),
            ("/sys/fs/cgroup", "memory.current", "inactive_file"),
        ];
        for (root, usage, inactive_file) in versions {
            let found = find(Path::new(root), &pod.container_id, MAX_DEPTH);
            if let Some(folder) = found.filter(|folder| folder.join(usage).is_file()) {
                return Ok(Self { folder, usage, inactive_file });
            }
        }
        anyhow::bail!("failed to find the control group of the pod `{}`", pod.name)
    }

    fn used(&self) -> anyhow::Result<u64> {
        self.read(self.usage)?.trim().parse().context("failed to read the memory of a control group")
    }

    fn inactive_file(&self) -> anyhow::Result<u64> {
        statistic(&self.read("memory.stat")?, self.inactive_file)
    }

    fn read(&self, name: &str) -> anyhow::Result<String> {
        let path = self.folder.join(name);
        fs::read_to_string(&path).with_context(|| format!("failed to read `{}`", path.display()))
    }
}

/// `kubepods/burstable/pod<uid>/<container>` and one more for a parent of another setup.
const MAX_DEPTH: usize = 5;

fn find(folder: &Path, name: &str, depth: usize) -> Option<PathBuf> {
    let folders = fs::read_dir(folder)
        .ok()?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|path| path.is_dir());
    let mut below = Vec::new();
    for path in folders {
        if path.file_name().is_some_and(|file| file.to_string_lossy().contains(name)) {
            return Some(path);
        }
        below.push(path);
    }
    if depth == 0 {
        return None;
    }
    below.iter().find_map(|path| find(path, name, depth - 1))
}

fn statistic(text: &str, name: &str) -> anyhow::Result<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let value = value.with_context(|| format!("failed to find `{name}` in `memory.stat`"))?;
    value.trim().parse().with_context(|| format!("failed to read `{name}`"))
}

fn print(measured: &[Measured]) -> anyhow::Result<()> {
    let row = |pod: &Measured| {
        [pod.pod.clone(), pod.program.clone(), format!("{:.1}", pod.mib), format!("{:.0}", pod.budget_mib)]
    };
    let mut out = std::io::stdout();
    writeln!(
        out,
        "{}\n",
        table(["pod", "program", "MiB", "budget MiB"], measured.iter().map(row).collect())
    )?;
    let report = Report { bench: "memory", machine: Machine::this(), pods: measured };
    writeln!(out, "{}", serde_json::to_string(&report).context("failed to write the report")?)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statistic_is_found_by_its_whole_name() {
        let text = "inactive_file 1\ntotal_inactive_file 4096\ntotal_inactive_file_x 3\n";
        assert_eq!(statistic(text, "total_inactive_file").unwrap(), 4096);
        assert_eq!(statistic(text, "inactive_file").unwrap(), 1);
        assert!(statistic(text, "file").is_err());
    }

    #[test]
    fn a_group_is_found_by_the_container_s_id() {
        let root = tempfile::tempdir().unwrap();
        let group = root.path().join("kubepods/burstable/pod1/abc");
        fs::create_dir_all(&group).unwrap();
        assert_eq!(find(root.path(), "abc", MAX_DEPTH), Some(group));
        assert_eq!(find(root.path(), "xyz", MAX_DEPTH), None);
    }
}
