//! The custom resources of `analytics.millrace.dev/v1alpha1`, as types and as the YAML that the chart installs.
//!
//! ```text
//! types with doc comments --derive--> crds/analyticstenant.yaml, crds/pipeline.yaml --copy--> chart
//! conditions, reasons, Events --------> docs/reference/conditions.md, docs/reference/events.md
//! ```
//!
//! Invariants: no async, no client, no clock. What a field's doc comment says is what `kubectl explain` shows.
//! Rules that need another object (a tenant's plan, a claimed name) are not here: the operator checks them.

#![allow(
    unreachable_pub,
    reason = "the KubeSchema derive makes a public type inside a block for each of ours"
)]

pub mod analytics_tenant;
pub mod condition;
pub mod event;
#[cfg(test)]
mod generated;
pub mod manifests;
pub mod pipeline;
pub mod reason;
#[cfg(test)]
mod reference;
mod vocabulary;

pub use analytics_tenant::{AnalyticsTenant, AnalyticsTenantSpec, AnalyticsTenantStatus};
pub use condition::Condition;
pub use pipeline::{Pipeline, PipelineSpec, PipelineStatus};
pub use reason::Reason;

/// The API group of every resource of ours, and the prefix of our labels and annotations.
pub const GROUP: &str = "analytics.millrace.dev";
