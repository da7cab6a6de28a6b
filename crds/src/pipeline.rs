//! The Pipeline resource, which carries events from HTTP or from a Kafka topic into a tenant's tables.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::analytics_tenant::DeletionPolicy;

mod batch;
mod source;
mod status;
mod topic;
mod workloads;

pub use {
    batch::BatchSpec,
    source::{FieldMap, HttpSource, KafkaFormat, KafkaSource, Source, StartFrom},
    status::{DrainStatus, PipelineStatus, TableStatus, TopicStatus},
    topic::TopicSpec,
    workloads::{
        AuditSpec, ConsumerSpec, IngesterSpec, IngressSpec, ResourceList, Resources, ServiceSpec, ServiceType,
    },
};

/// A Pipeline carries a tenant's events from HTTP or Kafka into its tables.
#[derive(Debug, Clone, PartialEq, Eq, CustomResource, KubeSchema, Serialize, Deserialize)]
#[kube(
    group = "analytics.millrace.dev",
    version = "v1alpha1",
    kind = "Pipeline",
    plural = "pipelines",
    shortname = "apl",
    category = "analytics",
    namespaced,
    status = "PipelineStatus",
    scale(
        spec_replicas_path = ".spec.consumer.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    derive = "PartialEq",
    doc = "A Pipeline carries a tenant's events from HTTP or from a Kafka topic into its ClickHouse tables.",
    validation = Rule::new("self.metadata.name.size() <= 48").message("the name of a Pipeline has at most 48 characters"),
    validation = Rule::new("!self.metadata.name.contains('.')").message("the name of a Pipeline must not contain a dot"),
    validation = Rule::new("self.metadata.name.matches('^[a-z]')").message("the name of a Pipeline must begin with a letter: its Service carries it"),
    printcolumn(name = "Tenant", type_ = "string", json_path = ".spec.tenantRef.name", description = "The tenant whose events these are."),
    printcolumn(name = "State", type_ = "string", json_path = ".spec.state", description = "Whether events are to be taken and stored."),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status", description = "Whether everything the spec asks for works."),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason", description = "Why the pipeline is or is not ready."),
    printcolumn(name = "Replicas", type_ = "integer", json_path = ".status.desiredReplicas", description = "How many consumer pods there should be."),
    printcolumn(name = "Available", type_ = "integer", json_path = ".status.readyReplicas", description = "How many of them are ready."),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp", description = "How long the pipeline exists."),
    printcolumn(name = "Topic", type_ = "string", json_path = ".status.topic.name", priority = "1", description = "The Kafka topic."),
    printcolumn(name = "Partitions", type_ = "integer", json_path = ".status.topic.partitions", priority = "1", description = "The topic's partitions."),
    printcolumn(name = "Database", type_ = "string", json_path = ".status.table.database", priority = "1", description = "The ClickHouse database whose table the consumer writes to."),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].message", priority = "1", description = "What holds the pipeline up.")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.source.kafka) || self.consumer.replicas <= self.topic.partitions")
        .message("consumer.replicas must not be greater than topic.partitions: a partition has one consumer, and further ones would idle"),
    validation = Rule::new("!has(self.source.kafka) || !has(self.topic.name)")
        .message("topic.name must not be set with source.kafka: the topic is the one that source.kafka.topic names")
)]
pub struct PipelineSpec {
    /// The tenant whose events these are, in the same namespace. It cannot be changed later.
    #[x_kube(validation = Rule::new("self == oldSelf").message("tenantRef cannot be changed: the topic carries the tenant's id; make another Pipeline"))]
    pub tenant_ref: TenantReference,

    /// Where events come from. It cannot be changed later.
    #[serde(default)]
    pub source: Source,

    /// The Kafka topic between ingester and consumer. With `source.kafka` there is none: then only copies and retention
    /// count, for the dead-letter topic.
    #[serde(default)]
    pub topic: TopicSpec,

    /// The pods that take events over HTTP. With `source.kafka` there are none.
    #[serde(default)]
    pub ingester: IngesterSpec,

    /// The pods that write events into ClickHouse.
    #[serde(default)]
    pub consumer: ConsumerSpec,

    /// When the consumer closes a batch and inserts it: by whichever bound is reached first.
    #[serde(default)]
    pub batch: BatchSpec,

    /// Running takes and stores events. Paused takes events, which wait in Kafka. Stopped takes none, and stores what was
    /// taken for at most `drainTimeoutSeconds`. With `source.kafka` only Running reads the topic. Default: Running.
    #[serde(default)]
    pub state: PipelineState,

    /// How long the consumer may go on storing what the ingester has taken, when the Pipeline is stopped or deleted.
    /// Default 60 seconds; 0 does not wait. What is not stored by then stays in the topic: for the next start, or for
    /// the next Pipeline of this name.
    #[serde(default = "default_drain_timeout_seconds")]
    #[schemars(range(min = 0, max = 3600))]
    pub drain_timeout_seconds: i32,

    /// What happens to the topics when the Pipeline is deleted. Default: what the tenant says.
    /// A topic with records that are not stored is kept, unless their table goes as well, and so are the topics of a
    /// tenant that is protected from deletion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<PipelineDeletionPolicy>,
}

fn default_drain_timeout_seconds() -> i32 {
    60
}

/// Whether events are taken and stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, JsonSchema, Serialize, Deserialize)]
pub enum PipelineState {
    /// Events are taken and stored.
    #[default]
    Running,
    /// Events are taken and wait in Kafka: there is no consumer. With `source.kafka` nothing is read.
    Paused,
    /// No events are taken. What was taken is stored, for at most `drainTimeoutSeconds`; then there is no consumer
    /// either.
    Stopped,
}

/// An AnalyticsTenant of the same namespace.
#[derive(Debug, Clone, PartialEq, Eq, KubeSchema, Serialize, Deserialize)]
pub struct TenantReference {
    /// The AnalyticsTenant's name.
    #[schemars(length(min = 1, max = 40))]
    pub name: String,
}

/// What happens to the topics when the Pipeline is deleted.
#[derive(Debug, Clone, PartialEq, Eq, Default, KubeSchema, Serialize, Deserialize)]
pub struct PipelineDeletionPolicy {
    /// The topic and the dead-letter topic. Retain keeps them, for the next Pipeline of this name. Delete deletes them
    /// with the Pipeline. Default: what the tenant says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "DeletionPolicy")]
    pub kafka: Option<DeletionPolicy>,
}
