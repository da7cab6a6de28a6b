//! The Pipeline resource: the way of events from HTTP or from a Kafka topic into a tenant's tables.

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{analytics_tenant::DeletionPolicy, condition::Condition};

mod source;

pub use source::{FieldMap, HttpSource, KafkaFormat, KafkaSource, Source, StartFrom};

/// The way of events into a tenant's tables.
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
    derive = "PartialEq",
    doc = "Pipeline is the way of events from HTTP or from a Kafka topic into a tenant's ClickHouse tables.",
    validation = Rule::new("self.metadata.name.size() <= 48").message("the name of a Pipeline has at most 48 characters"),
    validation = Rule::new("!self.metadata.name.contains('.')").message("the name of a Pipeline must not contain a dot"),
    validation = Rule::new("self.metadata.name.matches('^[a-z]')").message("the name of a Pipeline must begin with a letter: its Service carries it"),
    printcolumn(name = "Tenant", type_ = "string", json_path = ".spec.tenantRef.name", description = "The tenant whose events these are."),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status", description = "Whether everything the spec asks for works."),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason", description = "Why the pipeline is or is not ready."),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp", description = "How long the pipeline exists."),
    printcolumn(name = "Topic", type_ = "string", json_path = ".status.topic.name", priority = "1", description = "The Kafka topic."),
    printcolumn(name = "Partitions", type_ = "integer", json_path = ".status.topic.partitions", priority = "1", description = "The topic's partitions."),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].message", priority = "1", description = "What holds the pipeline up.")
)]
#[serde(rename_all = "camelCase")]
pub struct PipelineSpec {
    /// The tenant whose events these are, in the same namespace. It cannot be changed later.
    #[x_kube(validation = Rule::new("self == oldSelf").message("tenantRef cannot be changed: the topic carries the tenant's id"))]
    pub tenant_ref: TenantReference,

    /// Where events come from. It cannot be changed later.
    #[serde(default)]
    pub source: Source,

    /// The Kafka topic between ingester and consumer. With `source.kafka` there is none: then only the dead-letter
    /// topic has what is said here.
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

    /// What happens to the topics when the Pipeline is deleted. Default: what the tenant says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<PipelineDeletionPolicy>,
}

/// An AnalyticsTenant of the same namespace.
#[derive(Debug, Clone, PartialEq, Eq, KubeSchema, Serialize, Deserialize)]
pub struct TenantReference {
    /// The AnalyticsTenant's name.
    #[schemars(length(min = 1, max = 40))]
    pub name: String,
}

/// The Kafka topic of a Pipeline. The dead-letter topic has one partition and the same replication.
#[derive(Debug, Clone, PartialEq, Eq, KubeSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.partitions >= oldSelf.partitions").message("partitions cannot be lowered: Kafka cannot shrink a topic"),
    validation = Rule::new("has(self.replicationFactor) == has(oldSelf.replicationFactor) && (!has(self.replicationFactor) || self.replicationFactor == oldSelf.replicationFactor)")
        .message("replicationFactor cannot be changed, added or removed later"),
    validation = Rule::new("!has(self.minInsyncReplicas) || !has(self.replicationFactor) || self.minInsyncReplicas <= self.replicationFactor")
        .message("minInsyncReplicas must not be greater than replicationFactor, or every write would be refused")
)]
pub struct TopicSpec {
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
            partitions: default_partitions(),
            replication_factor: None,
            min_insync_replicas: None,
            retention_hours: default_topic_retention_hours(),
        }
    }
}

/// The pods that take events over HTTP.
#[derive(Debug, Clone, PartialEq, Eq, KubeSchema, Serialize, Deserialize)]
pub struct IngesterSpec {
    /// Pods. Default 2.
    #[serde(default = "default_ingester_replicas")]
    #[schemars(range(min = 0, max = 100))]
    pub replicas: i32,
    /// CPU and memory of each pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// The Service in front of the pods.
    #[serde(default)]
    pub service: ServiceSpec,
    /// An Ingress in front of the Service. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress: Option<IngressSpec>,
}

fn default_ingester_replicas() -> i32 {
    2
}

impl Default for IngesterSpec {
    fn default() -> Self {
        Self {
            replicas: default_ingester_replicas(),
            resources: None,
            service: ServiceSpec::default(),
            ingress: None,
        }
    }
}

/// CPU and memory as Kubernetes quantities, for example `250m` and `128Mi`.
#[derive(Debug, Clone, PartialEq, Eq, Default, KubeSchema, Serialize, Deserialize)]
pub struct Resources {
    /// What the scheduler keeps free for a pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<ResourceList>,
    /// What a pod may not exceed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<ResourceList>,
}

/// An amount of CPU and memory.
#[derive(Debug, Clone, PartialEq, Eq, Default, KubeSchema, Serialize, Deserialize)]
pub struct ResourceList {
    /// CPUs, for example `2` or `250m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 20), regex(pattern = r"^[0-9]+(\.[0-9]+)?m?$"))]
    pub cpu: Option<String>,
    /// Bytes, for example `128Mi`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 20), regex(pattern = r"^[0-9]+(\.[0-9]+)?(k|M|G|T|Ki|Mi|Gi|Ti)?$"))]
    pub memory: Option<String>,
}

/// The Service in front of the ingester.
#[derive(Debug, Clone, PartialEq, Eq, Default, KubeSchema, Serialize, Deserialize)]
pub struct ServiceSpec {
    /// Default: ClusterIP.
    #[serde(default, rename = "type")]
    pub kind: ServiceType,
    /// Annotations of the Service, for example for a cloud's load balancer.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(length(max = 64))]
    pub annotations: BTreeMap<String, String>,
}

/// How a Service is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, JsonSchema, Serialize, Deserialize)]
pub enum ServiceType {
    /// From inside the cluster.
    #[default]
    ClusterIP,
    /// From a port of every node.
    NodePort,
    /// Through a load balancer of the cloud.
    LoadBalancer,
}

/// An Ingress in front of the ingester.
#[derive(Debug, Clone, PartialEq, Eq, KubeSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IngressSpec {
    /// The host name, for example `events.example.com`.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$"))]
    pub hostname: String,
    /// The IngressClass. Default: the cluster's default class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub class_name: Option<String>,
    /// The Secret with the certificate. Without it the Ingress speaks plain HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub tls_secret_name: Option<String>,
    /// Annotations of the Ingress, for example for cert-manager.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(length(max = 64))]
    pub annotations: BTreeMap<String, String>,
}

/// The pods that write events into ClickHouse.
#[derive(Debug, Clone, PartialEq, Eq, KubeSchema, Serialize, Deserialize)]
pub struct ConsumerSpec {
    /// Pods; more than the topic has partitions would idle. Default 1.
    #[serde(default = "default_consumer_replicas")]
    #[schemars(range(min = 0, max = 1000))]
    pub replicas: i32,
    /// CPU and memory of each pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// The audit, which reads stored records from Kafka again and looks their events up in ClickHouse.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit: Option<AuditSpec>,
}

fn default_consumer_replicas() -> i32 {
    1
}

impl Default for ConsumerSpec {
    fn default() -> Self {
        Self { replicas: default_consumer_replicas(), resources: None, audit: None }
    }
}

/// How much of what was stored is looked up again.
#[derive(Debug, Clone, PartialEq, Eq, KubeSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditSpec {
    /// Of a thousand stored records, those that are looked up; 0 switches the audit off. Default 10, which is one per
    /// cent.
    #[serde(default = "default_share_per_mille")]
    #[schemars(range(min = 0, max = 1000))]
    pub share_per_mille: i32,
}

fn default_share_per_mille() -> i32 {
    10
}

/// When a batch is closed.
#[derive(Debug, Clone, PartialEq, Eq, KubeSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchSpec {
    /// Rows. Default 50000.
    #[serde(default = "default_max_rows")]
    #[schemars(range(min = 1, max = 1000000))]
    pub max_rows: i32,
    /// Bytes of the encoded rows. Default 33554432, which is 32 MiB.
    #[serde(default = "default_max_bytes")]
    #[schemars(range(min = 1048576, max = 268435456))]
    pub max_bytes: i64,
    /// Milliseconds from the first row to the insert. Default 1000.
    #[serde(default = "default_max_delay_ms")]
    #[schemars(range(min = 10, max = 60000))]
    pub max_delay_ms: i32,
}

fn default_max_rows() -> i32 {
    50_000
}

fn default_max_bytes() -> i64 {
    32 * 1024 * 1024
}

fn default_max_delay_ms() -> i32 {
    1_000
}

impl Default for BatchSpec {
    fn default() -> Self {
        Self {
            max_rows: default_max_rows(),
            max_bytes: default_max_bytes(),
            max_delay_ms: default_max_delay_ms(),
        }
    }
}

/// What happens to the topics when the Pipeline is deleted.
#[derive(Debug, Clone, PartialEq, Eq, Default, KubeSchema, Serialize, Deserialize)]
pub struct PipelineDeletionPolicy {
    /// The topic and the dead-letter topic. Default: Retain.
    #[serde(default)]
    pub kafka: DeletionPolicy,
}

/// What was observed of a Pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Default, KubeSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PipelineStatus {
    /// The generation of the spec that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
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
}

/// A Kafka topic.
#[derive(Debug, Clone, PartialEq, Eq, KubeSchema, Serialize, Deserialize)]
pub struct TopicStatus {
    /// Its name.
    #[schemars(length(max = 249))]
    pub name: String,
    /// Kafka's id of this incarnation.
    #[schemars(length(max = 36))]
    pub id: String,
    /// Its partitions.
    #[schemars(range(min = 0))]
    pub partitions: i32,
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
