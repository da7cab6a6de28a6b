//! What a deletion does next, from what there is now. Pure.
//!
//! ```text
//! ingester gone -> all is stored, or no time is left -> consumer gone -> topics
//! ```
//!
//! Invariants:
//! - A topic with records that are not stored is not deleted, unless their table goes as well.
//! - No topic of a protected tenant is deleted: a namespace that ends may ask for the Pipeline's deletion before it asks
//!   for the tenant's.

use crds::analytics_tenant::DeletionPolicy;

use super::super::drain::{Left, Pods, Time, Unstored};
use crate::plans::Deletion;

/// What a deletion meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Observed {
    pub(super) ingester: Pods,
    pub(super) consumer: Pods,
    pub(super) stake: Stake,
    pub(super) time: Time,
    /// What becomes of the topics.
    pub(super) policy: Policy,
    pub(super) external: External,
}

/// What is to become of the topics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Policy {
    Retain,
    /// They were to go, and stay since the tenant is protected.
    Protect,
    Delete,
}

impl Policy {
    pub(super) fn of(asked: DeletionPolicy, of_tenant: Deletion) -> Self {
        match (asked, of_tenant) {
            (DeletionPolicy::Retain, _) => Self::Retain,
            (DeletionPolicy::Delete, Deletion::Protected) => Self::Protect,
            (DeletionPolicy::Delete, Deletion::Allowed) => Self::Delete,
        }
    }
}

/// What a hasty deletion would lose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stake {
    /// Records of the Pipeline's own topic, which this consumer or that of the next Pipeline can store.
    Records,
    /// Nothing: there is no topic, or it is somebody else's and stays, or the tables go together with the tenant.
    Nothing,
}

/// Whether the deletion waits for Kafka.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum External {
    WaitedFor,
    /// An annotation says to leave what cannot be reached.
    Abandoned,
}

/// What to do next. Each can be done again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// These Deployments have to go.
    Stop(Stop),
    /// They are on their way out.
    AwaitPods,
    /// The consumer stores what is left; [`drain`] says for how long.
    Drain,
    /// Nothing runs any longer; [`fate`] says what becomes of the topics.
    SettleTopics,
}

/// Which Deployments are deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    Ingester,
    Consumer,
    Both,
}

pub(super) fn next(observed: &Observed) -> Step {
    let (ingester, consumer) = (observed.ingester, observed.consumer);
    if observed.can_drain() {
        return match ingester {
            Pods::Running | Pods::Idle => Step::Stop(Stop::Ingester),
            Pods::Stopping => Step::AwaitPods,
            Pods::Gone => Step::Drain,
        };
    }
    match (ingester.has_to_be_stopped(), consumer.has_to_be_stopped()) {
        (true, true) => Step::Stop(Stop::Both),
        (true, false) => Step::Stop(Stop::Ingester),
        (false, true) => Step::Stop(Stop::Consumer),
        (false, false) if ingester == Pods::Gone && consumer == Pods::Gone => Step::SettleTopics,
        (false, false) => Step::AwaitPods,
    }
}

/// How far a drain came.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Drain<E> {
    GoesOn(Left),
    IsOver,
    /// Whether the topic may be deleted hangs on the answer that Kafka did not give, so no time excuses its want.
    Blocked(E),
}

pub(super) fn drain<E>(observed: &Observed, counted: Result<Option<Unstored>, E>) -> Drain<E> {
    let left = match (counted, observed.policy, observed.external) {
        (Ok(None), _, _) => return Drain::IsOver,
        (Ok(Some(unstored)), _, _) => Left::Records(unstored),
        (Err(error), Policy::Delete, External::WaitedFor) => return Drain::Blocked(error),
        (Err(_), _, External::Abandoned) => return Drain::IsOver,
        (Err(_), Policy::Retain | Policy::Protect, External::WaitedFor) => Left::Unknown,
    };
    match observed.time {
        Time::Left => Drain::GoesOn(left),
        Time::Over => Drain::IsOver,
    }
}

/// What becomes of the topics.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fate<E> {
    Keep(Left),
    /// They would go, but for the tenant's protection.
    KeepProtected(Left),
    Delete,
    /// The dead letters go. So would the topic of events, but for its records that are not stored.
    KeepUnstored(Unstored),
    /// Kafka did not say whether anything would be lost.
    Unknown(E),
}

/// What becomes of the topics, once no pod is left. The count is asked for where something is at stake.
pub(super) fn fate<E>(policy: Policy, counted: Option<Result<Option<Unstored>, E>>) -> Fate<E> {
    match (policy, counted) {
        (Policy::Retain, counted) => Fate::Keep(left(counted)),
        (Policy::Protect, counted) => Fate::KeepProtected(left(counted)),
        (Policy::Delete, None | Some(Ok(None))) => Fate::Delete,
        (Policy::Delete, Some(Ok(Some(unstored)))) => Fate::KeepUnstored(unstored),
        (Policy::Delete, Some(Err(error))) => Fate::Unknown(error),
    }
}

fn left<E>(counted: Option<Result<Option<Unstored>, E>>) -> Left {
    match counted {
        None | Some(Ok(None)) => Left::Nothing,
        Some(Ok(Some(unstored))) => Left::Records(unstored),
        Some(Err(_)) => Left::Unknown,
    }
}

impl Observed {
    /// Whether somebody is there to store what is left. A consumer that ends with its namespace, or that has no pods,
    /// is not brought back for it.
    pub(super) fn can_drain(&self) -> bool {
        match (self.stake, self.consumer) {
            (Stake::Records, Pods::Running) => true,
            (Stake::Records, Pods::Idle | Pods::Stopping | Pods::Gone) | (Stake::Nothing, _) => false,
        }
    }
}

#[cfg(test)]
mod tests;
