use rdkafka::{
    ClientConfig,
    mocking::MockCluster,
    producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer as _},
};

use super::*;
use crate::{
    parse::{Parsed, Parser, Record},
    scripted::{ClickHouse, line, settings, tenant, topic},
};

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

    fn produce(&self, partition: i32, payloads: &[&[u8]]) {
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", self.cluster.bootstrap_servers())
            .set("message.max.bytes", "4000000")
            .create()
            .unwrap();
        for payload in payloads {
            let name = topic();
            let record = BaseRecord::to(name.as_str()).partition(partition).key("k").payload(*payload);
            producer.send(record).unwrap();
            producer.flush(Duration::from_secs(10)).unwrap();
        }
    }

    async fn reread(&self, rows: Vec<Origin>) -> Result<Vec<DeadLetter>, Error> {
        let settings = Arc::clone(&self.settings);
        let now = Timestamp::from_millis(0);
        let columns = columns();
        let rows: Vec<RefusedRow> = rows.into_iter().map(|origin| RefusedRow { origin, row: 0 }).collect();
        tokio::task::spawn_blocking(move || reread(&settings, &columns, &rows, now)).await.unwrap()
    }
}

/// One row, which stands for each that is refused.
fn columns() -> Columns {
    let mut columns = Columns::default();
    let mut parser = Parser::new(tenant(), schema::names::TopicId(uuid::Uuid::nil()));
    let take = |parsed: Parsed<'_>| match parsed {
        Parsed::Row(row) => columns.push(&row),
        Parsed::Reject { refused, .. } => panic!("{refused}"),
    };
    parser.parse(&Record { partition: 0, offset: 0, payload: line("gone").as_bytes() }, take).unwrap();
    columns
}

fn row(partition: i32, offset: i64, index: u16) -> Origin {
    Origin { partition, offset, index }
}

fn payloads(letters: &[DeadLetter]) -> Vec<Option<&str>> {
    letters.iter().map(|letter| letter.payload().map(|bytes| std::str::from_utf8(bytes).unwrap())).collect()
}

#[tokio::test]
async fn each_row_gets_its_own_line_of_its_own_record() {
    let fixture = Fixture::new().await;
    fixture.produce(0, &[b"a0\na1\n", b"b0", b"c0\n\nc2"]);
    fixture.produce(1, &[b"d0"]);
    let rows = vec![row(0, 0, 1), row(0, 2, 0), row(0, 2, 1), row(0, 2, 2), row(1, 0, 0)];
    let letters = fixture.reread(rows).await.unwrap();
    assert_eq!(payloads(&letters), [Some("a1"), Some("c0"), Some(""), Some("c2"), Some("d0")]);
    assert!(letters.iter().all(|letter| letter.key() == Some(b"k") && letter.refused == Refused::ByTable));
}

#[tokio::test]
async fn a_chunk_ends_behind_a_whole_record() {
    let fixture = Fixture::new().await;
    let record = [b'\n'; 2_500];
    fixture.produce(0, &[&record[..]; 100]);
    let rows: Vec<Origin> =
        (0..100).flat_map(|offset| (0..2_500).map(move |index| row(0, offset, index))).collect();
    let first = fixture.reread(rows.clone()).await.unwrap().len();
    assert!(first > 2_500 && first < rows.len() && first.is_multiple_of(2_500), "{first}");
    let rest = fixture.reread(rows[first..].to_vec()).await.unwrap().len();
    assert_eq!(first + rest, rows.len());
}

#[tokio::test]
async fn the_letter_of_a_record_that_retention_removed_is_made_from_its_row() {
    let fixture = Fixture::new().await;
    // The brokers of the test keep five megabytes of a partition.
    let large = vec![b'x'; 1_900_000];
    fixture.produce(0, &[b"old", &large, &large, &large, b"new"]);
    let letters = fixture.reread(vec![row(0, 0, 0), row(0, 4, 0)]).await.unwrap();
    assert_eq!(payloads(&letters), [Some(line("gone").as_str()), Some("new")]);
    assert_eq!(letters[0].key(), None);
    assert_eq!(letters.iter().map(DeadLetter::is_rebuilt).collect::<Vec<_>>(), [true, false]);
}

#[tokio::test]
async fn brokers_that_are_away_for_a_moment_are_waited_for() {
    let fixture = Fixture::new().await;
    fixture.produce(0, &[b"a0"]);
    fixture.cluster.broker_down(1).unwrap();
    let mut reading = Box::pin(fixture.reread(vec![row(0, 0, 0)]));
    assert!(tokio::time::timeout(Duration::from_millis(800), &mut reading).await.is_err());
    fixture.cluster.broker_up(1).unwrap();
    assert_eq!(payloads(&reading.await.unwrap()), [Some("a0")]);
}

#[tokio::test]
async fn a_record_of_others_is_its_own_letter_with_all_its_lines() {
    let mut fixture = Fixture::new().await;
    let settings = Arc::make_mut(&mut fixture.settings);
    settings.format = RecordFormat::Json(Box::default());
    let record = "{\n  \"event_name\": \"x\"\n}";
    fixture.produce(0, &[record.as_bytes()]);
    let letters = fixture.reread(vec![row(0, 0, 0)]).await.unwrap();
    assert_eq!(payloads(&letters), [Some(record)]);
}

#[tokio::test]
async fn a_record_behind_the_end_of_a_log_that_was_cut_is_gone() {
    let fixture = Fixture::new().await;
    fixture.produce(0, &[b"a0", b"b0"]);
    let letters = fixture.reread(vec![row(0, 1, 0), row(0, 2, 0), row(0, 9, 0)]).await.unwrap();
    let gone = line("gone");
    assert_eq!(payloads(&letters), [Some("b0"), Some(&gone), Some(&gone)]);
    // librdkafka goes back to the beginning if the first of them is not there.
    let letters = fixture.reread(vec![row(0, 9, 0)]).await.unwrap();
    assert_eq!(payloads(&letters), [Some(gone.as_str())]);
}

#[tokio::test]
async fn a_line_that_its_record_lacks_is_of_another_record_that_is_gone() {
    let fixture = Fixture::new().await;
    fixture.produce(0, &[b"a0\na1"]);
    let letters = fixture.reread(vec![row(0, 0, 1), row(0, 0, 2), row(0, 0, 3)]).await.unwrap();
    let gone = line("gone");
    assert_eq!(payloads(&letters), [Some("a1"), Some(&gone), Some(&gone)]);
}

#[tokio::test]
async fn the_letter_of_a_record_of_others_that_is_gone_is_of_the_whole_record() {
    let mut fixture = Fixture::new().await;
    Arc::make_mut(&mut fixture.settings).format = RecordFormat::Json(Box::default());
    let letters = fixture.reread(vec![row(0, 0, 0), row(0, 1, 0)]).await.unwrap();
    let gone = line("gone");
    assert_eq!(payloads(&letters), [Some(gone.as_str()), Some(&gone)]);
    assert!(letters.iter().all(DeadLetter::is_rebuilt));
}

#[tokio::test]
#[allow(clippy::disallowed_methods, reason = "how long the letters take is what is tested")]
async fn many_records_that_are_gone_are_not_waited_for_one_by_one() {
    let fixture = Fixture::new().await;
    let start = Instant::now();
    let letters = fixture.reread((0..200).map(|offset| row(0, offset, 0)).collect()).await.unwrap();
    assert!(letters.len() == 200 && letters.iter().all(DeadLetter::is_rebuilt));
    // A poll for each takes 40 s.
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}
