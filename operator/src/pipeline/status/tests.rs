use super::*;
use crate::pipeline::apply::Replicas;
use crate::{pipeline::validate::tests::fetched, retries::Pace};
use crate::{
    pipeline::validate::{Invalid, Obstacle},
    progress::{Progress, Waiting},
};
use crds::pipeline::TableStatus;
use schema::names::{ConsumerGroup, TableGeneration, TopicId, TopicName};
use uuid::Uuid;

fn pipeline() -> Pipeline {
    let manifest = "{apiVersion: analytics.millrace.dev/v1alpha1, kind: Pipeline, \
                    metadata: {name: web, namespace: team, uid: p1, generation: 4}, spec: {tenantRef: {name: acme}}}";
    serde_saphyr::from_str(manifest).unwrap()
}

fn topic(name: &str) -> Option<TopicStatus> {
    Some(TopicStatus {
        name: name.to_owned(),
        id: Uuid::from_u128(1).to_string(),
        partitions: 6,
        missing_since: None,
    })
}

fn done() -> Outcome {
    let name = TopicName::parse("millrace.acme.web").unwrap();
    Outcome {
        spec: Progress::Done(()),
        topics: Progress::Done(()),
        table: Progress::Done(TableStatus {
            database: "t_acme".to_owned(),
            name: "events_raw".to_owned(),
            uuid: Uuid::from_u128(2).to_string(),
        }),
        workloads: Progress::Done(Workloads::Running),
        consumers: Some(Replicas { desired: 1, existing: 1, ready: 1 }),
        topic: topic("millrace.acme.web"),
        dead_letter: topic("millrace.acme.web.dlq"),
        noted: None,
        group: Some(ConsumerGroup::of(
            &name,
            TopicId(Uuid::from_u128(1)),
            TableGeneration(Uuid::from_u128(2)),
        )),
        endpoint: Some("http://web-ingester.team.svc:8080".to_owned()),
        drain: Drain::Nothing,
        pause: Pause::No,
        credential: Credential::Shared,
    }
}

fn described(pipeline: &Pipeline, outcome: &Outcome) -> PipelineStatus {
    describe(pipeline, outcome, Changes::Last, Timestamp::from_second(0).unwrap())
}

#[test]
fn a_pipeline_with_everything_is_ready() {
    insta::assert_yaml_snapshot!(described(&pipeline(), &done()));
}

#[test]
fn a_missing_tenant_is_named_first_and_forgets_nothing() {
    let mut pipeline = pipeline();
    let before = described(&pipeline, &done());
    pipeline.status = Some(before.clone());
    let waiting = Waiting { reason: Reason::TenantNotFound, message: "there is none".to_owned() };
    let status = described(&pipeline, &Outcome::stopped(&pipeline, Obstacle::Waiting(waiting)));
    assert_eq!(conditions::find(&status.conditions, ConditionType::Ready).unwrap().reason, "TenantNotFound");
    assert!(conditions::find(&status.conditions, ConditionType::Stalled).is_none());
    assert_eq!((status.topic, status.table, status.endpoint), (before.topic, before.table, before.endpoint));
}

#[test]
fn a_spec_that_cannot_be_brought_about_is_stalled() {
    let batch = Invalid::Batch { field: "maxRows", value: 0, least: 1, most: 2 };
    let status = described(&pipeline(), &Outcome::stopped(&pipeline(), Obstacle::Invalid(batch)));
    assert_eq!(conditions::find(&status.conditions, ConditionType::Stalled).unwrap().reason, "InvalidBatch");
}

#[test]
fn what_is_wrong_with_a_name_is_told() {
    let source = TopicName::parse_given("millrace.acme.a b").unwrap_err();
    let invalid = Invalid::TopicName { source };
    let status = described(&pipeline(), &Outcome::stopped(&pipeline(), Obstacle::Invalid(invalid)));
    let message = &conditions::find(&status.conditions, ConditionType::SpecValid).unwrap().message;
    assert!(
        message.starts_with("`topic.name` cannot be the name of a topic: ") && message.ends_with("found ` `"),
        "{message}"
    );
}

#[test]
fn the_next_look_comes_when_the_next_key_ends() {
    let mut fetched = fetched();
    let keys = fetched.tenant.as_mut().unwrap().spec.api_keys.as_mut().unwrap();
    keys[0].expires_at = Some(serde_json::from_str("\"2026-01-31T12:00:03Z\"").unwrap());
    let next = super::super::next(done(), Pace::default(), &fetched).unwrap();
    assert_eq!(next, kube::runtime::controller::Action::requeue(std::time::Duration::from_secs(3)));
}
