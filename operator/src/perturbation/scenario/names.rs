//! Pipelines that give their topic a name, and two that give the same.

use super::{Scenario, Step};

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
    ]
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
