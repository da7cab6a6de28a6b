//! Which member of a foreign JSON object is which column of an event.

use serde::{Deserialize, Serialize};

/// The names of an object's members, by the column that each becomes. One member may become several columns; a member
/// without a column is not stored.
///
/// A change of it would give other ids and keys to records that are read again, so it never changes for a pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldMap {
    /// A text or a number that names the event. Without it, where the record lies is what it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    #[serde(default = "event_name")]
    pub event_name: String,
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    #[serde(default = "user_id")]
    pub user_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anonymous_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    #[serde(default = "app_id")]
    pub app_id: String,
    #[serde(default = "timestamp")]
    pub timestamp: String,
    #[serde(default = "properties")]
    pub properties: String,
}

fn event_name() -> String {
    "event_name".to_owned()
}

fn user_id() -> String {
    "user_id".to_owned()
}

fn app_id() -> String {
    "app_id".to_owned()
}

fn timestamp() -> String {
    "timestamp".to_owned()
}

fn properties() -> String {
    "properties".to_owned()
}

impl Default for FieldMap {
    /// `app_id`, `event_name`, `user_id`, `timestamp` and `properties` under their own names, and nothing else.
    fn default() -> Self {
        Self {
            id: None,
            event_name: event_name(),
            kind: None,
            user_id: user_id(),
            anonymous_id: None,
            session_id: None,
            app_id: app_id(),
            timestamp: timestamp(),
            properties: properties(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_named_has_its_default() {
        let read: FieldMap = serde_json::from_str(r#"{"event_name":"action","id":"uuid"}"#).unwrap();
        let expected =
            FieldMap { event_name: "action".to_owned(), id: Some("uuid".to_owned()), ..FieldMap::default() };
        assert_eq!(read, expected);
        assert_eq!(serde_json::from_str::<FieldMap>("{}").unwrap(), FieldMap::default());
    }
}
