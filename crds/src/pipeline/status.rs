//! What was observed of a Pipeline.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::condition::Condition;

/// What was observed of a Pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Default, KubeSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PipelineStatus {
    /// The generation of the spec that this status is about; -1 until the operator has seen the resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -1, max = 9007199254740991_i64))]
    pub observed_generation: Option<i64>,
    /// The aspects of the Pipeline; `Ready` sums them up.
    #[serde(default)]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".to_owned()]))]
    pub conditions: Vec<Condition>,
    /// The Kafka topic: the Pipeline's own, or that of `source.kafka`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<TopicStatus>,
    /// The topic of the records that could not be stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_letter_topic: Option<TopicStatus>,
    /// The table that the consumer writes to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<TableStatus>,
    /// The consumer's pods. With `selector`, this is what `kubectl scale` and a HorizontalPodAutoscaler read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000000))]
    pub replicas: Option<i32>,
    /// Those of them that are ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000000))]
    pub ready_replicas: Option<i32>,
    /// How many consumer pods there should be: those of `consumer.replicas`, or none while the Pipeline is paused,
    /// stopped or held up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub desired_replicas: Option<i32>,
    /// The labels of the consumer's pods, as `kubectl get pods --selector` takes them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub selector: Option<String>,
    /// The Kafka consumer group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub consumer_group: Option<String>,
    /// Where SDKs send events to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub endpoint: Option<String>,
    /// The value of the annotation `analytics.millrace.dev/allow-retention-hours` that was used.
    /// It counts again after it was removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub used_retention_consent: Option<String>,
    /// How far the Pipeline is with storing what it took; only while `state` is `Stopped`, the tenant's `suspend` is
    /// `All`, or the Pipeline is being deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain: Option<DrainStatus>,
    /// A fingerprint of the password that all consumer pods have; the operator compares it during a rotation.
    /// Absent where consumers have the installation's credential.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub consumer_credential: Option<String>,
}

/// The way from the last event that was taken to the last that was stored.
#[derive(Debug, Clone, PartialEq, Eq, KubeSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DrainStatus {
    /// When it began. `drainTimeoutSeconds` counts from here.
    #[schemars(with = "String", length(max = 64), extend("format" = "date-time"))]
    pub started_at: Time,
    /// Whether everything was stored. Absent until it is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drained: Option<bool>,
    /// The records that were not stored at its end; they wait in Kafka. Absent if Kafka did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 9007199254740991_i64))]
    pub remaining: Option<i64>,
}

/// A Kafka topic.
#[derive(Debug, Clone, PartialEq, Eq, KubeSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TopicStatus {
    /// Its name.
    #[schemars(length(max = 249))]
    pub name: String,
    /// Kafka's id of this incarnation.
    #[schemars(length(max = 36))]
    pub id: String,
    /// Its partitions.
    #[schemars(range(min = 0, max = 1000000))]
    pub partitions: i32,
    /// Since when Kafka does not show this incarnation under its name. Absent while it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(max = 64), extend("format" = "date-time"))]
    pub missing_since: Option<Time>,
}

/// A ClickHouse table.
#[derive(Debug, Clone, PartialEq, Eq, KubeSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TableStatus {
    /// Its database.
    #[schemars(length(max = 64))]
    pub database: String,
    /// Its name.
    #[schemars(length(max = 64))]
    pub name: String,
    /// ClickHouse's id of this incarnation.
    #[schemars(length(max = 36))]
    pub uuid: String,
}
