use std::time::{Duration, Instant};

use rdkafka::{
    ClientConfig,
    consumer::{BaseConsumer, Consumer as _},
    message::{Header, Headers as _, Message as _, OwnedHeaders},
    mocking::MockCluster,
    producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer as _},
};

use super::*;
use crate::{
    counted::Counted,
    parse::{Parsed, Parser, Record},
    protocol::BatchId,
    scripted::{Answer, ClickHouse, Seen, line, settings, tenant, topic},
};

mod blocked;
mod doubt;
mod letters;

const PACE: Pace = Pace {
    first: Duration::from_millis(2),
    first_slower: Duration::from_millis(2),
    longest: Duration::from_millis(20),
    hold: Duration::from_millis(200),
};

/// The brokers, a store into the server, and a batch of one record with an event of each name.
struct Fixture {
    cluster: MockCluster<'static, DefaultProducerContext>,
    server: ClickHouse,
    store: Store,
}

impl Fixture {
    async fn new(answers: &[Answer]) -> Self {
        Self::with(ClickHouse::answering(answers).await)
    }

    fn with(server: ClickHouse) -> Self {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic(topic().as_str(), 1, 1).unwrap();
        cluster.create_topic(topic().dead_letter().as_str(), 1, 1).unwrap();
        let settings = Arc::new(settings(&cluster.bootstrap_servers(), &server));
        let inserter = Inserter::new(&settings.clickhouse, Duration::from_millis(200)).unwrap();
        let store = Store::new(settings, inserter, PACE);
        Self { cluster, server, store }
    }

    async fn store(&mut self, names: &[String]) {
        tokio::time::timeout(Duration::from_secs(60), self.store.store(&batch(names))).await.unwrap();
    }

    fn dead_letters(&self, count: usize) -> Vec<DeadLetterSeen> {
        dead_letters(&self.cluster.bootstrap_servers(), count)
    }
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("event-{n}-")).collect()
}

fn record(names: &[String]) -> String {
    names.iter().map(|name| line(name)).collect::<Vec<_>>().join("\n")
}

fn batch(names: &[String]) -> Batch {
    let mut batch = Batch::new(BatchId(0));
    read(&mut batch, names);
    batch
}

/// Takes the record with these events into a batch.
fn read(batch: &mut Batch, names: &[String]) {
    let mut parser = Parser::new(tenant(), settings_topic_id());
    let payload = record(names);
    parser
        .parse(&Record { partition: 0, offset: 0, payload: payload.as_bytes() }, |parsed| match parsed {
            Parsed::Row(row) => batch.push(&row),
            Parsed::Reject { refused, .. } => panic!("{refused}"),
        })
        .unwrap();
}

fn settings_topic_id() -> schema::names::TopicId {
    schema::names::TopicId(uuid::Uuid::from_u128(7))
}

struct DeadLetterSeen {
    payload: String,
    headers: Vec<(String, String)>,
}

#[allow(clippy::disallowed_methods, reason = "the test waits for a broker")]
fn dead_letters(bootstrap_servers: &str, count: usize) -> Vec<DeadLetterSeen> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap_servers)
        .set("group.id", "reader")
        .set("auto.offset.reset", "earliest")
        .create()
        .unwrap();
    let mut list = rdkafka::TopicPartitionList::new();
    list.add_partition_offset(topic().dead_letter().as_str(), 0, rdkafka::Offset::Beginning).unwrap();
    consumer.assign(&list).unwrap();
    let (start, mut seen) = (Instant::now(), Vec::new());
    while seen.len() < count && start.elapsed() < Duration::from_secs(20) {
        if let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) {
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            let headers = message.headers().unwrap().iter();
            let headers = headers.map(|h| (h.key.to_owned(), text(h.value.unwrap()))).collect();
            seen.push(DeadLetterSeen { payload: text(message.payload().unwrap()), headers });
        }
    }
    seen
}

#[tokio::test]
async fn in_doubt_the_same_rows_are_inserted_again() {
    for doubt in [
        Answer::Code(159),
        Answer::Code(252),
        Answer::Code(33),
        Answer::Code(77_777),
        Answer::HeaderWith200(209),
        Answer::BodyWith200(209),
        Answer::Written(2),
        Answer::Status(502),
        Answer::Hung,
        Answer::Reset,
    ] {
        let mut fixture = Fixture::new(&[doubt, doubt]).await;
        fixture.store(&names(3)).await;
        let seen = fixture.server.seen();
        assert_eq!(seen.len(), 3, "{doubt:?}");
        for (again, _) in &seen[1..] {
            assert_eq!(again.body, seen[0].0.body, "{doubt:?}");
            assert_eq!(again.query_id(), seen[0].0.query_id(), "{doubt:?}");
        }
    }
}

#[tokio::test]
async fn each_batch_has_a_query_id_of_its_own() {
    let mut fixture = Fixture::new(&[]).await;
    fixture.store(&names(1)).await;
    fixture.store(&names(1)).await;
    let seen = fixture.server.seen();
    assert_ne!(seen[0].0.query_id(), seen[1].0.query_id());
}

#[tokio::test]
async fn too_little_memory_halves_the_block_and_then_waits() {
    let server =
        ClickHouse::start(|seen| if seen.rows > 1_500 { Answer::Code(241) } else { Answer::Stored }).await;
    let mut fixture = Fixture::with(server);
    fixture.store(&names(2_400)).await;
    let seen = fixture.server.seen();
    assert_eq!(seen.iter().map(|(seen, _)| seen.rows).collect::<Vec<_>>(), [2_400, 1_200, 1_200]);
    assert!(seen[2].0.contains("event-2399-"));

    let mut fixture = Fixture::new(&[Answer::Code(241); 5]).await;
    fixture.store(&names(2_400)).await;
    let seen = fixture.server.seen();
    let rows = [2_400, 1_200, 1_200, 1_200, 1_200, 1_200, 1_200];
    assert_eq!(seen.iter().map(|(seen, _)| seen.rows).collect::<Vec<_>>(), rows);
    assert!(seen[2..6].iter().all(|(again, _)| again.body == seen[1].0.body));
}

#[tokio::test]
async fn a_missing_right_or_table_is_waited_for() {
    for code in [60, 81, 497, 516, 16] {
        let mut fixture = Fixture::new(&[Answer::Code(code); 3]).await;
        fixture.store(&names(2)).await;
        assert_eq!(fixture.server.seen().len(), 4, "{code}");
        assert_eq!(fixture.server.stored()[0].rows, 2, "{code}");
    }
}

fn refuses(names: &'static [&'static str]) -> impl FnMut(&Seen) -> Answer {
    move |seen| if names.iter().any(|name| seen.contains(name)) { Answer::Code(469) } else { Answer::Stored }
}

/// Writes records to the topic, as the ingester would have.
fn produce(bootstrap_servers: &str, payload: &str) {
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", bootstrap_servers).create().unwrap();
    let ours = [("tenant", "acme"), ("schema-version", "1"), ("content-type", "application/x-ndjson")];
    let headers = ours
        .into_iter()
        .fold(OwnedHeaders::new(), |all, (key, value)| all.insert(Header { key, value: Some(value) }));
    let name = topic();
    producer.send(BaseRecord::to(name.as_str()).key("k").payload(payload).headers(headers)).unwrap();
    producer.flush(Duration::from_secs(10)).unwrap();
}

#[tokio::test]
async fn a_refused_row_is_found_by_halving_and_its_neighbours_are_stored() {
    let mut fixture = Fixture::with(ClickHouse::start(refuses(&["event-37-"])).await);
    let names = names(64);
    produce(&fixture.cluster.bootstrap_servers(), &record(&names));
    fixture.store(&names).await;
    // The batch, six halvings, the row alone twice and what is behind it, with what was good on the way.
    assert_eq!(fixture.server.seen().len(), 10);
    assert_eq!(fixture.server.stored().iter().map(|seen| seen.rows).sum::<u64>(), 63);
    let letters = fixture.dead_letters(1);
    assert_eq!(letters[0].payload, line("event-37-"));
    let header =
        |name: &str| letters[0].headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    assert_eq!(header("tenant"), Some("acme"));
    assert_eq!(header("dead-letter-reason"), Some("refused_by_table"));
    assert_eq!((header("dead-letter-offset"), header("dead-letter-index")), (Some("0"), Some("37")));
}

#[tokio::test]
async fn a_batch_of_refused_rows_alone_is_put_aside() {
    let mut fixture = Fixture::with(ClickHouse::start(refuses(&["event-"])).await);
    let names = names(5);
    produce(&fixture.cluster.bootstrap_servers(), &record(&names));
    fixture.store(&names).await;
    assert!(fixture.server.stored().is_empty());
    let letters = fixture.dead_letters(5);
    let lines: Vec<String> = names.iter().map(|name| line(name)).collect();
    assert_eq!(letters.iter().map(|letter| letter.payload.clone()).collect::<Vec<_>>(), lines);
}

fn extend(server: &ClickHouse) {
    server.change_table(|table| format!("{table}{{\"name\":\"price\",\"type\":\"Float64\"}}\n"));
}

#[tokio::test]
async fn an_extended_table_that_refuses_everything_is_waited_for() {
    let server = ClickHouse::start(refuses(&["event-"])).await;
    extend(&server);
    let mut fixture = Fixture::with(server.clone());
    fixture.store.pace.hold = Duration::from_secs(3_600);
    let names = names(5);
    let storing = fixture.store(&names);
    let mending = async {
        while server.seen().len() < 60 {
            tokio::task::yield_now().await;
        }
        server.follow(|_| Answer::Stored);
    };
    tokio::join!(storing, mending);
    assert_eq!(server.stored().iter().map(|seen| seen.rows).sum::<u64>(), 5);
}

#[tokio::test]
async fn an_extended_table_that_refuses_everything_for_long_puts_aside() {
    let server = ClickHouse::start(refuses(&["event-"])).await;
    extend(&server);
    let mut fixture = Fixture::with(server);
    let names = names(3);
    produce(&fixture.cluster.bootstrap_servers(), &record(&names));
    fixture.store(&names).await;
    assert_eq!(fixture.dead_letters(3).len(), 3);
}

#[tokio::test]
async fn an_extended_table_that_stores_others_puts_a_refused_row_aside_at_once() {
    let server = ClickHouse::start(refuses(&["event-1-"])).await;
    extend(&server);
    let mut fixture = Fixture::with(server.clone());
    fixture.store.pace.hold = Duration::from_secs(3_600);
    let names = names(8);
    produce(&fixture.cluster.bootstrap_servers(), &record(&names));
    fixture.store(&names).await;
    assert_eq!(fixture.dead_letters(1).len(), 1);
}

#[tokio::test]
async fn a_value_that_is_refused_by_a_changed_table_is_waited_for() {
    let server = ClickHouse::start(refuses(&["event-"])).await;
    let mut fixture = Fixture::with(server.clone());
    server.change_table(|table| {
        table.replace("\"user_id\",\"type\":\"String\"", "\"user_id\",\"type\":\"UInt64\"")
    });
    let names = names(4);
    produce(&fixture.cluster.bootstrap_servers(), &record(&names));
    let batch = batch(&names);
    let mut storing = Box::pin(fixture.store.store(&batch));
    assert!(tokio::time::timeout(Duration::from_millis(500), &mut storing).await.is_err());
    server.follow(|_| Answer::Stored);
    tokio::time::timeout(Duration::from_secs(30), storing).await.unwrap();
    assert_eq!(server.stored().iter().map(|seen| seen.rows).sum::<u64>(), 4);
}

#[tokio::test]
async fn a_batch_is_not_stored_before_its_dead_letters_are_acknowledged() {
    let mut fixture = Fixture::new(&[]).await;
    let mut batch = batch(&names(1));
    batch.reject(crate::letter::tests::letter(b"bad"));
    fixture.cluster.broker_down(1).unwrap();
    let waited = tokio::time::timeout(Duration::from_millis(500), fixture.store.store(&batch)).await;
    assert!(waited.is_err());
    fixture.cluster.broker_up(1).unwrap();
    tokio::time::timeout(Duration::from_secs(30), fixture.store.store(&batch)).await.unwrap();
    assert_eq!(fixture.dead_letters(1)[0].payload, "bad");
}
