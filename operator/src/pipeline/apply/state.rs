//! How the pods of a Pipeline stand to what its state asks. Pure.

use crds::Reason;

use super::{
    super::{build::Wish, stop},
    Aspect, Workloads,
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
        (Wish::Stop(drain), Progress::Done(_)) => idle(
            Reason::Stopped,
            match drain {
                Some(drain) => format!("stopped: {}", stop::result(drain)),
                None => "stopped: nothing is read".to_owned(),
            },
        ),
        (Wish::Pause | Wish::Stop(_), Progress::Waiting(waiting)) => Progress::Waiting(waiting),
        (Wish::Pause | Wish::Stop(_), Progress::Untried) => Progress::Untried,
    }
}

fn idle(reason: Reason, message: String) -> Aspect<Workloads> {
    Progress::Done(Workloads::Idle { reason, message })
}
