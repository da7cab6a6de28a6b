//! Pipelines that give their topic a name, and two that give the same; and two tenants of one id.

use super::{ACME, Scenario, Step, tenant};

const FIRST: &str = "pipelines/team/first";

pub(super) fn all() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "a topic with a given name",
            given: vec![lone_tenant()],
            steps: vec![named("first"), Step::Delete(FIRST)],
        },
        Scenario {
            name: "two pipelines and one name",
            given: vec![lone_tenant()],
            steps: vec![named("first"), named("second"), Step::Delete(FIRST)],
        },
        // It waits for the id, and the database goes to the next tenant of the first one's name all the same.
        Scenario {
            name: "two tenants and one id",
            given: vec![tenant(), rival()],
            steps: vec![Step::Delete(ACME), tenant()],
        },
    ]
}

fn rival() -> Step {
    Step::Apply(
        "{apiVersion: analytics.millrace.dev/v1alpha1, kind: AnalyticsTenant, \
         metadata: {name: rival, namespace: other}, spec: {tenantId: team-acme, defaultPipeline: None}}"
            .to_owned(),
    )
}

fn lone_tenant() -> Step {
    Step::Apply(
        "{apiVersion: analytics.millrace.dev/v1alpha1, kind: AnalyticsTenant, \
         metadata: {name: acme, namespace: team}, spec: {defaultPipeline: None}}"
            .to_owned(),
    )
}

fn named(pipeline: &str) -> Step {
    Step::Apply(format!(
        "{{apiVersion: analytics.millrace.dev/v1alpha1, kind: Pipeline, \
         metadata: {{name: {pipeline}, namespace: team}}, \
         spec: {{tenantRef: {{name: acme}}, topic: {{name: millrace.team-acme.orders}}, \
         deletionPolicy: {{kafka: Delete}}}}}}"
    ))
}
