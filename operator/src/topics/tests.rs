use std::{collections::BTreeMap, time::Duration};

use crds::Reason;
use rdkafka::{mocking::MockCluster, types::RDKafkaErrorCode as Code};
use schema::{
    names::{PipelineName, TopicName, TopicPrefix},
    settings::{KafkaSettings, SecurityProtocol},
    tenant_id::TenantId,
};
use uuid::Uuid;

use super::*;
use crate::failure::Failure;

fn name() -> TopicName {
    TopicName::of(
        &TopicPrefix::parse("millrace").unwrap(),
        &TenantId::parse("acme").unwrap(),
        &PipelineName::parse("web").unwrap(),
    )
}

fn spec() -> TopicSpec {
    TopicSpec {
        name: name(),
        holds: Holds::Events,
        partitions: 6,
        replication_factor: 3,
        min_insync_replicas: 2,
        retention_ms: 604_800_000,
        shortening: Shortening::Held,
    }
}

fn topic(partitions: i32, replication_factor: i32) -> Topic {
    Topic { name: name(), id: TopicId(Uuid::from_u128(1)), partitions, replication_factor }
}

pub(super) fn settings_of(bootstrap_servers: &str) -> KafkaSettings {
    KafkaSettings {
        bootstrap_servers: bootstrap_servers.to_owned(),
        security_protocol: SecurityProtocol::Plaintext,
        sasl: None,
        ca_pem: None,
    }
}

#[test]
fn only_the_expected_incarnation_is_touched() {
    let (ours, other) = (TopicId(Uuid::from_u128(1)), TopicId(Uuid::from_u128(2)));
    let check = |found, expected| as_expected(&name(), found, expected);
    assert!(matches!(check(Some(topic(6, 3)), Expected::Incarnation(ours)), Ok(Some(_))));
    assert!(matches!(
        check(Some(topic(6, 3)), Expected::Incarnation(other)),
        Err(TopicsError::Replaced { .. })
    ));
    assert!(matches!(check(None, Expected::Incarnation(ours)), Err(TopicsError::Missing { .. })));
    assert!(matches!(check(Some(topic(6, 3)), Expected::ToBeMade), Ok(Some(_))));
    assert!(matches!(check(None, Expected::ToBeMade), Ok(None)));
}

#[test]
fn only_an_answer_says_that_nothing_was_made() {
    let says = |code| {
        let source = AdminError::new(code, "");
        TopicsError::Create { topic: name(), source }.says_nothing_was_made()
    };
    assert!(says(Code::PolicyViolation) && says(Code::TopicAuthorizationFailed));
    assert!(!says(Code::OperationTimedOut) && !says(Code::BrokerTransportFailure));
}

#[test]
fn a_topic_as_wanted_passes() {
    assert!(check(&spec(), &topic(6, 3)).is_ok());
}

#[test]
fn a_topic_with_fewer_partitions_may_grow() {
    assert!(check(&spec(), &topic(1, 3)).is_ok());
}

#[test]
fn a_topic_with_more_partitions_is_not_shrunk() {
    let error = check(&spec(), &topic(7, 3)).unwrap_err();
    assert!(matches!(error, TopicsError::Shrink { has: 7, wants: 6, .. }));
    assert_eq!(error.failure(), Failure::Refused);
}

/// Letters have no order, and whoever reads them reads all partitions.
#[test]
fn more_partitions_of_dead_letters_are_taken_as_they_are() {
    let spec = TopicSpec { holds: Holds::DeadLetters, partitions: 1, ..spec() };
    assert!(check(&spec, &topic(12, 3)).is_ok());
    assert!(matches!(check(&spec, &topic(12, 1)), Err(TopicsError::TooFewReplicas { .. })));
}

#[test]
fn a_topic_whose_copies_could_never_acknowledge_is_refused() {
    let error = check(&spec(), &topic(6, 1)).unwrap_err();
    assert!(matches!(error, TopicsError::TooFewReplicas { has: 1, needs: 2, .. }));
}

#[test]
fn a_topic_carries_every_setting_that_delivery_rests_on() {
    insta::assert_debug_snapshot!(settings::wanted(&spec()));
}

#[test]
fn a_dead_letter_of_the_largest_record_fits() {
    let bytes = |holds| {
        let wanted = settings::wanted(&TopicSpec { holds, ..spec() });
        let (_, value) = wanted.into_iter().find(|(name, _)| *name == "max.message.bytes").unwrap();
        value.parse::<usize>().unwrap()
    };
    assert!(bytes(Holds::DeadLetters) > bytes(Holds::Events));
    assert!(bytes(Holds::Events) > schema::record::MAX_RECORD_BYTES);
}

#[test]
fn settings_that_are_there_are_left_alone() {
    let wanted = settings::wanted(&spec());
    let mut observed: BTreeMap<String, String> =
        wanted.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    observed.insert("segment.bytes".to_owned(), "1".to_owned());
    assert_eq!(settings::differing(wanted, &observed), vec![]);
}

#[test]
fn settings_that_differ_or_are_missing_are_corrected() {
    let wanted = settings::wanted(&spec());
    let mut observed: BTreeMap<String, String> =
        wanted.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    observed.insert("retention.ms".to_owned(), "1".to_owned());
    observed.remove("min.insync.replicas");
    assert_eq!(
        settings::differing(wanted, &observed),
        vec![("min.insync.replicas", "2".to_owned()), ("retention.ms", "604800000".to_owned())]
    );
}

#[test]
fn a_retention_that_deletes_records_needs_consent() {
    let change = ("retention.ms", "604800000".to_owned());
    let other = ("min.insync.replicas", "2".to_owned());
    let kept = |has: &str, shortening| {
        let observed = [("retention.ms".to_owned(), has.to_owned())].into();
        let changes = vec![other.clone(), change.clone()];
        settings::without_held(changes, &observed, &TopicSpec { shortening, ..spec() })
    };
    let both = vec![other.clone(), change.clone()];
    assert_eq!(kept("3600000", Shortening::Held), (both.clone(), None), "growing deletes nothing");
    for (has, stays) in
        [("604800001", Kept::Hours(169)), ("3600000000", Kept::Hours(1_000)), ("-1", Kept::Otherwise)]
    {
        assert_eq!(kept(has, Shortening::Held), (vec![other.clone()], Some(stays)), "{has}");
        assert_eq!(kept(has, Shortening::Allowed(stays)), (both.clone(), None), "{has}");
        let another = Shortening::Allowed(Kept::Hours(720));
        assert_eq!(kept(has, another), (vec![other.clone()], Some(stays)), "{has}");
    }
}

#[test]
fn each_code_has_its_kind_of_failure() {
    #[track_caller]
    fn check(code: Code, expected: Failure) {
        let source = AdminError::new(code, "");
        assert_eq!(TopicsError::Describe { topic: name(), source }.failure(), expected, "{code}");
    }
    check(Code::OperationTimedOut, Failure::Transient);
    check(Code::BrokerTransportFailure, Failure::Transient);
    check(Code::NotController, Failure::Transient);
    check(Code::Authentication, Failure::Permission);
    check(Code::TopicAuthorizationFailed, Failure::Permission);
    check(Code::PolicyViolation, Failure::Refused);
    check(Code::InvalidConfig, Failure::Refused);
    check(Code::InvalidReplicationFactor, Failure::Refused);
}

#[test]
fn an_error_says_the_same_at_each_attempt() {
    let text = "sasl_ssl://kafka:9093/bootstrap: SASL authentication error";
    let timed = format!("{text} (after 326ms in state AUTH_REQ, 1 identical error(s) suppressed)");
    assert_eq!(AdminError::new(Code::Authentication, &timed), AdminError::new(Code::Authentication, text));
}

#[test]
fn a_timeout_cites_why_no_broker_was_found() {
    let cause = AdminError::new(Code::Authentication, "SASL authentication error");
    let cited = AdminError::new(Code::OperationTimedOut, "").because_of(&cause);
    assert_eq!(cited, cause);
}

#[test]
fn an_answer_of_the_broker_is_not_overridden_by_an_older_cause() {
    let cause = AdminError::new(Code::Authentication, "SASL authentication error");
    let answer = AdminError::new(Code::PolicyViolation, "no");
    assert_eq!(answer.clone().because_of(&cause), answer);
}

#[tokio::test]
async fn a_cluster_that_is_away_is_a_transient_failure_within_the_deadline() {
    // A port that was free a moment ago: the connection is refused.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let settings = settings_of(&format!("127.0.0.1:{port}"));
    let topics = KafkaTopics::with_deadline(&settings, Duration::from_millis(200)).unwrap();
    let error = topics.describe(&name()).await.unwrap_err();
    assert_eq!(error.failure(), Failure::Transient, "{error:?}");
    assert_eq!(error.reason(), Reason::KafkaUnreachable);
}

#[tokio::test]
async fn a_call_waits_for_the_calls_before_it_no_longer_than_for_its_own_answer() {
    let topics = KafkaTopics::with_deadline(&settings_of("127.0.0.1:1"), Duration::from_millis(10)).unwrap();
    let earlier_calls = topics.calls.acquire_many(MAX_CALLS.try_into().unwrap()).await.unwrap();
    let (name, long) = (name(), Duration::from_secs(5));
    let error = tokio::time::timeout(long, topics.describe(&name)).await.unwrap().unwrap_err();
    assert_eq!((error.failure(), error.reason()), (Failure::Transient, Reason::KafkaUnreachable));
    let TopicsError::Describe { source, .. } = error else { panic!("{error}") };
    assert_eq!(source, AdminError::without_turn());
    drop(earlier_calls);
}

#[tokio::test]
async fn after_a_call_without_an_answer_no_other_is_made_for_a_while() {
    let cluster = MockCluster::new(1).unwrap();
    let settings = settings_of(&cluster.bootstrap_servers());
    let topics = KafkaTopics::with_deadline(&settings, Duration::from_secs(2)).unwrap();
    let wait_for = |pause| *locked(&topics.silence) = Silence::new(pause);
    wait_for(Duration::from_secs(3_600));
    assert_eq!(topics.ids().await.unwrap(), []);
    cluster.broker_down(1).unwrap();
    let first = topics.ids().await.unwrap_err();
    assert_eq!(first.reason(), Reason::KafkaUnreachable);

    cluster.broker_up(1).unwrap();
    let TopicsError::List { source: first } = first else { panic!("{first}") };
    for _ in 0..3 {
        let TopicsError::List { source } = topics.ids().await.unwrap_err() else { panic!("another error") };
        assert_eq!(source, first, "Kafka was not asked");
    }
    wait_for(Duration::ZERO);
    let back = async {
        while topics.ids().await.is_err() {
            tokio::time::sleep(VISIBILITY_INTERVAL).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), back).await.unwrap();
}

#[test]
fn a_certificate_that_is_none_is_refused_at_once() {
    let mut settings = settings_of("127.0.0.1:1");
    settings.security_protocol = SecurityProtocol::Ssl;
    settings.ca_pem = Some("no certificate".to_owned());
    assert!(KafkaTopics::new(&settings).is_err());
}
