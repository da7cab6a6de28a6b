//! Resources that this version cannot read: left alone, and told of by a counter, a line in the log and an Event.

use crds::event::EventReason;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Resource as _;
use tokio::sync::mpsc;
use tracing::warn;

use crate::{
    context::Events,
    kubernetes::{Guarded, Kind, Unreadable},
    metrics,
};

/// Events on their way. More of them at one time are as good as none, and the log has them all.
const MAX_WAITING: usize = 64;

/// Where a controller's watch leaves what it cannot read.
pub(super) struct Unreadables {
    controller: &'static str,
    waiting: mpsc::Sender<Notice>,
}

/// Events that wait to be written: the API server may be slow to take one, and the watch goes on meanwhile.
pub(super) struct Notices(mpsc::Receiver<Notice>);

struct Notice {
    about: ObjectReference,
    note: String,
}

impl Unreadables {
    pub(super) fn of(controller: &'static str) -> (Self, Notices) {
        let (sender, receiver) = mpsc::channel(MAX_WAITING);
        (Self { controller, waiting: sender }, Notices(receiver))
    }

    /// The resource, unless it cannot be read: then it is told of.
    pub(super) fn sort_out<K: Kind>(&self, resource: Guarded<K>) -> Option<K> {
        let about = resource.object_ref(&());
        match resource.0 {
            Ok(resource) => Some(resource),
            Err(unreadable) => {
                self.tell(about, &unreadable);
                None
            }
        }
    }

    fn tell(&self, about: ObjectReference, unreadable: &Unreadable) {
        let (controller, field) = (self.controller, &unreadable.field);
        let (kind, namespace, name) = (
            about.kind.as_deref().unwrap_or_default(),
            about.namespace.as_deref().unwrap_or_default(),
            about.name.as_deref().unwrap_or_default(),
        );
        metrics::unreadable(controller);
        warn!(
            controller,
            namespace,
            name,
            field,
            "{kind} `{namespace}/{name}` cannot be read at `{field}` and is left alone"
        );
        let note = format!(
            "this version of the operator cannot read `{field}` and leaves the {kind} and all that it has as they are: correct it, or run a newer version"
        );
        // With too many waiting, the log alone has it.
        let _ = self.waiting.try_send(Notice { about, note });
    }
}

impl Notices {
    /// Writes the Events until the watch has ended.
    pub(super) async fn write(mut self, events: &Events) {
        while let Some(Notice { about, note }) = self.0.recv().await {
            events.tell(about, EventReason::UnreadableResource, note).await;
        }
    }
}
