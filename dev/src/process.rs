//! The long-lived processes of the stack: started in sessions of their own, written down, ended by their record.
//!
//! Invariant: a signal is sent only to the process that the record describes.
//! The record holds the process id, its start time in the kernel's ticks and the boot of the machine;
//! an id that was given to another process since then fails the comparison.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;

use self::record::Record;
use crate::folders::{self, Folders};

mod record;
mod wait;

pub(crate) use wait::last_lines;
pub use wait::until;

/// Pause between two looks at a process that is ending. Most end within some tens of milliseconds.
const POLL: Duration = Duration::from_millis(10);

/// Time a killed process gets to disappear; the kernel frees a few GiB of memory in less than a second.
const KILL_DEADLINE: Duration = Duration::from_secs(15);

/// A process that was asked to end although another version of it is to run gets this long.
const REPLACE_GRACE: Duration = Duration::from_secs(30);

/// A log larger than this is moved aside when its process is started or found running,
/// so that a stack that runs for weeks does not fill the disk.
const MAX_LOG_BYTES: u64 = 64 * 1024 * 1024;

/// How to start a process.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Spec {
    /// The name of its record and of its log; one of each name runs per stack.
    pub name: String,
    /// An absolute path, or a name that is searched in `PATH`.
    pub program: PathBuf,
    pub args: Vec<String>,
    /// Added to the environment of this process.
    pub env: Vec<(String, String)>,
    pub working_folder: Option<PathBuf>,
}

/// A process that was seen running.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    pub name: String,
    pub pid: u32,
    pub log: PathBuf,
    record: Record,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Folder(folders::Error),
    #[error("failed to find the program `{}` of `{name}`", program.display())]
    NoProgram { name: String, program: PathBuf },
    #[error("failed to open the log `{}`", path.display())]
    OpenLog {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("failed to start `{name}`")]
    Start {
        name: String,
        #[source]
        source: io::Error,
    },
    #[error("failed to start `{name}`: it ended at once; its log is `{}`", log.display())]
    EndedAtOnce { name: String, log: PathBuf },
    #[error("failed to write down the process `{name}`")]
    Record {
        name: String,
        #[source]
        source: io::Error,
    },
    #[error("failed to signal `{name}` (process {pid})")]
    Signal {
        name: String,
        pid: u32,
        #[source]
        source: nix::Error,
    },
    #[error("failed to end `{name}` (process {pid}): it still runs after SIGKILL")]
    StillRuns { name: String, pid: u32 },
}

/// Whose end ends the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lifetime {
    /// It stays until `stop` or `kill`.
    Stack,
    /// It is killed by the kernel when this program ends, even by SIGKILL.
    ThisProgram,
}

impl Process {
    /// Whether it still runs. One that ended and waits for its parent to notice does not.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.record.is_running()
    }
}

/// Starts the process in a session of its own, or returns the running one.
/// One that runs with another command line or environment is stopped first.
///
/// # Errors
/// When the program does not exist, ends at once, or cannot be written down.
pub fn start(folders: &Folders, spec: &Spec) -> anyhow::Result<Process> {
    Ok(start_for(folders, spec, Lifetime::Stack)?)
}

/// As `start`, for a process that must not outlive this program.
pub(crate) fn start_bound(folders: &Folders, spec: &Spec) -> Result<Process, Error> {
    start_for(folders, spec, Lifetime::ThisProgram)
}

/// The process of this name, if it runs.
#[must_use]
pub fn find(folders: &Folders, name: &str) -> Option<Process> {
    let record = Record::read(&folders.processes(), name)?;
    record.is_running().then(|| process(folders, name, record))
}

/// Every process of the stack that runs, by name.
#[must_use]
pub fn all(folders: &Folders) -> Vec<Process> {
    Record::names(&folders.processes()).iter().filter_map(|name| find(folders, name)).collect()
}

/// The file that both outputs of the process `name` are appended to.
#[must_use]
pub fn log(folders: &Folders, name: &str) -> PathBuf {
    folders.log(name)
}

/// Ends the process: SIGTERM, and SIGKILL after `grace`. One that does not run is forgotten.
///
/// # Errors
/// When it cannot be signalled, or is still there after SIGKILL.
pub fn stop(folders: &Folders, name: &str, grace: Duration) -> anyhow::Result<()> {
    Ok(end(folders, name, grace)?)
}

/// Ends the process with SIGKILL and leaves its record behind, as a crash does. For tests.
///
/// # Errors
/// When it cannot be signalled, or is still there afterwards.
pub fn kill(folders: &Folders, name: &str) -> anyhow::Result<()> {
    if let Some(process) = find(folders, name) {
        kill_now(&process)?;
    }
    Ok(())
}

fn start_for(folders: &Folders, spec: &Spec, lifetime: Lifetime) -> Result<Process, Error> {
    folders::create(&folders.logs()).map_err(Error::Folder)?;
    folders::create(&folders.processes()).map_err(Error::Folder)?;
    if let Some(running) = find(folders, &spec.name) {
        if running.record.describes(spec) {
            bound_log(&running.log);
            return Ok(running);
        }
        end(folders, &spec.name, REPLACE_GRACE)?;
    }
    let log = folders.log(&spec.name);
    bound_log(&log);
    let command = command(spec, &log, lifetime)?;
    let pid = spawn(command).map_err(|source| Error::Start { name: spec.name.clone(), source })?;
    let ended = || Error::EndedAtOnce { name: spec.name.clone(), log: log.clone() };
    let record = Record::of(pid, spec).ok_or_else(ended)?;
    record
        .write(&folders.processes(), &spec.name)
        .map_err(|source| Error::Record { name: spec.name.clone(), source })?;
    Ok(process(folders, &spec.name, record))
}

fn process(folders: &Folders, name: &str, record: Record) -> Process {
    Process { name: name.to_owned(), pid: record.pid(), log: folders.log(name), record }
}

/// The command as `setsid` runs it: it makes the session and becomes the program, with the same process id.
/// The standard library can do so only by unsafe code.
fn command(spec: &Spec, log: &Path, lifetime: Lifetime) -> Result<Command, Error> {
    let program = resolve(&spec.program)
        .ok_or_else(|| Error::NoProgram { name: spec.name.clone(), program: spec.program.clone() })?;
    let open = || -> io::Result<(File, File)> {
        let file = OpenOptions::new().create(true).append(true).open(log)?;
        Ok((file.try_clone()?, file))
    };
    let (stdout, stderr) = open().map_err(|source| Error::OpenLog { path: log.to_owned(), source })?;
    let mut command = match lifetime {
        Lifetime::Stack => Command::new("setsid"),
        Lifetime::ThisProgram => {
            let mut command = Command::new("setpriv");
            command.args(["--pdeathsig", "KILL", "setsid"]);
            command
        }
    };
    command.arg(program).args(&spec.args).envs(spec.env.iter().map(|(name, value)| (name, value)));
    command.stdin(Stdio::null()).stdout(stdout).stderr(stderr);
    if let Some(folder) = &spec.working_folder {
        command.current_dir(folder);
    }
    Ok(command)
}

/// Starts the command on a thread that then waits for its end, so that it never stays a zombie.
/// The kernel binds a child's end to the thread that started it, hence not on the caller's thread, which may end early.
fn spawn(mut command: Command) -> io::Result<u32> {
    let (sender, receiver) = mpsc::channel();
    thread::Builder::new().name("process".to_owned()).spawn(move || {
        let spawned = command.spawn();
        let (answer, child) = match spawned {
            Ok(child) => (Ok(child.id()), Some(child)),
            Err(error) => (Err(error), None),
        };
        // The receiver waits below, so it is there.
        let _ = sender.send(answer);
        // How it ended is in its log; `wait` notices that it ended.
        let _ = child.map(|mut child: Child| child.wait());
    })?;
    receiver.recv().unwrap_or_else(|error| Err(io::Error::other(error)))
}

fn end(folders: &Folders, name: &str, grace: Duration) -> Result<(), Error> {
    if let Some(process) = find(folders, name) {
        send(&process, Signal::SIGTERM)?;
        if !ends_within(&process, grace) {
            kill_now(&process)?;
        }
    }
    Record::forget(&folders.processes(), name)
        .map_err(|source| Error::Record { name: name.to_owned(), source })
}

fn kill_now(process: &Process) -> Result<(), Error> {
    send(process, Signal::SIGKILL)?;
    if ends_within(process, KILL_DEADLINE) {
        return Ok(());
    }
    Err(Error::StillRuns { name: process.name.clone(), pid: process.pid })
}

fn send(process: &Process, signal: Signal) -> Result<(), Error> {
    if !process.is_running() {
        return Ok(());
    }
    let pid = i32::try_from(process.pid).expect("the kernel's process ids are below 2^22");
    match signal::kill(Pid::from_raw(pid), signal) {
        // It ended between the look and the signal.
        Ok(()) | Err(nix::Error::ESRCH) => Ok(()),
        Err(source) => Err(Error::Signal { name: process.name.clone(), pid: process.pid, source }),
    }
}

#[allow(clippy::disallowed_methods, reason = "measures how long a real process takes to end")]
fn ends_within(process: &Process, limit: Duration) -> bool {
    let deadline = Instant::now() + limit;
    loop {
        if !process.is_running() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        thread::sleep(POLL);
    }
}

/// Moves a large log aside and empties it; its writers append, so they go on at the start.
/// A log that cannot be moved is not worth a failed start.
fn bound_log(log: &Path) {
    let is_large = fs::metadata(log).is_ok_and(|metadata| metadata.len() > MAX_LOG_BYTES);
    if is_large && fs::copy(log, log.with_extension("log.old")).is_ok() {
        let _ = OpenOptions::new().write(true).truncate(true).open(log);
    }
}

/// The full path of a program.
#[allow(clippy::disallowed_methods, reason = "PATH says where programs are; it is not an option of ours")]
pub(crate) fn resolve(program: &Path) -> Option<PathBuf> {
    let is_program = |path: &Path| {
        fs::metadata(path)
            .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
    };
    if program.is_absolute() {
        return is_program(program).then(|| program.to_owned());
    }
    let path = std::env::var("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|path| is_program(path))
}

#[cfg(test)]
mod tests;
