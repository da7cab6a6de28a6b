//! An event as the demo's sources make it and as it is sent.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;
use uuid::Uuid;

/// One event. Its id and its time never change between attempts, so that a retry is the same event.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Event {
    pub(crate) id: Uuid,
    #[serde(rename = "event_name")]
    pub(crate) name: String,
    #[serde(rename = "user_id", skip_serializing_if = "Option::is_none")]
    pub(crate) user: Option<String>,
    #[serde(rename = "session_id", skip_serializing_if = "Option::is_none")]
    pub(crate) session: Option<String>,
    #[serde(rename = "timestamp")]
    pub(crate) at: Timestamp,
    pub(crate) properties: Box<RawValue>,
}
