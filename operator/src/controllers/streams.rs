//! Watches as the controllers take them: each fails alone, and is asked for anew ever later.
//!
//! ```text
//! list and watch* -> [store] -> objects -> delays -> errors counted and dropped -> [unreadable ones told and dropped]
//! ```
//! In brackets: with the controller's own kind.
//!
//! kube pauses a whole controller after an error in any of its streams, so none may come out of here. Delays grow
//! behind the step from events to objects: the watch of a refused list says that it begins before each attempt, which
//! is no success.

use std::future::ready;

use futures::{Stream, StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, Client, Resource, ResourceExt as _,
    api::PartialObjectMeta,
    runtime::{
        Predicate as _, PredicateConfig, WatchStreamExt as _, predicates,
        reflector::{ObjectRef, store::Writer},
        utils::Backoff,
        watcher::{self, Event, watcher},
    },
};
use runtime::health::Flag;
use tokio::time::{Duration, Instant};
use tracing::warn;

use super::unreadables::Unreadables;
use crate::{
    kubernetes::{Guarded, Kind},
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
    /// status writes are no reason to look again. Those that cannot be read go to the `told`, once for each change.
    pub(super) fn primaries<K: Kind + Send + Sync + 'static>(
        &self,
        mut writer: Writer<K>,
        listed: Flag,
        told: Unreadables,
    ) -> impl Stream<Item = watcher::Result<K>> + Send + 'static {
        let watched = watcher(self.all::<Guarded<K>>(), watcher::Config::default())
            // Who set which field takes more room than the fields.
            .modify(|resource| resource.managed_fields_mut().clear())
            .inspect_ok(move |event| {
                keep(&mut writer, event);
                // The store's own signal wakes a single waiter, and the controller is one already.
                if let Event::InitDone = event {
                    listed.set(true);
                }
            });
        let changed = predicates::generation
            .combine(predicates::annotations)
            .combine(predicates::finalizers)
            .combine(deletion)
            .combine(readability);
        self.lasting(watched.applied_objects())
            .predicate_filter(changed, PredicateConfig::default())
            .try_filter_map(move |resource| ready(Ok(told.sort_out(resource))))
    }

    /// The metadata of the objects of a kind that the operator made.
    pub(super) fn children<K: Kind + Send + 'static>(
        &self,
    ) -> impl Stream<Item = watcher::Result<PartialObjectMeta<K>>> + Send + 'static {
        self.labelled(labels::OURS)
    }

    /// The metadata of the Secrets that tenants may take keys from.
    pub(super) fn brought_keys(
        &self,
    ) -> impl Stream<Item = watcher::Result<PartialObjectMeta<Secret>>> + Send + 'static {
        self.labelled(labels::BROUGHT_KEYS)
    }

    fn labelled<K: Kind + Send + 'static>(
        &self,
        selector: &str,
    ) -> impl Stream<Item = watcher::Result<PartialObjectMeta<K>>> + Send + 'static {
        let labelled = watcher::Config::default().labels(selector);
        let objects = watcher(self.all::<PartialObjectMeta<K>>(), labelled)
            .modify(|object| object.managed_fields_mut().clear())
            .touched_objects();
        self.lasting(objects)
    }

    /// The resources of the other controller's kind, readable or not.
    pub(super) fn others<K: Kind + Send + 'static>(
        &self,
    ) -> impl Stream<Item = watcher::Result<Guarded<K>>> + Send + 'static {
        self.lasting(watcher(self.all::<Guarded<K>>(), watcher::Config::default()).touched_objects())
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

fn readability<K>(resource: &Guarded<K>) -> Option<u64> {
    Some(resource.0.is_ok().into())
}

/// Keeps the readable resources in the store. One that can be read no longer goes: nothing is to be made of its past.
fn keep<K: Kind + 'static>(writer: &mut Writer<K>, event: &Event<Guarded<K>>) {
    let kept = match event {
        Event::Init => Event::Init,
        Event::InitDone => Event::InitDone,
        Event::InitApply(Guarded(Ok(resource))) => Event::InitApply(resource.clone()),
        Event::InitApply(Guarded(Err(_))) => return,
        Event::Apply(Guarded(Ok(resource))) => Event::Apply(resource.clone()),
        Event::Delete(Guarded(Ok(resource))) => Event::Delete(resource.clone()),
        Event::Apply(Guarded(Err(unreadable))) | Event::Delete(Guarded(Err(unreadable))) => {
            let (name, namespace) = (&unreadable.metadata.name, &unreadable.metadata.namespace);
            let reference = ObjectRef::new(name.as_deref().unwrap_or_default())
                .within(namespace.as_deref().unwrap_or_default());
            match writer.as_reader().get(&reference) {
                Some(known) => Event::Delete(known.as_ref().clone()),
                None => return,
            }
        }
    };
    writer.apply_watcher_event(&kept);
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
