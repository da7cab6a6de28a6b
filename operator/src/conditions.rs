//! From what was observed to the conditions of a status. Pure.
//!
//! Rules: a transition time changes only with the status, `Ready` sums up, and `Reconciling` and `Stalled` are
//! there only while they are true, as kstatus reads them
//! (<https://github.com/kubernetes-sigs/cli-utils/blob/master/pkg/kstatus/README.md>).

use crds::{
    Reason,
    condition::{Condition, ConditionStatus, ConditionType},
};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::{
    failure::Failure,
    progress::{Problem, Progress, Waiting, told},
};

/// Kubernetes' bound of a condition's message.
const MAX_MESSAGE_BYTES: usize = 32_768;

/// One aspect as it was observed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Observed {
    pub(crate) kind: ConditionType,
    pub(crate) status: ConditionStatus,
    pub(crate) reason: Reason,
    pub(crate) message: String,
    /// Only a change of the spec, or of something outside, can help.
    is_stalled: bool,
}

impl Observed {
    pub(crate) fn holds(kind: ConditionType, reason: Reason, message: String) -> Self {
        Self { kind, status: ConditionStatus::True, reason, message, is_stalled: false }
    }

    pub(crate) fn fails(kind: ConditionType, reason: Reason, message: String) -> Self {
        Self { kind, status: ConditionStatus::False, reason, message, is_stalled: false }
    }

    pub(crate) fn unknown(kind: ConditionType) -> Self {
        let message = "not looked at yet".to_owned();
        Self { kind, status: ConditionStatus::Unknown, reason: Reason::Pending, message, is_stalled: false }
    }

    pub(crate) fn waits(kind: ConditionType, waiting: &Waiting) -> Self {
        Self::fails(kind, waiting.reason, waiting.message.clone())
    }

    pub(crate) fn failed(kind: ConditionType, problem: &impl Problem) -> Self {
        Self {
            is_stalled: is_stalled(problem.failure()),
            ..Self::fails(kind, problem.reason(), told(problem))
        }
    }

    /// What holds a deletion.
    pub(crate) fn blocked(problem: &impl Problem) -> Self {
        Self::holds(ConditionType::DeletionBlocked, problem.reason(), told(problem))
    }

    /// The aspect as its progress says; `done` tells of a finished one.
    pub(crate) fn of<T, E: Problem>(
        kind: ConditionType,
        progress: &Progress<T, E>,
        done: impl FnOnce(&T) -> Self,
    ) -> Self {
        match progress {
            Progress::Done(result) => done(result),
            Progress::Waiting(waiting) => Self::waits(kind, waiting),
            Progress::Failed(problem) => Self::failed(kind, problem),
            Progress::Untried => Self::unknown(kind),
        }
    }
}

/// Whether trying again cannot help.
fn is_stalled(failure: Failure) -> bool {
    match failure {
        Failure::Refused | Failure::Conflict | Failure::Bug => true,
        Failure::Transient | Failure::Permission => false,
    }
}

/// The conditions before anything was looked at: a resource must not look ready for want of a condition.
pub(crate) fn initial(kinds: &[ConditionType], generation: i64, now: Timestamp) -> Vec<Condition> {
    let aspects: Vec<Observed> = kinds.iter().copied().map(Observed::unknown).collect();
    conditions(&[], aspects.clone(), ready(aspects.iter(), Reason::Ready, ""), generation, now)
}

/// `Ready` as the sum of the aspects that count: the first that fails, else the first that is unknown, else true.
pub(crate) fn ready<'a>(
    aspects: impl Iterator<Item = &'a Observed> + Clone,
    reason: Reason,
    message: &str,
) -> Observed {
    let first = |status| aspects.clone().find(|aspect| aspect.status == status);
    match first(ConditionStatus::False).or_else(|| first(ConditionStatus::Unknown)) {
        Some(obstacle) => Observed { kind: ConditionType::Ready, ..obstacle.clone() },
        None => Observed::holds(ConditionType::Ready, reason, message.to_owned()),
    }
}

/// The conditions of a status: the aspects, `Ready`, and what follows from both.
pub(crate) fn conditions(
    previous: &[Condition],
    aspects: Vec<Observed>,
    ready: Observed,
    generation: i64,
    now: Timestamp,
) -> Vec<Condition> {
    let stalled = aspects
        .iter()
        .chain([&ready])
        .find(|aspect| aspect.is_stalled)
        .map(|aspect| Observed::holds(ConditionType::Stalled, aspect.reason, aspect.message.clone()));
    let is_reconciling = stalled.is_none() && ready.status != ConditionStatus::True;
    let reconciling = is_reconciling
        .then(|| Observed::holds(ConditionType::Reconciling, Reason::Progressing, ready.message.clone()));
    [Some(ready), stalled, reconciling]
        .into_iter()
        .flatten()
        .chain(aspects)
        .map(|observed| condition(previous, observed, generation, now))
        .collect()
}

fn condition(previous: &[Condition], observed: Observed, generation: i64, now: Timestamp) -> Condition {
    let before = previous
        .iter()
        .find(|before| before.kind == observed.kind.as_str() && before.status == observed.status);
    let mut message = observed.message;
    message.truncate(message.floor_char_boundary(MAX_MESSAGE_BYTES));
    Condition {
        kind: observed.kind.as_str().to_owned(),
        status: observed.status,
        observed_generation: generation,
        last_transition_time: before
            .map_or_else(|| seconds(now), |before| before.last_transition_time.clone()),
        reason: observed.reason.as_str().to_owned(),
        message,
    }
}

/// A time as the API server keeps it: a finer one would look like a change at each reconcile.
pub(crate) fn seconds(now: Timestamp) -> Time {
    Time(Timestamp::from_second(now.as_second()).unwrap_or(now))
}

/// The conditions of a resource that is being deleted: those it had, and what holds it, if something does.
pub(crate) fn of_deletion(
    previous: &[Condition],
    blocked: Option<Observed>,
    generation: i64,
    now: Timestamp,
) -> Vec<Condition> {
    let message = blocked.as_ref().map_or("being deleted", |blocked| &blocked.message).to_owned();
    deleting(previous, message, blocked, generation, now)
}

/// The conditions of a resource that is being deleted and held by nothing: those it had, and how far it came.
pub(crate) fn of_going(
    previous: &[Condition],
    message: String,
    generation: i64,
    now: Timestamp,
) -> Vec<Condition> {
    deleting(previous, message, None, generation, now)
}

fn deleting(
    previous: &[Condition],
    message: String,
    blocked: Option<Observed>,
    generation: i64,
    now: Timestamp,
) -> Vec<Condition> {
    let ready = Observed::fails(ConditionType::Ready, Reason::Deleting, message);
    let ours = conditions(previous, blocked.into_iter().collect(), ready, generation, now);
    beside_what_was_known(ours, previous, [ConditionType::Stalled, ConditionType::DeletionBlocked])
}

/// The conditions after an attempt that failed before it knew anything: those there were, and that nobody knows whether
/// they still hold.
pub(crate) fn of_failure(
    previous: &[Condition],
    problem: &impl Problem,
    generation: i64,
    now: Timestamp,
) -> Vec<Condition> {
    let ready =
        Observed { status: ConditionStatus::Unknown, ..Observed::failed(ConditionType::Ready, problem) };
    let ours = conditions(previous, Vec::new(), ready, generation, now);
    beside_what_was_known(ours, previous, [ConditionType::Stalled, ConditionType::Reconciling])
}

/// Conditions and, behind them, those of before that they say nothing of, except for types that have to be said anew.
fn beside_what_was_known(
    ours: Vec<Condition>,
    previous: &[Condition],
    passing: [ConditionType; 2],
) -> Vec<Condition> {
    let is_said = |before: &Condition| ours.iter().any(|ours| ours.kind == before.kind);
    let is_passing = |before: &Condition| passing.iter().any(|passing| passing.as_str() == before.kind);
    let kept: Vec<Condition> =
        previous.iter().filter(|before| !is_said(before) && !is_passing(before)).cloned().collect();
    ours.into_iter().chain(kept).collect()
}

/// Whether a change that was met is worth telling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Changes {
    /// The next look, a moment later, goes on from what is there by then.
    Pass,
    /// There were too many in a row.
    Last,
}

/// The aspects, where those that met a change are as they are known. Those of an older spec must not stand for the new
/// one.
pub(crate) fn over_changes(
    aspects: Vec<Observed>,
    known: &[Condition],
    generation: i64,
    changes: Changes,
) -> Vec<Observed> {
    let over = |aspect: Observed| match changes {
        Changes::Pass if aspect.reason == Reason::KubernetesChanged => {
            as_known(aspect.kind, known, generation).unwrap_or(aspect)
        }
        Changes::Pass | Changes::Last => aspect,
    };
    aspects.into_iter().map(over).collect()
}

fn as_known(kind: ConditionType, known: &[Condition], generation: i64) -> Option<Observed> {
    let condition = find(known, kind).filter(|condition| condition.observed_generation == generation)?;
    let reason = Reason::parse(&condition.reason)?;
    let is_stalled =
        find(known, ConditionType::Stalled).is_some_and(|stalled| stalled.reason == condition.reason);
    Some(Observed { kind, status: condition.status, reason, message: condition.message.clone(), is_stalled })
}

/// What `Ready` says, if it says something else than before. For the log, which tells of changes of state.
pub(crate) fn new_state(before: &[Condition], now: &[Condition]) -> Option<String> {
    let said = find(before, ConditionType::Ready).map(|ready| (ready.status, &ready.reason));
    let ready =
        find(now, ConditionType::Ready).filter(|ready| said != Some((ready.status, &ready.reason)))?;
    Some(match ready.status {
        ConditionStatus::True => "ready".to_owned(),
        ConditionStatus::False | ConditionStatus::Unknown => format!("not ready: {}", ready.reason),
    })
}

/// What newly needs an administrator: a stalled resource, a blocked deletion, or a tenant that is not there. It is told
/// once and not at each look.
pub(crate) fn new_obstacle(before: &[Condition], now: &[Condition]) -> Option<Obstacle> {
    let told = [ConditionType::Stalled, ConditionType::DeletionBlocked, ConditionType::Ready];
    told.into_iter().find_map(|kind| {
        let condition = find(now, kind).filter(|condition| needs_somebody(kind, condition))?;
        let is_known = find(before, kind).is_some_and(|known| known.reason == condition.reason);
        (!is_known).then(|| Obstacle { reason: condition.reason.clone(), message: condition.message.clone() })
    })
}

fn needs_somebody(kind: ConditionType, condition: &Condition) -> bool {
    kind != ConditionType::Ready || condition.reason == Reason::TenantNotFound.as_str()
}

/// What an Event tells of, in the words of the condition.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Obstacle {
    pub(crate) reason: String,
    pub(crate) message: String,
}

/// The condition of a kind, if a status has it.
pub(crate) fn find(conditions: &[Condition], kind: ConditionType) -> Option<&Condition> {
    conditions.iter().find(|condition| condition.kind == kind.as_str())
}

#[cfg(test)]
mod tests;
