use crds::pipeline::DrainStatus;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time as KubernetesTime;
use uuid::Uuid;

use super::*;
use crate::plans;

const NOW: &str = "2026-01-01T01:00:00Z";

fn pipeline(spec: &str) -> Pipeline {
    let manifest = format!(
        "{{apiVersion: analytics.millrace.dev/v1alpha1, kind: Pipeline, metadata: {{name: web, namespace: team}}, \
         spec: {{tenantRef: {{name: acme}}{spec}}}}}"
    );
    serde_saphyr::from_str(&manifest).unwrap()
}

fn tenant(spec: &str) -> AnalyticsTenant {
    let manifest = format!(
        "{{apiVersion: analytics.millrace.dev/v1alpha1, kind: AnalyticsTenant, \
         metadata: {{name: acme, namespace: team}}, spec: {{{spec}}}}}"
    );
    serde_saphyr::from_str(&manifest).unwrap()
}

fn time_of(text: &str) -> KubernetesTime {
    KubernetesTime(text.parse().unwrap())
}

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

#[test]
fn the_pipelines_own_policy_wins_over_the_tenants() {
    let deletes = tenant("deletionPolicy: {kafka: Delete}");
    for (spec, tenant, expected) in [
        (", deletionPolicy: {kafka: Retain}", Some(&deletes), Policy::Retain),
        (", deletionPolicy: {kafka: Delete}", None, Policy::Delete),
        ("", Some(&deletes), Policy::Delete),
        ("", None, Policy::Retain),
    ] {
        assert_eq!(policy(&plans::tests::plain(), &pipeline(spec), tenant), expected, "{spec}");
    }
}

#[test]
fn the_protection_of_the_tenant_wins_over_every_policy() {
    let (own, none) = (", deletionPolicy: {kafka: Delete}", "");
    for (spec, fields, expected) in [
        (own, "deletionProtection: true", Policy::Protect),
        (own, "tier: Enterprise", Policy::Protect),
        (own, "tier: Enterprise, deletionProtection: false", Policy::Delete),
        (none, "deletionProtection: true, deletionPolicy: {kafka: Delete}", Policy::Protect),
        (none, "deletionProtection: true", Policy::Retain),
    ] {
        let found = policy(&plans::tests::plain(), &pipeline(spec), Some(&tenant(fields)));
        assert_eq!(found, expected, "{spec} {fields}");
    }
}

#[test]
fn the_time_of_a_drain_is_that_of_the_spec() {
    for (spec, begun, expected) in [
        ("", "2026-01-01T00:59:10Z", Time::Left),
        ("", "2026-01-01T00:59:00Z", Time::Over),
        (", drainTimeoutSeconds: 3600", "2026-01-01T00:10:00Z", Time::Left),
        (", drainTimeoutSeconds: 0", NOW, Time::Over),
    ] {
        let mut pipeline = pipeline(spec);
        pipeline.metadata.deletion_timestamp = Some(time_of("2026-01-01T00:00:00Z"));
        assert_eq!(time(&pipeline, now()), Time::Left, "it did not begin");
        let drain = DrainStatus { started_at: time_of(begun), drained: None, remaining: None };
        pipeline.status.get_or_insert_default().drain = Some(drain);
        assert_eq!(time(&pipeline, now()), expected, "{spec} {begun}");
    }
}

#[test]
fn records_are_at_stake_while_there_is_a_table_for_them() {
    let with_topic = |spec: &str| {
        let mut pipeline = pipeline(spec);
        let (name, id) = ("millrace.acme.web".to_owned(), Uuid::from_u128(1).to_string());
        let topic = crds::pipeline::TopicStatus { name, id, partitions: 6, missing_since: None };
        pipeline.status.get_or_insert_default().topic = Some(topic);
        pipeline
    };
    let own = with_topic("");
    let mut goes = tenant("deletionPolicy: {clickhouse: Delete}");
    assert_eq!(stake(&own, Some(&goes)), Stake::Records, "the tenant stays");
    goes.metadata.deletion_timestamp = Some(time_of(NOW));
    assert_eq!(stake(&own, Some(&goes)), Stake::Nothing);
    goes.spec.deletion_policy.clickhouse = DeletionPolicy::Retain;
    assert_eq!((stake(&own, Some(&goes)), stake(&own, None)), (Stake::Records, Stake::Records));
    assert_eq!(stake(&with_topic(", source: {kafka: {topic: theirs}}"), None), Stake::Nothing);
    assert_eq!(stake(&pipeline(""), None), Stake::Nothing, "it has no topic yet");
}
