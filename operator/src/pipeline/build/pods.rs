//! Which pods run: those that the spec asks for, as far as topics and state let them. Pure.

use crds::pipeline::DrainStatus;

use super::{super::drain::Pods, topics::Runnable};

/// What the state of the spec asks of the pods now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wish {
    Run,
    /// Events are taken and wait.
    Pause,
    /// Nothing more is taken, since the tenant is suspended.
    TakeNothing {
        consumer: Wanted,
    },
    /// Nothing more is taken, and what was taken is stored by the consumer that is there.
    Drain {
        consumer: Pods,
        /// What is waited for.
        message: String,
    },
    /// Nobody works.
    Stop {
        by: By,
        /// How the drain before it ended. A topic of somebody else is not drained.
        drain: Option<DrainStatus>,
    },
}

/// Who wants a stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    /// The Pipeline's own state.
    State,
    /// The tenant, for all its Pipelines.
    Tenant,
}

/// Which pods there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WantedPods {
    pub(crate) ingester: Wanted,
    pub(crate) consumer: Wanted,
}

/// Whether there are the pods of one Deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    AsAsked,
    Nobody(Why),
}

/// Why there are no pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// What they would work with is gone or somebody else's.
    Topics,
    Paused,
    Stopped,
    Suspended,
}

pub(crate) fn wanted_pods(runnable: Runnable, wish: &Wish) -> WantedPods {
    let by_state = match wish {
        Wish::Run => WantedPods { ingester: Wanted::AsAsked, consumer: Wanted::AsAsked },
        Wish::Pause => WantedPods { ingester: Wanted::AsAsked, consumer: Wanted::Nobody(Why::Paused) },
        Wish::TakeNothing { consumer } => {
            WantedPods { ingester: Wanted::Nobody(Why::Suspended), consumer: *consumer }
        }
        Wish::Drain { consumer, .. } => WantedPods {
            ingester: Wanted::Nobody(Why::Stopped),
            consumer: match consumer {
                Pods::Running => Wanted::AsAsked,
                // One that was paused is not brought back for it.
                Pods::Idle | Pods::Stopping | Pods::Gone => Wanted::Nobody(Why::Stopped),
            },
        },
        Wish::Stop { .. } => {
            WantedPods { ingester: Wanted::Nobody(Why::Stopped), consumer: Wanted::Nobody(Why::Stopped) }
        }
    };
    match runnable {
        Runnable::All => by_state,
        Runnable::IngesterOnly => WantedPods { consumer: Wanted::Nobody(Why::Topics), ..by_state },
        Runnable::Nothing => {
            WantedPods { ingester: Wanted::Nobody(Why::Topics), consumer: Wanted::Nobody(Why::Topics) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: Wanted = Wanted::AsAsked;
    const PAUSED: Wanted = Wanted::Nobody(Why::Paused);
    const STOPPED: Wanted = Wanted::Nobody(Why::Stopped);
    const SUSPENDED: Wanted = Wanted::Nobody(Why::Suspended);
    const HALTED: Wanted = Wanted::Nobody(Why::Topics);

    fn drain(consumer: Pods) -> Wish {
        Wish::Drain { consumer, message: String::new() }
    }

    #[track_caller]
    fn check(wish: &Wish, ingester: Wanted, consumer: Wanted) {
        assert_eq!(wanted_pods(Runnable::All, wish), WantedPods { ingester, consumer });
        let without = WantedPods { ingester, consumer: HALTED };
        assert_eq!(wanted_pods(Runnable::IngesterOnly, wish), without, "dead letters have nowhere to go");
        let none = WantedPods { ingester: HALTED, consumer: HALTED };
        assert_eq!(wanted_pods(Runnable::Nothing, wish), none, "the topic is somebody else's");
    }

    #[test]
    fn a_running_pipeline_has_all_pods() {
        check(&Wish::Run, RUN, RUN);
    }

    #[test]
    fn a_paused_pipeline_takes_events_and_stores_none() {
        check(&Wish::Pause, RUN, PAUSED);
    }

    #[test]
    fn a_pipeline_that_stops_takes_no_events_and_stores_what_it_has() {
        check(&drain(Pods::Running), STOPPED, RUN);
    }

    #[test]
    fn a_consumer_that_is_not_there_is_not_brought_back_to_drain() {
        for consumer in [Pods::Idle, Pods::Stopping, Pods::Gone] {
            check(&drain(consumer), STOPPED, STOPPED);
        }
    }

    #[test]
    fn a_stopped_pipeline_has_no_pods() {
        for by in [By::State, By::Tenant] {
            check(&Wish::Stop { by, drain: None }, STOPPED, STOPPED);
        }
    }

    #[test]
    fn a_suspended_tenant_takes_no_events() {
        for consumer in [RUN, PAUSED, SUSPENDED] {
            check(&Wish::TakeNothing { consumer }, SUSPENDED, consumer);
        }
    }
}
