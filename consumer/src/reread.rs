//! Reads records again, for the dead letters of rows that the table refused.
//!
//! Batches keep no original bytes, because nearly none of them ever needs them and keeping them would double
//! the memory; Kafka still has them, as their offsets are not committed. Each partition is read forward from its
//! first refused row to its last, so that a record is read once however many of its rows were refused.
//! What it no longer has, because retention, a cut of the log or a new topic was quicker, is written anew from the
//! columns.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use rdkafka::{
    Message, Offset, TopicPartitionList,
    config::FromClientConfigAndContext as _,
    consumer::{BaseConsumer, Consumer as _},
    error::KafkaError,
    message::{BorrowedMessage, Headers as _},
};
use schema::{
    record,
    settings::{ConsumerSettings, RecordFormat},
    timestamp::Timestamp,
};

use crate::{
    columns::{Columns, Lines, Origin},
    letter::{DeadLetter, Original},
    parse::{Parsed, lines},
    poll::{self, Listener},
    refused::Refused,
    run::read,
};

/// How long one record is waited for. Kafka may lose a broker in the meantime and come back.
const TIMEOUT: Duration = Duration::from_secs(20);
/// How long one poll waits, after which it is asked whether the record is still there.
const POLL_TIMEOUT: Duration = Duration::from_millis(200);
/// Letters that are made before they are delivered, in bytes. The whole of a batch would be as much again as the
/// batch; a record more than this is always finished.
const CHUNK_BYTES: usize = 8 * 1024 * 1024;

/// A row that the table refused, with where it lies in the columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RefusedRow {
    pub(crate) origin: Origin,
    pub(crate) row: usize,
}

/// Why a record could not be read again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("failed to make a consumer that reads again")]
    Create { source: KafkaError },
    #[error("failed to go back to offset {offset} of partition {partition}")]
    Seek { partition: i32, offset: i64, source: KafkaError },
    #[error("offset {offset} of partition {partition} did not come again in time")]
    Timeout { partition: i32, offset: i64, source: Option<KafkaError> },
}

impl Error {
    /// A label for metrics and logs.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Create { .. } => "create",
            Self::Seek { .. } => "seek",
            Self::Timeout { .. } => "timeout",
        }
    }
}

/// The dead letters of the first of these rows, which are sorted and of different events: of as many whole records as
/// a chunk holds, and of one at least. The letters of a record that is gone are made from its rows. It blocks.
pub(crate) fn reread(
    settings: &ConsumerSettings,
    columns: &Columns,
    rows: &[RefusedRow],
    now: Timestamp,
) -> Result<Vec<DeadLetter>, Error> {
    debug_assert!(rows.is_sorted_by(|a, b| a.origin < b.origin));
    let (lines, parser) = (Lines::of(columns), read::Reader::of(settings));
    let mut all = Letters { settings, lines, parser, now };
    let consumer = consumer(settings).map_err(|source| Error::Create { source })?;
    let (mut letters, mut bytes) = (Vec::new(), 0);
    for rows in rows.chunk_by(|a, b| a.origin.partition == b.origin.partition) {
        let mut reader = Reader::start(&consumer, settings.topic.as_str(), rows[0].origin)?;
        for rows in rows.chunk_by(|a, b| a.origin.offset == b.origin.offset) {
            if bytes >= CHUNK_BYTES {
                return Ok(letters);
            }
            let message = reader.read(rows[0].origin.offset)?;
            for letter in all.of(rows, message.as_ref()) {
                bytes += letter.bytes_beside(letters.last());
                letters.push(letter);
            }
        }
    }
    Ok(letters)
}

fn consumer(settings: &ConsumerSettings) -> Result<BaseConsumer<Listener>, KafkaError> {
    let mut config = poll::reader_config(settings, "millrace-consumer-reread");
    config.set("queued.max.messages.kbytes", "2048");
    BaseConsumer::from_config_and_context(&config, Listener)
}

/// Reads one partition forward.
struct Reader<'c> {
    consumer: &'c BaseConsumer<Listener>,
    topic: &'c str,
    partition: i32,
    /// Where reading began.
    start: i64,
    /// A message that came instead of one before it.
    next: Option<BorrowedMessage<'c>>,
    /// Where the log began and ended when it lacked a record.
    log: Option<(i64, i64)>,
}

impl<'c> Reader<'c> {
    fn start(consumer: &'c BaseConsumer<Listener>, topic: &'c str, first: Origin) -> Result<Self, Error> {
        let Origin { partition, offset, .. } = first;
        let seek = |source| Error::Seek { partition, offset, source };
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(offset)).map_err(seek)?;
        consumer.assign(&list).map_err(seek)?;
        Ok(Self { consumer, topic, partition, start: offset, next: None, log: None })
    }

    /// The record at an offset behind those read before, or none if it was removed.
    fn read(&mut self, offset: i64) -> Result<Option<BorrowedMessage<'c>>, Error> {
        if lacks(self.log, offset) {
            return Ok(None);
        }
        let (start, mut problem) = (now(), None);
        while start.elapsed() < TIMEOUT {
            match self.next.take().map(Ok).or_else(|| self.consumer.poll(POLL_TIMEOUT)) {
                Some(Ok(message)) if message.partition() != self.partition => {}
                Some(Ok(message)) if message.offset() == offset => return Ok(Some(message)),
                // The log begins behind the record.
                Some(Ok(message)) if message.offset() > offset => {
                    self.next = Some(message);
                    return Ok(None);
                }
                // librdkafka goes to the beginning of a log that does not have the offset where reading began.
                Some(Ok(message)) if message.offset() < self.start && self.is_removed(offset) => {
                    return Ok(None);
                }
                Some(Ok(_earlier)) => {}
                // librdkafka goes on trying by itself.
                Some(Err(source)) => problem = Some(source),
                None if self.is_removed(offset) => return Ok(None),
                None => {}
            }
        }
        Err(Error::Timeout { partition: self.partition, offset, source: problem })
    }

    /// Whether the log no longer has an offset that it had: retention moved its beginning, or it was cut.
    fn is_removed(&mut self, offset: i64) -> bool {
        let log = self.consumer.fetch_watermarks(self.topic, self.partition, Duration::from_secs(1)).ok();
        let is_removed = lacks(log, offset);
        if is_removed {
            self.log = log;
        }
        is_removed
    }
}

/// Whether a log that begins and ends there does not have an offset.
fn lacks(log: Option<(i64, i64)>, offset: i64) -> bool {
    log.is_some_and(|(start, end)| start > offset || end <= offset)
}

/// Makes the letters of rows.
struct Letters<'c> {
    settings: &'c ConsumerSettings,
    lines: Lines<'c>,
    parser: read::Reader,
    now: Timestamp,
}

impl Letters<'_> {
    /// The letters of some rows of one record, if this is that record. Another one may stand in its place, in a log that
    /// was cut or a topic that was made anew, so that the rows which it becomes are compared.
    fn of(&mut self, rows: &[RefusedRow], message: Option<&BorrowedMessage<'_>>) -> Vec<DeadLetter> {
        let Some((message, payload)) = message.and_then(|message| Some((message, message.payload()?))) else {
            return self.rebuilt(rows);
        };
        let (same, other) = self.compare(rows, message);
        let original = Arc::new(original(message, self.now));
        let letter = |index, bytes| DeadLetter::of(&original, index, Some(bytes), Refused::ByTable);
        let mut letters: Vec<DeadLetter> = match &self.settings.format {
            RecordFormat::Events => {
                let lines: Vec<&[u8]> = lines(payload).take(usize::from(u16::MAX) + 1).collect();
                let line = |index| lines.get(usize::from(index)).expect("a line became the row of its index");
                let indexes = same.iter().map(|row| row.origin.index);
                indexes.map(|index| letter(Some(index), line(index))).collect()
            }
            // The record is the event, however many lines it has.
            RecordFormat::Json(_) => same.iter().map(|_| letter(None, payload)).collect(),
        };
        letters.extend(self.rebuilt(&other));
        letters
    }

    /// The rows that a message becomes again, and those that it does not.
    fn compare(
        &mut self,
        rows: &[RefusedRow],
        message: &BorrowedMessage<'_>,
    ) -> (Vec<RefusedRow>, Vec<RefusedRow>) {
        let (mut columns, mut places) = (Columns::default(), BTreeMap::new());
        // A record that is refused as a whole becomes none.
        let _ = self.parser.read(message, |parsed| match parsed {
            Parsed::Row(row) => {
                places.insert(row.position.index, columns.rows());
                columns.push(&row);
            }
            Parsed::Reject { .. } => {}
        });
        let again = Lines::of(&columns);
        rows.iter().partition(|row| {
            let place = places.get(&row.origin.index);
            place.is_some_and(|place| again.line(*place) == self.lines.line(row.row))
        })
    }

    /// The letters of some rows of one record that is gone.
    fn rebuilt(&self, rows: &[RefusedRow]) -> Vec<DeadLetter> {
        let Some(Origin { partition, offset, .. }) = rows.first().map(|row| row.origin) else {
            return Vec::new();
        };
        let place = (partition, offset);
        let tenant = self.settings.tenant_id.as_str().as_bytes();
        // What the consumer asks of a record of ours, so that the letter can be written back.
        let ours = [
            (record::TENANT, Some(tenant)),
            (record::SCHEMA_VERSION_HEADER, Some(record::SCHEMA_VERSION.as_bytes())),
            (record::CONTENT_TYPE, Some(record::NDJSON.as_bytes())),
        ];
        let is_ours = self.settings.format == RecordFormat::Events;
        let headers = ours.into_iter().filter(|_| is_ours);
        let original = Arc::new(Original::rebuilt(place, headers, self.now));
        let letter = |row: &RefusedRow| {
            let index = is_ours.then_some(row.origin.index);
            DeadLetter::of(&original, index, Some(&self.lines.line(row.row)), Refused::ByTable)
        };
        rows.iter().map(letter).collect()
    }
}

/// What the dead letters of a message repeat of it.
pub(crate) fn original(message: &impl Message, now: Timestamp) -> Original {
    let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
    let headers = headers.map(|header| (header.key, header.value));
    Original::of((message.partition(), message.offset()), message.key(), headers, now)
}

#[allow(clippy::disallowed_methods, reason = "the wait for a broker needs a clock")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests;
