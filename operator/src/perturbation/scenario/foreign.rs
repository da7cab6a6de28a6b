//! Pipelines that read a topic of somebody else.

use schema::names::{TopicId, TopicName};
use uuid::Uuid;

use super::{Scenario, Step};
use crate::{testing::World, topics::Topic};

const OCTANE: &str = "pipelines/team/octane";
const SOURCE: &str = "octane.events";

pub(super) fn all() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "foreign topic that comes later",
            given: vec![lone_tenant()],
            steps: vec![reader("Retain"), Step::Happens(|world| make_source(world, 500))],
        },
        Scenario {
            name: "foreign topic made anew",
            given: vec![lone_tenant(), Step::Happens(|world| make_source(world, 500)), reader("Retain")],
            steps: vec![
                Step::Happens(|world| drop(world.state().topics.remove(SOURCE))),
                Step::Happens(|world| make_source(world, 501)),
            ],
        },
        Scenario {
            name: "foreign topic outlives its reader",
            given: vec![lone_tenant(), Step::Happens(|world| make_source(world, 500)), reader("Delete")],
            steps: vec![Step::Delete(OCTANE)],
        },
    ]
}

fn lone_tenant() -> Step {
    let tenant = "
apiVersion: analytics.millrace.dev/v1alpha1
kind: AnalyticsTenant
metadata: {name: acme, namespace: team}
spec: {defaultPipeline: None}
";
    Step::Apply(tenant.to_owned())
}

fn reader(policy: &str) -> Step {
    Step::Apply(format!(
        "{{apiVersion: analytics.millrace.dev/v1alpha1, kind: Pipeline, metadata: {{name: octane, namespace: team}}, \
         spec: {{tenantRef: {{name: acme}}, source: {{kafka: {{topic: {SOURCE}}}}}, deletionPolicy: {{kafka: {policy}}}}}}}"
    ))
}

fn make_source(world: &World, id: u128) {
    let name = TopicName::parse(SOURCE).unwrap();
    let topic = Topic { name, id: TopicId(Uuid::from_u128(id)), partitions: 3, replication_factor: 1 };
    world.state().topics.insert(SOURCE.to_owned(), topic);
}
