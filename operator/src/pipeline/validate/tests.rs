use k8s_openapi::ByteString;

use super::*;
use crate::installation;

pub(crate) fn pipeline(spec: &str) -> Pipeline {
    let manifest = format!(
        "{{apiVersion: analytics.millrace.dev/v1alpha1, kind: Pipeline, \
         metadata: {{name: web, namespace: team, uid: p1, creationTimestamp: 2026-02-02T12:00:00Z}}, spec: {{tenantRef: {{name: acme}}, {spec}}}}}"
    );
    serde_saphyr::from_str(&manifest).unwrap()
}

fn tenant() -> AnalyticsTenant {
    let manifest = "
apiVersion: analytics.millrace.dev/v1alpha1
kind: AnalyticsTenant
metadata: {name: acme, namespace: team, uid: t1}
spec:
  apiKeys: [{name: web, scopes: [Ingest]}, {name: bi, scopes: [Query]}, {name: lost, scopes: [Ingest]}]
status:
  tenantId: team-acme
  database: {name: t_team_acme, uuid: u, tableUuid: 00000000-0000-0000-0000-000000000002}
";
    serde_saphyr::from_str(manifest).unwrap()
}

fn secret() -> Secret {
    let owner = tenant().controller_owner_ref(&()).unwrap();
    let entry = |name: &str, key: &str| (name.to_owned(), ByteString(key.as_bytes().to_vec()));
    let mut secret = Secret {
        data: Some([entry("web", "key of web"), entry("bi", "key of bi")].into()),
        ..Secret::default()
    };
    secret.metadata.owner_references = Some(vec![owner]);
    secret
}

pub(crate) fn fetched() -> Fetched {
    let at = "2026-01-31T12:00:00Z".parse().unwrap();
    Fetched { at, tenant: Some(tenant()), keys: Some(secret()), writer: None, settings: None }
}

/// What is between HTTP and the consumer.
fn http(validated: &ValidatedPipeline) -> &HttpSource {
    match &validated.source {
        Source::Http(http) => http,
        Source::Kafka(_) => panic!("events come over HTTP here"),
    }
}

pub(crate) fn validated(pipeline: &Pipeline, fetched: &Fetched) -> Result<ValidatedPipeline, Obstacle> {
    validate(&installation::tests::plain(), pipeline, fetched)
}

#[track_caller]
fn waits(fetched: &Fetched, reason: Reason) {
    match validated(&pipeline(""), fetched) {
        Err(Obstacle::Waiting(waiting)) => assert_eq!(waiting.reason, reason),
        other => panic!("{other:?}"),
    }
}

#[test]
fn defaults_come_from_the_installation() {
    let validated = validated(&pipeline(""), &fetched()).unwrap();
    let topic = &http(&validated).topic.spec;
    assert_eq!((topic.partitions, topic.replication_factor, topic.min_insync_replicas), (6, 3, 2));
    assert_eq!((topic.name.as_str(), topic.retention_ms), ("millrace.team-acme.web", 168 * HOUR_MS));
    let dead_letter = &validated.dead_letter.spec;
    assert_eq!((dead_letter.partitions, dead_letter.replication_factor), (1, 3));
    assert_eq!(
        (dead_letter.name.as_str(), dead_letter.retention_ms),
        ("millrace.team-acme.web.dlq", 336 * HOUR_MS)
    );
}

#[test]
fn a_given_name_is_that_of_the_topic_and_of_what_follows_from_it() {
    let validated = validated(&pipeline("topic: {name: millrace.team-acme.orders.eu}"), &fetched()).unwrap();
    assert_eq!(http(&validated).topic.spec.name.as_str(), "millrace.team-acme.orders.eu");
    assert_eq!(validated.dead_letter.spec.name.as_str(), "millrace.team-acme.orders.eu.dlq");
    assert_eq!(validated.unclaimed_name(), Some(&validated.topic_name));
    assert_eq!(validated.topic_name.as_str(), "millrace.team-acme.orders.eu");
}

#[test]
fn a_given_name_is_below_the_tenants_id() {
    for name in [
        "millrace.other.orders",
        "millrace.team-acme",
        "millrace.team-acme.",
        "elsewhere.team-acme.orders",
        "orders",
        "millrace.team-acme.orders.dlq",
        "millrace.team-acme.a b",
    ] {
        match validated(&pipeline(&format!("topic: {{name: \"{name}\"}}")), &fetched()) {
            Err(Obstacle::Invalid(invalid)) => {
                assert_eq!(invalid.reason(), Reason::InvalidTopicName, "{name}");
            }
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[test]
fn a_name_is_claimed_until_a_topic_of_it_is_known() {
    let unclaimed = |topic: Option<&str>, dead_letters: Option<&str>| {
        let status = |name: &str, id: Option<&str>| {
            id.map(|id| TopicStatus {
                name: name.to_owned(),
                id: id.to_owned(),
                partitions: 1,
                missing_since: None,
            })
        };
        let mut pipeline = pipeline("");
        let known = pipeline.status.get_or_insert_default();
        known.topic = status("millrace.team-acme.web", topic);
        known.dead_letter_topic = status("millrace.team-acme.web.dlq", dead_letters);
        validated(&pipeline, &fetched()).unwrap().unclaimed_name().is_some()
    };
    let id = Uuid::from_u128(5).to_string();
    assert!(unclaimed(None, None) && unclaimed(Some(""), None) && unclaimed(Some(""), Some("")));
    assert!(!unclaimed(Some(&id), None) && !unclaimed(Some(""), Some(&id)));
}

#[test]
fn dead_letters_are_kept_as_long_as_their_topic() {
    let validated = validated(&pipeline("topic: {retentionHours: 1000}"), &fetched()).unwrap();
    assert_eq!(validated.dead_letter.spec.retention_ms, 1000 * HOUR_MS);
}

#[test]
fn fewer_copies_need_fewer_acknowledgements() {
    let validated = validated(&pipeline("topic: {replicationFactor: 1}"), &fetched()).unwrap();
    assert_eq!(http(&validated).topic.spec.min_insync_replicas, 1);
}

#[test]
fn more_acknowledgements_than_copies_are_refused() {
    let refused = validated(&pipeline("topic: {minInsyncReplicas: 4}"), &fetched());
    assert!(
        matches!(refused, Err(Obstacle::Invalid(Invalid::Replication { copies: 3, needed: 4 }))),
        "{refused:?}"
    );
}

#[test]
fn a_number_of_a_batch_that_is_out_of_range_is_named_with_its_range() {
    for (batch, told) in [
        ("maxRows: -1", "`batch.maxRows` is -1 and has to be from 1 to 1000000"),
        ("maxRows: 0", "`batch.maxRows` is 0 and has to be from 1 to 1000000"),
        ("maxBytes: 268435457", "`batch.maxBytes` is 268435457 and has to be from 1048576 to 268435456"),
        ("maxDelayMs: 60001", "`batch.maxDelayMs` is 60001 and has to be from 10 to 60000"),
    ] {
        match validated(&pipeline(&format!("batch: {{{batch}}}")), &fetched()) {
            Err(Obstacle::Invalid(invalid)) => assert_eq!(invalid.to_string(), told),
            other => panic!("{batch}: {other:?}"),
        }
    }
}

#[test]
fn only_keys_that_may_send_reach_the_ingester_as_digests() {
    let validated = validated(&pipeline(""), &fetched()).unwrap();
    let keys = &http(&validated).keys;
    let names: Vec<&str> = keys.iter().map(|key| key.name.as_str()).collect();
    assert_eq!(names, ["web"]);
    assert_eq!(keys[0].sha256, KeyDigest::of("key of web"));
}

#[test]
fn another_topic_prefix_is_refused_while_a_topic_is_recorded() {
    let recorded = |name: &str| {
        let topic =
            TopicStatus { name: name.to_owned(), id: String::new(), partitions: 6, missing_since: None };
        let mut pipeline = pipeline("");
        pipeline.status.get_or_insert_default().topic = Some(topic);
        validated(&pipeline, &fetched())
    };
    assert!(recorded("millrace.team-acme.web").is_ok());
    let refused = recorded("before.team-acme.web");
    assert!(matches!(refused, Err(Obstacle::Invalid(Invalid::TopicRenamed { .. }))));
}

#[test]
fn a_missing_tenant_is_waited_for() {
    waits(&Fetched { tenant: None, ..fetched() }, Reason::TenantNotFound);
}

#[test]
fn a_tenant_without_a_table_is_waited_for() {
    let mut fresh = tenant();
    fresh.status.as_mut().unwrap().database.as_mut().unwrap().table_uuid = None;
    waits(&Fetched { tenant: Some(fresh), ..fetched() }, Reason::TenantNotReady);
}

#[test]
fn a_tenant_that_is_going_is_not_served_any_longer() {
    let mut going = tenant();
    going.metadata.deletion_timestamp =
        Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time("2026-01-01T00:00:00Z".parse().unwrap()));
    waits(&Fetched { tenant: Some(going), ..fetched() }, Reason::TenantNotReady);
}

#[test]
fn keys_of_a_secret_that_is_not_the_tenants_do_not_count() {
    let mut foreign = secret();
    foreign.metadata.owner_references = None;
    waits(&Fetched { keys: Some(foreign), ..fetched() }, Reason::TenantNotReady);
    waits(&Fetched { keys: None, ..fetched() }, Reason::TenantNotReady);
}

#[test]
fn an_empty_id_in_the_status_is_an_intention() {
    let status = |id: &str| TopicStatus {
        name: "t".to_owned(),
        id: id.to_owned(),
        partitions: 0,
        missing_since: None,
    };
    assert_eq!(recorded(None), Recorded::Nothing);
    assert_eq!(recorded(Some(&status(""))), Recorded::Intended);
    let id = Uuid::from_u128(5);
    assert_eq!(recorded(Some(&status(&id.to_string()))), Recorded::Incarnation(TopicId(id)));
}
