//! What was observed of an AnalyticsTenant.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::api_keys::ApiKeyState;
use crate::condition::Condition;

/// What was observed of an AnalyticsTenant.
#[derive(Debug, Clone, PartialEq, Eq, Default, KubeSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AnalyticsTenantStatus {
    /// The generation of the spec that this status is about; -1 until the operator has seen the resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -1, max = 9007199254740991_i64))]
    pub observed_generation: Option<i64>,
    /// The aspects of the tenant; `Ready` sums them up.
    #[serde(default)]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".to_owned()]))]
    pub conditions: Vec<Condition>,
    /// The tenant's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 40))]
    pub tenant_id: Option<String>,
    /// The tenant's ClickHouse database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<DatabaseStatus>,
    /// How many hours events are kept now. Absent until the table was made, and while somebody else's rule is on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 2147483647))]
    pub retention_hours: Option<i32>,
    /// Where the tenant is reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoints: Option<EndpointsStatus>,
    /// How many of `apiKeys` are taken now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 16))]
    pub active_keys: Option<i32>,
    /// The keys and where they lie.
    #[serde(default)]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_owned()]))]
    pub api_keys: Vec<ApiKeyStatus>,
    /// The ids of topics that were kept when their Pipeline or the tenant before was deleted, and of those that a
    /// Pipeline had before they were gone; the oldest first.
    /// A Pipeline takes over an existing topic of its name only when the id stands here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1000), inner(length(max = 36)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub retained_topics: Vec<String>,
    /// The value of the annotation `analytics.millrace.dev/allow-retention-hours` that was used.
    /// It counts again after it was removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub used_retention_consent: Option<String>,
    /// The tenant's users in ClickHouse. Absent where the installation makes none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clickhouse_users: Option<ClickHouseUsersStatus>,
    /// The value of the annotation `analytics.millrace.dev/rotate-credentials` for which the passwords of these users
    /// were replaced. It counts again after it was removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub used_rotation: Option<String>,
}

/// The tenant's users in ClickHouse.
#[derive(Debug, Clone, PartialEq, Eq, KubeSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClickHouseUsersStatus {
    /// As whom people and their tools read.
    #[schemars(length(max = 128))]
    pub reader: String,
    /// The Secret with the reader's `username` and `password`, and the `url` and `database` to use them with.
    #[schemars(length(max = 253))]
    pub reader_secret_name: String,
    /// As whom the tenant's consumers write.
    #[schemars(length(max = 128))]
    pub writer: String,
}

/// A ClickHouse database.
#[derive(Debug, Clone, PartialEq, Eq, KubeSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DatabaseStatus {
    /// Its name.
    #[schemars(length(max = 64))]
    pub name: String,
    /// ClickHouse's id of this incarnation.
    #[schemars(length(max = 36))]
    pub uuid: String,
    /// ClickHouse's id of this incarnation of the storage table; absent until the table was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 36))]
    pub table_uuid: Option<String>,
}

/// Addresses inside the cluster, and outside where an Ingress was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default, KubeSchema, Serialize, Deserialize)]
pub struct EndpointsStatus {
    /// Where SDKs send events to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub ingest: Option<String>,
}

/// What may be known of a key.
#[derive(Debug, Clone, PartialEq, Eq, KubeSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApiKeyStatus {
    /// The key's name in the spec.
    #[schemars(length(max = 63))]
    pub name: String,
    /// The first characters of the key, to recognise it by.
    #[schemars(length(max = 16))]
    pub prefix: String,
    /// The Secret whose entry of the key's name holds it.
    #[schemars(length(max = 253))]
    pub secret_name: String,
    /// When the key ends, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(max = 64), extend("format" = "date-time"))]
    pub expires_at: Option<Time>,
    /// Whether the key is taken: Active or Expired.
    #[serde(default)]
    pub state: ApiKeyState,
}
