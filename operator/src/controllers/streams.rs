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
//!
//! An operator that serves some namespaces has such a chain for each of them, and takes what comes out of any.

use std::future::ready;

use futures::{
    Stream, StreamExt as _, TryStreamExt as _,
    stream::{self, BoxStream, SelectAll},
};
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, Client, Resource, ResourceExt as _,
    api::PartialObjectMeta,
    core::NamespaceResourceScope,
    runtime::{
        Predicate as _, PredicateConfig, WatchStreamExt as _, predicates,
        reflector::store::Writer,
        utils::Backoff,
        watcher::{self, watcher},
    },
};
use runtime::health::Flag;
use tokio::time::{Duration, Instant};
use tracing::warn;

use super::{keeper::Keeper, unreadables::Unreadables};
use crate::{
    kubernetes::{Guarded, Kind},
    labels, metrics,
    retries::{Pace, WatchDelays},
    scope::{Place, Scope},
};

/// A watch that stays broken is warned of no more often.
const WARNINGS: Duration = Duration::from_secs(60);

/// The watches of one controller.
pub(super) struct Streams {
    pub(super) client: Client,
    pub(super) scope: Scope,
    pub(super) controller: &'static str,
    pub(super) pace: Pace,
}

impl Streams {
    /// The resources of the controller's own kind, kept in its store; `listed` is set once all are there. Our own
    /// status writes are no reason to look again. Those that cannot be read go to the `told`, once for each change.
    pub(super) fn primaries<K: Kind + Send + Sync + 'static>(
        &self,
        writer: Writer<K>,
        listed: Flag,
        told: Unreadables,
    ) -> impl Stream<Item = watcher::Result<K>> + Send + 'static {
        let keeper = Keeper::new(writer, listed, self.scope.places().len());
        self.everywhere(|place| {
            let mut part = keeper.part(place.clone());
            let watched = watcher(self.api::<Guarded<K>>(&place), watcher::Config::default())
                // Who set which field takes more room than the fields.
                .modify(|resource| resource.managed_fields_mut().clear())
                .inspect(move |event| part.take(event));
            let changed = predicates::generation
                .combine(predicates::annotations)
                .combine(predicates::finalizers)
                .combine(deletion)
                .combine(readability);
            self.lasting(place, watched.applied_objects())
                .predicate_filter(changed, PredicateConfig::default())
        })
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
        self.everywhere(|place| {
            let labelled = watcher::Config::default().labels(selector);
            let objects = watcher(self.api::<PartialObjectMeta<K>>(&place), labelled)
                .modify(|object| object.managed_fields_mut().clear())
                .touched_objects();
            self.lasting(place, objects)
        })
    }

    /// The resources of the other controller's kind, readable or not.
    pub(super) fn others<K: Kind + Send + 'static>(
        &self,
    ) -> impl Stream<Item = watcher::Result<Guarded<K>>> + Send + 'static {
        self.everywhere(|place| {
            let objects =
                watcher(self.api::<Guarded<K>>(&place), watcher::Config::default()).touched_objects();
            self.lasting(place, objects)
        })
    }

    /// What the watches of all places tell.
    fn everywhere<T: Send + 'static, W: Stream<Item = watcher::Result<T>> + Send + 'static>(
        &self,
        watch: impl Fn(Place) -> W,
    ) -> SelectAll<BoxStream<'static, watcher::Result<T>>> {
        stream::select_all(self.scope.places().into_iter().map(|place| watch(place).boxed()))
    }

    fn api<K>(&self, place: &Place) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        place.api(self.client.clone())
    }

    fn lasting<K: Resource<DynamicType = ()> + Send + 'static>(
        &self,
        place: Place,
        objects: impl Stream<Item = watcher::Result<K>> + Send + 'static,
    ) -> impl Stream<Item = watcher::Result<K>> + Send + 'static {
        let breakages = Breakages::of(self.controller, K::kind(&()).into_owned(), place);
        lasting(objects, WatchDelays::at(self.pace), breakages)
    }
}

fn deletion<K: Resource>(resource: &K) -> Option<u64> {
    resource.meta().deletion_timestamp.as_ref().map(|_| 1)
}

fn readability<K>(resource: &Guarded<K>) -> Option<u64> {
    Some(resource.0.is_ok().into())
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
    place: Place,
    warned: Option<Instant>,
}

impl Breakages {
    fn of(controller: &'static str, kind: String, place: Place) -> Self {
        Self { controller, kind, place, warned: None }
    }

    fn tell(&mut self, cause: &watcher::Error, now: Instant) {
        let is_worth_a_warning = self.is_worth_a_warning(now);
        let Self { controller, kind, place, warned: _ } = self;
        let namespace = place.namespace();
        metrics::watch_failed(controller, kind, namespace.unwrap_or_default());
        if is_worth_a_warning {
            warn!(
                controller,
                kind,
                namespace,
                error = %cause,
                "the {controller} controller's watch of {kind} in {place} broke, trying again"
            );
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
