//! Runs the short-lived commands the stack is made with (`ip`, `nft`, `ctr`, `kubectl`, `buildah`), each with a deadline.
//!
//! Invariant: no command outlives its deadline, and neither do the processes it started.

use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// Time that a command gets which only asks or changes the kernel: it needs milliseconds, and more means that it hangs.
pub(crate) const QUICK: Duration = Duration::from_secs(10);

/// Pause between two looks at a running command; short against the fastest of them (`ip`, 3 ms).
const POLL: Duration = Duration::from_millis(3);

/// Time to read what an ended command wrote. Only a process that it left behind can hold the pipe open for longer.
const LAST_WORDS: Duration = Duration::from_millis(700);

/// Characters of a failed command's output that its error repeats.
const TAIL_CHARACTERS: usize = 1500;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("failed to start `{command}`")]
    Start {
        command: String,
        #[source]
        source: std::io::Error,
    },
    #[error("failed to wait for `{command}`")]
    Wait {
        command: String,
        #[source]
        source: std::io::Error,
    },
    #[error("failed to finish `{command}` within {} s: {said}", deadline.as_secs())]
    TimedOut { command: String, deadline: Duration, said: String },
    #[error("failed to run `{command}` ({status}): {said}")]
    Failed { command: String, status: std::process::ExitStatus, said: String },
}

/// Runs `program` with `args` and returns what it wrote to its standard output.
pub(crate) fn run<A: AsRef<OsStr>>(
    program: impl AsRef<OsStr>,
    args: &[A],
    deadline: Duration,
) -> Result<String, Error> {
    let mut command = Command::new(program);
    command.args(args);
    finish(&mut command, deadline)
}

/// Runs a command prepared by the caller (environment, working folder) and returns its standard output.
#[allow(clippy::disallowed_methods, reason = "the one place that measures how long a command runs")]
pub(crate) fn finish(command: &mut Command, deadline: Duration) -> Result<String, Error> {
    let shown = shown(command);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(|source| Error::Start { command: shown.clone(), source })?;
    let stdout = child.stdout.take().map(collect);
    let stderr = child.stderr.take().map(collect);
    let end = Instant::now() + deadline;
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break Some(status),
            Ok(None) if Instant::now() < end => thread::sleep(POLL),
            Ok(None) => break None,
            Err(source) => {
                return Err(Error::Wait { command: shown, source });
            }
        }
    };
    let Some(status) = status else {
        end_group(&mut child);
        return Err(Error::TimedOut { command: shown, deadline, said: tail(&text(stderr)) });
    };
    let (stdout, stderr) = (text(stdout), text(stderr));
    if status.success() {
        return Ok(stdout);
    }
    let said = if stderr.trim().is_empty() { &stdout } else { &stderr };
    Err(Error::Failed { command: shown, status, said: tail(said) })
}

/// Reads a pipe to its end on a thread of its own, so that a talkative command never blocks on a full pipe.
fn collect(mut pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // What was read before an error is still worth showing.
        let _ = pipe.read_to_end(&mut bytes);
        // Nobody listens any more if the pipe stayed open for too long.
        let _ = sender.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    receiver
}

fn text(reader: Option<Receiver<String>>) -> String {
    reader.and_then(|text| text.recv_timeout(LAST_WORDS).ok()).unwrap_or_default()
}

/// Kills the command and all it started; the readers end with them.
fn end_group(child: &mut Child) {
    let Ok(pid) = i32::try_from(child.id()) else {
        return;
    };
    // It may have ended by itself in the meantime.
    let _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
    let _ = child.wait();
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

fn tail(said: &str) -> String {
    let said = said.trim();
    let skipped = said.chars().count().saturating_sub(TAIL_CHARACTERS);
    said.chars().skip(skipped).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_returns_what_it_wrote() {
        assert_eq!(run("sh", &["-c", "echo one; echo two >&2"], QUICK).unwrap(), "one\n");
    }

    #[test]
    fn a_failed_command_repeats_what_it_said() {
        let error = run("sh", &["-c", "echo the reason >&2; exit 3"], QUICK).unwrap_err();
        assert!(error.to_string().contains("the reason"), "{error}");
    }

    #[test]
    fn a_command_that_hangs_ends_at_its_deadline_with_its_children() {
        let error = run("sh", &["-c", "sleep 600 & sleep 600"], Duration::from_millis(50)).unwrap_err();
        assert!(matches!(error, Error::TimedOut { .. }), "{error}");
    }

    #[test]
    fn a_command_that_leaves_a_process_behind_is_not_waited_for() {
        assert_eq!(run("sh", &["-c", "sleep 5 & exit 0"], QUICK).unwrap(), "");
    }

    #[test]
    fn a_long_output_is_cut_to_its_end() {
        let said = tail(&format!("{}end", "x".repeat(5000)));
        assert_eq!(said.len(), TAIL_CHARACTERS);
        assert!(said.ends_with("end"));
    }
}
