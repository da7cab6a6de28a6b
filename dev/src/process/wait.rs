//! Waiting with a deadline for a process to answer, and saying what was wrong when it does not.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use super::find;
use crate::folders::Folders;

/// Pause between two checks: short against the start of any part (0.3 s and more), long against a check.
const POLL: Duration = Duration::from_millis(50);

/// Lines of a log that a failure repeats: the reason of a failed start is among the last ones.
const TAIL_LINES: usize = 15;

/// Bytes at the end of a log among which these lines are looked for.
const TAIL_BYTES: u64 = 16 * 1024;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("failed to see `{name}` ready: it ended; last lines of {}:\n{tail}", log.display())]
    Ended { name: String, log: PathBuf, tail: String },
    #[error(
        "failed to see `{name}` ready within {} s: {answer}; last lines of {}:\n{tail}",
        deadline.as_secs(), log.display()
    )]
    TimedOut { name: String, deadline: Duration, answer: String, log: PathBuf, tail: String },
}

/// Checks until the answer is `Ok`, the process `name` has ended, or the deadline passes.
///
/// The error of the last check and the last lines of the process's log are part of the failure.
///
/// # Errors
/// When the process ended or the deadline passed.
#[allow(clippy::disallowed_methods, reason = "the one place that waits for parts, against the real clock")]
pub fn until<E: Into<anyhow::Error>>(
    folders: &Folders,
    name: &str,
    deadline: Duration,
    mut check: impl FnMut() -> Result<(), E>,
) -> anyhow::Result<()> {
    let end = Instant::now() + deadline;
    loop {
        // Asked before the check: an answer may come from a stranger on the same port.
        let runs = find(folders, name).is_some();
        let log = folders.log(name);
        if !runs {
            let tail = tail(&log);
            return Err(Error::Ended { name: name.to_owned(), log, tail }.into());
        }
        let Err(answer) = check() else { return Ok(()) };
        if Instant::now() >= end {
            let (tail, answer) = (tail(&log), format!("{:#}", answer.into()));
            return Err(Error::TimedOut { name: name.to_owned(), deadline, answer, log, tail }.into());
        }
        thread::sleep(POLL);
    }
}

fn tail(log: &Path) -> String {
    let lines = last_lines(log, TAIL_LINES);
    lines.lines().map(|line| format!("  | {line}")).collect::<Vec<_>>().join("\n")
}

/// The last lines of a file; empty if it cannot be read, as the failure itself is what matters.
pub(crate) fn last_lines(path: &Path, count: usize) -> String {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
        let mut bytes = Vec::new();
        file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_lines_of_a_log_are_repeated() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("x.log");
        let lines: Vec<String> = (1..=5000).map(|number| format!("line {number}")).collect();
        std::fs::write(&log, lines.join("\n")).unwrap();
        assert_eq!(last_lines(&log, 2), "line 4999\nline 5000");
    }

    #[test]
    fn a_missing_log_has_no_lines() {
        assert_eq!(last_lines(Path::new("/nonexistent/x.log"), 2), "");
    }
}
