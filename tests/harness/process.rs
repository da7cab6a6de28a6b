//! Our own binaries as processes of the test: started, stopped, and killed as a crash would.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

/// Time that a process of ours gets to end by itself.
const GRACE: Duration = Duration::from_secs(40);

/// Lines of its log that a failed test repeats.
const TAIL: usize = 30;

/// A running process of ours. It is killed when this is dropped.
#[derive(Debug)]
pub struct Program {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Program {
    /// Starts `name` with these arguments; both outputs are appended to `<folder>/<name>.log`.
    ///
    /// # Errors
    /// When the binary was not built.
    pub fn start(name: &'static str, arguments: &[String], folder: &Path) -> anyhow::Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let output = File::options().create(true).append(true).open(&log)?;
        let child = Command::new(binary(name)?)
            .args(arguments)
            .env("MILLRACE_LOG", "info")
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("failed to start {name}"))?;
        Ok(Self { name, child, log })
    }

    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends it as `kill -9` does.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Stops it in the middle of whatever it does, as a frozen machine does, until `thaw`.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn freeze(&self) -> anyhow::Result<()> {
        signal(self.child.id(), "STOP")
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn thaw(&self) -> anyhow::Result<()> {
        signal(self.child.id(), "CONT")
    }

    /// Asks it to end and waits until it did.
    ///
    /// # Errors
    /// When it does not end in time.
    #[allow(clippy::disallowed_methods, reason = "bounds how long a real process may take to end")]
    pub async fn stop(&mut self) -> anyhow::Result<ExitStatus> {
        let begin = Instant::now();
        signal(self.child.id(), "TERM")?;
        while begin.elapsed() < GRACE {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        anyhow::bail!("{} did not end within {} s\n{}", self.name, GRACE.as_secs(), self.tail())
    }

    /// Whether it still runs.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn is_running(&mut self) -> anyhow::Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// All it wrote.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The last lines it wrote, for an error.
    #[must_use]
    pub fn tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let last = &lines[lines.len().saturating_sub(TAIL)..];
        format!("--- {}\n{}", self.log.display(), last.join("\n"))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a signal to one process.
pub(crate) fn signal(pid: u32, name: &str) -> anyhow::Result<()> {
    let sent = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status()?;
    ensure!(sent.success(), "failed to send SIG{name} to process {pid}");
    Ok(())
}

/// A binary of the workspace, beside the test or the program that runs: `cargo build --workspace` makes both.
///
/// # Errors
/// When it is not there.
pub fn binary(name: &str) -> anyhow::Result<PathBuf> {
    let path = folder()?.join(name);
    ensure!(path.is_file(), "there is no `{}`: run `cargo build --workspace` first", path.display());
    Ok(path)
}

/// The folder with the binaries of the workspace.
///
/// # Errors
/// When this program does not lie where cargo puts it.
pub fn folder() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let folder = own.parent().context("a program lies in a folder")?;
    // Tests lie one deeper, in `deps`.
    let folder = if folder.ends_with("deps") { folder.parent() } else { Some(folder) };
    Ok(folder.context("`deps` lies in target/debug")?.to_owned())
}

/// A port of loopback that was free a moment ago.
///
/// # Errors
/// When there is none.
pub fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
