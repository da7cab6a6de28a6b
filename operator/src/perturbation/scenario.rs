//! What users do, and what happens outside. Each field that can be edited is edited once.

mod deletion;
mod edit;
mod foreign;
mod names;
mod state;
mod users;

use serde_json::{Value, json};

use crate::testing::{ACME, ACME_DEFAULT, TENANT, World};

/// What happens, one thing after the other; the operator comes to rest after each.
pub(super) struct Scenario {
    pub(super) name: &'static str,
    /// What was there before. It is not disturbed.
    pub(super) given: Vec<Step>,
    pub(super) steps: Vec<Step>,
}

pub(super) enum Step {
    /// A user applies a manifest.
    Apply(String),
    /// A user asks for a deletion.
    Delete(&'static str),
    /// A user, or somebody else, edits an object.
    Edit(&'static str, fn(&mut Value)),
    /// Something happens in Kafka or ClickHouse.
    Happens(fn(&World)),
}

impl Step {
    pub(super) fn take(&self, world: &World) {
        match self {
            Self::Apply(manifest) => world.apply(manifest),
            Self::Delete(key) => world.delete(key),
            Self::Edit(key, edit) => world.edit(key, edit),
            Self::Happens(what) => what(world),
        }
    }
}

pub(super) fn all() -> Vec<Scenario> {
    let mut all = vec![made(), made_with_much()];
    all.extend(edit::all());
    all.extend(deletion::all());
    all.extend(foreign::all());
    all.extend(names::all());
    all.extend(state::all());
    all.extend(users::all());
    all
}

fn tenant() -> Step {
    Step::Apply(TENANT.to_owned())
}

/// A scenario of the tenant `acme` that is there.
fn of_acme(name: &'static str, steps: Vec<Step>) -> Scenario {
    Scenario { name, given: vec![tenant()], steps }
}

fn made() -> Scenario {
    Scenario { name: "made", given: Vec::new(), steps: vec![tenant()] }
}

/// A tenant and, before the tenant, a Pipeline that uses every field.
fn made_with_much() -> Scenario {
    let pipeline = "
apiVersion: analytics.millrace.dev/v1alpha1
kind: Pipeline
metadata: {name: web, namespace: team}
spec:
  tenantRef: {name: acme}
  topic: {partitions: 12, retentionHours: 24}
  ingester: {replicas: 3, ingress: {hostname: events.example.com}}
  consumer: {replicas: 2}
  batch: {maxRows: 5000}
  deletionPolicy: {kafka: Delete}
";
    let tenant = "
apiVersion: analytics.millrace.dev/v1alpha1
kind: AnalyticsTenant
metadata: {name: acme, namespace: team}
spec:
  retention: {days: 30}
  defaultPipeline: None
  apiKeys: [{name: web, scopes: [Ingest]}, {name: reports, scopes: [Query]}]
";
    Scenario {
        name: "made with much",
        given: Vec::new(),
        steps: vec![Step::Apply(pipeline.to_owned()), Step::Apply(tenant.to_owned())],
    }
}

/// Sets a field of the spec.
fn set(object: &mut Value, field: &str, value: Value) {
    object["spec"][field] = value;
}

/// Consents to a shorter retention.
fn consent(object: &mut Value, to: &str) {
    object["metadata"]["annotations"][crate::labels::ALLOW_RETENTION_HOURS] = json!(to);
}
