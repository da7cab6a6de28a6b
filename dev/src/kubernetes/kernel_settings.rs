//! The kernel settings that the stack needs, and the ones that kubelet changes on its own.
//!
//! What they were before is written down before the first change, and `down` gives it back.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("failed to set `{}` to {value}", path.display())]
    Set {
        path: PathBuf,
        value: String,
        #[source]
        source: std::io::Error,
    },
    #[error("failed to write the former kernel settings to `{}`", path.display())]
    Remember {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("failed to read the former kernel settings from `{}`", path.display())]
    Recall {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
}

/// Needed by us: packets between pods, Services and the node are forwarded,
/// and pods on one bridge that meet through a Service pass kube-proxy's rules in both directions.
const NEEDED: [(&str, &str); 3] = [
    ("net/ipv4/ip_forward", "1"),
    ("net/bridge/bridge-nf-call-iptables", "1"),
    ("net/bridge/bridge-nf-call-ip6tables", "1"),
];

/// Changed by kubelet when it starts (`setupKernelTunables` of its container manager).
const CHANGED_BY_KUBELET: [&str; 6] = [
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
];

/// Sets what the stack needs, after writing down what was there.
pub(crate) fn apply(state: &Path) -> Result<(), Error> {
    apply_under(Path::new("/proc/sys"), state)
}

/// Gives back what was there before `apply`; does nothing if it never ran.
pub(crate) fn restore(state: &Path) -> Result<(), Error> {
    restore_under(Path::new("/proc/sys"), state)
}

fn apply_under(root: &Path, state: &Path) -> Result<(), Error> {
    remember(root, state)?;
    for (name, value) in NEEDED {
        let path = root.join(name);
        // A kernel without bridge netfilter passes packets between bridge ports unfiltered; the rest still works.
        if path.exists() && read(&path).as_deref() != Some(value) {
            set(&path, value)?;
        }
    }
    Ok(())
}

fn restore_under(root: &Path, state: &Path) -> Result<(), Error> {
    let record = record(state);
    if !record.exists() {
        return Ok(());
    }
    let text = fs::read(&record).map_err(|source| Error::Recall { path: record.clone(), source })?;
    let former: BTreeMap<String, String> = serde_json::from_slice(&text)
        .map_err(|source| Error::Recall { path: record.clone(), source: source.into() })?;
    for (name, value) in former {
        let path = root.join(name);
        if read(&path).is_some_and(|now| now != value) {
            set(&path, &value)?;
        }
    }
    fs::remove_file(&record).map_err(|source| Error::Recall { path: record, source })
}

fn remember(root: &Path, state: &Path) -> Result<(), Error> {
    let record = record(state);
    if record.exists() {
        return Ok(());
    }
    let names = NEEDED.iter().map(|(name, _)| *name).chain(CHANGED_BY_KUBELET);
    let former: BTreeMap<&str, String> =
        names.filter_map(|name| read(&root.join(name)).map(|value| (name, value))).collect();
    let remembering = |source| Error::Remember { path: record.clone(), source };
    let text = serde_json::to_vec_pretty(&former).map_err(|source| remembering(source.into()))?;
    fs::create_dir_all(state).map_err(remembering)?;
    // Renamed when whole: a torn record would be taken for the true one.
    let unfinished = record.with_extension("unfinished");
    fs::write(&unfinished, text).map_err(remembering)?;
    fs::rename(&unfinished, &record).map_err(remembering)
}

fn record(state: &Path) -> PathBuf {
    state.join("kernel-settings.json")
}

fn read(path: &Path) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

fn set(path: &Path, value: &str) -> Result<(), Error> {
    fs::write(path, value).map_err(|source| Error::Set {
        path: path.to_owned(),
        value: value.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kernel() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for name in ["net/ipv4", "vm", "kernel/keys"] {
            fs::create_dir_all(root.path().join(name)).unwrap();
        }
        fs::write(root.path().join("net/ipv4/ip_forward"), "0\n").unwrap();
        fs::write(root.path().join("vm/overcommit_memory"), "0\n").unwrap();
        root
    }

    #[test]
    fn down_gives_back_what_was_there_before_the_first_up() {
        let (kernel, state) = (kernel(), tempfile::tempdir().unwrap());
        apply_under(kernel.path(), state.path()).unwrap();
        fs::write(kernel.path().join("vm/overcommit_memory"), "1").unwrap();
        apply_under(kernel.path(), state.path()).unwrap();
        let forward = kernel.path().join("net/ipv4/ip_forward");
        assert_eq!(read(&forward).as_deref(), Some("1"));
        restore_under(kernel.path(), state.path()).unwrap();
        assert_eq!(read(&forward).as_deref(), Some("0"));
        let overcommit = kernel.path().join("vm/overcommit_memory");
        assert_eq!(read(&overcommit).as_deref(), Some("0"));
    }

    #[test]
    fn without_a_record_nothing_is_restored() {
        let (kernel, state) = (kernel(), tempfile::tempdir().unwrap());
        fs::write(kernel.path().join("net/ipv4/ip_forward"), "1").unwrap();
        restore_under(kernel.path(), state.path()).unwrap();
        let forward = kernel.path().join("net/ipv4/ip_forward");
        assert_eq!(read(&forward).as_deref(), Some("1"));
    }
}
