use clap::CommandFactory as _;

use super::*;

const SMALLEST: [&str; 5] = [
    "operator",
    "--kafka-bootstrap-servers=kafka:9092",
    "--clickhouse-url=http://clickhouse:8123",
    "--ingester-image=ingester:1",
    "--consumer-image=consumer:1",
];

fn parsed(more: &[&str]) -> Result<Options, clap::Error> {
    Options::try_parse_from(SMALLEST.iter().chain(more))
}

#[test]
fn the_options_are_consistent() {
    Options::command().debug_assert();
}

#[test]
fn addresses_and_images_are_enough() {
    let options = parsed(&[]).unwrap();
    assert_eq!(options.topic_prefix.as_str(), "millrace");
    assert_eq!(options.kafka.security_protocol, SecurityProtocol::Plaintext);
    assert_eq!((options.kafka.replication_factor, options.kafka.min_insync_replicas), (3, 2));
    assert_eq!(options.data_plane.tolerations, Tolerations::default());
}

#[test]
fn a_mechanism_without_a_user_is_refused() {
    assert!(parsed(&["--kafka-sasl-mechanism=PLAIN"]).is_err());
}

#[test]
fn a_user_without_a_mechanism_is_refused() {
    assert!(parsed(&["--kafka-sasl-username=millrace"]).is_err());
}

#[test]
fn a_recheck_is_from_a_second_to_an_hour() {
    assert_eq!(parsed(&[]).unwrap().recheck_seconds, 300);
    assert_eq!(parsed(&["--recheck-seconds=1"]).unwrap().recheck_seconds, 1);
    assert_eq!(parsed(&["--recheck-seconds=3600"]).unwrap().recheck_seconds, 3_600);
    assert!(parsed(&["--recheck-seconds=0"]).is_err());
    assert!(parsed(&["--recheck-seconds=3601"]).is_err());
}

#[test]
fn a_lease_lasts_from_three_seconds_to_ten_minutes_and_has_a_name() {
    let lease = parsed(&[]).unwrap().lease;
    assert_eq!((lease.name.as_str(), lease.seconds, lease.identity), ("millrace-operator", 30, None));
    assert_eq!(parsed(&["--lease-seconds=3"]).unwrap().lease.seconds, 3);
    for refused in ["--lease-seconds=2", "--lease-seconds=601", "--lease-name=", "--lease-identity="] {
        assert!(parsed(&[refused]).is_err(), "{refused}");
    }
}

#[test]
fn namespaces_are_named_one_by_one() {
    assert!(parsed(&[]).unwrap().watch_namespaces.is_empty());
    let two = parsed(&["--watch-namespace=team-a", "--watch-namespace=b"]).unwrap();
    assert_eq!(two.watch_namespaces, ["team-a", "b"]);
    let long = "x".repeat(64);
    for name in ["", "-a", "a-", "A", "a.b", "*", &long] {
        assert!(parsed(&[&format!("--watch-namespace={name}")]).is_err(), "{name}");
    }
}

#[test]
fn a_prefix_with_a_dot_is_refused() {
    assert!(parsed(&["--topic-prefix=a.b"]).is_err());
}

#[test]
fn plans_that_cannot_work_are_refused_in_words() {
    let refused = parsed(&[
        r#"--plans={"free":{"retentionHours":25,"maxRetentionHours":24},"paid":{"retentionHours":1},"enterprise":{}}"#,
    ]);
    let said = refused.unwrap_err().to_string();
    assert!(said.contains("`free` keeps events for 25 hours and allows 24 at most"), "{said}");
    assert!(parsed(&["--plans={}"]).unwrap_err().to_string().contains("missing field `free`"));
}

#[test]
fn users_are_made_where_that_is_asked_for() {
    let clickhouse = parsed(&[]).unwrap().clickhouse;
    assert_eq!((clickhouse.access_management, clickhouse.users), (AccessManagement::None, Policy::default()));
    let users = r#"--clickhouse-users={"networks":["10.0.0.0/8"],"reader":{"maxThreads":2}}"#;
    let clickhouse = parsed(&["--clickhouse-access-management=Sql", users]).unwrap().clickhouse;
    assert_eq!(clickhouse.access_management, AccessManagement::Sql);
    assert_eq!(clickhouse.users.reader.max_threads.get(), 2);
    for wrong in ["--clickhouse-access-management=sql", r#"--clickhouse-users={"reader":{"maxRows":1}}"#] {
        assert!(parsed(&[wrong]).is_err(), "{wrong}");
    }
}

#[test]
fn a_node_selector_that_is_no_object_is_refused() {
    assert!(parsed(&["--node-selector=[]"]).is_err());
}

#[test]
fn a_priority_class_without_a_name_is_refused() {
    assert!(parsed(&["--priority-class-name="]).is_err());
}

#[test]
fn a_secured_installation_with_placed_pods_is_understood() {
    let options = parsed(&[
        "--kafka-security-protocol=SASL_SSL",
        "--kafka-sasl-mechanism=SCRAM-SHA-512",
        "--kafka-sasl-username=millrace",
        "--kafka-sasl-password-file=/etc/kafka/password",
        "--image-pull-secret=one",
        "--image-pull-secret=two",
        r#"--node-selector={"disk":"fast"}"#,
        r#"--tolerations=[{"key":"dedicated","operator":"Exists"}]"#,
        "--priority-class-name=events",
    ])
    .unwrap();
    assert_eq!(options.kafka.sasl_mechanism, Some(SaslMechanism::ScramSha512));
    assert_eq!(options.data_plane.image_pull_secrets, ["one", "two"]);
    assert_eq!(options.data_plane.node_selector.0["disk"], "fast");
    assert_eq!(options.data_plane.tolerations.0[0].key.as_deref(), Some("dedicated"));
    assert_eq!(options.data_plane.priority_class_name.as_deref(), Some("events"));
}
