//! Names of the operator's metrics, in one place.

use std::time::Duration;

use metrics::{counter, gauge, histogram};

/// One reconcile and how it ended: `ok`, or the reason of its failure.
pub(crate) fn reconciled(controller: &'static str, outcome: &'static str, took: Duration) {
    counter!("operator_reconciles_total", "controller" => controller, "outcome" => outcome).increment(1);
    histogram!("operator_reconcile_duration_seconds", "controller" => controller).record(took.as_secs_f64());
}

/// A reconcile that panicked.
pub(crate) fn panicked(controller: &'static str) {
    counter!("operator_reconcile_panics_total", "controller" => controller).increment(1);
}

/// A watch of a kind that broke and is made anew. One of the whole cluster has no namespace.
pub(crate) fn watch_failed(controller: &'static str, kind: &str, namespace: &str) {
    let (kind, namespace) = (kind.to_owned(), namespace.to_owned());
    counter!("operator_watch_errors_total", "controller" => controller, "kind" => kind, "namespace" => namespace)
        .increment(1);
}

/// A resource that cannot be read, each time that it changed.
pub(crate) fn unreadable(controller: &'static str) {
    counter!("operator_unreadable_resources_total", "controller" => controller).increment(1);
}

/// Status writes; at rest there are none.
pub(crate) fn status_written(controller: &'static str) {
    counter!("operator_status_writes_total", "controller" => controller).increment(1);
}

/// Whether this operator leads: of several, one has 1.
pub(crate) fn leading(leads: bool) {
    gauge!("operator_leading").set(if leads { 1.0 } else { 0.0 });
}

/// A request to the Kubernetes API; the code is that of its answer, or `none` where none came.
pub(crate) fn api_requested(verb: &'static str, resource: &str, code: String) {
    counter!("operator_api_requests_total", "verb" => verb, "resource" => resource.to_owned(), "code" => code)
        .increment(1);
}
