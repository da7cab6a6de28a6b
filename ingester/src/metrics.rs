//! The metrics of the ingester. No label holds a text of a client.

use std::time::Duration;

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, histogram};

use crate::{decode::Protocol, error::Error, publish, refusal::Refusal};

/// Tells the recorder what each metric means.
pub(crate) fn describe() {
    describe_counter!("ingester_requests_total", "Requests by route and status of the answer.");
    describe_counter!("ingester_request_errors_total", "Requests refused whole, by reason.");
    describe_counter!("ingester_events_accepted_total", "Events acknowledged by Kafka, by protocol.");
    describe_counter!("ingester_events_refused_total", "Events refused, by protocol and reason.");
    describe_counter!("ingester_publish_failures_total", "Requests not acknowledged by Kafka, by reason.");
    describe_counter!(
        "ingester_settings_reads_total",
        "Readings of the settings file that changed or failed."
    );
    describe_histogram!(
        "ingester_publish_seconds",
        Unit::Seconds,
        "Time until Kafka acknowledged a request."
    );
    describe_gauge!("ingester_inflight_bytes", Unit::Bytes, "Bytes of request bodies in flight.");
    describe_gauge!("ingester_producer_queue_messages", "Records that Kafka has not acknowledged yet.");
    describe_gauge!("ingester_keys", "Keys that are valid.");
}

/// A request was answered.
pub(crate) fn request(route: &str, status: u16) {
    counter!("ingester_requests_total", "route" => route.to_owned(), "status" => status.to_string())
        .increment(1);
}

/// A request was refused whole.
pub(crate) fn refused_request(error: &Error) {
    counter!("ingester_request_errors_total", "reason" => error.reason()).increment(1);
}

/// Events were acknowledged by Kafka.
pub(crate) fn accepted(protocol: Protocol, events: usize) {
    counter!("ingester_events_accepted_total", "protocol" => protocol.as_str()).increment(events as u64);
}

/// An event was refused.
pub(crate) fn refused(protocol: Protocol, refusal: Refusal) {
    counter!("ingester_events_refused_total", "protocol" => protocol.as_str(), "reason" => refusal.reason())
        .increment(1);
}

/// Records were published, or not.
pub(crate) fn published(outcome: &Result<publish::Settled, publish::Error>, took: Duration) {
    match outcome {
        Ok(settled) => {
            histogram!("ingester_publish_seconds").record(took);
            if !settled.too_large.is_empty() {
                counter!("ingester_publish_failures_total", "reason" => "record_too_large").increment(1);
            }
        }
        Err(error) => {
            counter!("ingester_publish_failures_total", "reason" => error.reason()).increment(1);
        }
    }
}
