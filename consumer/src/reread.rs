//! Reads single records again, for the dead letters of rows that the table refused.
//!
//! Batches keep no original bytes, because nearly none of them ever needs them and keeping them would double
//! the memory; Kafka still has them, as their offsets are not committed.

use std::time::{Duration, Instant};

use rdkafka::{
    ClientConfig, Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::KafkaError,
    message::{BorrowedMessage, Headers as _},
};
use schema::settings::ConsumerSettings;

use crate::letter::Original;

/// How long one record is waited for.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Why a record could not be read again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("failed to make a consumer that reads again")]
    Create { source: KafkaError },
    #[error("failed to go back to offset {offset} of partition {partition}")]
    Seek { partition: i32, offset: i64, source: KafkaError },
    #[error("failed to read offset {offset} of partition {partition} again")]
    Read { partition: i32, offset: i64, source: KafkaError },
    #[error("offset {offset} of partition {partition} did not come again in time")]
    Timeout { partition: i32, offset: i64 },
}

impl Error {
    /// A label for metrics and logs.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Create { .. } => "create",
            Self::Seek { .. } => "seek",
            Self::Read { .. } => "read",
            Self::Timeout { .. } => "timeout",
        }
    }
}

/// Reads records of the pipeline's topic again, each by partition and offset; none stands for a record that
/// retention has removed. It blocks.
pub(crate) fn reread(
    settings: &ConsumerSettings,
    places: &[(i32, i64)],
) -> Result<Vec<Option<Original>>, Error> {
    let consumer = consumer(settings).map_err(|source| Error::Create { source })?;
    places
        .iter()
        .map(|(partition, offset)| read(&consumer, settings.topic.as_str(), *partition, *offset))
        .collect()
}

/// It never subscribes, so that it joins no group; librdkafka wants a name of one all the same.
fn consumer(settings: &ConsumerSettings) -> Result<BaseConsumer, KafkaError> {
    let mut config = ClientConfig::new();
    settings.kafka.properties().into_iter().for_each(|(key, value)| {
        config.set(key, value);
    });
    config
        .set("client.id", "millrace-consumer-reread")
        .set("group.id", settings.group.as_str())
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .set("queued.min.messages", "1")
        .set("queued.max.messages.kbytes", "2048");
    config.create()
}

fn read(
    consumer: &BaseConsumer,
    topic: &str,
    partition: i32,
    offset: i64,
) -> Result<Option<Original>, Error> {
    let seek = |source| Error::Seek { partition, offset, source };
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition, Offset::Offset(offset)).map_err(seek)?;
    consumer.assign(&list).map_err(seek)?;
    let start = now();
    while start.elapsed() < TIMEOUT {
        match consumer.poll(Duration::from_millis(200)) {
            Some(Ok(message)) if message.partition() != partition => {}
            Some(Ok(message)) if message.offset() == offset => return Ok(Some(original(&message))),
            // The log begins behind the record.
            Some(Ok(message)) if message.offset() > offset => return Ok(None),
            Some(Ok(_earlier)) => {}
            Some(Err(source)) => return Err(Error::Read { partition, offset, source }),
            None if is_removed(consumer, topic, partition, offset) => return Ok(None),
            None => {}
        }
    }
    Err(Error::Timeout { partition, offset })
}

fn is_removed(consumer: &BaseConsumer, topic: &str, partition: i32, offset: i64) -> bool {
    consumer.fetch_watermarks(topic, partition, Duration::from_secs(1)).is_ok_and(|(start, _)| start > offset)
}

/// Everything of a message that a dead letter repeats.
pub(crate) fn original(message: &BorrowedMessage<'_>) -> Original {
    let owned = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
    let headers = message.headers().map_or_else(Vec::new, |headers| {
        headers.iter().map(|header| (header.key.to_owned(), owned(header.value))).collect()
    });
    Original { key: owned(message.key()), payload: owned(message.payload()), headers }
}

#[allow(clippy::disallowed_methods, reason = "the wait for a broker needs a clock")]
fn now() -> Instant {
    Instant::now()
}
