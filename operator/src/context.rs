//! What a reconcile works with besides the resource itself.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use crds::{
    AnalyticsTenant,
    event::{EventReason, Severity},
};
use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Client,
    runtime::{
        events::{Event, EventType, Recorder, Reporter},
        reflector::Store,
    },
};
use tracing::warn;

use crate::{
    conditions::Obstacle, installation::Installation, kubernetes::Kubernetes, retries::Retries,
    tables::Tables, topics::Topics, users::Users,
};

/// The systems outside Kubernetes; tests put fakes here.
pub(crate) trait Backends: Send + Sync + 'static {
    type Topics: Topics + 'static;
    type Tables: Tables + 'static;
    type Users: Users + 'static;
}

/// The context of one controller.
pub(crate) struct Context<B: Backends> {
    pub(crate) kubernetes: Kubernetes,
    pub(crate) events: Events,
    pub(crate) installation: Arc<Installation>,
    pub(crate) topics: Arc<B::Topics>,
    pub(crate) tables: Arc<B::Tables>,
    pub(crate) users: Arc<B::Users>,
    /// Every tenant there is, for the one question that needs all: does another claim the same id?
    pub(crate) tenants: Store<AnalyticsTenant>,
    pub(crate) retries: Retries,
}

/// Writes Events of what an administrator acts on.
#[derive(Clone)]
pub(crate) struct Events {
    client: Client,
    reporter: Reporter,
    /// For what holds a resource up.
    of_obstacles: Recorder,
    /// For what happened once, by its note. A recorder counts what has the same reason as one Event, whose first note
    /// stands for all.
    by_note: Arc<Mutex<HashMap<String, Recorder>>>,
}

/// Notes that are remembered. Two of the same are counted as one for as long as they are.
const MOST_NOTES: usize = 128;

impl Events {
    pub(crate) fn new(client: Client, controller: &'static str) -> Self {
        let reporter = Reporter { controller: controller.to_owned(), instance: None };
        let of_obstacles = Recorder::new(client.clone(), reporter.clone());
        Self { client, reporter, of_obstacles, by_note: Arc::default() }
    }

    /// Something that happened once.
    pub(crate) async fn tell(&self, about: ObjectReference, reason: EventReason, note: String) {
        let type_ = match reason.severity() {
            Severity::Normal => EventType::Normal,
            Severity::Warning => EventType::Warning,
        };
        publish(&self.recorder(&note), about, type_, reason.as_str().to_owned(), note).await;
    }

    /// Something that holds a resource up. It comes and goes, and its condition says how it is now.
    pub(crate) async fn tell_of(&self, about: ObjectReference, obstacle: Obstacle) {
        publish(&self.of_obstacles, about, EventType::Warning, obstacle.reason, obstacle.message).await;
    }

    fn recorder(&self, note: &str) -> Recorder {
        let mut by_note = self.by_note.lock().unwrap_or_else(PoisonError::into_inner);
        if by_note.len() >= MOST_NOTES && !by_note.contains_key(note) {
            by_note.clear();
        }
        let new = || Recorder::new(self.client.clone(), self.reporter.clone());
        by_note.entry(note.to_owned()).or_insert_with(new).clone()
    }
}

/// An Event that is lost holds nothing up: conditions say the same.
async fn publish(
    recorder: &Recorder,
    about: ObjectReference,
    type_: EventType,
    reason: String,
    mut note: String,
) {
    note.truncate(note.floor_char_boundary(MAX_NOTE_BYTES));
    let event = Event {
        type_,
        reason: reason.clone(),
        note: Some(note),
        action: "Reconcile".to_owned(),
        secondary: None,
    };
    let published = tokio::time::timeout(EVENT_DEADLINE, recorder.publish(&event, &about)).await;
    match published {
        Ok(Ok(())) => {}
        Ok(Err(cause)) => warn!(reason, error = %cause, "failed to publish event `{reason}`"),
        Err(_) => warn!(reason, "event `{reason}` was not taken in time"),
    }
}

/// Kubernetes' bound of an Event's note.
const MAX_NOTE_BYTES: usize = 1_024;

/// An Event is told in passing; the reconcile goes on without it.
const EVENT_DEADLINE: std::time::Duration = std::time::Duration::from_secs(5);
