//! How the pods of a Pipeline stand to what its state asks. Pure.

use crds::{Reason, pipeline::PipelineState};

use super::{
    super::{
        build::{By, Wanted, Why, Wish},
        stop,
    },
    Aspect, Drain, Pause, Replicas, Workloads,
};
use crate::progress::{Progress, Waiting};

/// The same pods, told of as the state has them. What failed or is on its way is that first.
pub(super) fn told(wish: &Wish, pods: Aspect<Workloads>) -> Aspect<Workloads> {
    match (wish, pods) {
        (Wish::Run, pods) => pods,
        (_, Progress::Failed(error)) => Progress::Failed(error),
        (Wish::Drain { message, .. }, Progress::Done(_) | Progress::Waiting(_) | Progress::Untried) => {
            Progress::Waiting(Waiting { reason: Reason::Draining, message: message.clone() })
        }
        (Wish::Pause, Progress::Done(_)) => idle(Reason::Paused, "paused: events wait in Kafka".to_owned()),
        (Wish::TakeNothing { .. }, Progress::Done(_)) => {
            idle(Reason::TenantSuspended, "the tenant is suspended: no events are taken".to_owned())
        }
        (Wish::Stop { by, drain }, Progress::Done(_)) => {
            let (reason, word) = match by {
                By::State => (Reason::Stopped, "stopped"),
                By::Tenant => (Reason::TenantSuspended, "the tenant is suspended"),
            };
            let result = drain.as_ref().map_or_else(|| "nothing is read".to_owned(), stop::result);
            idle(reason, format!("{word}: {result}"))
        }
        (Wish::Pause | Wish::TakeNothing { .. } | Wish::Stop { .. }, Progress::Waiting(waiting)) => {
            Progress::Waiting(waiting)
        }
        (Wish::Pause | Wish::TakeNothing { .. } | Wish::Stop { .. }, Progress::Untried) => Progress::Untried,
    }
}

/// Whether the consumer is away for the sake of a pause.
pub(super) fn pause(wish: &Wish, pods: &Aspect<Workloads>) -> Pause {
    let keeps_away = match wish {
        Wish::Pause | Wish::TakeNothing { consumer: Wanted::Nobody(Why::Paused) } => true,
        Wish::TakeNothing { consumer: Wanted::AsAsked | Wanted::Nobody(_) }
        | Wish::Run
        | Wish::Drain { .. }
        | Wish::Stop { .. } => false,
    };
    match pods {
        Progress::Done(_) | Progress::Waiting(_) if keeps_away => Pause::InForce,
        Progress::Done(_) | Progress::Waiting(_) | Progress::Failed(_) | Progress::Untried => Pause::No,
    }
}

/// The same where nothing is brought about: the pods are away already.
pub(super) fn pause_of(state: PipelineState, pods: &Aspect<Workloads>, consumers: Option<Replicas>) -> Pause {
    let is_away = consumers.is_some_and(|consumers| consumers.desired == 0);
    match (state, pods) {
        (_, Progress::Untried) | (PipelineState::Running | PipelineState::Stopped, _) => Pause::No,
        (PipelineState::Paused, _) if is_away => Pause::InForce,
        (PipelineState::Paused, _) => Pause::No,
    }
}

/// What the status has to say of a drain.
pub(super) fn drain(wish: &Wish) -> Drain {
    match wish {
        Wish::Run | Wish::Pause | Wish::TakeNothing { .. } | Wish::Stop { drain: None, .. } => Drain::Nothing,
        Wish::Drain { .. } => Drain::AsKnown,
        Wish::Stop { drain: Some(drain), .. } => Drain::Ended(drain.clone()),
    }
}

fn idle(reason: Reason, message: String) -> Aspect<Workloads> {
    Progress::Done(Workloads::Idle { reason, message })
}
