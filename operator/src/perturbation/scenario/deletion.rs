//! Deletions under every policy, and what comes after them.

use serde_json::{Value, json};

use super::{ACME, ACME_DEFAULT, Scenario, Step, of_acme, set, tenant};
use crate::testing::ACME_KEYS;

const WEB: &str = "pipelines/team/web";

pub(super) fn all() -> Vec<Scenario> {
    vec![
        deleted("kept and kept", "Retain", "Retain"),
        deleted("topics deleted, database kept", "Delete", "Retain"),
        deleted("topics kept, database dropped", "Retain", "Delete"),
        deleted("deleted and dropped", "Delete", "Delete"),
        of_acme("taken over", vec![Step::Delete(ACME), tenant()]),
        taken_over_and_deleted(),
        by_hand("pipeline kept", "Retain", vec![Step::Delete(WEB)]),
        by_hand("pipeline deleted", "Delete", vec![Step::Delete(WEB)]),
        by_hand("pipeline kept and made anew", "Retain", vec![Step::Delete(WEB), web("Retain")]),
        by_hand("pipeline deleted and made anew", "Delete", vec![Step::Delete(WEB), web("Delete")]),
        by_hand("pipeline in the way", "Delete", vec![Step::Delete(ACME), Step::Delete(WEB)]),
        protected(),
        protected_and_taken_apart(),
        pipeline_of_a_protected_tenant(),
    ]
}

fn with_policies(kafka: &str, clickhouse: &str) -> Step {
    Step::Apply(format!(
        "{{apiVersion: analytics.millrace.dev/v1alpha1, kind: AnalyticsTenant, metadata: {{name: acme, namespace: team}}, \
         spec: {{deletionPolicy: {{kafka: {kafka}, clickhouse: {clickhouse}}}}}}}"
    ))
}

fn deleted(name: &'static str, kafka: &str, clickhouse: &str) -> Scenario {
    Scenario { name, given: vec![with_policies(kafka, clickhouse)], steps: vec![Step::Delete(ACME)] }
}

/// A tenant that works until it may go, with all its data.
fn protected_tenant() -> Step {
    Step::Apply(
        "{apiVersion: analytics.millrace.dev/v1alpha1, kind: AnalyticsTenant, metadata: {name: acme, namespace: team}, \
         spec: {deletionProtection: true, deletionPolicy: {kafka: Delete, clickhouse: Delete}}}"
            .to_owned(),
    )
}

fn let_go() -> Step {
    Step::Edit(ACME, |tenant| set(tenant, "deletionProtection", json!(false)))
}

fn protected() -> Scenario {
    let other_keys =
        |tenant: &mut Value| set(tenant, "apiKeys", json!([{"name": "web", "scopes": ["Ingest"]}]));
    Scenario {
        name: "protected, edited and let go",
        given: vec![protected_tenant()],
        steps: vec![Step::Delete(ACME), Step::Edit(ACME, other_keys), let_go()],
    }
}

/// As Kubernetes does it in the foreground.
fn protected_and_taken_apart() -> Scenario {
    Scenario {
        name: "protected, taken apart and let go",
        given: vec![protected_tenant()],
        steps: vec![Step::Delete(ACME), Step::Delete(ACME_DEFAULT), Step::Delete(ACME_KEYS), let_go()],
    }
}

/// Its topics stay, and are taken over by the one that is made anew.
fn pipeline_of_a_protected_tenant() -> Scenario {
    Scenario {
        name: "pipeline of a protected tenant deleted",
        given: vec![protected_tenant(), web("Delete")],
        steps: vec![Step::Delete(WEB), Step::Delete(ACME_DEFAULT)],
    }
}

/// The data of a first tenant go with the second.
fn taken_over_and_deleted() -> Scenario {
    Scenario {
        name: "taken over and deleted",
        given: vec![tenant(), Step::Delete(ACME)],
        steps: vec![with_policies("Delete", "Delete"), Step::Delete(ACME)],
    }
}

fn web(policy: &str) -> Step {
    Step::Apply(format!(
        "{{apiVersion: analytics.millrace.dev/v1alpha1, kind: Pipeline, metadata: {{name: web, namespace: team}}, \
         spec: {{tenantRef: {{name: acme}}, deletionPolicy: {{kafka: {policy}}}}}}}"
    ))
}

fn by_hand(name: &'static str, policy: &str, steps: Vec<Step>) -> Scenario {
    Scenario { name, given: vec![tenant(), web(policy)], steps }
}
