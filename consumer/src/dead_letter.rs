//! The dead_letter step: sends dead letters to their topic and waits until Kafka has acknowledged them.

use std::time::Duration;

use rdkafka::{
    ClientConfig, ClientContext,
    config::{FromClientConfigAndContext as _, RDKafkaLogLevel},
    error::KafkaError,
    message::{DeliveryResult, Header, OwnedHeaders},
    producer::{BaseRecord, NoCustomPartitioner, ProducerContext, ThreadedProducer},
};
use schema::{
    names::TopicName,
    record::MAX_DEAD_LETTER_BYTES,
    settings::{ConsumerSettings, KafkaSettings},
};
use tokio::sync::oneshot;

use crate::{
    letter::{DeadLetter, Source},
    poll,
};

/// How long librdkafka tries before it gives a letter up; then the whole group is sent again.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(30);
/// A little more than that, for a client that says nothing at all.
const ACKNOWLEDGE_TIMEOUT: Duration = Duration::from_secs(40);
/// Letters that are awaited together: what a failure repeats.
const GROUP_LETTERS: usize = 500;
/// Their bytes, well below the producer's queue of 32 MiB.
const GROUP_BYTES: usize = 8 * 1024 * 1024;

/// Why letters are not known to be in their topic.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("failed to create the producer of dead letters")]
    Create { source: KafkaError },
    #[error("failed to queue a dead letter")]
    Queue { source: KafkaError },
    #[error("failed to deliver a dead letter")]
    Deliver { source: KafkaError },
    #[error("a dead letter was not acknowledged in time")]
    NotAcknowledged,
}

impl Error {
    /// A label for metrics and logs.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Create { .. } => "create",
            Self::Queue { .. } => "queue",
            Self::Deliver { .. } => "deliver",
            Self::NotAcknowledged => "not_acknowledged",
        }
    }
}

/// The producer of dead letters. It is made when the first one comes, because most processes never have any.
pub(crate) struct DeadLetters {
    config: ClientConfig,
    topic: TopicName,
    source: Source,
    producer: Option<Producer>,
}

type Producer = ThreadedProducer<Deliveries, NoCustomPartitioner>;
type Acknowledged = oneshot::Receiver<Result<(), KafkaError>>;

impl DeadLetters {
    pub(crate) fn new(settings: &ConsumerSettings) -> Self {
        let source = Source { topic: settings.topic.clone(), topic_id: settings.topic_id };
        Self {
            config: config(&settings.kafka),
            topic: settings.dead_letter_topic.clone(),
            source,
            producer: None,
        }
    }

    /// Sends letters and waits for all of them.
    ///
    /// # Errors
    /// When some are not known to be in the topic; those may then be sent twice.
    pub(crate) async fn deliver(&mut self, letters: &[DeadLetter]) -> Result<(), Error> {
        let outcome = self.try_deliver(letters).await;
        if outcome.is_err()
            && let Some(broken) = self.producer.take()
        {
            // An idempotent producer does not recover from every error. Ending one waits for its thread.
            let ended = tokio::task::spawn_blocking(move || drop(broken)).await;
            debug_assert!(ended.is_ok(), "ending a producer does not panic");
        }
        outcome
    }

    async fn try_deliver(&mut self, letters: &[DeadLetter]) -> Result<(), Error> {
        let producer = match &mut self.producer {
            Some(producer) => producer,
            none => {
                let created = Producer::from_config_and_context(&self.config, Deliveries);
                none.insert(created.map_err(|source| Error::Create { source })?)
            }
        };
        let sent: Vec<Acknowledged> = letters
            .iter()
            .map(|letter| send(producer, &self.topic, &self.source, letter))
            .collect::<Result<_, _>>()?;
        for acknowledged in sent {
            match tokio::time::timeout(ACKNOWLEDGE_TIMEOUT, acknowledged).await {
                Ok(Ok(Ok(()))) => {}
                Ok(Ok(Err(source))) => return Err(Error::Deliver { source }),
                Ok(Err(_)) | Err(_) => return Err(Error::NotAcknowledged),
            }
        }
        Ok(())
    }
}

/// The next letters that are sent together: how many of them.
pub(crate) fn group(letters: &[DeadLetter]) -> usize {
    let mut bytes = 0;
    let fitting = letters.iter().take(GROUP_LETTERS).take_while(|letter| {
        bytes += letter.wire_bytes();
        bytes <= GROUP_BYTES
    });
    fitting.count().max(1).min(letters.len())
}

fn config(kafka: &KafkaSettings) -> ClientConfig {
    let mut config = ClientConfig::new();
    kafka.properties().into_iter().for_each(|(key, value)| {
        config.set(key, value);
    });
    config
        .set("client.id", "millrace-consumer")
        .set("acks", "all")
        .set("enable.idempotence", "true")
        // A topic that the brokers made by themselves would have their replication, not the Pipeline's.
        .set("allow.auto.create.topics", "false")
        .set("compression.type", "lz4")
        .set("linger.ms", "5")
        .set("message.timeout.ms", MESSAGE_TIMEOUT.as_millis().to_string())
        // Above the largest letter, so that each can be written; the topic has the last word.
        .set("message.max.bytes", (2 * MAX_DEAD_LETTER_BYTES).to_string())
        .set("queue.buffering.max.kbytes", (32 * 1024).to_string());
    config
}

fn send(
    producer: &Producer,
    topic: &TopicName,
    source: &Source,
    letter: &DeadLetter,
) -> Result<Acknowledged, Error> {
    let (sender, receiver) = oneshot::channel();
    let ours = letter.headers(source);
    let headers = ours.iter().fold(OwnedHeaders::new_with_capacity(ours.len()), |headers, (key, value)| {
        headers.insert(Header { key, value: value.as_deref() })
    });
    let record = BaseRecord::<[u8], [u8], _> {
        topic: topic.as_str(),
        partition: None,
        payload: letter.payload(),
        key: letter.key(),
        timestamp: None,
        headers: Some(headers),
        delivery_opaque: Box::new(sender),
    };
    producer.send(record).map_err(|(source, _)| Error::Queue { source })?;
    Ok(receiver)
}

/// Tells each sender what became of its letter.
struct Deliveries;

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, fac: &str, message: &str) {
        poll::log(level, fac, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::warn!(error = %error, "kafka reports a problem with dead letters: {reason}");
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<oneshot::Sender<Result<(), KafkaError>>>;

    fn delivery(&self, result: &DeliveryResult<'_>, sender: Self::DeliveryOpaque) {
        let outcome = result.as_ref().map(|_| ()).map_err(|(error, _)| error.clone());
        // Nobody waits any more when the batch was abandoned.
        let _ = sender.send(outcome);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::letter::tests::letter;

    #[test]
    fn a_group_is_bounded_by_letters_and_by_bytes() {
        assert_eq!(group(&vec![letter(b"x"); GROUP_LETTERS + 1]), GROUP_LETTERS);
        let large = vec![letter(&[0; MAX_DEAD_LETTER_BYTES]); 9];
        assert_eq!(group(&large), GROUP_BYTES / MAX_DEAD_LETTER_BYTES);
        assert_eq!(group(&large[..1]), 1);
        assert_eq!(group(&[]), 0);
    }
}
