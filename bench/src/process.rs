//! A process that is measured: started directly, with its log in a folder, killed when it is dropped.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use dev::http::Client;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Time for one look at the readiness.
const LOOK: Duration = Duration::from_secs(2);

/// Time for a graceful end.
const GRACE: Duration = Duration::from_secs(40);

const PAUSE: Duration = Duration::from_millis(50);

/// Characters of the log that a failure repeats.
const TAIL: usize = 2_000;

/// A started process.
pub(crate) struct Running {
    child: Child,
    log: PathBuf,
}

impl Running {
    pub(crate) fn start(program: &Path, folder: &Path, words: &[String]) -> anyhow::Result<Self> {
        Self::start_with(program, folder, words, &[])
    }

    /// As `start`, with these variables beside those of this process.
    pub(crate) fn start_with(
        program: &Path,
        folder: &Path,
        words: &[String],
        environment: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        let name = program.file_name().unwrap_or(program.as_os_str()).to_string_lossy();
        let log = folder.join(format!("{name}.log"));
        let file = File::create(&log).with_context(|| format!("failed to create `{}`", log.display()))?;
        let child = Command::new(program)
            .args(words)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("failed to start `{}`", program.display()))?;
        Ok(Self { child, log })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The end of what the process wrote, for a failure.
    pub(crate) fn log(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let skipped = text.chars().count().saturating_sub(TAIL);
        format!("the process wrote:\n{}", text.chars().skip(skipped).collect::<String>())
    }

    /// Waits for `/health/ready` on the admin port.
    #[allow(clippy::disallowed_methods, reason = "bounds how long a real process may take to start")]
    pub(crate) async fn until_ready(&mut self, admin: u16, deadline: Duration) -> anyhow::Result<()> {
        let (client, url) = (Client::new(LOOK), format!("http://127.0.0.1:{admin}/health/ready"));
        let end = Instant::now() + deadline;
        loop {
            if client.get(&url).await.is_ok_and(|answer| answer.status.is_success()) {
                return Ok(());
            }
            self.expect_running()?;
            if Instant::now() >= end {
                bail!("failed to see the process ready within {} s; {}", deadline.as_secs(), self.log());
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    pub(crate) fn expect_running(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait().context("failed to look after the process")? {
            None => Ok(()),
            Some(status) => bail!("failed to keep the process running ({status}); {}", self.log()),
        }
    }

    /// The most memory that it ever held, from `VmHWM` of proc(5).
    pub(crate) fn peak_mib(&self) -> anyhow::Result<f64> {
        self.memory_mib("VmHWM:")
    }

    /// The memory that it holds now, from `VmRSS` of proc(5).
    pub(crate) fn resident_mib(&self) -> anyhow::Result<f64> {
        self.memory_mib("VmRSS:")
    }

    fn memory_mib(&self, field: &str) -> anyhow::Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid()))
            .context("failed to read the memory of the process")?;
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let line = line.with_context(|| format!("failed to find `{field}`"))?;
        let kib: f64 = line.trim().trim_end_matches(" kB").parse().context("failed to read a size")?;
        Ok((kib / 102.4).round() / 10.0)
    }

    /// Ends it as Kubernetes would; one that does not end in time, or with a failure, is a failure.
    #[allow(clippy::disallowed_methods, reason = "bounds how long a real process may take to end")]
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        let pid = Pid::from_raw(i32::try_from(self.pid()).context("failed to read a process id")?);
        kill(pid, Signal::SIGTERM).context("failed to signal the process")?;
        let end = Instant::now() + GRACE;
        while Instant::now() < end {
            match self.child.try_wait().context("failed to look after the process")? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => bail!("failed to end the process in peace ({status}); {}", self.log()),
                None => std::thread::sleep(PAUSE),
            }
        }
        bail!("failed to end the process within {} s; {}", GRACE.as_secs(), self.log());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // One that has ended already cannot be killed; there is nothing else to do about either.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port of the loopback interface that nobody listens on.
pub(crate) fn free_port() -> anyhow::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("failed to find a free port")?;
    Ok(listener.local_addr().context("failed to find a free port")?.port())
}
