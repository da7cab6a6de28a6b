//! The publish step: records go to Kafka, and the request waits until all of them are acknowledged.
//!
//! Invariant: nothing is acknowledged to a client that Kafka has not acknowledged with `acks=all`.
//! There is no queue of accepted events of our own: a request that fails is the client's to send again.

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
    #[error("Kafka refuses the record as too large")]
    TooLarge,
    #[error("the producer failed for good")]
    Fatal,
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
            Self::TooLarge => "record_too_large",
            Self::Fatal => "fatal",
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
            RDKafkaErrorCode::MessageSizeTooLarge => Self::TooLarge,
            RDKafkaErrorCode::Fatal => Self::Fatal,
            // librdkafka's codes are open-ended; one that we have no word for is still "send it again".
            _ => Self::Other,
        }
    }
}

/// The promise of an answer for all records of a request.
#[derive(Debug)]
pub(crate) struct Acknowledgement(oneshot::Receiver<Result<(), Error>>);

impl Acknowledgement {
    /// Waits until every record is acknowledged.
    ///
    /// # Errors
    /// The first failure, once all records have their outcome.
    pub(crate) async fn wait(self) -> Result<(), Error> {
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
/// When any of them is not known to be stored.
pub(crate) async fn publish(producer: &dyn Produce, records: Vec<Record>) -> Result<(), Error> {
    let acknowledgement = producer.produce(&records)?;
    // librdkafka has its own copy; holding ours while Kafka is slow would double the memory.
    drop(records);
    acknowledgement.wait().await
}
