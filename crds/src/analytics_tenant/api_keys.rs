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
    /// What the key may do. Ingest: send events. Query: read events; no part of this
    /// version takes such a key.
    #[schemars(length(min = 1, max = 2))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub scopes: Vec<ApiKeyScope>,
    /// A key of your own, such as one of another cluster, instead of one that the operator makes. The Secret lies in the
    /// tenant's namespace and has the label `analytics.millrace.dev/api-key: "true"`; its entry holds a key of Millrace's
    /// form, one that begins with `mrq_` where `scopes` has Query. It is copied into the Secret `<name>-api-keys`, and
    /// while it cannot be, the key is refused. When this field is taken away, the copy stays the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretKeyReference>,
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

/// An entry of a Secret in the tenant's namespace.
#[derive(Debug, Clone, PartialEq, Eq, KubeSchema, Serialize, Deserialize)]
pub struct SecretKeyReference {
    /// The Secret's name.
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$"))]
    pub name: String,
    /// The entry in its data.
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[-._a-zA-Z0-9]+$"))]
    pub key: String,
}

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub enum ApiKeyScope {
    /// Send events.
    Ingest,
    /// Read events. No part of this version takes such a key.
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
