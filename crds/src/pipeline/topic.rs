//! The Kafka topic of a Pipeline.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// The Kafka topic of a Pipeline. The dead-letter topic has one partition and the same replication.
#[derive(Debug, Clone, PartialEq, Eq, KubeSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.partitions >= oldSelf.partitions").message("topic.partitions cannot be lowered: Kafka cannot shrink a topic; make another Pipeline"),
    validation = Rule::new("has(self.replicationFactor) == has(oldSelf.replicationFactor) && (!has(self.replicationFactor) || self.replicationFactor == oldSelf.replicationFactor)")
        .message("topic.replicationFactor cannot be changed, added or removed later: change the copies of the topic with Kafka's own tools, or make another Pipeline"),
    validation = Rule::new("has(self.name) == has(oldSelf.name) && (!has(self.name) || self.name == oldSelf.name)")
        .message("topic.name cannot be changed, added or removed later: the records lie in the topic of that name; make another Pipeline"),
    validation = Rule::new("!has(self.name) || !self.name.endsWith('.dlq')")
        .message("topic.name must not end with '.dlq': the dead-letter topic is called so"),
    validation = Rule::new("!has(self.minInsyncReplicas) || !has(self.replicationFactor) || self.minInsyncReplicas <= self.replicationFactor")
        .message("topic.minInsyncReplicas must not be greater than topic.replicationFactor, or every write would be refused")
)]
pub struct TopicSpec {
    /// The topic's name, which begins with the installation's prefix and the tenant's id, as in `millrace.acme.orders`.
    /// The dead-letter topic has the same with `.dlq`. It cannot be changed later. Default: the prefix, the tenant's id
    /// and the Pipeline's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 245), regex(pattern = "^[a-zA-Z0-9._-]+$"))]
    pub name: Option<String>,
    /// Partitions; they may only grow. Default 6.
    #[serde(default = "default_partitions")]
    #[schemars(range(min = 1, max = 1000))]
    pub partitions: i32,
    /// Copies of each partition. Default: the chart's `kafka.replicationFactor`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 7))]
    pub replication_factor: Option<i32>,
    /// Copies that must have a record before it counts as written. Default: the chart's `kafka.minInsyncReplicas`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 7))]
    pub min_insync_replicas: Option<i32>,
    /// How long Kafka keeps records; longer than the longest outage of ClickHouse. Default 168 hours.
    /// A shorter time deletes records, so it waits for the annotation `analytics.millrace.dev/allow-retention-hours`
    /// with the hours of now and the new ones, as in `720-to-24`; the condition says which. It counts once.
    #[serde(default = "default_topic_retention_hours")]
    #[schemars(range(min = 1, max = 876000))]
    pub retention_hours: i32,
}

fn default_partitions() -> i32 {
    6
}

fn default_topic_retention_hours() -> i32 {
    168
}

impl Default for TopicSpec {
    fn default() -> Self {
        Self {
            name: None,
            partitions: default_partitions(),
            replication_factor: None,
            min_insync_replicas: None,
            retention_hours: default_topic_retention_hours(),
        }
    }
}
