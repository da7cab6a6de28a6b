//! Runs a compiler, a download or an installation: its output goes to a log and, line by line, to whoever shows progress.

use std::fs::OpenOptions;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::process::last_lines;

/// Lines of the log that a failure repeats.
const TAIL_LINES: usize = 15;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("failed to write the log `{}`", path.display())]
    Log {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("failed to start `{program}`")]
    Start {
        program: String,
        #[source]
        source: io::Error,
    },
    #[error("failed to read the output of `{program}`")]
    Read {
        program: String,
        #[source]
        source: io::Error,
    },
    #[error("failed to finish `{program}` within {} minutes; its log is {}", deadline.as_secs() / 60, log.display())]
    TimedOut { program: String, deadline: Duration, log: PathBuf },
    #[error("failed to run `{program}` ({status}); last lines of {}:\n{tail}", log.display())]
    Failed { program: String, status: ExitStatus, log: PathBuf, tail: String },
}

/// Runs the command to its end. It and all it started are killed at the deadline, and it is when this program ends.
pub(crate) fn run(
    command: Command,
    log: &Path,
    deadline: Duration,
    mut on_line: impl FnMut(&str),
) -> Result<(), Error> {
    let program = command.get_program().to_string_lossy().into_owned();
    let logging = |source| Error::Log { path: log.to_owned(), source };
    let mut file = OpenOptions::new().create(true).append(true).open(log).map_err(logging)?;
    let mut command = bound(&command);
    let (child, output) =
        spawn(&mut command).map_err(|source| Error::Start { program: program.clone(), source })?;
    // The command holds the writing ends of the pipe: without it the output ends when the last process ends.
    drop(command);
    let watchdog = Watchdog::start(child, deadline);
    for line in BufReader::new(output).split(b'\n') {
        let line = line.map_err(|source| Error::Read { program: program.clone(), source })?;
        let line = String::from_utf8_lossy(&line);
        writeln!(file, "{line}").map_err(logging)?;
        on_line(&line);
    }
    match watchdog.end().map_err(|source| Error::Read { program: program.clone(), source })? {
        End::Killed => Err(Error::TimedOut { program, deadline, log: log.to_owned() }),
        End::Exited(status) if status.success() => Ok(()),
        End::Exited(status) => {
            let tail = last_lines(log, TAIL_LINES);
            Err(Error::Failed { program, status, log: log.to_owned(), tail })
        }
    }
}

/// The command as `setpriv` runs it, which has the kernel kill it when the thread ends that started it:
/// whoever interrupts `up` does not want to go on compiling.
fn bound(command: &Command) -> Command {
    let mut bound = Command::new("setpriv");
    bound.args(["--pdeathsig", "KILL"]).arg(command.get_program()).args(command.get_args());
    if let Some(folder) = command.get_current_dir() {
        bound.current_dir(folder);
    }
    let set = command.get_envs().filter_map(|(name, value)| Some((name, value?)));
    bound.envs(set);
    bound
}

/// Starts the command in a group of its own, with one pipe for both outputs, so that their lines keep their order.
fn spawn(command: &mut Command) -> io::Result<(Child, io::PipeReader)> {
    let (reader, writer) = io::pipe()?;
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer).process_group(0);
    Ok((command.spawn()?, reader))
}

enum End {
    Exited(ExitStatus),
    Killed,
}

/// Kills the command's group when the deadline passes before `end` is called.
struct Watchdog {
    finished: mpsc::Sender<()>,
    thread: thread::JoinHandle<io::Result<End>>,
}

impl Watchdog {
    fn start(mut child: Child, deadline: Duration) -> Self {
        let (finished, wait) = mpsc::channel();
        let thread = thread::spawn(move || {
            if wait.recv_timeout(deadline).is_ok() {
                return child.wait().map(End::Exited);
            }
            let group = i32::try_from(child.id()).map_err(io::Error::other)?;
            killpg(Pid::from_raw(group), Signal::SIGKILL)?;
            child.wait()?;
            Ok(End::Killed)
        });
        Self { finished, thread }
    }

    /// Called when the output has ended.
    fn end(self) -> io::Result<End> {
        // The watchdog may have acted already.
        let _ = self.finished.send(());
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, deadline: Duration) -> (Result<(), Error>, Vec<String>, String) {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        let mut lines = Vec::new();
        let result = run(command, &log, deadline, |line| lines.push(line.to_owned()));
        (result, lines, std::fs::read_to_string(&log).unwrap())
    }

    #[test]
    fn both_outputs_are_shown_and_logged_in_order() {
        let (result, lines, log) = shell("echo one; echo two >&2; echo three", Duration::from_secs(10));
        result.unwrap();
        assert_eq!(lines, ["one", "two", "three"]);
        assert_eq!(log, "one\ntwo\nthree\n");
    }

    #[test]
    fn a_failure_repeats_the_last_lines() {
        let (result, _, _) = shell("echo no network; exit 4", Duration::from_secs(10));
        let text = result.unwrap_err().to_string();
        assert!(text.contains("no network") && text.contains("exit status: 4"), "{text}");
    }

    #[test]
    fn a_command_that_hangs_is_killed_with_its_children() {
        let (result, _, _) = shell("sleep 600 & sleep 600", Duration::from_millis(50));
        assert!(matches!(result, Err(Error::TimedOut { .. })));
    }
}
