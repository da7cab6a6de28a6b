//! One event as it stands in a record: a JSON object whose names are the columns of `events`.
//!
//! The files in `schema/events` are frozen examples; every suite that writes or reads records uses them. Those in
//! its folder `foreign` are records of other applications, which only become events.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::timestamp::Timestamp;

/// One line of a record. Texts that are empty and times that are absent are left out of the JSON.
#[derive(Debug, Serialize, Deserialize)]
pub struct Event<'a> {
    /// Names the event together with `event_name`, the day of `timestamp` and `distinct_id`.
    pub id: Uuid,
    /// What happened, 1 to 200 characters.
    #[serde(borrow)]
    pub event_name: Cow<'a, str>,
    /// The kind of event in the client's protocol, such as `pageview`.
    #[serde(borrow, rename = "type", default, skip_serializing_if = "is_empty")]
    pub kind: Cow<'a, str>,
    /// The identified user.
    #[serde(borrow, default, skip_serializing_if = "is_empty")]
    pub user_id: Cow<'a, str>,
    /// The device or browser before it was identified.
    #[serde(borrow, default, skip_serializing_if = "is_empty")]
    pub anonymous_id: Cow<'a, str>,
    /// The user, else the anonymous id: whom the event counts for.
    #[serde(borrow, default, skip_serializing_if = "is_empty")]
    pub distinct_id: Cow<'a, str>,
    /// The visit or conversation.
    #[serde(borrow, default, skip_serializing_if = "is_empty")]
    pub session_id: Cow<'a, str>,
    /// The application that sent the event.
    #[serde(borrow, default, skip_serializing_if = "is_empty")]
    pub app_id: Cow<'a, str>,
    /// When it happened, as the client said; without a client's time, the time of receipt.
    pub timestamp: Timestamp,
    /// `timestamp` corrected by the skew of the client's clock; a row without it repeats `timestamp`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub corrected_at: Option<Timestamp>,
    /// When the client sent it, by the client's clock; a row without it repeats `received_at`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_at: Option<Timestamp>,
    /// When the ingester had the request.
    pub received_at: Timestamp,
    /// A JSON object, as the client sent it.
    #[serde(borrow)]
    pub properties: &'a RawValue,
    /// The client's address.
    #[serde(borrow, default, skip_serializing_if = "is_empty")]
    pub ip_address: Cow<'a, str>,
    /// The client's `User-Agent`.
    #[serde(borrow, default, skip_serializing_if = "is_empty")]
    pub user_agent: Cow<'a, str>,
    /// The SDK and its version.
    #[serde(borrow, default, skip_serializing_if = "is_empty")]
    pub library: Cow<'a, str>,
    /// The HTTP contract the event came by, such as `events` or `ingest`.
    #[serde(borrow, default, skip_serializing_if = "is_empty")]
    pub protocol: Cow<'a, str>,
}

fn is_empty(text: &str) -> bool {
    text.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every frozen example is one compact line that reads and writes back to the same bytes.
    #[test]
    fn the_frozen_examples_round_trip() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/events");
        let mut seen = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let event: Event<'_> = serde_json::from_str(text.trim_end()).unwrap();
            assert_eq!(serde_json::to_string(&event).unwrap(), text.trim_end(), "{}", path.display());
            assert!(event.properties.get().starts_with('{'), "{}", path.display());
            seen += 1;
        }
        assert!(seen >= 5, "only {seen} examples in {folder}");
    }
}
