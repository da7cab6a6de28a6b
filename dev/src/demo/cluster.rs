//! Orders to the cluster through `kubectl` and `helm`, as a person would type them.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::command::{self, finish};

/// Time for a question; an answer takes about 0.1 s.
const QUESTION: Duration = Duration::from_secs(15);

/// The cluster as its administrator sees it.
#[derive(Debug, Clone)]
pub(crate) struct Cluster {
    pub(crate) kubectl: PathBuf,
    pub(crate) helm: PathBuf,
    pub(crate) kubeconfig: PathBuf,
}

impl Cluster {
    /// Runs `kubectl` with these words and returns what it wrote.
    pub(crate) fn ask(&self, words: &[&str]) -> Result<String, command::Error> {
        self.run(&self.kubectl, words, QUESTION)
    }

    /// As `ask`, for what takes its time.
    pub(crate) fn order(&self, words: &[&str], deadline: Duration) -> Result<String, command::Error> {
        self.run(&self.kubectl, words, deadline)
    }

    /// Runs `helm` with these words and returns what it wrote.
    pub(crate) fn helm<A: AsRef<OsStr>>(
        &self,
        words: &[A],
        deadline: Duration,
    ) -> Result<String, command::Error> {
        self.run(&self.helm, words, deadline)
    }

    fn run<A: AsRef<OsStr>>(
        &self,
        program: &Path,
        words: &[A],
        deadline: Duration,
    ) -> Result<String, command::Error> {
        let mut command = Command::new(program);
        command.args(words).env("KUBECONFIG", &self.kubeconfig).env("NO_PROXY", "*").env("no_proxy", "*");
        finish(&mut command, deadline)
    }
}
