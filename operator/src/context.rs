//! What a reconcile works with besides the resource itself.

use std::sync::Arc;

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
    /// Counts what is the same again.
    counting: Recorder,
}

impl Events {
    pub(crate) fn new(client: Client, controller: &'static str) -> Self {
        let reporter = Reporter { controller: controller.to_owned(), instance: None };
        Self { counting: Recorder::new(client.clone(), reporter.clone()), client, reporter }
    }

    /// Something that happened once. It is not counted as the one before it of the same reason, whose note would stand for
    /// both: another topic may be lost, and another drain may end otherwise.
    pub(crate) async fn tell(&self, about: ObjectReference, reason: EventReason, note: String) {
        let type_ = match reason.severity() {
            Severity::Normal => EventType::Normal,
            Severity::Warning => EventType::Warning,
        };
        let recorder = Recorder::new(self.client.clone(), self.reporter.clone());
        publish(&recorder, about, type_, reason.as_str().to_owned(), note).await;
    }

    /// Something that holds a resource up. It comes and goes, and its condition says how it is now.
    pub(crate) async fn tell_of(&self, about: ObjectReference, obstacle: Obstacle) {
        publish(&self.counting, about, EventType::Warning, obstacle.reason, obstacle.message).await;
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
