//! The conditions of both resources: their shape and their types. The reasons are in [`crate::reason`].

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::vocabulary::vocabulary;

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

vocabulary! {
    /// The resources that have conditions.
    pub enum Resource {
        /// One tenant with its keys and its database.
        AnalyticsTenant,
        /// What carries a tenant's events from HTTP or Kafka into its tables.
        Pipeline,
    }
}

vocabulary! {
    /// The types of conditions, the same word with the same meaning on every resource.
    pub enum ConditionType {
        /// Everything that the spec asks for is there and works: the other conditions in one, and for a tenant its
        /// managed Pipeline as well.
        Ready,
        /// The operator accepts the spec.
        SpecValid,
        /// The tenant's API keys are in its Secret, and its users are in ClickHouse.
        CredentialsReady,
        /// The tenant's database is there and belongs to this tenant.
        DatabaseReady,
        /// The tables and views are those of the operator's version, and events are kept as long as the spec says.
        SchemaInSync,
        /// The tables that the Pipeline writes to are there.
        TableReady,
        /// The topic and the dead-letter topic are there, belong to this Pipeline and are as the spec says; a topic of
        /// `source.kafka` only has to be there.
        TopicReady,
        /// The ingester, where there is one, and the consumer have all the pods that were asked for.
        WorkloadsAvailable,
        /// Events wait in Kafka, because the spec says so: there is no consumer.
        Paused,
        /// The operator is at work, or waits for what `Ready` names.
        Reconciling,
        /// Trying again cannot help: somebody has to change the spec or what is outside of it.
        Stalled,
        /// The resource is being deleted, and something holds it.
        DeletionBlocked,
    }
}

/// What it means that a condition is true.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Polarity {
    /// All is well.
    Good,
    /// Something is going on or wrong. The condition is there only while that is so.
    Abnormal,
}

impl ConditionType {
    /// The types that a resource can have.
    #[must_use]
    pub const fn of(resource: Resource) -> &'static [Self] {
        match resource {
            Resource::AnalyticsTenant => &[
                Self::Ready,
                Self::SpecValid,
                Self::CredentialsReady,
                Self::DatabaseReady,
                Self::SchemaInSync,
                Self::Reconciling,
                Self::Stalled,
                Self::DeletionBlocked,
            ],
            Resource::Pipeline => &[
                Self::Ready,
                Self::SpecValid,
                Self::TableReady,
                Self::TopicReady,
                Self::WorkloadsAvailable,
                Self::Paused,
                Self::Reconciling,
                Self::Stalled,
                Self::DeletionBlocked,
            ],
        }
    }

    /// What it means that the condition is true.
    #[must_use]
    pub const fn polarity(self) -> Polarity {
        match self {
            Self::Ready
            | Self::SpecValid
            | Self::CredentialsReady
            | Self::DatabaseReady
            | Self::SchemaInSync
            | Self::TableReady
            | Self::TopicReady
            | Self::WorkloadsAvailable => Polarity::Good,
            Self::Paused | Self::Reconciling | Self::Stalled | Self::DeletionBlocked => Polarity::Abnormal,
        }
    }
}

/// The types as text, for whoever reads a status.
pub mod kind {
    use super::ConditionType;

    pub const READY: &str = ConditionType::Ready.as_str();
    pub const SPEC_VALID: &str = ConditionType::SpecValid.as_str();
    pub const CREDENTIALS_READY: &str = ConditionType::CredentialsReady.as_str();
    pub const DATABASE_READY: &str = ConditionType::DatabaseReady.as_str();
    pub const SCHEMA_IN_SYNC: &str = ConditionType::SchemaInSync.as_str();
    pub const TOPIC_READY: &str = ConditionType::TopicReady.as_str();
    pub const TABLE_READY: &str = ConditionType::TableReady.as_str();
    pub const WORKLOADS_AVAILABLE: &str = ConditionType::WorkloadsAvailable.as_str();
    pub const PAUSED: &str = ConditionType::Paused.as_str();
    pub const DELETION_BLOCKED: &str = ConditionType::DeletionBlocked.as_str();
    pub const RECONCILING: &str = ConditionType::Reconciling.as_str();
    pub const STALLED: &str = ConditionType::Stalled.as_str();
}
