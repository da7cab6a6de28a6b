//! The decode step: a body becomes raw events, in the words of its protocol. Pure.
//!
//! Invariant: a bad event never harms its neighbours; only a body that is no JSON, or whose outer shape is not
//! the protocol's, is refused whole.
//! Texts and properties are borrowed from the body, since a copy of each would double the memory of a request.

mod events;
mod ingest;
mod inspect;
mod properties;

use std::borrow::Cow;

use schema::{limits, timestamp::Timestamp};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::refusal::Refusal;

/// The HTTP contract a request came by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// `POST /events`: one event.
    Events,
    /// `POST /ingest`: a batch.
    Ingest,
}

impl Protocol {
    /// The word for records, metrics and logs.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Ingest => "ingest",
        }
    }
}

/// A body that was read.
#[derive(Debug)]
pub(crate) struct Decoded<'a> {
    /// In the order of the body.
    pub(crate) events: Vec<Result<RawEvent<'a>, Refusal>>,
}

/// An event as the client wrote it, unjudged but for its shape. An absent text is empty.
#[derive(Debug)]
pub(crate) struct RawEvent<'a> {
    /// Bytes of the event in the body.
    pub(crate) size: usize,
    pub(crate) id: Cow<'a, str>,
    pub(crate) tenant_id: Cow<'a, str>,
    pub(crate) event_name: Cow<'a, str>,
    pub(crate) kind: Cow<'a, str>,
    pub(crate) user_id: Cow<'a, str>,
    pub(crate) anonymous_id: Cow<'a, str>,
    pub(crate) session_id: Cow<'a, str>,
    pub(crate) app_id: Cow<'a, str>,
    pub(crate) library: Cow<'a, str>,
    pub(crate) timestamp: Cow<'a, str>,
    pub(crate) sent_at: Option<Timestamp>,
    /// A JSON object on one line.
    pub(crate) properties: Cow<'a, RawValue>,
}

/// Why a whole body is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    #[error("the body is not UTF-8")]
    NotUtf8,
    #[error("the body is not JSON")]
    NotJson,
    #[error("the body does not have the shape of this path")]
    WrongShape,
    #[error("the batch is empty")]
    EmptyBatch,
    #[error("the batch has more than 2500 events")]
    TooManyEvents,
}

/// Reads a body.
///
/// # Errors
/// When nothing of it can be used.
pub(crate) fn decode(protocol: Protocol, body: &[u8]) -> Result<Decoded<'_>, Error> {
    let text = std::str::from_utf8(body).map_err(|_| Error::NotUtf8)?;
    match protocol {
        Protocol::Events => events::decode(text),
        Protocol::Ingest => ingest::decode(text),
    }
}

/// A text of the body, borrowed unless it has escapes. Only as a newtype does serde borrow it inside an `Option`.
#[derive(Debug, Default, Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// An absent text is an empty one.
fn text(value: Option<Text<'_>>) -> Cow<'_, str> {
    value.unwrap_or_default().0
}

/// What serde says of a whole body: no JSON, or JSON of another shape.
fn body_error(error: &serde_json::Error) -> Error {
    match error.classify() {
        serde_json::error::Category::Io
        | serde_json::error::Category::Syntax
        | serde_json::error::Category::Eof => Error::NotJson,
        serde_json::error::Category::Data => Error::WrongShape,
    }
}

/// The checks of an event's text that have to come before anything that could recurse into it.
fn check_event(json: &str) -> Result<(), Refusal> {
    if json.len() > limits::MAX_EVENT_BYTES {
        return Err(Refusal::TooLarge);
    }
    if !json.starts_with('{') {
        return Err(Refusal::NotAnObject);
    }
    inspect::inspect(json).map(drop)
}

#[cfg(test)]
mod tests;
