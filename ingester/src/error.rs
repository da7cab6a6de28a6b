//! Why a whole request is refused: one enum, one mapping to a status, one shape of body. Nothing repeats input.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header::RETRY_AFTER},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use crate::{authenticate::Unauthorized, decode, publish, receive};

/// How long a client waits before it sends again what could not be taken now.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("2");

/// Why a request is refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("there is nothing at this path")]
    NotFound,
    #[error("this path does not take this method")]
    MethodNotAllowed,
    #[error("{0}")]
    Unauthorized(Unauthorized),
    #[error("{0}")]
    Receive(receive::Error),
    #[error("{0}")]
    Decode(decode::Error),
    #[error("the events could not be stored now; send them again")]
    Publish(#[source] publish::Error),
    #[error("Kafka takes no record as large as these events make")]
    RecordTooLarge,
    #[error("the request took too long; send it again")]
    Deadline,
}

impl Error {
    /// A label for answers and metrics.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::Unauthorized(_) => "unauthorized",
            Self::Receive(receive::Error::TooLarge) => "body_too_large",
            Self::Receive(receive::Error::Encoding) => "unsupported_encoding",
            Self::Receive(receive::Error::TooSlow) => "body_timeout",
            Self::Receive(receive::Error::Broken) => "body_incomplete",
            Self::Receive(receive::Error::Overloaded) => "overloaded",
            Self::Decode(decode::Error::NotUtf8) => "not_utf8",
            Self::Decode(decode::Error::NotJson) => "not_json",
            Self::Decode(decode::Error::WrongShape) => "wrong_shape",
            Self::Decode(decode::Error::EmptyBatch) => "empty_batch",
            Self::Decode(decode::Error::TooManyEvents) => "too_many_events",
            Self::Publish(_) => "unavailable",
            Self::RecordTooLarge => "record_too_large",
            Self::Deadline => "deadline",
        }
    }

    /// Whether the client may still be sending its body when it is refused.
    pub(crate) fn leaves_body_unread(&self) -> bool {
        match self {
            Self::Unauthorized(_)
            | Self::Receive(
                receive::Error::TooLarge | receive::Error::Encoding | receive::Error::Overloaded,
            ) => true,
            Self::Receive(receive::Error::TooSlow | receive::Error::Broken)
            | Self::NotFound
            | Self::MethodNotAllowed
            | Self::Decode(_)
            | Self::Publish(_)
            | Self::RecordTooLarge
            | Self::Deadline => false,
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Unauthorized(_) => StatusCode::UNAUTHORIZED,
            // No status that invites to send it again: the answer would be the same for ever.
            Self::Receive(receive::Error::TooLarge)
            | Self::Decode(decode::Error::TooManyEvents)
            | Self::RecordTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Receive(receive::Error::Encoding) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Receive(receive::Error::TooSlow) => StatusCode::REQUEST_TIMEOUT,
            Self::Receive(receive::Error::Broken)
            | Self::Decode(
                decode::Error::NotUtf8
                | decode::Error::NotJson
                | decode::Error::WrongShape
                | decode::Error::EmptyBatch,
            ) => StatusCode::BAD_REQUEST,
            // The one status that every client takes for "again, later".
            Self::Receive(receive::Error::Overloaded) | Self::Publish(_) | Self::Deadline => {
                StatusCode::SERVICE_UNAVAILABLE
            }
        }
    }
}

/// The body of every refusal of a whole request.
#[derive(Debug, Serialize)]
struct Body {
    status: &'static str,
    reason: &'static str,
    message: String,
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let status = self.status();
        let body = Body { status: "error", reason: self.reason(), message: self.to_string() };
        let mut response = (status, Json(body)).into_response();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(RETRY_AFTER, RETRY_AFTER_SECONDS);
        }
        response
    }
}
