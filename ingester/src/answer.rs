//! The answers to requests whose body could be read: the seeds' own fields, and one result for each event. Pure.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use uuid::Uuid;

use crate::{decode::Protocol, refusal::Refusal};

/// What became of a request's events, in the order of the body.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) protocol: Protocol,
    pub(crate) batch_id: Uuid,
    pub(crate) latency_ms: u64,
    pub(crate) events: Vec<Result<Uuid, Refusal>>,
}

/// `status` and the words of the seeds for whole requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    AllAccepted,
    SomeRefused,
    AllRefused,
}

impl Verdict {
    fn of(events: &[Result<Uuid, Refusal>]) -> Self {
        match events.iter().filter(|event| event.is_ok()).count() {
            0 => Self::AllRefused,
            accepted if accepted == events.len() => Self::AllAccepted,
            _ => Self::SomeRefused,
        }
    }

    fn status(self) -> &'static str {
        match self {
            Self::AllAccepted => "success",
            Self::SomeRefused => "partial",
            Self::AllRefused => "error",
        }
    }

    fn code(self) -> StatusCode {
        match self {
            Self::AllAccepted | Self::SomeRefused => StatusCode::OK,
            Self::AllRefused => StatusCode::BAD_REQUEST,
        }
    }
}

#[derive(Debug, Serialize)]
struct EventAnswer {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<Uuid>,
    results: Vec<EventResult>,
}

#[derive(Debug, Serialize)]
struct BatchAnswer {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    batch_id: Uuid,
    events_accepted: usize,
    events_rejected: usize,
    ingest_latency_ms: u64,
    results: Vec<EventResult>,
}

#[derive(Debug, Serialize)]
struct EventResult {
    index: usize,
    /// The id under which the event is stored; a refused event is stored under none.
    id: Option<Uuid>,
    status: &'static str,
    reason: Option<&'static str>,
}

impl EventResult {
    fn of(index: usize, event: &Result<Uuid, Refusal>) -> Self {
        match event {
            Ok(id) => Self { index, id: Some(*id), status: "accepted", reason: None },
            Err(refusal) => Self { index, id: None, status: "rejected", reason: Some(refusal.reason()) },
        }
    }
}

impl IntoResponse for Outcome {
    fn into_response(self) -> Response {
        let verdict = Verdict::of(&self.events);
        let results: Vec<_> =
            self.events.iter().enumerate().map(|(index, event)| EventResult::of(index, event)).collect();
        let accepted = self.events.iter().filter(|event| event.is_ok()).count();
        let refusal = self.events.iter().find_map(|event| event.err());
        match self.protocol {
            Protocol::Events => {
                let answer = EventAnswer {
                    status: verdict.status(),
                    reason: refusal.map(Refusal::reason),
                    message: refusal.map(|refusal| refusal.to_string()),
                    id: self.events.first().and_then(|event| event.ok()),
                    results,
                };
                (verdict.code(), Json(answer)).into_response()
            }
            Protocol::Ingest => {
                let is_refused = verdict == Verdict::AllRefused;
                let answer = BatchAnswer {
                    status: verdict.status(),
                    reason: is_refused.then_some("all_events_rejected"),
                    message: is_refused.then(|| "none of the events can be stored".to_owned()),
                    batch_id: self.batch_id,
                    events_accepted: accepted,
                    events_rejected: self.events.len() - accepted,
                    ingest_latency_ms: self.latency_ms,
                    results,
                };
                (verdict.code(), Json(answer)).into_response()
            }
        }
    }
}
