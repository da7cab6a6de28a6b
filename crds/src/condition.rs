//! The conditions of both resources: their shape and their vocabulary.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One observed aspect of a resource, as the Kubernetes API conventions define it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// The aspect, such as `Ready`.
    #[serde(rename = "type")]
    #[schemars(length(min = 1, max = 64))]
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: ConditionStatus,
    /// The generation of the spec that this was observed for.
    #[schemars(range(min = 0, max = 9007199254740991_i64))]
    pub observed_generation: i64,
    /// When `status` changed last.
    #[schemars(with = "String", length(max = 64), extend("format" = "date-time"))]
    pub last_transition_time: Time,
    /// One word for programs.
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"))]
    pub reason: String,
    /// A sentence for people.
    #[schemars(length(max = 32768))]
    pub message: String,
}

/// Whether a condition holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ConditionStatus {
    True,
    False,
    Unknown,
}

/// The types of conditions, the same word with the same meaning on every resource.
pub mod kind {
    /// Everything the spec asks for is there and works.
    pub const READY: &str = "Ready";
    /// The spec can be brought about.
    pub const SPEC_VALID: &str = "SpecValid";
    /// The tenant's keys and ClickHouse users exist.
    pub const CREDENTIALS_READY: &str = "CredentialsReady";
    /// The tenant's database exists and is ours.
    pub const DATABASE_READY: &str = "DatabaseReady";
    /// The tables and views are those of this version.
    pub const SCHEMA_IN_SYNC: &str = "SchemaInSync";
    /// The topic and the dead-letter topic exist and are ours; the topic of `source.kafka` exists.
    pub const TOPIC_READY: &str = "TopicReady";
    /// The tables that the pipeline writes to exist.
    pub const TABLE_READY: &str = "TableReady";
    /// The ingester, where there is one, and the consumer have the replicas that were asked for.
    pub const WORKLOADS_AVAILABLE: &str = "WorkloadsAvailable";
    /// The resource is being deleted and something holds it.
    pub const DELETION_BLOCKED: &str = "DeletionBlocked";
    /// Work is going on; present only while it is.
    pub const RECONCILING: &str = "Reconciling";
    /// Only a change of the spec can help; present only while that is so.
    pub const STALLED: &str = "Stalled";
}
