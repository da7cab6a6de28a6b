//! One attempt at a reconcile: within a deadline, with its panics caught and its outcome counted.

use std::{
    fmt,
    future::Future,
    panic::AssertUnwindSafe,
    time::{Duration, Instant},
};

use futures::FutureExt as _;
use kube::runtime::controller::Action;
use tracing::{error, info, warn};

use crate::{
    failure::Failure,
    metrics,
    progress::{Problem, told},
    retries::Retries,
};

/// The longest attempt. Each call inside has a shorter deadline of its own; this one guards against the sum.
const DEADLINE: Duration = Duration::from_secs(180);

/// Why an attempt ended without an answer of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Interruption {
    #[error("the operator's look did not end within {} seconds; it is tried again", DEADLINE.as_secs())]
    Deadline,
    #[error("the operator met a bug; report it with the operator's log")]
    Panic,
}

/// The resource that an attempt is about.
pub(crate) struct Subject {
    pub(crate) controller: &'static str,
    pub(crate) uid: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} `{}/{}`", self.controller, self.namespace, self.name)
    }
}

/// Runs an attempt within its deadline and counts it.
pub(crate) async fn run<E: Problem>(
    subject: &Subject,
    retries: &Retries,
    work: impl Future<Output = Result<Action, E>>,
    interrupted: impl FnOnce(Interruption) -> E,
) -> Result<Action, E> {
    run_within(DEADLINE, subject, retries, work, interrupted).await
}

#[allow(clippy::disallowed_methods, reason = "attempts are measured here")]
async fn run_within<E: Problem>(
    deadline: Duration,
    subject: &Subject,
    retries: &Retries,
    work: impl Future<Output = Result<Action, E>>,
    interrupted: impl FnOnce(Interruption) -> E,
) -> Result<Action, E> {
    let started = Instant::now();
    let guarded = AssertUnwindSafe(tokio::time::timeout(deadline, work)).catch_unwind();
    let outcome = match guarded.await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(_)) => Err(interrupted(Interruption::Deadline)),
        Err(_) => {
            metrics::panicked(subject.controller);
            Err(interrupted(Interruption::Panic))
        }
    };
    let label = outcome.as_ref().map_or_else(|problem| problem.reason().as_str(), |_| "ok");
    metrics::reconciled(subject.controller, label, started.elapsed());
    if outcome.is_ok() {
        retries.forget(&subject.uid);
    }
    outcome
}

/// How long to wait after a failure before the next attempt.
pub(crate) fn after_failure(subject: &Subject, problem: &impl Problem, retries: &Retries) -> Duration {
    let (reason, cause) = (problem.reason().as_str(), told(problem));
    match problem.failure() {
        Failure::Transient | Failure::Permission => {
            let delay = retries.failed(&subject.uid);
            warn!(reason, error = %cause, delay_s = delay.as_secs(), "{subject} is not done, trying again");
            delay
        }
        // An edit of the spec comes as a watch event; what is outside of it is looked at from time to time.
        Failure::Refused => {
            retries.forget(&subject.uid);
            info!(reason, error = %cause, "{subject} needs a change");
            retries.pace.recheck()
        }
        // The other one may go any time, and nothing tells of it.
        Failure::Conflict => {
            retries.forget(&subject.uid);
            info!(reason, error = %cause, "{subject} is in conflict with another");
            retries.pace.conflict()
        }
        Failure::Bug => {
            error!(reason, error = %cause, "{subject} met a bug of the operator");
            retries.pace.longest()
        }
    }
}

/// How long a failure can wait, to choose among several: the smallest decides.
pub(crate) fn patience(problem: &impl Problem) -> u8 {
    match problem.failure() {
        Failure::Transient => 0,
        Failure::Permission => 1,
        Failure::Refused | Failure::Conflict => 2,
        Failure::Bug => 3,
    }
}

#[cfg(test)]
mod tests {
    use crds::Reason;

    use super::*;
    use crate::retries::Pace;

    #[derive(Debug, thiserror::Error)]
    #[error("failed")]
    struct Failed(Failure);

    impl Problem for Failed {
        fn failure(&self) -> Failure {
            self.0
        }
        fn reason(&self) -> Reason {
            Reason::InternalError
        }
    }

    /// A delay may be shorter by a fifth.
    #[test]
    fn rule_25_each_kind_of_failure_waits_as_long_as_it_helps() {
        let (retries, pace) = (Retries::default(), Pace::default());
        let first = |failure, retries: &Retries| after_failure(&subject(), &Failed(failure), retries);
        for (failure, expected) in [
            (Failure::Transient, pace.first),
            (Failure::Refused, pace.recheck),
            (Failure::Permission, pace.first),
            (Failure::Conflict, pace.conflict),
            (Failure::Bug, pace.longest),
        ] {
            let delay = first(failure, &retries);
            assert!(delay <= expected && delay >= expected.mul_f64(0.79), "{failure:?}: {delay:?}");
        }
        for failure in [Failure::Transient, Failure::Permission] {
            let retries = Retries::default();
            let delays: Vec<Duration> = (0..5).map(|_| first(failure, &retries)).collect();
            assert!(delays.is_sorted() && delays[4] > pace.first * 8, "{failure:?}: {delays:?}");
        }
        for failure in [Failure::Refused, Failure::Conflict] {
            let delays: Vec<Duration> = (0..5).map(|_| first(failure, &retries)).collect();
            assert!(
                delays.iter().all(|delay| *delay >= pace.conflict.mul_f64(0.79)),
                "{failure:?}: {delays:?}"
            );
        }
    }

    #[derive(Debug, thiserror::Error, PartialEq)]
    #[error("interrupted")]
    struct Interrupted(Interruption);

    impl Problem for Interrupted {
        fn failure(&self) -> Failure {
            match self.0 {
                Interruption::Deadline => Failure::Transient,
                Interruption::Panic => Failure::Bug,
            }
        }
        fn reason(&self) -> Reason {
            Reason::InternalError
        }
    }

    fn subject() -> Subject {
        Subject {
            controller: "tenant",
            uid: "u".to_owned(),
            namespace: "n".to_owned(),
            name: "acme".to_owned(),
        }
    }

    #[tokio::test]
    async fn rule_40_a_panic_becomes_a_failure_of_this_object_alone() {
        let work = async { panic!("of the test") };
        let outcome = run(&subject(), &Retries::default(), work, Interrupted).await;
        assert_eq!(outcome, Err(Interrupted(Interruption::Panic)));
    }

    #[tokio::test]
    async fn an_attempt_that_hangs_ends() {
        let (retries, hangs) = (Retries::default(), std::future::pending());
        let outcome = run_within(Duration::from_millis(1), &subject(), &retries, hangs, Interrupted).await;
        assert_eq!(outcome, Err(Interrupted(Interruption::Deadline)));
    }

    #[tokio::test]
    async fn success_forgets_earlier_failures() {
        let retries = Retries::default();
        for _ in 0..5 {
            after_failure(&subject(), &Interrupted(Interruption::Deadline), &retries);
        }
        let done = async { Ok(Action::await_change()) };
        run(&subject(), &retries, done, Interrupted).await.unwrap();
        assert!(retries.failed("u") <= Duration::from_secs(1));
    }
}
