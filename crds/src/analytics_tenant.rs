//! The AnalyticsTenant resource: one tenant with its keys, its database and how long its events are kept.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

mod api_keys;
mod status;

pub use {
    api_keys::{ApiKeyScope, ApiKeySpec, ApiKeyState, SecretKeyReference},
    status::{AnalyticsTenantStatus, ApiKeyStatus, ClickHouseUsersStatus, DatabaseStatus, EndpointsStatus},
};

/// A tenant: a ClickHouse database, API keys, and by default one managed Pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Default, CustomResource, KubeSchema, Serialize, Deserialize)]
#[kube(
    group = "analytics.millrace.dev",
    version = "v1alpha1",
    kind = "AnalyticsTenant",
    plural = "analyticstenants",
    shortname = "atn",
    category = "analytics",
    namespaced,
    status = "AnalyticsTenantStatus",
    derive = "PartialEq",
    doc = "AnalyticsTenant is a tenant of Millrace: a ClickHouse database, API keys, and by default one managed Pipeline.",
    validation = Rule::new("self.metadata.name.size() <= 40").message("the name of an AnalyticsTenant has at most 40 characters"),
    validation = Rule::new("!self.metadata.name.contains('.')").message("the name of an AnalyticsTenant must not contain a dot"),
    validation = Rule::new("self.metadata.name.matches('^[a-z]')").message("the name of an AnalyticsTenant must begin with a letter: its managed Pipeline's Service carries it"),
    printcolumn(name = "Tier", type_ = "string", json_path = ".spec.tier", description = "The plan of the tenant."),
    printcolumn(name = "Database", type_ = "string", json_path = ".status.database.name", description = "The tenant's ClickHouse database."),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status", description = "Whether everything the spec asks for works."),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason", description = "Why the tenant is or is not ready."),
    printcolumn(name = "Keys", type_ = "integer", json_path = ".status.activeKeys", description = "How many API keys are taken now."),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp", description = "How long the tenant exists."),
    printcolumn(name = "DisplayName", type_ = "string", json_path = ".spec.displayName", priority = "1", description = "The tenant's name for people."),
    printcolumn(name = "Endpoint", type_ = "string", json_path = ".status.endpoints.ingest", priority = "1", description = "Where SDKs send events to."),
    printcolumn(name = "Retention(h)", type_ = "integer", json_path = ".status.retentionHours", priority = "1", description = "How many hours events are kept now."),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].message", priority = "1", description = "What holds the tenant up.")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.tenantId) == has(oldSelf.tenantId) && (!has(self.tenantId) || self.tenantId == oldSelf.tenantId)")
        .message("tenantId cannot be changed, added or removed later: it names the database and the topics; make another AnalyticsTenant"),
    validation = Rule::new("!has(self.tier) || self.tier != 'Enterprise' || has(self.retention)")
        .message("retention must be set when tier is 'Enterprise': that plan has none of its own")
)]
pub struct AnalyticsTenantSpec {
    /// The tenant's name for people. `kubectl get atn -o wide` shows it, and nothing else uses it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub display_name: Option<String>,

    /// The id in keys, topics and the database's name; a UUID is fine.
    /// Without it, the id is the namespace, a dash and the name. It cannot be changed later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 40), regex(pattern = "^[a-z0-9-]+$"))]
    pub tenant_id: Option<String>,

    /// The plan of the tenant: how long events are kept if `retention` does not say, and how long at most, and whether
    /// the tenant is protected if `deletionProtection` does not say.
    /// The numbers are the installation's, by default 24 hours for Free, 90 days for Paid, and whatever `retention`
    /// says for Enterprise. Without a tier, 90 days if `retention` does not say, no maximum and no protection.
    // Without `with`, `kubectl explain` would show the words of the enum in place of these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Tier")]
    pub tier: Option<Tier>,

    /// How long events stay readable, counted from their receipt. Exactly one of days and hours. Without it, as long as
    /// the tier says; a tenant of the tier Enterprise has to say it.
    /// A shorter one deletes events, so it waits for the annotation `analytics.millrace.dev/allow-retention-hours` with
    /// the hours of now and the new ones, as in `720-to-24`; the condition says which. It counts once.
    // The API server fills in no default: it would stay beside `hours` when a tenant without a retention gets one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<RetentionSpec>,

    /// The API keys. Each becomes an entry of the Secret `<name>-api-keys`.
    /// Without this field, one key `default` that may ingest; an empty list is no key.
    // The API server fills in no default: server-side apply would keep its key beside those that are applied later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_owned()]))]
    pub api_keys: Option<Vec<ApiKeySpec>>,

    /// Ingest: no events are taken. All: none are stored either, after a drain. Holds for all Pipelines beside their
    /// `state`. Default: None.
    #[serde(default)]
    pub suspend: Suspend,

    /// What happens to topics and database when the tenant is deleted. Default: both are kept.
    #[serde(default)]
    pub deletion_policy: TenantDeletionPolicy,

    /// Whether a deletion of the tenant waits until this is false; until then the tenant works as before, and
    /// `DeletionBlocked` says so. A deletion that was asked for cannot be taken back. The topics of a Pipeline that is
    /// deleted meanwhile stay as well. Default: as the tier's plan says, which protects tenants of the tier Enterprise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_protection: Option<bool>,

    /// Managed: the operator makes a Pipeline `<name>-default` and deletes it with the tenant. None: Pipelines are made by
    /// hand. Default: Managed.
    #[serde(default)]
    pub default_pipeline: DefaultPipeline,
}

/// Exactly one of days and hours.
#[derive(Debug, Clone, PartialEq, Eq, KubeSchema, Serialize, Deserialize)]
#[x_kube(validation = Rule::new("has(self.days) != has(self.hours)").message("exactly one of days and hours must be set"))]
pub struct RetentionSpec {
    /// Days, 1 to 18250.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 18250))]
    pub days: Option<i32>,
    /// Hours, 1 to 438000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 438000))]
    pub hours: Option<i32>,
}

impl AnalyticsTenantSpec {
    /// The keys, one that may ingest if the spec says nothing.
    #[must_use]
    pub fn api_keys(&self) -> Vec<ApiKeySpec> {
        let default = || {
            vec![ApiKeySpec {
                name: "default".to_owned(),
                scopes: vec![ApiKeyScope::Ingest],
                expires_at: None,
                secret_ref: None,
            }]
        };
        self.api_keys.clone().unwrap_or_else(default)
    }
}

/// What the Pipelines of a tenant leave off. Data, keys and topics stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, JsonSchema, Serialize, Deserialize)]
pub enum Suspend {
    /// Nothing.
    #[default]
    None,
    /// No events are taken; what was taken is stored. With `source.kafka` nothing is read.
    Ingest,
    /// No events are taken, and after what was taken is stored, as with the `state` `Stopped`, nothing runs.
    All,
}

/// The plan of a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub enum Tier {
    /// For a try: by default, events are kept for 24 hours.
    Free,
    /// By default, events are kept for 90 days.
    Paid,
    /// As agreed with the tenant: the spec says how long events are kept.
    Enterprise,
}

/// What happens to the tenant's data when the tenant is deleted.
#[derive(Debug, Clone, PartialEq, Eq, Default, KubeSchema, Serialize, Deserialize)]
pub struct TenantDeletionPolicy {
    /// The topics of each Pipeline of the tenant whose own `deletionPolicy` says nothing. Retain keeps them, for the next
    /// Pipeline of the same name. Delete deletes them with the Pipeline, unless the tenant is protected. Default: Retain.
    #[serde(default)]
    pub kafka: DeletionPolicy,
    /// The database with all events. Retain keeps it, for the next tenant of the same name in the same namespace. Delete
    /// drops it with the tenant. Default: Retain.
    #[serde(default)]
    pub clickhouse: DeletionPolicy,
}

/// Whether data outlives its resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, JsonSchema, Serialize, Deserialize)]
pub enum DeletionPolicy {
    /// Data stays, and a resource of the same name in the same namespace takes it over again.
    #[default]
    Retain,
    /// Data is deleted with the resource.
    Delete,
}

/// Whether the operator makes a Pipeline for the tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, JsonSchema, Serialize, Deserialize)]
pub enum DefaultPipeline {
    /// The operator makes a Pipeline `<name>-default` and deletes it with the tenant.
    #[default]
    Managed,
    /// Pipelines are made by hand.
    None,
}
