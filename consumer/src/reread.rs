//! Reads records again, for the dead letters of rows that the table refused.
//!
//! Batches keep no original bytes, because nearly none of them ever needs them and keeping them would double
//! the memory; Kafka still has them, as their offsets are not committed. Each partition is read forward from its
//! first refused row to its last, so that a record is read once however many of its rows were refused.

use std::{
    iter,
    sync::Arc,
    time::{Duration, Instant},
};

use metrics::counter;
use rdkafka::{
    Message, Offset, TopicPartitionList,
    config::FromClientConfigAndContext as _,
    consumer::{BaseConsumer, Consumer as _},
    error::KafkaError,
    message::{BorrowedMessage, Headers as _},
};
use schema::{
    settings::{ConsumerSettings, RecordFormat},
    timestamp::Timestamp,
};
use tracing::error;

use crate::{
    columns::Origin,
    letter::{DeadLetter, Original},
    metrics as names,
    parse::lines,
    poll::{self, Listener},
    refused::Refused,
};

/// How long one record is waited for. Kafka may lose a broker in the meantime and come back.
const TIMEOUT: Duration = Duration::from_secs(20);
/// How long one poll waits, after which it is asked whether the record is still there.
const POLL_TIMEOUT: Duration = Duration::from_millis(200);
/// Letters that are made before they are delivered, in bytes. The whole of a batch would be as much again as the
/// batch; a record more than this is always finished.
const CHUNK_BYTES: usize = 8 * 1024 * 1024;

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

/// The dead letters of the first of these rows, which are sorted and there once each: of as many whole records as a chunk holds, and of
/// one at least. A record that retention has removed leaves letters without bytes. It blocks.
pub(crate) fn reread(
    settings: &ConsumerSettings,
    rows: &[Origin],
    now: Timestamp,
) -> Result<Vec<DeadLetter>, Error> {
    debug_assert!(rows.is_sorted_by(|a, b| a < b));
    let consumer = consumer(settings).map_err(|source| Error::Create { source })?;
    let (mut letters, mut bytes) = (Vec::new(), 0);
    for rows in rows.chunk_by(|a, b| a.partition == b.partition) {
        let mut reader = Reader::start(&consumer, settings.topic.as_str(), rows[0])?;
        for rows in rows.chunk_by(|a, b| a.offset == b.offset) {
            if bytes >= CHUNK_BYTES {
                return Ok(letters);
            }
            let message = reader.read(rows[0].offset)?;
            for letter in letters_of(&settings.format, rows, message.as_ref(), now) {
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
}

impl<'c> Reader<'c> {
    fn start(consumer: &'c BaseConsumer<Listener>, topic: &'c str, first: Origin) -> Result<Self, Error> {
        let Origin { partition, offset, .. } = first;
        let seek = |source| Error::Seek { partition, offset, source };
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(offset)).map_err(seek)?;
        consumer.assign(&list).map_err(seek)?;
        Ok(Self { consumer, topic, partition, start: offset, next: None })
    }

    /// The record at an offset behind those read before, or none if it was removed.
    fn read(&mut self, offset: i64) -> Result<Option<BorrowedMessage<'c>>, Error> {
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
    fn is_removed(&self, offset: i64) -> bool {
        let range = self.consumer.fetch_watermarks(self.topic, self.partition, Duration::from_secs(1));
        range.is_ok_and(|(start, end)| start > offset || end <= offset)
    }
}

/// The letters of some rows of one record.
fn letters_of(
    format: &RecordFormat,
    rows: &[Origin],
    message: Option<&BorrowedMessage<'_>>,
    now: Timestamp,
) -> Vec<DeadLetter> {
    let Origin { partition, offset, .. } = rows[0];
    let original = Arc::new(match message {
        Some(message) => original(message, now),
        None => {
            counter!(names::RECORDS_LOST).increment(1);
            error!(
                partition,
                offset, "retention removed a record that the table refused: its bytes are lost"
            );
            Original::of((partition, offset), None, iter::empty(), now)
        }
    });
    let payload = message.and_then(Message::payload);
    match format {
        RecordFormat::Events => {}
        // The record is the event, however many lines it has.
        RecordFormat::Json(_) => return vec![DeadLetter::of(&original, None, payload, Refused::ByTable)],
    }
    let mut lines = payload.into_iter().flat_map(lines).enumerate();
    let mut line = |row: &Origin| lines.find(|(index, _)| *index == usize::from(row.index));
    rows.iter()
        .map(|row| {
            let line = line(row).map(|(_, line)| line);
            DeadLetter::of(&original, Some(row.index), line, Refused::ByTable)
        })
        .collect()
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
