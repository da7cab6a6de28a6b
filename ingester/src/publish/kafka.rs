//! The producer: librdkafka with idempotence, polled by one thread that has an owner.
//!
//! A `BaseProducer` and one wake-up a request, because rdkafka's `FutureProducer` costs 2.5 times as much
//! (<https://github.com/fede1024/rust-rdkafka/issues/695>).
//!
//! A fatal error of an idempotent producer (its order with a broker is lost) cannot be mended inside librdkafka.
//! The process then says that it is not ready, answers what is in flight with 503, and ends with a failure, so
//! that it starts anew with a new producer; a second producer in the same process would be a second life to test.

use std::{sync::Arc, time::Duration};

use metrics::gauge;
use rdkafka::{
    ClientConfig, ClientContext,
    config::RDKafkaLogLevel,
    error::KafkaError,
    message::{DeliveryResult, Header, OwnedHeaders},
    producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext},
};
use runtime::{
    health::{Flag, Heartbeat},
    shutdown::Shutdown,
};
use schema::settings::KafkaSettings;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::{Acknowledgement, Delivery, Error, Produce, Settlement};
use crate::route::Record;

/// How the producer trades delay, memory and size of batches.
#[derive(Debug, Clone)]
pub struct ProducerOptions {
    /// How long a record may wait for others.
    pub linger: Duration,
    /// How long a record may wait for its acknowledgement before the request is answered with 503.
    pub publish_timeout: Duration,
    /// Bytes of records that may wait, in KiB; then requests are answered with 503 at once.
    pub queue_kib: u32,
    /// The most records in one batch to a broker.
    pub batch_messages: u32,
}

/// The process' producer. Clones share it.
#[derive(Clone)]
pub(crate) struct KafkaProducer {
    client: Arc<BaseProducer<Reports>>,
}

impl KafkaProducer {
    /// Makes the producer; it connects by itself, whenever Kafka can be reached.
    ///
    /// # Errors
    /// When the settings are none that librdkafka knows.
    pub(crate) fn new(settings: &KafkaSettings, options: &ProducerOptions) -> Result<Self, KafkaError> {
        let client: BaseProducer<Reports> = configuration(settings, options).create_with_context(Reports)?;
        Ok(Self { client: Arc::new(client) })
    }

    /// Serves acknowledgements until `drained`, then sends what is left.
    ///
    /// # Errors
    /// When the producer failed for good, or records were left when `flush_timeout` was over.
    pub(crate) fn poll(
        &self,
        life: &Life,
        drained: &CancellationToken,
        flush_timeout: Duration,
    ) -> anyhow::Result<()> {
        let mut fatal = None;
        while !drained.is_cancelled() {
            self.client.poll(POLL_INTERVAL);
            life.heartbeat.beat();
            gauge!("ingester_producer_queue_messages").set(f64::from(self.client.in_flight_count()));
            if fatal.is_none() {
                fatal = self.client.client().fatal_error();
                if let Some((code, text)) = &fatal {
                    error!(code = ?code, error = text, "the producer failed for good, the process restarts");
                    life.is_working.set(false);
                    life.shutdown.request();
                }
            }
        }
        if let Some((code, text)) = fatal {
            anyhow::bail!("the producer failed for good: {code:?}: {text}");
        }
        self.client
            .flush(flush_timeout)
            .map_err(|cause| anyhow::Error::new(cause).context("records were left in the producer's queue"))
    }

    /// Whether Kafka answers and has all these topics. Blocks until `deadline`.
    pub(crate) fn reach(&self, topics: &[String], deadline: Duration) -> Reach {
        let share = deadline / u32::try_from(topics.len().max(1)).unwrap_or(u32::MAX);
        for topic in topics {
            match self.client.client().fetch_metadata(Some(topic), share) {
                Err(_) => return Reach::NoAnswer,
                Ok(metadata) if metadata.topics().iter().any(|topic| topic.error().is_some()) => {
                    return Reach::NoTopic { topic: topic.clone() };
                }
                Ok(_) => {}
            }
        }
        Reach::There
    }
}

/// What a look at Kafka found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reach {
    /// It answers and has every topic.
    There,
    /// It does not answer, or refuses us.
    NoAnswer,
    /// It answers, but this topic is not there or not ours.
    NoTopic { topic: String },
}

/// How the poll loop tells the process how it is.
#[derive(Debug)]
pub(crate) struct Life {
    pub(crate) heartbeat: Heartbeat,
    pub(crate) is_working: Flag,
    pub(crate) shutdown: Shutdown,
}

/// How long the loop sleeps in librdkafka when nothing happens, and so how late it sees the end.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

impl Produce for KafkaProducer {
    fn produce(&self, records: &[Record]) -> Result<Acknowledgement, Error> {
        let (delivery, acknowledgement) = Delivery::of(records.len());
        for (place, record) in records.iter().enumerate() {
            let ticket = Box::new(Ticket { delivery: Arc::clone(&delivery), place });
            let message = BaseRecord::with_opaque_to(record.route.topic.as_str(), ticket)
                .payload(record.payload.as_slice())
                .headers(headers(record));
            let message = match &record.key {
                Some(key) => message.key(key.as_str()),
                None => message,
            };
            if let Err((cause, _)) = self.client.send::<str, [u8]>(message) {
                match of(&cause) {
                    // Nothing was sent yet: this is about the record itself.
                    Error::BatchTooLarge => delivery.settle(place, Settlement::TooLarge),
                    error => return Err(error),
                }
            }
        }
        Ok(acknowledgement)
    }
}

fn headers(record: &Record) -> OwnedHeaders {
    let empty = OwnedHeaders::new_with_capacity(record.headers.len());
    record
        .headers
        .iter()
        .fold(empty, |headers, (key, value)| headers.insert(Header { key, value: Some(value.as_str()) }))
}

/// What librdkafka carries with a record and hands back with its outcome.
#[derive(Debug)]
struct Ticket {
    delivery: Arc<Delivery>,
    place: usize,
}

fn of(cause: &KafkaError) -> Error {
    cause.rdkafka_error_code().map_or(Error::Other, Error::of)
}

/// What librdkafka refuses by itself: its default, below the 1 MiB that a topic of ours takes and above our records.
const MAX_MESSAGE_BYTES: usize = 1_000_000;
const _: () =
    assert!(schema::record::MAX_RECORD_BYTES < MAX_MESSAGE_BYTES && MAX_MESSAGE_BYTES < 1024 * 1024);

fn configuration(settings: &KafkaSettings, options: &ProducerOptions) -> ClientConfig {
    let mut config = ClientConfig::new();
    for (name, value) in settings.properties() {
        config.set(name, value);
    }
    config
        .set("client.id", "millrace-ingester")
        .set("acks", "all")
        .set("enable.idempotence", "true")
        .set("compression.type", "lz4")
        .set("message.max.bytes", MAX_MESSAGE_BYTES.to_string())
        .set("linger.ms", options.linger.as_millis().to_string())
        .set("message.timeout.ms", options.publish_timeout.as_millis().to_string())
        .set("batch.num.messages", options.batch_messages.to_string())
        .set("queue.buffering.max.kbytes", options.queue_kib.to_string())
        // The same partition for a key as every Java client.
        .set("partitioner", "murmur2_random")
        // Topics are the operator's; one made by accident would have none of its settings.
        .set("allow.auto.create.topics", "false")
        // A topic that is missing fails its records well before the request's own deadline.
        .set("topic.metadata.propagation.max.ms", "3000")
        // A frozen broker is left after this; the default of a minute is longer than any request.
        .set("socket.timeout.ms", "10000")
        .set("socket.keepalive.enable", "true")
        .set("socket.nagle.disable", "true")
        // Kafka that comes back is seen within two seconds, not ten.
        .set("reconnect.backoff.max.ms", "2000")
        .set("log.connection.close", "false");
    config
}

/// Receives what librdkafka reports.
struct Reports;

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error
            | RDKafkaLogLevel::Warning => warn!(target: "librdkafka", facility, "{message}"),
            RDKafkaLogLevel::Notice => info!(target: "librdkafka", facility, "{message}"),
            RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => {
                debug!(target: "librdkafka", facility, "{message}");
            }
        }
    }

    /// librdkafka goes on by itself after all of these; the fatal one is seen by the poll loop.
    fn error(&self, error: KafkaError, reason: &str) {
        warn!(target: "librdkafka", error = %error, "{reason}");
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = Box<Ticket>;

    fn delivery(&self, result: &DeliveryResult<'_>, ticket: Box<Ticket>) {
        ticket.delivery.settle(
            ticket.place,
            match result {
                Ok(_) => Settlement::Stored,
                Err((cause, _)) => Settlement::Failed(of(cause)),
            },
        );
    }
}

#[cfg(test)]
mod tests;
