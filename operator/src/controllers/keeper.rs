//! The resources of a controller's own kind, as the watches of all its places tell of them.
//!
//! kube's store is made for one watch, whose list replaces everything in it. Here the list of a place replaces what
//! the store has of that place.
//!
//! The store is ready, and the controller begins, when each place was listed or failed to be, and one was listed: a
//! namespace that is not there holds up no other.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use kube::{
    Resource as _,
    runtime::{
        reflector::{ObjectRef, store::Writer},
        watcher::{self, Event},
    },
};
use runtime::health::Flag;

use crate::{
    kubernetes::{Guarded, Kind},
    scope::Place,
};

/// The store of one controller.
pub(super) struct Keeper<K: Kind + 'static>(Arc<Mutex<State<K>>>);

struct State<K: Kind + 'static> {
    writer: Writer<K>,
    /// Set when the store is ready.
    listed: Flag,
    /// Places of which nothing was heard yet, good or bad.
    unheard: usize,
    is_any_listed: bool,
}

/// What the store has of one place.
pub(super) struct Part<K: Kind + 'static> {
    state: Arc<Mutex<State<K>>>,
    place: Place,
    /// What the list has until now that is being taken.
    listing: HashSet<ObjectRef<K>>,
    is_heard: bool,
}

impl<K: Kind + 'static> Keeper<K> {
    /// `listed` is set when the store is ready.
    pub(super) fn new(writer: Writer<K>, listed: Flag, places: usize) -> Self {
        let state = State { writer, listed, unheard: places, is_any_listed: false };
        Self(Arc::new(Mutex::new(state)))
    }

    pub(super) fn part(&self, place: Place) -> Part<K> {
        Part { state: Arc::clone(&self.0), place, listing: HashSet::new(), is_heard: false }
    }
}

impl<K: Kind + 'static> Part<K> {
    /// Takes over what the watch of the place tells.
    pub(super) fn take(&mut self, told: &watcher::Result<Event<Guarded<K>>>) {
        let state = Arc::clone(&self.state);
        let mut state = lock(&state);
        match told {
            Err(_) => self.hear(&mut state),
            Ok(Event::Init) => self.listing.clear(),
            Ok(Event::InitApply(resource)) => {
                self.listing.insert(reference(resource));
                state.set(resource);
            }
            Ok(Event::InitDone) => {
                let listing = std::mem::take(&mut self.listing);
                state.keep_only(&self.place, &listing);
                state.is_any_listed = true;
                self.hear(&mut state);
            }
            Ok(Event::Apply(resource)) => state.set(resource),
            Ok(Event::Delete(resource)) => state.forget(&reference(resource)),
        }
    }

    fn hear(&mut self, state: &mut State<K>) {
        if !std::mem::replace(&mut self.is_heard, true) {
            state.unheard -= 1;
        }
        state.announce_if_ready();
    }
}

impl<K: Kind + 'static> State<K> {
    /// One that can be read no longer goes: nothing is to be made of its past.
    fn set(&mut self, resource: &Guarded<K>) {
        match &resource.0 {
            Ok(readable) => self.writer.apply_watcher_event(&Event::Apply(readable.clone())),
            Err(_) => self.forget(&reference(resource)),
        }
    }

    fn forget(&mut self, reference: &ObjectRef<K>) {
        if let Some(known) = self.writer.as_reader().get(reference) {
            self.writer.apply_watcher_event(&Event::Delete(known.as_ref().clone()));
        }
    }

    /// Forgets what is not in the list of a place any longer.
    fn keep_only(&mut self, place: &Place, listing: &HashSet<ObjectRef<K>>) {
        for known in self.writer.as_reader().state() {
            let reference = ObjectRef::from_obj(known.as_ref());
            if place.holds(known.meta().namespace.as_deref()) && !listing.contains(&reference) {
                self.forget(&reference);
            }
        }
    }

    /// To the store, being ready is the end of a first list.
    fn announce_if_ready(&mut self) {
        if self.unheard > 0 || !self.is_any_listed || self.listed.is_set() {
            return;
        }
        self.writer.apply_watcher_event(&Event::Init);
        for known in self.writer.as_reader().state() {
            self.writer.apply_watcher_event(&Event::InitApply(known.as_ref().clone()));
        }
        self.writer.apply_watcher_event(&Event::InitDone);
        self.listed.set(true);
    }
}

fn reference<K: Kind + 'static>(resource: &Guarded<K>) -> ObjectRef<K> {
    let metadata = resource.meta();
    ObjectRef::new(metadata.name.as_deref().unwrap_or_default())
        .within(metadata.namespace.as_deref().unwrap_or_default())
}

fn lock<K: Kind + 'static>(state: &Mutex<State<K>>) -> MutexGuard<'_, State<K>> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
