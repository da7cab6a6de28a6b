use rdkafka::{
    ClientConfig, Timestamp as WrittenAt,
    message::{Header, OwnedHeaders, OwnedMessage},
    mocking::MockCluster,
    producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer as _},
};

use super::*;
use crate::scripted::{ClickHouse, line, settings, topic};

/// When every record was written.
const WRITTEN: i64 = 1_769_860_800_000;

/// Brokers with a topic of two partitions.
struct Fixture {
    cluster: MockCluster<'static, DefaultProducerContext>,
    settings: Arc<ConsumerSettings>,
}

impl Fixture {
    async fn new() -> Self {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic(topic().as_str(), 2, 1).unwrap();
        let server = ClickHouse::answering(&[]).await;
        let settings = Arc::new(settings(&cluster.bootstrap_servers(), &server));
        Self { cluster, settings }
    }

    /// The same with a topic of others.
    async fn foreign() -> Self {
        let mut fixture = Self::new().await;
        Arc::make_mut(&mut fixture.settings).format = RecordFormat::Json(Box::default());
        fixture
    }

    fn produce(&self, partition: i32, payloads: &[&str]) {
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", self.cluster.bootstrap_servers())
            .set("message.max.bytes", "4000000")
            .create()
            .unwrap();
        for payload in payloads {
            let name = topic();
            let record = BaseRecord::to(name.as_str()).partition(partition).key("k").payload(*payload);
            producer.send(record.timestamp(WRITTEN).headers(headers())).unwrap();
            producer.flush(Duration::from_secs(10)).unwrap();
        }
    }

    /// The letters of rows, each with the record that it was made of.
    async fn reread(&self, rows: &[(Origin, &str)]) -> Result<Vec<DeadLetter>, Error> {
        let (mut columns, mut refused) = (Columns::default(), Vec::new());
        for (origin, record) in rows {
            refused.push(RefusedRow { origin: *origin, row: columns.rows() });
            self.push(&mut columns, *origin, record);
        }
        self.reread_rows(columns, refused).await
    }

    /// Appends the row that a record became.
    fn push(&self, columns: &mut Columns, origin: Origin, record: &str) {
        let Origin { partition, offset, index } = origin;
        let (written, before) = (WrittenAt::CreateTime(WRITTEN), columns.rows());
        let (record, name) = (Some(record.as_bytes().to_vec()), topic().to_string());
        let message = OwnedMessage::new(record, None, name, written, partition, offset, Some(headers()));
        let take = |parsed: Parsed<'_>| match parsed {
            Parsed::Row(row) if row.position.index == index => columns.push(&row),
            Parsed::Row(_) | Parsed::Reject { .. } => {}
        };
        read::Reader::of(&self.settings).read(&message, take).unwrap();
        assert_eq!(columns.rows(), before + 1, "the record has such a row");
    }

    async fn reread_rows(&self, columns: Columns, rows: Vec<RefusedRow>) -> Result<Vec<DeadLetter>, Error> {
        let (settings, now) = (Arc::clone(&self.settings), Timestamp::from_millis(0));
        tokio::task::spawn_blocking(move || reread(&settings, &columns, &rows, now)).await.unwrap()
    }

    /// The letters of the first line of a record, at some offsets of partition 0.
    async fn reread_first(&self, offsets: std::ops::Range<i64>, record: &str) -> Vec<DeadLetter> {
        let rows: Vec<_> = offsets.map(|offset| (row(0, offset, 0), record)).collect();
        self.reread(&rows).await.unwrap()
    }
}

fn headers() -> OwnedHeaders {
    let ours = [("tenant", "acme"), ("schema-version", "1"), ("content-type", "application/x-ndjson")];
    ours.into_iter()
        .fold(OwnedHeaders::new(), |all, (key, value)| all.insert(Header { key, value: Some(value) }))
}

/// A record of events of these names.
fn record(names: &[&str]) -> String {
    names.iter().map(|name| line(name)).collect::<Vec<_>>().join("\n")
}

fn row(partition: i32, offset: i64, index: u16) -> Origin {
    Origin { partition, offset, index }
}

fn payloads(letters: &[DeadLetter]) -> Vec<&str> {
    letters.iter().map(|letter| std::str::from_utf8(letter.payload().unwrap()).unwrap()).collect()
}

fn rebuilt(letters: &[DeadLetter]) -> Vec<bool> {
    letters.iter().map(DeadLetter::is_rebuilt).collect()
}

#[tokio::test]
async fn each_row_gets_its_own_line_of_its_own_record() {
    let fixture = Fixture::new().await;
    let (a, b, d) = (record(&["a0", "a1"]), record(&["b0"]), record(&["d0"]));
    let c = format!("{}\n\n{}", line("c0"), line("c2"));
    fixture.produce(0, &[&format!("{a}\n"), &b, &c]);
    fixture.produce(1, &[&d]);
    let rows = [(row(0, 0, 1), &*a), (row(0, 2, 0), &c), (row(0, 2, 2), &c), (row(1, 0, 0), &d)];
    let letters = fixture.reread(&rows).await.unwrap();
    assert_eq!(payloads(&letters), ["a1", "c0", "c2", "d0"].map(line));
    assert!(letters.iter().all(|letter| letter.key() == Some(b"k") && letter.refused == Refused::ByTable));
}

#[tokio::test]
async fn a_chunk_ends_behind_a_whole_record() {
    let fixture = Fixture::new().await;
    let record = record(&["x"; 2_500]);
    for partition in [0, 1] {
        fixture.produce(partition, &[&*record; 10]);
    }
    let index = |partition, offset| (0..2_500).map(move |index| row(partition, offset, index));
    let origins = [0, 1].into_iter().flat_map(|partition| (0..10).map(move |offset| (partition, offset)));
    let origins = origins.flat_map(|(partition, offset)| index(partition, offset));
    let rows: Vec<RefusedRow> = origins.map(|origin| RefusedRow { origin, row: 0 }).collect();
    let columns = || {
        let mut columns = Columns::default();
        fixture.push(&mut columns, row(0, 0, 0), &line("x"));
        columns
    };
    let first = fixture.reread_rows(columns(), rows.clone()).await.unwrap();
    assert!(!first.iter().any(DeadLetter::is_rebuilt));
    let first = first.len();
    assert!(first > 2_500 && first < rows.len() && first.is_multiple_of(2_500), "{first}");
    let rest = fixture.reread_rows(columns(), rows[first..].to_vec()).await.unwrap().len();
    assert_eq!(first + rest, rows.len());
}

#[tokio::test]
async fn the_letter_of_a_record_that_retention_removed_is_made_from_its_row() {
    let fixture = Fixture::new().await;
    // The brokers of the test keep five megabytes of a partition.
    let large = "x".repeat(1_900_000);
    fixture.produce(0, &[&line("old"), &large, &large, &large, &line("new")]);
    let rows = [(row(0, 0, 0), &*line("old")), (row(0, 4, 0), &line("new"))];
    let letters = fixture.reread(&rows).await.unwrap();
    assert_eq!(payloads(&letters), ["old", "new"].map(line));
    assert_eq!(letters[0].key(), None);
    assert_eq!(rebuilt(&letters), [true, false]);
}

#[tokio::test]
async fn brokers_that_are_away_for_a_moment_are_waited_for() {
    let fixture = Fixture::new().await;
    fixture.produce(0, &[&line("a")]);
    fixture.cluster.broker_down(1).unwrap();
    let record = line("a");
    let mut reading = Box::pin(fixture.reread_first(0..1, &record));
    assert!(tokio::time::timeout(Duration::from_millis(800), &mut reading).await.is_err());
    fixture.cluster.broker_up(1).unwrap();
    assert_eq!(rebuilt(&reading.await), [false]);
}

#[tokio::test]
async fn a_record_of_others_is_its_own_letter_with_all_its_lines() {
    let fixture = Fixture::foreign().await;
    let record = "{\n  \"event_name\": \"x\"\n}";
    fixture.produce(0, &[record]);
    let letters = fixture.reread_first(0..1, record).await;
    assert_eq!((payloads(&letters), rebuilt(&letters)), (vec![record], vec![false]));
}

#[tokio::test]
async fn a_record_behind_the_end_of_a_log_that_was_cut_is_gone() {
    let fixture = Fixture::new().await;
    let record = line("b");
    fixture.produce(0, &[&line("a"), &record]);
    let rows = [row(0, 1, 0), row(0, 2, 0), row(0, 9, 0)].map(|origin| (origin, &*record));
    let letters = fixture.reread(&rows).await.unwrap();
    assert_eq!(rebuilt(&letters), [false, true, true]);
    // librdkafka goes back to the beginning if the first of them is not there.
    let letters = fixture.reread_first(9..10, &record).await;
    assert_eq!((payloads(&letters), rebuilt(&letters)), (vec![&*record], vec![true]));
}

#[tokio::test]
async fn a_line_of_another_record_in_its_place_is_not_its_own() {
    let fixture = Fixture::new().await;
    fixture.produce(0, &[&record(&["a0", "new"])]);
    let old = record(&["a0", "a1", "a2"]);
    let rows = [row(0, 0, 0), row(0, 0, 1), row(0, 0, 2)].map(|origin| (origin, &*old));
    let letters = fixture.reread(&rows).await.unwrap();
    assert_eq!(payloads(&letters), ["a0", "a1", "a2"].map(line));
    assert_eq!(rebuilt(&letters), [false, true, true]);
}

#[tokio::test]
async fn another_record_of_others_in_its_place_is_not_its_own() {
    let fixture = Fixture::foreign().await;
    let (old, new) = (r#"{"event_name":"old"}"#, r#"{"event_name":"new"}"#);
    fixture.produce(0, &[new, "no event", old]);
    let letters = fixture.reread_first(0..3, old).await;
    assert_eq!(rebuilt(&letters), [true, true, false]);
    assert!(letters.iter().all(|letter| payloads(std::slice::from_ref(letter))[0].contains("old")));
}

#[tokio::test]
async fn the_letter_of_a_record_of_others_that_is_gone_is_of_the_whole_record() {
    let fixture = Fixture::foreign().await;
    let letters = fixture.reread_first(0..2, r#"{"event_name":"x"}"#).await;
    assert!(letters.len() == 2 && letters.iter().all(DeadLetter::is_rebuilt));
}

#[tokio::test]
#[allow(clippy::disallowed_methods, reason = "how long the letters take is what is tested")]
async fn many_records_that_are_gone_are_not_waited_for_one_by_one() {
    let fixture = Fixture::new().await;
    let start = Instant::now();
    let letters = fixture.reread_first(0..200, &line("x")).await;
    assert!(letters.len() == 200 && letters.iter().all(DeadLetter::is_rebuilt));
    // A poll for each takes 40 s.
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}
