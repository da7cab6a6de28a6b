//! The API keys of a tenant.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One API key.
#[derive(Debug, Clone, PartialEq, Eq, KubeSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApiKeySpec {
    /// The key's name and its entry in the Secret.
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"))]
    pub name: String,
    /// What the key may do.
    #[schemars(length(min = 1, max = 2))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub scopes: Vec<ApiKeyScope>,
    /// When the key ends, such as `2027-01-31T12:00:00Z`. From that second on it is refused. It stays in its Secret, and
    /// is taken again when this is set to a later time. Without it, the key has no end.
    // A format alone lets in what is no time, as an hour of 99 in an offset, and one bad resource breaks a watch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        with = "Option<String>",
        length(max = 40),
        regex(pattern = "^2[0-9]{3}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,9})?(Z|[+-][01][0-9]:[0-5][0-9])$"),
        extend("format" = "date-time")
    )]
    pub expires_at: Option<Time>,
}

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub enum ApiKeyScope {
    /// Send events.
    Ingest,
    /// Read events.
    Query,
}

/// Whether a key is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, JsonSchema, Serialize, Deserialize)]
pub enum ApiKeyState {
    /// The key is taken.
    #[default]
    Active,
    /// The key is past its `expiresAt` and is refused.
    Expired,
}
