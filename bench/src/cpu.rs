//! CPU time of another process, user and system, all its threads, the ended ones too.
//!
//! `/proc/PID/stat` counts ticks of 10 ms and `/proc/PID/schedstat` the first thread only;
//! the process's CPU clock has nanoseconds and the whole process (`clock_getcpuclockid(3)`).

use std::time::Duration;

use anyhow::Context as _;
use nix::time::ClockId;
use nix::unistd::Pid;

/// The CPU clock of a process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CpuClock(ClockId);

impl CpuClock {
    /// # Errors
    /// When the process does not exist.
    pub(crate) fn of(pid: u32) -> anyhow::Result<Self> {
        let pid = Pid::from_raw(i32::try_from(pid).context("failed to read a process id")?);
        ClockId::pid_cpu_clock_id(pid)
            .map(Self)
            .with_context(|| format!("failed to find the CPU clock of process {pid}"))
    }

    /// What the process has used since it was started.
    ///
    /// # Errors
    /// When the process has ended.
    pub(crate) fn used(self) -> anyhow::Result<Duration> {
        self.0.now().map(Duration::from).context("failed to read the CPU clock of a process, has it ended?")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_of_a_thread_that_ended_is_counted() {
        let clock = CpuClock::of(std::process::id()).unwrap();
        let before = clock.used().unwrap();
        let worker =
            std::thread::spawn(|| (0..3_000_000_u64).fold(0, |sum, n| std::hint::black_box(sum ^ n)));
        worker.join().unwrap();
        assert!(clock.used().unwrap() > before);
    }

    #[test]
    fn a_process_that_does_not_exist_has_no_clock() {
        let largest = 4_194_303;
        assert!(CpuClock::of(largest).and_then(CpuClock::used).is_err());
    }
}
