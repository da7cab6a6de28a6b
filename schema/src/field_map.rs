//! Which member of a foreign JSON object is which column of an event.

use serde::{Deserialize, Serialize};

/// The names of an object's members, by the column that each becomes. One member may become several columns; a member
/// without a column is not stored.
///
/// A change of it would give other ids and keys to records that are read again, so it never changes for a pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FieldMap {
    /// A text or a number that names the event. Without it, where the record lies is what it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    pub event_name: String,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    pub user_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub anonymous_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    pub app_id: String,
    pub timestamp: String,
    pub properties: String,
}

impl Default for FieldMap {
    /// `app_id`, `event_name`, `user_id`, `timestamp` and `properties` under their own names, and nothing else.
    fn default() -> Self {
        Self {
            id: None,
            event_name: "event_name".to_owned(),
            kind: None,
            user_id: "user_id".to_owned(),
            anonymous_id: None,
            session_id: None,
            app_id: "app_id".to_owned(),
            timestamp: "timestamp".to_owned(),
            properties: "properties".to_owned(),
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
