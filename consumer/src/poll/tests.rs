use std::time::Instant;

use rdkafka::{
    mocking::MockCluster,
    producer::{BaseProducer, BaseRecord, Producer as _},
};

use super::*;
use crate::scripted::{ClickHouse, settings, topic};

const PARTITIONS: i32 = 32;

#[tokio::test]
#[allow(clippy::disallowed_methods, reason = "how long the question takes is what is tested")]
async fn many_logs_are_asked_about_in_the_time_of_one() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic(topic().as_str(), PARTITIONS, 1).unwrap();
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", cluster.bootstrap_servers()).create().unwrap();
    let name = topic();
    producer.send(BaseRecord::<str, str>::to(name.as_str()).partition(5).payload("x")).unwrap();
    producer.flush(Duration::from_secs(10)).unwrap();
    let server = ClickHouse::answering(&[]).await;
    let source = Source::join(&settings(&cluster.bootstrap_servers(), &server)).unwrap();
    let partitions: Vec<i32> = (0..PARTITIONS).collect();
    source.log_ranges(&partitions).unwrap();

    cluster.broker_round_trip_time(1, Duration::from_millis(200)).unwrap();
    let start = Instant::now();
    let ranges = source.log_ranges(&partitions).unwrap();
    // One after the other they are asked for 6 s and more.
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    assert_eq!(ranges.len(), PARTITIONS as usize);
    assert_eq!(ranges[&5], LogRange { start: 0, end: 1 });
    assert_eq!(ranges[&6], LogRange { start: 0, end: 0 });
    assert!(source.log_ranges(&[]).unwrap().is_empty());
}

#[tokio::test]
async fn a_reader_leaves_no_trace_in_the_group_and_makes_no_topic() {
    let server = ClickHouse::answering(&[]).await;
    let config = reader_config(&settings("localhost:1", &server), "me");
    for (name, expected) in [
        ("client.id", "me"),
        ("enable.auto.commit", "false"),
        ("allow.auto.create.topics", "false"),
        ("auto.offset.reset", "earliest"),
    ] {
        assert_eq!(config.get(name), Some(expected), "{name}");
    }
}

/// A partition that was refused would count as committed otherwise, and nobody would commit it again.
#[tokio::test]
async fn a_commit_that_one_of_its_partitions_refuses_has_failed() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic(topic().as_str(), 2, 1).unwrap();
    let server = ClickHouse::answering(&[]).await;
    // It joins no group, so that the brokers take what it commits.
    let config = config(&settings(&cluster.bootstrap_servers(), &server));
    let consumer = BaseConsumer::from_config_and_context(&config, Group::default()).unwrap();
    let source = Source { consumer, topic: topic().to_string() };
    source.commit(&[(0, 1), (1, 1)]).unwrap();
    // The topic has no such partition, and the other one is taken.
    assert!(source.commit(&[(0, 2), (99, 1)]).is_err());
    assert_eq!(source.committed(&[0, 1]).unwrap(), BTreeMap::from([(0, 2), (1, 1)]));
}
