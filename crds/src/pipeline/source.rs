//! Where the events of a Pipeline come from.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where events come from: exactly one of `http` and `kafka`.
#[derive(Debug, Clone, PartialEq, Eq, KubeSchema, Serialize, Deserialize)]
#[x_kube(
    validation = Rule::new("has(self.http) != has(self.kafka)").message("exactly one of source.http and source.kafka must be set"),
    validation = Rule::new("self == oldSelf").message("source cannot be changed: the identity of stored events comes from it; make another Pipeline")
)]
pub struct Source {
    /// Over HTTP, through the Pipeline's ingester. Default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpSource>,
    /// From a Kafka topic that other applications write JSON to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kafka: Option<KafkaSource>,
}

impl Default for Source {
    fn default() -> Self {
        Self { http: Some(HttpSource {}), kafka: None }
    }
}

/// Events over HTTP; it has no settings of its own.
#[derive(Debug, Clone, PartialEq, Eq, Default, KubeSchema, Serialize, Deserialize)]
pub struct HttpSource {}

/// A topic of the installation's Kafka that other applications write to. It is only read: never made, changed or
/// deleted.
#[derive(Debug, Clone, PartialEq, Eq, KubeSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KafkaSource {
    /// The topic's name. Topics of Millrace itself and Kafka's own are refused.
    #[schemars(length(min = 1, max = 249), regex(pattern = "^[a-zA-Z0-9._-]+$"))]
    #[x_kube(validation = Rule::new("self != '.' && self != '..' && !self.startsWith('__')").message("topic must be a name that Kafka allows, and not one of Kafka's own topics"))]
    pub topic: String,
    /// What a record holds. Json: one JSON object. Default: Json.
    #[serde(default)]
    pub format: KafkaFormat,
    /// Where reading begins. Earliest: at the first record that Kafka still has. Latest: at the first record that Kafka
    /// dates at the creation of the Pipeline or later. Default: Earliest.
    #[serde(default)]
    pub start_from: StartFrom,
    /// Which member of the JSON object becomes which column; a member without a column is not stored.
    /// Default: `event_name`, `user_id`, `app_id`, `timestamp` and `properties` under these names.
    #[serde(default)]
    pub field_map: FieldMap,
}

/// What a record of a topic holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, JsonSchema, Serialize, Deserialize)]
pub enum KafkaFormat {
    /// One JSON object.
    #[default]
    Json,
}

/// Where reading a topic begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, JsonSchema, Serialize, Deserialize)]
pub enum StartFrom {
    /// At the first record that Kafka still has.
    #[default]
    Earliest,
    /// At the first record that Kafka dates at the creation of the Pipeline or later.
    Latest,
}

/// The names of an object's members by the column that each becomes. One member may become several columns.
#[derive(Debug, Clone, PartialEq, Eq, KubeSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FieldMap {
    /// A text or number that names the event, so that a record that is written twice is one event. Default: none, and
    /// each record is an event of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 200))]
    pub id: Option<String>,
    /// The event's name; a record without it is a dead letter. Default: `event_name`.
    #[serde(default = "event_name")]
    #[schemars(length(min = 1, max = 200))]
    pub event_name: String,
    /// The kind of event. Default: none.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 200))]
    pub kind: Option<String>,
    /// The identified user. Default: `user_id`.
    #[serde(default = "user_id")]
    #[schemars(length(min = 1, max = 200))]
    pub user_id: String,
    /// The device or browser before it was identified. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 200))]
    pub anonymous_id: Option<String>,
    /// The visit or conversation. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 200))]
    pub session_id: Option<String>,
    /// The application. Default: `app_id`.
    #[serde(default = "app_id")]
    #[schemars(length(min = 1, max = 200))]
    pub app_id: String,
    /// When it happened: ISO 8601, or seconds or milliseconds since 1970. A record without it happened when Kafka has
    /// dated it. Default: `timestamp`.
    #[serde(default = "timestamp")]
    #[schemars(length(min = 1, max = 200))]
    pub timestamp: String,
    /// A JSON object. Default: `properties`.
    #[serde(default = "properties")]
    #[schemars(length(min = 1, max = 200))]
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
    use crate::PipelineSpec;

    fn spec(source: &str) -> PipelineSpec {
        serde_saphyr::from_str(&format!("{{tenantRef: {{name: acme}}{source}}}")).unwrap()
    }

    #[test]
    fn without_a_word_events_come_over_http() {
        let source = spec("").source;
        assert_eq!(source, Source { http: Some(HttpSource {}), kafka: None });
        assert_eq!(serde_json::to_value(source).unwrap(), serde_json::json!({"http": {}}));
    }

    #[test]
    fn a_topic_alone_is_a_source_with_the_default_map_from_the_earliest() {
        let source = spec(", source: {kafka: {topic: octane.events}}").source;
        let kafka = KafkaSource {
            topic: "octane.events".to_owned(),
            format: KafkaFormat::Json,
            start_from: StartFrom::Earliest,
            field_map: FieldMap::default(),
        };
        assert_eq!(source, Source { http: None, kafka: Some(kafka) });
    }
}
