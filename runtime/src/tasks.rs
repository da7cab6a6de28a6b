//! Tasks with an owner: the end of any of them, wanted or not, ends the process.

use std::{future::Future, time::Duration};

use anyhow::{Context as _, anyhow};
use tokio::{task::JoinSet, time::timeout};
use tracing::{error, info};

use crate::shutdown::Shutdown;

/// The tasks of a process.
#[derive(Debug)]
pub struct Tasks {
    shutdown: Shutdown,
    running: JoinSet<(&'static str, anyhow::Result<()>)>,
}

/// Asks for the shutdown when it is dropped, be it by a return or by a panic.
struct EndsProcess(Shutdown);

impl Drop for EndsProcess {
    fn drop(&mut self) {
        self.0.request();
    }
}

impl Tasks {
    /// No tasks yet.
    #[must_use]
    pub fn new(shutdown: Shutdown) -> Self {
        Self { shutdown, running: JoinSet::new() }
    }

    /// Runs a task. It has to end by itself once the shutdown is requested.
    pub fn run(
        &mut self,
        name: &'static str,
        task: impl Future<Output = anyhow::Result<()>> + Send + 'static,
    ) {
        let ends_process = EndsProcess(self.shutdown.clone());
        self.running.spawn(async move {
            let outcome = task.await;
            drop(ends_process);
            (name, outcome)
        });
    }

    /// Runs a blocking loop on a thread of its own.
    pub fn run_blocking(
        &mut self,
        name: &'static str,
        task: impl FnOnce() -> anyhow::Result<()> + Send + 'static,
    ) {
        let ends_process = EndsProcess(self.shutdown.clone());
        self.running.spawn_blocking(move || {
            let outcome = task();
            drop(ends_process);
            (name, outcome)
        });
    }

    /// Waits until the shutdown is requested, then until every task has ended.
    ///
    /// # Errors
    /// The first failure of a task, or that some did not end within `deadline` after the request.
    pub async fn finish(mut self, deadline: Duration) -> anyhow::Result<()> {
        self.shutdown.token().cancelled().await;
        let mut first_failure = None;
        let all_ended = async {
            while let Some(ended) = self.running.join_next().await {
                if let Err(failure) = judge(ended) {
                    error!(error = format!("{failure:#}"), "task failed");
                    first_failure.get_or_insert(failure);
                }
            }
        };
        let ended_in_time = timeout(deadline, all_ended).await.is_ok();
        match first_failure {
            Some(failure) => Err(failure),
            None if !ended_in_time => Err(anyhow!("tasks did not end within {} s", deadline.as_secs())),
            None => Ok(()),
        }
    }
}

type Ended = Result<(&'static str, anyhow::Result<()>), tokio::task::JoinError>;

fn judge(ended: Ended) -> anyhow::Result<()> {
    let (name, outcome) = ended.context("a task panicked")?;
    info!(task.name = name, "task `{name}` ended");
    outcome.with_context(|| format!("task `{name}` failed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEADLINE: Duration = Duration::from_secs(5);

    #[tokio::test]
    async fn a_failing_task_ends_the_process() {
        let shutdown = Shutdown::manual();
        let mut tasks = Tasks::new(shutdown.clone());
        let token = shutdown.token();
        tasks.run("waits", async move {
            token.cancelled().await;
            Ok(())
        });
        tasks.run("fails", async { Err(anyhow!("out of paper")) });
        let failure = tasks.finish(DEADLINE).await.unwrap_err();
        assert_eq!(format!("{failure:#}"), "task `fails` failed: out of paper");
    }

    #[tokio::test]
    async fn a_panicking_thread_ends_the_process() {
        let mut tasks = Tasks::new(Shutdown::manual());
        tasks.run_blocking("panics", || panic!("of the test"));
        assert!(tasks.finish(DEADLINE).await.is_err());
    }

    #[tokio::test]
    async fn a_task_that_ends_early_without_failure_ends_the_process_too() {
        let mut tasks = Tasks::new(Shutdown::manual());
        tasks.run("ends", async { Ok(()) });
        assert!(tasks.finish(DEADLINE).await.is_ok());
    }

    #[tokio::test]
    async fn a_task_that_does_not_end_is_reported() {
        let shutdown = Shutdown::manual();
        let mut tasks = Tasks::new(shutdown.clone());
        tasks.run("hangs", std::future::pending());
        shutdown.request();
        let failure = tasks.finish(Duration::from_millis(10)).await.unwrap_err();
        assert!(failure.to_string().contains("did not end"));
    }
}
