//! The count against librdkafka's own mock brokers.

use rdkafka::{
    ClientConfig,
    consumer::{CommitMode, DefaultConsumerContext},
    mocking::MockCluster,
    producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer as _},
};
use schema::names::{TableGeneration, TopicId, TopicName};
use uuid::Uuid;

use super::{super::tests::settings_of, *};

const PATIENCE: Duration = Duration::from_secs(20);

fn topic() -> Topic {
    let name = TopicName::parse("millrace.acme.web").unwrap();
    Topic { name, id: TopicId(Uuid::from_u128(1)), partitions: 2, replication_factor: 1 }
}

fn group() -> ConsumerGroup {
    ConsumerGroup::of(&topic().name, topic().id, TableGeneration(Uuid::from_u128(2)))
}

/// A cluster with the topic, of whose partitions the first has three records and the second has two.
struct Cluster {
    brokers: MockCluster<'static, DefaultProducerContext>,
}

impl Cluster {
    fn with_five_records() -> Self {
        let brokers = MockCluster::new(1).unwrap();
        brokers.create_topic(topic().name.as_str(), topic().partitions, 1).unwrap();
        let cluster = Self { brokers };
        cluster.write(&topic(), [0, 0, 0, 1, 1]);
        cluster
    }

    fn write(&self, topic: &Topic, partitions: impl IntoIterator<Item = i32>) {
        let producer: BaseProducer = self.config().create().unwrap();
        for partition in partitions {
            let record = BaseRecord::<(), _>::to(topic.name.as_str()).partition(partition).payload("{}");
            producer.send(record).unwrap();
        }
        producer.flush(PATIENCE).unwrap();
    }

    fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.brokers.bootstrap_servers());
        config
    }

    fn commit(&self, partition: i32, next: i64) {
        let mut config = self.config();
        config.set("group.id", group().as_str()).set("enable.auto.commit", "false");
        let consumer: BaseConsumer<DefaultConsumerContext> = config.create().unwrap();
        let mut offsets = TopicPartitionList::new();
        offsets.add_partition_offset(topic().name.as_str(), partition, Offset::Offset(next)).unwrap();
        consumer.commit(&offsets, CommitMode::Sync).unwrap();
    }

    fn unstored(&self) -> u64 {
        unstored(&settings_of(&self.brokers.bootstrap_servers()), PATIENCE, &topic(), &group()).unwrap()
    }
}

#[test]
fn what_no_commit_covers_is_not_stored() {
    let cluster = Cluster::with_five_records();
    assert_eq!(cluster.unstored(), 5, "nothing was committed");
    cluster.commit(0, 2);
    assert_eq!(cluster.unstored(), 3);
    cluster.commit(0, 3);
    assert_eq!(cluster.unstored(), 2, "the other partition has no commit");
    cluster.commit(1, 2);
    assert_eq!(cluster.unstored(), 0);
}

/// Two questions for each partition would take twenty seconds here.
#[test]
fn the_partitions_of_a_large_topic_are_asked_for_together() {
    const PARTITIONS: i32 = 200;
    let cluster = Cluster { brokers: MockCluster::new(1).unwrap() };
    let topic = Topic { partitions: PARTITIONS, ..topic() };
    cluster.brokers.create_topic(topic.name.as_str(), PARTITIONS, 1).unwrap();
    cluster.write(&topic, 0..PARTITIONS);
    cluster.commit(7, 1);
    cluster.brokers.broker_round_trip_time(1, Duration::from_millis(50)).unwrap();
    let settings = settings_of(&cluster.brokers.bootstrap_servers());
    assert_eq!(unstored(&settings, Duration::from_secs(10), &topic, &group()).unwrap(), 199);
}

#[test]
fn a_partition_of_which_kafka_does_not_say_is_not_taken_for_empty() {
    let cluster = Cluster::with_five_records();
    let more = Topic { partitions: 3, ..topic() };
    let settings = settings_of(&cluster.brokers.bootstrap_servers());
    assert!(unstored(&settings, Duration::from_secs(3), &more, &group()).is_err());
}

#[test]
fn records_that_kafka_deleted_are_not_waited_for() {
    for (commit, start, end, expected) in [
        (None, 0, 0, 0),
        (None, 7, 10, 3),
        (Some(8), 7, 10, 2),
        (Some(2), 7, 10, 3),
        (Some(10), 7, 10, 0),
        // A commit from before the log was cut, as after an unclean election.
        (Some(12), 7, 10, 3),
    ] {
        assert_eq!(behind(commit, start, end), expected, "{commit:?} of {start}..{end}");
    }
}

#[test]
fn a_cluster_that_is_away_is_an_error_within_the_deadline() {
    // A port that was free a moment ago: the connection is refused.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let settings = settings_of(&format!("127.0.0.1:{port}"));
    let error = unstored(&settings, Duration::from_millis(300), &topic(), &group()).unwrap_err();
    assert_eq!(error.failure(), crate::failure::Failure::Transient, "{error:?}");
}
