//! Waiting for something to become true, with a deadline.

use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::bail;

/// Pause between two looks: short against everything that is waited for.
const LOOK: Duration = Duration::from_millis(100);

/// What a look found.
#[derive(Debug)]
pub enum Look<T> {
    /// What was waited for.
    There(T),
    /// What is there instead, for the error.
    NotYet(String),
}

impl<T> From<Option<T>> for Look<T> {
    fn from(found: Option<T>) -> Self {
        found.map_or_else(|| Self::NotYet("nothing".to_owned()), Self::There)
    }
}

impl Look<()> {
    /// There if `holds`; else what was `seen` goes to the error.
    pub fn at(holds: bool, seen: impl std::fmt::Debug) -> Self {
        if holds { Self::There(()) } else { Self::NotYet(format!("{seen:?}")) }
    }
}

/// Looks until it is there. A look that fails counts as not yet: what is waited for is often unreachable at first.
///
/// # Errors
/// When the deadline passes; the text tells what was seen last.
#[allow(clippy::disallowed_methods, reason = "the one clock of the live tests")]
pub async fn until<T, F>(deadline: Duration, what: &str, mut look: impl FnMut() -> F) -> anyhow::Result<T>
where
    F: Future<Output = anyhow::Result<Look<T>>>,
{
    let begin = Instant::now();
    let mut seen = "no answer to the first look".to_owned();
    loop {
        let rest = deadline.saturating_sub(begin.elapsed());
        match tokio::time::timeout(rest, look()).await {
            Ok(Ok(Look::There(found))) => return Ok(found),
            Ok(Ok(Look::NotYet(instead))) => seen = instead,
            Ok(Err(error)) => seen = format!("{error:#}"),
            Err(_) => {}
        }
        if begin.elapsed() + LOOK >= deadline {
            bail!("no {what} within {} s; seen last: {seen}", deadline.as_secs());
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Runs a whole test within a deadline, so that a hang is a failure with a name.
///
/// # Errors
/// The test's failure, or that it did not end.
pub async fn within<T>(
    deadline: Duration,
    test: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    match tokio::time::timeout(deadline, test).await {
        Ok(result) => result,
        Err(_) => bail!("the test did not end within {} s", deadline.as_secs()),
    }
}
