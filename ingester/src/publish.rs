//! The publish step: records go to Kafka, and the request waits until all of them are acknowledged.
//!
//! Invariant: nothing is acknowledged to a client that Kafka has not acknowledged with `acks=all`.
//! There is no queue of accepted events of our own: a request that fails is the client's to send again.
//! A record that librdkafka will never send, since it is too large, fails alone; sending it again would be of no use.
//! Kafka's own word for it is about a batch of many requests, most of whose records are small, and so they are sent
//! again: librdkafka's bound is below the topic's, and no record that passes it is too large by itself.

mod delivery;
pub(crate) mod kafka;

use rdkafka::error::RDKafkaErrorCode;
use tokio::sync::oneshot;

pub(crate) use delivery::Delivery;

use crate::route::Record;

/// Why records were not acknowledged. The outcome of all of these is open to the client, who sends again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    #[error("the queue to Kafka is full")]
    QueueFull,
    #[error("Kafka did not acknowledge in time")]
    TimedOut,
    #[error("Kafka is not reachable")]
    Unreachable,
    #[error("Kafka has too few replicas in sync")]
    NotEnoughReplicas,
    #[error("the topic does not exist")]
    UnknownTopic,
    #[error("Kafka refuses the credentials")]
    Forbidden,
    #[error("the producer failed for good")]
    Fatal,
    #[error("Kafka refused a batch as too large")]
    BatchTooLarge,
    #[error("Kafka answered with another error")]
    Other,
    #[error("the producer ended before the acknowledgement")]
    Ended,
}

impl Error {
    /// A label for metrics and logs.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::TimedOut => "timed_out",
            Self::Unreachable => "unreachable",
            Self::NotEnoughReplicas => "not_enough_replicas",
            Self::UnknownTopic => "unknown_topic",
            Self::Forbidden => "forbidden",
            Self::Fatal => "fatal",
            Self::BatchTooLarge => "batch_too_large",
            Self::Other => "other",
            Self::Ended => "ended",
        }
    }

    /// What librdkafka's code means to a request.
    pub(crate) fn of(code: RDKafkaErrorCode) -> Self {
        match code {
            RDKafkaErrorCode::QueueFull => Self::QueueFull,
            RDKafkaErrorCode::MessageTimedOut
            | RDKafkaErrorCode::RequestTimedOut
            | RDKafkaErrorCode::OperationTimedOut => Self::TimedOut,
            RDKafkaErrorCode::BrokerTransportFailure | RDKafkaErrorCode::AllBrokersDown => Self::Unreachable,
            RDKafkaErrorCode::NotEnoughReplicas | RDKafkaErrorCode::NotEnoughReplicasAfterAppend => {
                Self::NotEnoughReplicas
            }
            RDKafkaErrorCode::UnknownTopic
            | RDKafkaErrorCode::UnknownTopicOrPartition
            | RDKafkaErrorCode::UnknownPartition => Self::UnknownTopic,
            RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::ClusterAuthorizationFailed
            | RDKafkaErrorCode::Authentication
            | RDKafkaErrorCode::SaslAuthenticationFailed => Self::Forbidden,
            RDKafkaErrorCode::Fatal => Self::Fatal,
            RDKafkaErrorCode::MessageSizeTooLarge => Self::BatchTooLarge,
            // librdkafka's codes are open-ended; one that we have no word for is still "send it again".
            _ => Self::Other,
        }
    }
}

/// What became of one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Settlement {
    /// Kafka has it.
    Stored,
    /// No record of this size is sent to Kafka, however often it comes.
    TooLarge,
    /// It is not known to be stored.
    Failed(Error),
}

/// Every record of a request has its outcome: Kafka has all of them but those that it will never take.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Settled {
    /// The places of these records in the request.
    pub(crate) too_large: Vec<usize>,
}

/// The promise of an answer for all records of a request.
#[derive(Debug)]
pub(crate) struct Acknowledgement(oneshot::Receiver<Result<Settled, Error>>);

impl Acknowledgement {
    /// Waits until every record is acknowledged, or refused for good.
    ///
    /// # Errors
    /// The first failure, once all records have their outcome.
    pub(crate) async fn wait(self) -> Result<Settled, Error> {
        self.0.await.unwrap_or(Err(Error::Ended))
    }
}

/// Takes records without waiting. A trait, because the tests of the routes record what would be sent.
pub(crate) trait Produce: Send + Sync {
    /// Hands the records of one request over.
    ///
    /// # Errors
    /// When one of them was not taken; those before it may still be stored.
    fn produce(&self, records: &[Record]) -> Result<Acknowledgement, Error>;
}

/// Sends the records of a request and waits for their acknowledgement.
///
/// # Errors
/// When any of them is neither known to be stored nor refused for good.
pub(crate) async fn publish(producer: &dyn Produce, records: Vec<Record>) -> Result<Settled, Error> {
    let acknowledgement = producer.produce(&records)?;
    // librdkafka has its own copy; holding ours while Kafka is slow would double the memory.
    drop(records);
    acknowledgement.wait().await
}
