//! The audit's own reader of Kafka: spans of records, and letters of the dead-letter topic. It joins no group. It blocks.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    config::FromClientConfigAndContext as _,
    consumer::{BaseConsumer, Consumer as _},
    error::{KafkaError, KafkaResult},
    message::{BorrowedMessage, Headers as _},
};
use schema::{record::dead_letter, settings::ConsumerSettings, timestamp::Timestamp};

use crate::{
    audit::{sample::Span, wanted::Wanted},
    incarnation::{self, Incarnation},
    parse::Parsed,
    poll::{self, Listener},
    run::read::Reader,
    wall_clock::wall_clock,
};

/// How long one span or all letters are read.
const SPAN_TIMEOUT: Duration = Duration::from_secs(15);
const LETTERS_TIMEOUT: Duration = Duration::from_secs(60);
/// How long one poll waits.
const POLL_TIMEOUT: Duration = Duration::from_millis(200);
/// A question to the brokers is given up after this time.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(5);
/// What is read of a span. Its last record is always read whole.
const SPAN_BYTES: usize = 1024 * 1024;
/// How much earlier than the record its dead letter may seem to be: clocks of different processes wrote the two times.
const CLOCK_SKEW_MILLIS: i64 = 6 * 60 * 60 * 1_000;

/// Why Kafka did not tell.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("failed to make a consumer for the audit")]
    Create { source: KafkaError },
    #[error("failed to ask where the logs begin")]
    Starts { source: KafkaError },
    #[error("failed to ask for the topic's id")]
    Describe { source: KafkaError },
    #[error("failed to begin to read partition {partition}")]
    Seek { partition: i32, source: KafkaError },
    #[error("partition {partition} was not read from offset {offset} in time")]
    Timeout { partition: i32, offset: i64, source: Option<KafkaError> },
    #[error("failed to find the dead letters")]
    FindLetters { source: KafkaError },
    #[error("the dead letters were not read to their end in time")]
    ReadLetters { source: Option<KafkaError> },
}

impl Error {
    /// A label for metrics and logs.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Create { .. } => "audit_create",
            Self::Starts { .. } => "audit_starts",
            Self::Describe { .. } => "audit_describe",
            Self::Seek { .. } => "audit_seek",
            Self::Timeout { .. } => "audit_timeout",
            Self::FindLetters { .. } => "audit_find_letters",
            Self::ReadLetters { .. } => "audit_read_letters",
        }
    }
}

/// Reads logs.
pub(crate) struct Log {
    consumer: BaseConsumer<Listener>,
    settings: ConsumerSettings,
}

/// The events of a span, and how many offsets were passed for them.
#[derive(Debug, Default)]
pub(crate) struct Events {
    pub(crate) wanted: Vec<Wanted>,
    pub(crate) passed: u64,
}

/// What the dead letters tell of some events.
#[derive(Debug)]
pub(crate) struct Letters {
    /// The events of which no letter was found.
    pub(crate) without: Vec<Wanted>,
    /// Why not all letters were read.
    pub(crate) unread: Option<Error>,
}

impl Log {
    /// # Errors
    /// When the configuration cannot be used; brokers that are away are no error.
    pub(crate) fn open(settings: &ConsumerSettings) -> Result<Self, Error> {
        let consumer = BaseConsumer::from_config_and_context(&config(settings), Listener);
        let consumer = consumer.map_err(|source| Error::Create { source })?;
        Ok(Self { consumer, settings: settings.clone() })
    }

    /// Where the logs of these partitions begin; those of which Kafka does not say are left out.
    pub(crate) fn starts(&self, partitions: &[i32]) -> Result<BTreeMap<i32, i64>, Error> {
        if partitions.is_empty() {
            return Ok(BTreeMap::new());
        }
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        for partition in partitions {
            list.add_partition(self.settings.topic.as_str(), *partition);
        }
        list.set_all_offsets(Offset::Beginning)
            .and_then(|()| self.consumer.offsets_for_times(list, QUESTION_TIMEOUT))
            .map(|starts| poll::offsets(&starts))
            .map_err(|source| Error::Starts { source })
    }

    /// Whether the records that were read may be of another topic of the same name, whose events nobody stored.
    pub(crate) fn is_other_topic(&self) -> Result<bool, Error> {
        if !Incarnation::matters(&self.settings) {
            return Ok(false);
        }
        let id = incarnation::current(&self.consumer, &self.settings);
        Ok(id.map_err(|source| Error::Describe { source })? != Some(self.settings.topic_id))
    }

    /// The events of a span, as far as its bytes are bounded. What is refused becomes no event.
    pub(crate) fn read(&self, span: &Span) -> Result<Events, Error> {
        let Span { partition, start, .. } = *span;
        let seek = |source| Error::Seek { partition, source };
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(self.settings.topic.as_str(), partition, Offset::Offset(start))
            .and_then(|()| self.consumer.assign(&list))
            .map_err(seek)?;
        let read = self.read_assigned(span);
        self.consumer.unassign().map_err(seek)?;
        read
    }

    fn read_assigned(&self, span: &Span) -> Result<Events, Error> {
        let (begin, mut problem) = (now(), None);
        // What is no record, or was removed, is passed as well.
        let (mut events, mut bytes) = (Events { wanted: Vec::new(), passed: span.records() }, 0);
        let mut reader = Reader::of(&self.settings);
        while bytes < SPAN_BYTES {
            if begin.elapsed() > SPAN_TIMEOUT {
                let (partition, offset) = (span.partition, span.start);
                return Err(Error::Timeout { partition, offset, source: problem });
            }
            match self.consumer.poll(POLL_TIMEOUT) {
                // A message of another assignment may still be on its way.
                Some(Ok(message)) if message.partition() != span.partition => {}
                // Retention may have moved the start of the log.
                Some(Ok(message)) if message.offset() >= span.end => break,
                Some(Ok(message)) if span.contains(message.offset()) => {
                    bytes += message.payload_len();
                    take(&self.settings, &mut reader, &message, &mut events.wanted);
                    let end = message.offset() + 1;
                    if end == span.end {
                        break;
                    }
                    if bytes >= SPAN_BYTES {
                        events.passed = Span { end, ..*span }.records();
                    }
                }
                Some(Ok(_earlier)) => {}
                // The last offsets of a log need not be records.
                Some(Err(KafkaError::PartitionEOF(partition))) if partition == span.partition => break,
                // librdkafka goes on trying by itself.
                Some(Err(source)) => problem = Some(source),
                None => {}
            }
        }
        Ok(events)
    }

    /// Leaves out those events that are dead letters: of which some process could not make rows, or the table refused
    /// the row. Their letters were written after them.
    pub(crate) fn without_letters(&self, wanted: Vec<Wanted>) -> Result<Letters, Error> {
        if wanted.is_empty() {
            return Ok(Letters { without: wanted, unread: None });
        }
        let find = |source| Error::FindLetters { source };
        let list = self.letters_since(earliest(&wanted)).map_err(find)?;
        let mut open: BTreeSet<i32> = list.elements().iter().map(|element| element.partition()).collect();
        self.consumer.assign(&list).map_err(find)?;
        let mut found = Vec::new();
        let read = self.read_letters(&mut open, &wanted, &mut found);
        self.consumer.unassign().map_err(find)?;
        let is_without = |event: &Wanted| !found.iter().any(|letter| letter.is_of(event));
        Ok(Letters { without: wanted.into_iter().filter(is_without).collect(), unread: read.err() })
    }

    /// Where the letters since then begin, in each partition that has some; all of them if the time is not known.
    fn letters_since(&self, since: Option<Timestamp>) -> KafkaResult<TopicPartitionList> {
        let topic = self.settings.dead_letter_topic.as_str();
        let metadata = self.consumer.fetch_metadata(Some(topic), QUESTION_TIMEOUT)?;
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        let mut list = TopicPartitionList::new();
        for partition in found.into_iter().flat_map(|topic| topic.partitions()) {
            list.add_partition(topic, partition.id());
        }
        if list.count() == 0 {
            return Err(KafkaError::MetadataFetch(rdkafka::types::RDKafkaErrorCode::UnknownTopicOrPartition));
        }
        let Some(since) = since else {
            list.set_all_offsets(Offset::Beginning)?;
            return Ok(list);
        };
        list.set_all_offsets(Offset::Offset(letters_from(since, wall_clock())))?;
        let starts = poll::offsets(&self.consumer.offsets_for_times(list, QUESTION_TIMEOUT)?);
        let mut list = TopicPartitionList::new();
        for (partition, start) in starts {
            list.add_partition_offset(topic, partition, Offset::Offset(start))?;
        }
        Ok(list)
    }

    /// The letters of these events, from where each partition was assigned to its end.
    fn read_letters(
        &self,
        open: &mut BTreeSet<i32>,
        wanted: &[Wanted],
        found: &mut Vec<Letter>,
    ) -> Result<(), Error> {
        let (begin, mut problem) = (now(), None);
        while !open.is_empty() {
            if begin.elapsed() > LETTERS_TIMEOUT {
                return Err(Error::ReadLetters { source: problem });
            }
            match self.consumer.poll(POLL_TIMEOUT) {
                Some(Ok(message)) => {
                    let letter = Letter::of(&message, &self.settings);
                    found.extend(letter.filter(|letter| wanted.iter().any(|event| letter.is_of(event))));
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => drop(open.remove(&partition)),
                Some(Err(source)) => problem = Some(source),
                None => {}
            }
        }
        Ok(())
    }
}

/// The events of a record.
fn take(
    settings: &ConsumerSettings,
    reader: &mut Reader,
    message: &BorrowedMessage<'_>,
    wanted: &mut Vec<Wanted>,
) {
    let written = message.timestamp().to_millis().map(Timestamp::from_millis);
    if is_before_start(settings.start_at, written) {
        return;
    }
    // A record that is refused as a whole is a dead letter, as a line that is refused alone.
    let _ = reader.read(message, |parsed| match parsed {
        Parsed::Row(row) => wanted.push(Wanted::of(&row, written)),
        Parsed::Reject { .. } => {}
    });
}

/// Whether a record may be older than where the consumer began, so that nobody stored it.
fn is_before_start(start_at: Option<Timestamp>, written: Option<Timestamp>) -> bool {
    start_at.is_some_and(|start| written.is_none_or(|written| written < start))
}

/// When the first of these events was written, if that is known of all.
fn earliest(wanted: &[Wanted]) -> Option<Timestamp> {
    wanted.iter().map(|event| event.written).collect::<Option<Vec<_>>>()?.into_iter().min()
}

/// The time from which letters are looked for, in milliseconds. A record may be dated into the future, where no
/// letter is.
fn letters_from(since: Timestamp, now: Timestamp) -> i64 {
    (since.min(now).millis() - CLOCK_SKEW_MILLIS).max(0)
}

/// The event, or the whole record, that a dead letter is of.
#[derive(Debug, PartialEq, Eq)]
struct Letter {
    partition: i32,
    offset: i64,
    index: Option<u16>,
}

impl Letter {
    /// What a letter says of its origin, if that is a record of our topic.
    fn of(message: &impl Message, settings: &ConsumerSettings) -> Option<Self> {
        let headers = message.headers()?;
        let text = |name: &str| {
            let header = headers.iter().filter(|header| header.key == name).last()?;
            std::str::from_utf8(header.value?).ok()
        };
        if text(dead_letter::TOPIC_ID)? != settings.topic_id.to_string() {
            return None;
        }
        Some(Self {
            partition: text(dead_letter::PARTITION)?.parse().ok()?,
            offset: text(dead_letter::OFFSET)?.parse().ok()?,
            index: text(dead_letter::INDEX).and_then(|index| index.parse().ok()),
        })
    }

    fn is_of(&self, event: &Wanted) -> bool {
        let origin = &event.origin;
        let is_of_record = (self.partition, self.offset) == (origin.partition, origin.offset);
        is_of_record && self.index.is_none_or(|index| index == origin.index)
    }
}

fn config(settings: &ConsumerSettings) -> ClientConfig {
    let mut config = poll::reader_config(settings, "millrace-consumer-audit");
    config
        .set("enable.partition.eof", "true")
        // A span is small, and what is fetched beyond it is thrown away.
        .set("fetch.message.max.bytes", (256 * 1024).to_string())
        .set("queued.max.messages.kbytes", "1024");
    config
}

#[allow(clippy::disallowed_methods, reason = "the wait for a broker needs a clock")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests;
