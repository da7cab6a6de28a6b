use std::{collections::BTreeMap, path::PathBuf, time::Instant};

use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    consumer::{BaseConsumer, CommitMode, Consumer as _},
    message::{Header, OwnedHeaders},
    mocking::MockCluster,
    producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer as _},
    types::{RDKafkaApiKey, RDKafkaRespErr},
};
use schema::{settings::RecordFormat, timestamp::Timestamp};
use tokio::task::JoinSet;

use super::*;
use crate::{
    incarnation,
    scripted::{Answer, ClickHouse, line, settings, topic},
};

mod accept;
mod gaps;
mod process;
mod watch;

const PATIENCE: Duration = Duration::from_secs(40);

/// A whole consumer against brokers and a ClickHouse of the test.
struct Fixture {
    cluster: MockCluster<'static, DefaultProducerContext>,
    server: ClickHouse,
    shutdown: Shutdown,
    running: JoinSet<anyhow::Result<()>>,
    folder: tempfile::TempDir,
}

impl Fixture {
    /// Brokers with the topics, and the settings for a consumer of them.
    fn make(server: ClickHouse) -> Self {
        Self::make_with(server, |_| {}, &[])
    }

    /// The same with other settings, and with records of another application that are there before.
    fn make_with(server: ClickHouse, change: impl FnOnce(&mut ConsumerSettings), records: &[&str]) -> Self {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic(topic().as_str(), 2, 1).unwrap();
        cluster.create_topic(topic().dead_letter().as_str(), 1, 1).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let fixture = Self { cluster, server, shutdown: Shutdown::manual(), running: JoinSet::new(), folder };
        let mut settings = settings(&fixture.cluster.bootstrap_servers(), &fixture.server);
        change(&mut settings);
        records.iter().for_each(|record| produce_foreign(&fixture.cluster, record));
        std::fs::write(fixture.settings_file(), serde_json::to_vec(&settings).unwrap()).unwrap();
        fixture
    }

    fn settings_file(&self) -> PathBuf {
        self.folder.path().join("settings.json")
    }

    async fn start(server: ClickHouse) -> Self {
        Self::start_with(server, |_| {}, &[]).await
    }

    async fn start_with(
        server: ClickHouse,
        change: impl FnOnce(&mut ConsumerSettings),
        records: &[&str],
    ) -> Self {
        let mut fixture = Self::make_with(server, change, records);
        fixture.run();
        fixture
    }

    fn run(&mut self) {
        let options = <Options as clap::Parser>::parse_from([
            "consumer",
            "--settings",
            self.settings_file().to_str().unwrap(),
            "--listen",
            "127.0.0.1:0",
            "--insert-timeout-ms",
            "500",
            "--stop-timeout-ms",
            "3000",
        ]);
        self.running.spawn(run(options, self.shutdown.clone()));
    }

    async fn stop(&mut self) {
        self.shutdown.request();
        self.running.join_next().await.unwrap().unwrap().unwrap();
    }

    fn produce(&self, partition: i32, payload: &str, tenant: &str) {
        self.produce_traced(partition, payload, tenant, None);
    }

    fn produce_traced(&self, partition: i32, payload: &str, tenant: &str, traceparent: Option<&str>) {
        let producer = producer(&self.cluster);
        let headers = OwnedHeaders::new()
            .insert(Header { key: "content-type", value: Some("application/x-ndjson") })
            .insert(Header { key: "tenant", value: Some(tenant) })
            .insert(Header { key: "schema-version", value: Some("1") });
        let trace = traceparent.map(|value| Header { key: "traceparent", value: Some(value) });
        let headers = trace.into_iter().fold(headers, OwnedHeaders::insert);
        let name = topic();
        let record =
            BaseRecord::<str, str>::to(name.as_str()).partition(partition).payload(payload).headers(headers);
        producer.send(record).unwrap();
        producer.flush(Duration::from_secs(10)).unwrap();
    }

    /// A client of the group that is no member.
    fn outsider(&self) -> BaseConsumer {
        let group = settings(&self.cluster.bootstrap_servers(), &self.server).group;
        ClientConfig::new()
            .set("bootstrap.servers", self.cluster.bootstrap_servers())
            .set("group.id", group.as_str())
            .create()
            .unwrap()
    }

    /// Commits as a member of the group did before.
    fn commit(&self, partition: i32, offset: i64) {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic().as_str(), partition, Offset::Offset(offset)).unwrap();
        self.outsider().commit(&list, CommitMode::Sync).unwrap();
    }

    /// What the group has committed, by partition.
    fn committed(&self) -> BTreeMap<i32, i64> {
        let reader = self.outsider();
        let mut list = TopicPartitionList::new();
        list.add_partition_range(topic().as_str(), 0, 1);
        let committed = reader.committed_offsets(list, Duration::from_secs(10)).unwrap();
        let offset = |offset| match offset {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        };
        committed.elements().iter().filter_map(|e| Some((e.partition(), offset(e.offset())?))).collect()
    }

    #[allow(clippy::disallowed_methods, reason = "the test waits for brokers")]
    async fn until(&self, what: &str, check: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !check(self) {
            assert!(start.elapsed() < PATIENCE, "waited in vain until {what}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn dead_letters(&self) -> i64 {
        let reader: BaseConsumer =
            ClientConfig::new().set("bootstrap.servers", self.cluster.bootstrap_servers()).create().unwrap();
        let name = topic().dead_letter();
        reader.fetch_watermarks(name.as_str(), 0, Duration::from_secs(10)).unwrap().1
    }
}

/// A loop beside which no task runs.
struct Alone {
    consumer: Loop,
    health: Health,
    _jobs: mpsc::Receiver<Job>,
    _done: blocking::Sender<Done>,
    _committed: tokio::sync::watch::Receiver<Committed>,
}

impl Alone {
    fn of(fixture: &Fixture) -> Self {
        let settings = Arc::new(read_settings(&fixture.settings_file()).unwrap());
        let source = Source::join(&settings).unwrap();
        let (jobs, waiting_jobs) = mpsc::channel(1);
        let (done, waiting_done) = blocking::channel();
        let (committed, seen_committed) = tokio::sync::watch::channel(Committed::new());
        let channels = Channels { jobs, done: waiting_done, committed };
        let (health, shutdown) = (Health::new(), Shutdown::manual());
        let consumer = Loop::new(settings, source, channels, &health, shutdown, Duration::from_secs(3));
        Self { consumer, health, _jobs: waiting_jobs, _done: done, _committed: seen_committed }
    }
}

fn producer(cluster: &MockCluster<'_, DefaultProducerContext>) -> BaseProducer {
    ClientConfig::new().set("bootstrap.servers", cluster.bootstrap_servers()).create().unwrap()
}

/// Writes a record as another application does, into the first partition.
fn produce_foreign(cluster: &MockCluster<'_, DefaultProducerContext>, payload: &str) {
    let (producer, name) = (producer(cluster), topic());
    producer.send(BaseRecord::<str, str>::to(name.as_str()).partition(0).payload(payload)).unwrap();
    producer.flush(Duration::from_secs(10)).unwrap();
}

fn is_foreign(settings: &mut ConsumerSettings) {
    settings.format = RecordFormat::Json(Box::default());
    settings.topic_id = incarnation::tests::id_of(settings);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_of_others_are_stored_and_what_cannot_be_parsed_is_a_dead_letter() {
    let records = [r#"{"event_name":"first"}"#, "poison", "{\n  \"event_name\": \"second\"\n}"];
    let mut fixture = Fixture::start_with(ClickHouse::answering(&[]).await, is_foreign, &records).await;
    fixture.until("the partition is committed", |f| f.committed() == BTreeMap::from([(0, 3)])).await;
    let stored = fixture.server.stored();
    assert_eq!(stored.iter().map(|seen| seen.rows).sum::<u64>(), 2);
    assert!(["first", "second"].iter().all(|name| stored.iter().any(|seen| seen.contains(name))));
    assert_eq!(fixture.dead_letters(), 1);
    fixture.stop().await;
}

fn starts_now(settings: &mut ConsumerSettings) {
    is_foreign(settings);
    // The brokers of the test know no times, and answer as if no record were as late.
    settings.start_at = Some(Timestamp::from_millis(1_769_860_800_000));
}

/// Without an answer everything before would be stored.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_that_begins_late_waits_until_kafka_says_where() {
    let before = [r#"{"event_name":"before"}"#; 2];
    let mut fixture = Fixture::make_with(ClickHouse::answering(&[]).await, starts_now, &before);
    let moving = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION; 6];
    fixture.cluster.request_errors(RDKafkaApiKey::ListOffsets, &moving);
    fixture.run();
    fixture
        .until("the start is committed", |fixture| fixture.committed() == BTreeMap::from([(0, 2), (1, 0)]))
        .await;
    assert!(fixture.server.seen().is_empty());
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_that_begins_late_notes_where_before_anything_comes() {
    let before = [r#"{"event_name":"before"}"#; 2];
    let mut fixture = Fixture::start_with(ClickHouse::answering(&[]).await, starts_now, &before).await;
    fixture
        .until("the start is committed", |fixture| fixture.committed() == BTreeMap::from([(0, 2), (1, 0)]))
        .await;
    assert!(fixture.server.seen().is_empty());
    produce_foreign(&fixture.cluster, r#"{"event_name":"after"}"#);
    fixture.until("it is committed", |f| f.committed() == BTreeMap::from([(0, 3), (1, 0)])).await;
    let stored = fixture.server.stored();
    assert!(stored.iter().all(|seen| seen.rows == 1 && seen.contains("after")), "{}", stored.len());
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offsets_are_committed_only_after_the_insert() {
    let mut fixture = Fixture::start(ClickHouse::start(|_| Answer::Code(159)).await).await;
    fixture.produce(0, &line("a"), "acme");
    fixture.produce(1, &format!("{}\n{}\n", line("b"), line("c")), "acme");
    fixture.until("inserts are tried", |fixture| fixture.server.seen().len() > 2).await;
    assert_eq!(fixture.committed(), BTreeMap::new());
    fixture.server.follow(|_| Answer::Stored);
    fixture
        .until("both partitions are committed", |f| f.committed() == BTreeMap::from([(0, 1), (1, 1)]))
        .await;
    assert!(fixture.server.stored().iter().map(|seen| seen.rows).sum::<u64>() >= 3);
    fixture.stop().await;
}

/// Left to itself librdkafka would not ask again, and both partitions would stand still for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn committed_offsets_that_kafka_does_not_tell_are_asked_for_again() {
    let mut fixture = Fixture::make(ClickHouse::answering(&[]).await);
    fixture.produce(0, &line("a"), "acme");
    fixture.produce(1, &line("b"), "acme");
    let moving = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_COORDINATOR; 3];
    fixture.cluster.request_errors(RDKafkaApiKey::OffsetFetch, &moving);
    fixture.run();
    fixture
        .until("both are stored", |f| f.server.stored().iter().map(|seen| seen.rows).sum::<u64>() == 2)
        .await;
    fixture.stop().await;
    assert_eq!(fixture.committed(), BTreeMap::from([(0, 1), (1, 1)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_records_and_lines_are_dead_letters_and_the_rest_is_stored() {
    let mut fixture = Fixture::start(ClickHouse::answering(&[]).await).await;
    fixture.produce(0, &line("foreign"), "globex");
    fixture.produce(0, &format!("{}\nnot json\n{}", line("a"), line("b")), "acme");
    fixture
        .until("the partition is committed", |fixture| fixture.committed() == BTreeMap::from([(0, 2)]))
        .await;
    assert_eq!(fixture.dead_letters(), 2);
    assert!(fixture.server.stored().iter().all(|seen| !seen.contains("foreign")));
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_finishes_the_running_insert_and_commits_it() {
    let mut fixture = Fixture::start(ClickHouse::start(|_| Answer::Code(159)).await).await;
    fixture.produce(0, &line("before"), "acme");
    fixture.until("an insert is tried", |fixture| !fixture.server.seen().is_empty()).await;
    fixture.shutdown.request();
    fixture.server.follow(|_| Answer::Stored);
    fixture.stop().await;
    assert_eq!(fixture.committed(), BTreeMap::from([(0, 1)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_without_clickhouse_commits_nothing_and_ends_in_time() {
    let mut fixture = Fixture::start(ClickHouse::start(|_| Answer::Hung).await).await;
    fixture.produce(0, &line("a"), "acme");
    fixture.until("an insert is tried", |fixture| !fixture.server.seen().is_empty()).await;
    fixture.stop().await;
    assert_eq!(fixture.committed(), BTreeMap::new());
}
