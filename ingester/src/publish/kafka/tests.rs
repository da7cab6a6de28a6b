//! The producer against librdkafka's own mock brokers.

use std::thread::{self, JoinHandle};

use rdkafka::{
    Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _, DefaultConsumerContext},
    message::Headers as _,
    mocking::MockCluster,
    producer::DefaultProducerContext,
    types::{RDKafkaApiKey, RDKafkaRespErr},
};
use runtime::health::Health;

use super::{super::Settled, *};
use crate::testing::{route, settings};

type Cluster = MockCluster<'static, DefaultProducerContext>;

const STORED: Result<Settled, Error> = Ok(Settled { too_large: Vec::new() });

const PATIENCE: Duration = Duration::from_secs(20);

fn cluster() -> Cluster {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic(route().topic.as_str(), 1, 1).unwrap();
    cluster
}

fn options() -> ProducerOptions {
    ProducerOptions {
        linger: Duration::from_millis(1),
        publish_timeout: Duration::from_secs(2),
        queue_kib: 1_024,
        batch_messages: 100,
    }
}

/// A producer with its poll loop.
struct Running {
    producer: KafkaProducer,
    health: Health,
    shutdown: Shutdown,
    drained: CancellationToken,
    thread: JoinHandle<anyhow::Result<()>>,
}

impl Running {
    fn on(cluster: &Cluster, options: &ProducerOptions) -> Self {
        let producer = KafkaProducer::new(&settings(&cluster.bootstrap_servers()).kafka, options).unwrap();
        let (health, shutdown, drained) = (Health::new(), Shutdown::manual(), CancellationToken::new());
        let life = Life {
            heartbeat: health.heartbeat("producer", PATIENCE),
            is_working: health.flag("producer"),
            shutdown: shutdown.clone(),
        };
        life.is_working.set(true);
        let (polled, until) = (producer.clone(), drained.clone());
        let thread = thread::spawn(move || polled.poll(&life, &until, Duration::from_secs(5)));
        Self { producer, health, shutdown, drained, thread }
    }

    fn stop(self) -> anyhow::Result<()> {
        self.drained.cancel();
        self.thread.join().unwrap()
    }
}

fn record(key: Option<&str>, payload: &[u8]) -> Record {
    Record {
        route: Arc::new(route()),
        key: key.map(str::to_owned),
        headers: vec![("content-type", "application/x-ndjson".to_owned()), ("count", "1".to_owned())],
        payload: payload.to_vec(),
        events: 1,
    }
}

async fn outcome(producer: &KafkaProducer, records: &[Record]) -> Result<Settled, Error> {
    let acknowledgement = producer.produce(records)?;
    tokio::time::timeout(PATIENCE, acknowledgement.wait()).await.expect("every record has an outcome")
}

#[tokio::test]
async fn records_are_acknowledged_with_key_and_headers() {
    let cluster = cluster();
    let running = Running::on(&cluster, &options());
    let records = [record(Some("u-1"), b"{\"a\":1}"), record(None, b"{\"b\":2}")];
    assert_eq!(outcome(&running.producer, &records).await, STORED);
    running.stop().unwrap();

    let consumer: BaseConsumer<DefaultConsumerContext> = ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap_servers())
        .set("group.id", "test")
        .create()
        .unwrap();
    let mut partitions = TopicPartitionList::new();
    partitions.add_partition_offset(route().topic.as_str(), 0, Offset::Beginning).unwrap();
    consumer.assign(&partitions).unwrap();
    for expected in &records {
        // An event that is no message ends a poll too.
        let message = (0..100).find_map(|_| consumer.poll(PATIENCE / 100)).expect("a record").unwrap();
        assert_eq!(message.payload(), Some(expected.payload.as_slice()));
        assert_eq!(message.key(), expected.key.as_deref().map(str::as_bytes));
        let headers: Vec<_> = message
            .headers()
            .unwrap()
            .iter()
            .map(|header| (header.key.to_owned(), String::from_utf8(header.value.unwrap().to_vec()).unwrap()))
            .collect();
        let expected: Vec<_> =
            expected.headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        assert_eq!(headers, expected);
    }
}

#[tokio::test]
async fn a_broker_that_is_down_ends_in_a_timeout() {
    let cluster = cluster();
    let running = Running::on(&cluster, &options());
    let topics = [route().topic.to_string()];
    assert_eq!(running.producer.reach(&topics, PATIENCE), Reach::There);
    cluster.broker_down(1).unwrap();
    assert_eq!(outcome(&running.producer, &[record(None, b"{}")]).await, Err(Error::TimedOut));
    assert_eq!(running.producer.reach(&topics, Duration::from_millis(200)), Reach::NoAnswer);
    cluster.broker_up(1).unwrap();
    assert_eq!(running.producer.reach(&topics, PATIENCE), Reach::There);
    assert_eq!(outcome(&running.producer, &[record(None, b"{}")]).await, STORED);
    running.stop().unwrap();
}

#[tokio::test]
async fn a_topic_that_is_missing_is_named() {
    let cluster = cluster();
    let missing = RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
    cluster.topic_error("millrace.acme.web", missing).unwrap();
    let running = Running::on(&cluster, &options());
    let topics = [route().topic.to_string(), "millrace.acme.web".to_owned()];
    let expected = Reach::NoTopic { topic: "millrace.acme.web".to_owned() };
    assert_eq!(running.producer.reach(&topics, PATIENCE), expected);
    running.stop().unwrap();
}

#[tokio::test]
async fn a_full_queue_is_told_at_once() {
    let cluster = cluster();
    let running = Running::on(&cluster, &ProducerOptions { queue_kib: 1, ..options() });
    cluster.broker_down(1).unwrap();
    let first = running.producer.produce(&[record(None, &[b' '; 900])]).unwrap();
    let second = running.producer.produce(&[record(None, &[b' '; 900])]);
    assert_eq!(second.err(), Some(Error::QueueFull));
    assert_eq!(first.wait().await, Err(Error::TimedOut));
    running.stop().unwrap();
}

#[tokio::test]
async fn an_error_of_the_broker_fails_the_request_and_not_the_producer() {
    let cluster = cluster();
    let running = Running::on(&cluster, &options());
    let refused = RDKafkaRespErr::RD_KAFKA_RESP_ERR_INVALID_RECORD;
    cluster.request_errors(RDKafkaApiKey::Produce, &[refused]);
    assert_eq!(outcome(&running.producer, &[record(None, b"{}")]).await, Err(Error::Other));
    assert_eq!(outcome(&running.producer, &[record(None, b"{}")]).await, STORED);
    running.stop().unwrap();
}

#[tokio::test]
async fn a_record_that_is_too_large_fails_alone() {
    let cluster = cluster();
    let running = Running::on(&cluster, &options());
    // librdkafka's own bound, message.max.bytes.
    let records = [record(None, b"{}"), record(None, &vec![b' '; 1_000_001]), record(None, b"{}")];
    assert_eq!(outcome(&running.producer, &records).await, Ok(Settled { too_large: vec![1] }));
    running.stop().unwrap();
}

/// The broker's word is about the batch, in which records of other requests lie: none of them is the client's fault.
#[tokio::test]
async fn a_batch_that_is_too_large_for_the_broker_is_sent_again_by_the_clients() {
    let cluster = cluster();
    let running = Running::on(&cluster, &ProducerOptions { linger: Duration::from_millis(200), ..options() });
    let refused = RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE;
    cluster.request_errors(RDKafkaApiKey::Produce, &[refused]);
    let requests =
        [0; 3].map(|_| running.producer.produce(&[record(None, b"{}"), record(None, b"{}")]).unwrap());
    for request in requests {
        let outcome = tokio::time::timeout(PATIENCE, request.wait()).await.expect("an outcome in time");
        assert_eq!(outcome, Err(Error::BatchTooLarge));
    }
    assert_eq!(outcome(&running.producer, &[record(None, b"{}")]).await, STORED);
    running.stop().unwrap();
}

/// The broker says that the sequence was broken, which an idempotent producer cannot survive.
#[tokio::test]
async fn a_fatal_error_ends_the_process() {
    let cluster = cluster();
    let running = Running::on(&cluster, &options());
    let broken = RDKafkaRespErr::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER;
    cluster.request_errors(RDKafkaApiKey::Produce, &[broken]);
    assert!(outcome(&running.producer, &[record(None, b"{}")]).await.is_err());
    let token = running.shutdown.token();
    tokio::time::timeout(PATIENCE, token.cancelled()).await.expect("the shutdown is requested");
    assert_eq!(running.health.missing(), ["producer"]);
    assert_eq!(outcome(&running.producer, &[record(None, b"{}")]).await, Err(Error::Fatal));
    assert!(running.stop().unwrap_err().to_string().contains("failed for good"));
}
