use rdkafka::{
    message::{Header, OwnedHeaders},
    mocking::MockCluster,
    producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer as _},
};

use super::*;
use crate::{
    audit::wanted::tests::wanted,
    columns::Origin,
    scripted::{ClickHouse, line, settings, topic},
};

/// Brokers with a topic of two partitions and one of dead letters.
struct Fixture {
    cluster: MockCluster<'static, DefaultProducerContext>,
    settings: ConsumerSettings,
}

const OURS: [(&str, &str); 3] =
    [("tenant", "acme"), ("schema-version", "1"), ("content-type", "application/x-ndjson")];

impl Fixture {
    async fn new() -> Self {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic(topic().as_str(), 2, 1).unwrap();
        cluster.create_topic(topic().dead_letter().as_str(), 1, 1).unwrap();
        let server = ClickHouse::answering(&[]).await;
        let settings = settings(&cluster.bootstrap_servers(), &server);
        Self { cluster, settings }
    }

    fn write(&self, topic: &str, partition: i32, headers: &[(&str, &str)], payload: &str) {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.cluster.bootstrap_servers()).set("message.max.bytes", "4000000");
        let producer: BaseProducer = config.create().unwrap();
        let headers = headers
            .iter()
            .fold(OwnedHeaders::new(), |all, (key, value)| all.insert(Header { key, value: Some(*value) }));
        let record = BaseRecord::<str, str>::to(topic).partition(partition).payload(payload).headers(headers);
        producer.send(record).unwrap();
        producer.flush(Duration::from_secs(10)).unwrap();
    }

    fn produce(&self, partition: i32, payload: &str) {
        self.write(topic().as_str(), partition, &OURS, payload);
    }

    fn put_aside(&self, topic_id: &str, partition: &str, offset: &str, index: Option<&str>) {
        let mut headers = vec![
            (dead_letter::TOPIC_ID, topic_id),
            (dead_letter::PARTITION, partition),
            (dead_letter::OFFSET, offset),
        ];
        headers.extend(index.map(|index| (dead_letter::INDEX, index)));
        self.write(topic().dead_letter().as_str(), 0, &headers, "original");
    }

    async fn ask<T: Send + 'static>(&self, question: impl FnOnce(&Log) -> T + Send + 'static) -> T {
        let settings = self.settings.clone();
        tokio::task::spawn_blocking(move || question(&Log::open(&settings).unwrap())).await.unwrap()
    }

    async fn places(&self, span: Span) -> Vec<(i32, i64, u16)> {
        let events = self.ask(move |log| log.read(&span).unwrap()).await;
        let place = |Origin { partition, offset, index }| (partition, offset, index);
        events.wanted.iter().map(|event| place(event.origin)).collect()
    }
}

fn span(partition: i32, start: i64, end: i64) -> Span {
    Span { partition, start, end }
}

#[tokio::test]
async fn a_span_is_the_events_of_its_records_and_of_no_others() {
    let fixture = Fixture::new().await;
    fixture.produce(0, &line("before"));
    fixture.produce(0, &format!("{}\nnot json\n{}", line("a"), line("b")));
    fixture.write(topic().as_str(), 0, &[], &line("foreign"));
    fixture.produce(0, &line("c"));
    fixture.produce(0, &line("behind"));
    fixture.produce(1, &line("elsewhere"));
    assert_eq!(fixture.places(span(0, 1, 4)).await, [(0, 1, 0), (0, 1, 2), (0, 3, 0)]);
    let events = fixture.ask(|log| log.read(&span(0, 1, 4)).unwrap()).await;
    assert_eq!(events.passed, 3);
    assert!(events.wanted[0].written.is_some());
}

#[tokio::test]
async fn a_span_ends_with_its_log() {
    let fixture = Fixture::new().await;
    fixture.produce(1, &line("a"));
    assert_eq!(fixture.places(span(1, 0, 1_000)).await, [(1, 0, 0)]);
    assert_eq!(fixture.places(span(0, 0, 1_000)).await, []);
}

#[tokio::test]
async fn records_that_retention_removed_are_no_events() {
    let fixture = Fixture::new().await;
    // The brokers of the test keep five megabytes of a partition.
    let large = "x".repeat(1_900_000);
    [&line("old"), &large, &large, &large, &line("new")]
        .into_iter()
        .for_each(|text| fixture.produce(0, text));
    let starts = fixture.ask(|log| log.starts(&[0, 1]).unwrap()).await;
    assert!(starts[&0] > 0 && starts[&1] == 0, "{starts:?}");
    assert_eq!(fixture.places(span(0, 0, 1)).await, []);
    assert_eq!(fixture.places(span(0, 4, 5)).await, [(0, 4, 0)]);
}

#[tokio::test]
async fn what_holds_no_record_counts_as_passed() {
    let fixture = Fixture::new().await;
    let large = "x".repeat(1_900_000);
    (0..4).for_each(|_| fixture.produce(0, &large));
    fixture.produce(1, &line("last"));
    // The first record is gone, and the other log ends before the span.
    for (span, passed) in [(span(0, 0, 1), 1), (span(1, 0, 1_000), 1_000)] {
        let events = fixture.ask(move |log| log.read(&span).unwrap()).await;
        assert_eq!(events.passed, passed, "{span:?}");
    }
}

#[tokio::test]
async fn a_span_is_bounded_by_its_bytes() {
    let fixture = Fixture::new().await;
    let large = format!("{}{}", line("a"), " ".repeat(400_000));
    (0..6).for_each(|_| fixture.produce(0, &large));
    let events = fixture.ask(|log| log.read(&span(0, 0, 6)).unwrap()).await;
    assert_eq!(events.passed, 3);
}

#[tokio::test]
async fn events_with_a_letter_are_left_out() {
    let fixture = Fixture::new().await;
    let ours = fixture.settings.topic_id.to_string();
    fixture.put_aside(&ours, "0", "1", Some("2"));
    fixture.put_aside(&ours, "0", "5", None);
    fixture.put_aside("00000000-0000-0000-0000-000000000009", "0", "7", None);
    fixture.write(topic().dead_letter().as_str(), 0, &[], "of somebody");
    let all = [(0, 1, 1), (0, 1, 2), (0, 5, 0), (0, 5, 9), (0, 7, 0), (1, 1, 2)];
    // The brokers of the test cannot look for a time; without one all letters are read.
    let undated = |(partition, offset, index)| {
        let mut event = wanted(partition, offset, index, 0);
        event.written = None;
        event
    };
    let all: Vec<Wanted> = all.into_iter().map(undated).collect();
    let left = fixture.ask(move |log| log.without_letters(all).unwrap()).await;
    assert!(left.unread.is_none());
    let left: Vec<_> = left
        .without
        .iter()
        .map(|event| (event.origin.partition, event.origin.offset, event.origin.index))
        .collect();
    assert_eq!(left, [(0, 1, 1), (0, 7, 0), (1, 1, 2)]);
}

#[tokio::test]
async fn letters_that_cannot_be_read_excuse_nothing_and_accuse_nobody() {
    let mut fixture = Fixture::new().await;
    fixture.settings.dead_letter_topic = topic().dead_letter().dead_letter();
    let all = vec![wanted(0, 0, 0, 0)];
    let outcome = fixture.ask(move |log| log.without_letters(all)).await;
    assert!(matches!(outcome, Err(Error::FindLetters { .. })), "{outcome:?}");
}

#[test]
fn letters_are_looked_for_from_the_first_event_on() {
    let at = |seconds: i64| Timestamp::from_millis(seconds * 1_000);
    assert_eq!(earliest(&[wanted(0, 0, 0, 9), wanted(0, 0, 0, 7)]), Some(at(7)));
    let mut unknown = wanted(0, 0, 0, 5);
    unknown.written = None;
    assert_eq!(earliest(&[wanted(0, 0, 0, 9), unknown]), None);
}

#[test]
fn letters_are_looked_for_where_there_can_be_some() {
    let at = |hours: i64| Timestamp::from_millis(hours * 3_600_000);
    for (since, now, from) in [(100, 200, 94), (200, 200, 194), (300, 200, 194), (4, 200, 0)] {
        assert_eq!(letters_from(at(since), at(now)), from * 3_600_000, "{since} {now}");
    }
}

#[test]
fn what_nobody_was_to_store_is_not_looked_up() {
    let at = |millis| Some(Timestamp::from_millis(millis));
    for (start_at, written, expected) in [
        (None, None, false),
        (None, at(5), false),
        (at(5), at(4), true),
        (at(5), at(5), false),
        (at(5), None, true),
    ] {
        assert_eq!(is_before_start(start_at, written), expected, "{start_at:?} {written:?}");
    }
}
