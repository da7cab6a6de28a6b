//! Watches as the controllers take them: each fails alone, and is asked for anew ever later.
//!
//! ```text
//! list and watch* -> [store, with the controller's own kind] -> objects -> delays -> errors counted and dropped
//! ```
//!
//! kube pauses a whole controller after an error in any of its streams, so none may come out of here. Delays grow
//! behind the step from events to objects: the watch of a refused list says that it begins before each attempt, which
//! is no success.

use std::future::ready;

use futures::{Stream, StreamExt as _};
use kube::{
    Api, Client, Resource, ResourceExt as _,
    api::PartialObjectMeta,
    runtime::{
        Predicate as _, PredicateConfig, WatchStreamExt as _, predicates,
        reflector::{self, store::Writer},
        utils::Backoff,
        watcher,
    },
};
use runtime::health::Flag;
use tokio::time::{Duration, Instant};
use tracing::warn;

use crate::{
    kubernetes::Kind,
    labels, metrics,
    retries::{Pace, WatchDelays},
};

/// A watch that stays broken is warned of no more often.
const WARNINGS: Duration = Duration::from_secs(60);

/// The watches of one controller.
pub(super) struct Streams {
    pub(super) client: Client,
    pub(super) controller: &'static str,
    pub(super) pace: Pace,
}

impl Streams {
    /// The resources of the controller's own kind, kept in its store; `listed` is set once all are there. Our own
    /// status writes are no reason to look again.
    pub(super) fn primaries<K: Kind + Send + Sync + 'static>(
        &self,
        writer: Writer<K>,
        listed: Flag,
    ) -> impl Stream<Item = watcher::Result<K>> + Send + 'static {
        let watched = watcher(self.all::<K>(), watcher::Config::default())
            // Who set which field takes more room than the fields.
            .modify(|resource| resource.managed_fields_mut().clear())
            // The store's own signal wakes a single waiter, and the controller is one already.
            .inspect(move |event| {
                if let Ok(watcher::Event::InitDone) = event {
                    listed.set(true);
                }
            });
        let changed = predicates::generation
            .combine(predicates::annotations)
            .combine(predicates::finalizers)
            .combine(deletion);
        self.lasting(reflector::reflector(writer, watched).applied_objects())
            .predicate_filter(changed, PredicateConfig::default())
    }

    /// The metadata of the objects of a kind that the operator made.
    pub(super) fn children<K: Kind + Send + 'static>(
        &self,
    ) -> impl Stream<Item = watcher::Result<PartialObjectMeta<K>>> + Send + 'static {
        let ours = watcher::Config::default().labels(labels::OURS);
        let children = watcher(self.all::<PartialObjectMeta<K>>(), ours)
            .modify(|child| child.managed_fields_mut().clear())
            .touched_objects();
        self.lasting(children)
    }

    /// The resources of the other controller's kind.
    pub(super) fn others<K: Kind + Send + 'static>(
        &self,
    ) -> impl Stream<Item = watcher::Result<K>> + Send + 'static {
        self.lasting(watcher(self.all::<K>(), watcher::Config::default()).touched_objects())
    }

    fn all<K: Resource<DynamicType = ()>>(&self) -> Api<K> {
        Api::all(self.client.clone())
    }

    fn lasting<K: Resource<DynamicType = ()> + Send + 'static>(
        &self,
        objects: impl Stream<Item = watcher::Result<K>> + Send + 'static,
    ) -> impl Stream<Item = watcher::Result<K>> + Send + 'static {
        let breakages = Breakages::of(self.controller, K::kind(&()).into_owned());
        lasting(objects, WatchDelays::at(self.pace), breakages)
    }
}

fn deletion<K: Resource>(resource: &K) -> Option<u64> {
    resource.meta().deletion_timestamp.as_ref().map(|_| 1)
}

/// A stream without its errors, each of which delays what comes after it.
fn lasting<T: Send + 'static>(
    objects: impl Stream<Item = watcher::Result<T>> + Send + 'static,
    delays: impl Backoff + 'static,
    mut breakages: Breakages,
) -> impl Stream<Item = watcher::Result<T>> + Send + 'static {
    objects.backoff(delays).filter_map(move |object| {
        if let Err(cause) = &object {
            breakages.tell(cause, Instant::now());
        }
        ready(object.ok().map(Ok))
    })
}

/// The failures of one watch, for whoever looks after the operator.
struct Breakages {
    controller: &'static str,
    kind: String,
    warned: Option<Instant>,
}

impl Breakages {
    fn of(controller: &'static str, kind: String) -> Self {
        Self { controller, kind, warned: None }
    }

    fn tell(&mut self, cause: &watcher::Error, now: Instant) {
        metrics::watch_failed(self.controller, &self.kind);
        if self.is_worth_a_warning(now) {
            let (controller, kind) = (self.controller, &self.kind);
            warn!(controller, kind, error = %cause, "the {controller} controller's watch of {kind} broke, trying again");
        }
    }

    fn is_worth_a_warning(&mut self, now: Instant) -> bool {
        let is_due = self.warned.is_none_or(|warned| now.duration_since(warned) >= WARNINGS);
        if is_due {
            self.warned = Some(now);
        }
        is_due
    }
}

#[cfg(test)]
mod tests;
