//! What can go wrong with Kafka, and what kind of failure it is.

use crds::Reason;
use rdkafka::types::RDKafkaErrorCode as Code;
use schema::names::{TopicId, TopicName};

use crate::failure::Failure;

/// A client that librdkafka refused to make. The operator does not start without it.
#[derive(Debug, thiserror::Error)]
#[error("failed to configure the client of Kafka")]
pub(crate) struct ConfigureError {
    pub(super) source: AdminError,
}

/// A topic that could not be brought to what was wanted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TopicsError {
    #[error("failed to describe topic `{topic}`")]
    Describe { topic: TopicName, source: AdminError },
    #[error("failed to list the topics")]
    List { source: AdminError },
    #[error("failed to create topic `{topic}`")]
    Create { topic: TopicName, source: AdminError },
    #[error("failed to add partitions to topic `{topic}`")]
    Grow { topic: TopicName, source: AdminError },
    #[error("failed to read the settings of topic `{topic}`")]
    ReadSettings { topic: TopicName, source: AdminError },
    #[error("failed to change the settings of topic `{topic}`")]
    ChangeSettings { topic: TopicName, source: AdminError },
    #[error("failed to delete topic `{topic}`")]
    Delete { topic: TopicName, source: AdminError },
    #[error("failed to count the records of topic `{topic}` that are not stored")]
    Count { topic: TopicName, source: AdminError },
    #[error("the brokers do not show the change of topic `{topic}` yet")]
    NotVisible { topic: TopicName },
    #[error("topic `{topic}` was there a moment ago and is not any longer")]
    Missing { topic: TopicName },
    #[error("topic `{topic}` has {has} partitions and cannot shrink to {wants}")]
    Shrink { topic: TopicName, has: i32, wants: i32 },
    #[error(
        "topic `{topic}` has {has} copies of a partition, and {needs} would have to acknowledge each write"
    )]
    TooFewReplicas { topic: TopicName, has: i32, needs: i32 },
    #[error("topic `{topic}` has the id {found} and not {expected}: somebody made it anew")]
    Replaced { topic: TopicName, expected: TopicId, found: TopicId },
}

impl TopicsError {
    /// Whether the creation of a topic was refused, so that none was made. After a lost answer nobody knows.
    pub(crate) fn says_nothing_was_made(&self) -> bool {
        match self {
            Self::Create { source, .. } => match source.failure() {
                Failure::Permission | Failure::Refused | Failure::Conflict | Failure::Bug => true,
                Failure::Transient => false,
            },
            Self::Describe { .. }
            | Self::List { .. }
            | Self::Grow { .. }
            | Self::ReadSettings { .. }
            | Self::ChangeSettings { .. }
            | Self::Delete { .. }
            | Self::Count { .. }
            | Self::NotVisible { .. }
            | Self::Missing { .. }
            | Self::Shrink { .. }
            | Self::TooFewReplicas { .. }
            | Self::Replaced { .. } => false,
        }
    }

    /// A creation that the broker's policy refused.
    #[cfg(test)]
    pub(crate) fn refused_creation(topic: TopicName) -> Self {
        Self::Create { topic, source: AdminError::new(Code::PolicyViolation, "no") }
    }

    /// What helps.
    pub(crate) fn failure(&self) -> Failure {
        match self {
            Self::Describe { source, .. }
            | Self::List { source }
            | Self::Create { source, .. }
            | Self::Grow { source, .. }
            | Self::ReadSettings { source, .. }
            | Self::ChangeSettings { source, .. }
            | Self::Delete { source, .. }
            | Self::Count { source, .. } => source.failure(),
            Self::NotVisible { .. } | Self::Missing { .. } => Failure::Transient,
            Self::Shrink { .. } | Self::TooFewReplicas { .. } => Failure::Refused,
            Self::Replaced { .. } => Failure::Conflict,
        }
    }

    /// The reason of the condition, the label of the metric and the field of the log.
    pub(crate) fn reason(&self) -> Reason {
        match self {
            Self::Shrink { .. } => Reason::PartitionsCannotShrink,
            Self::TooFewReplicas { .. } => Reason::TooFewReplicas,
            Self::Replaced { .. } => Reason::TopicReplaced,
            Self::NotVisible { .. } => Reason::TopicNotVisible,
            Self::Missing { .. } => Reason::TopicMissing,
            Self::Describe { .. }
            | Self::List { .. }
            | Self::Create { .. }
            | Self::Grow { .. }
            | Self::ReadSettings { .. }
            | Self::ChangeSettings { .. }
            | Self::Delete { .. }
            | Self::Count { .. } => match self.failure() {
                Failure::Transient => Reason::KafkaUnreachable,
                Failure::Permission => Reason::KafkaPermissionDenied,
                Failure::Refused | Failure::Conflict | Failure::Bug => Reason::KafkaRefused,
            },
        }
    }
}

/// One call that librdkafka or the broker answered with an error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub(crate) struct AdminError {
    code: Code,
    text: String,
}

impl AdminError {
    /// What changes from one attempt to the next, as in `... (after 6ms in state SSL_HANDSHAKE)`, is cut: the text
    /// ends up in a condition, which must not change while nothing changes.
    pub(super) fn new(code: Code, text: &str) -> Self {
        let text = text.split_once(" (after ").map_or(text, |(stable, _)| stable);
        let text = if text.is_empty() { code.to_string() } else { text.to_owned() };
        Self { code, text }
    }

    /// The thread of a call ended without an answer.
    pub(super) fn abandoned() -> Self {
        Self::new(Code::BrokerDestroy, "the call was abandoned")
    }

    /// The calls before it take too long.
    pub(super) fn without_turn() -> Self {
        Self::new(Code::OperationTimedOut, "earlier calls to Kafka did not end in time")
    }

    /// The broker is too old to give a topic an id (KIP-516, Kafka 2.8).
    pub(super) fn without_topic_id() -> Self {
        Self::new(Code::UnsupportedFeature, "the broker gives topics no id, Kafka 2.8 or newer is needed")
    }

    /// An answer leaves out a partition.
    pub(super) fn without_offset(partition: i32) -> Self {
        let text = format!("Kafka did not say where partition {partition} begins and ends");
        Self::new(Code::UnknownPartition, &text)
    }

    /// Nothing but the connection is to blame, and it failed because of `cause`.
    pub(super) fn because_of(self, cause: &Self) -> Self {
        match self.code {
            Code::OperationTimedOut
            | Code::TimedOutQueue
            | Code::BrokerTransportFailure
            | Code::AllBrokersDown => cause.clone(),
            _ => self,
        }
    }

    /// Whether no broker answered, or none could be talked to.
    pub(super) fn is_silence(&self) -> bool {
        matches!(
            self.code,
            Code::OperationTimedOut
                | Code::TimedOutQueue
                | Code::BrokerTransportFailure
                | Code::AllBrokersDown
                | Code::Resolve
                | Code::SSL
                | Code::Authentication
                | Code::SaslAuthenticationFailed
                | Code::UnsupportedSASLMechanism
                | Code::IllegalSASLState
        )
    }

    pub(super) fn says_it_exists(&self) -> bool {
        self.code == Code::TopicAlreadyExists
    }

    pub(super) fn says_it_is_absent(&self) -> bool {
        matches!(self.code, Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownTopicId)
    }

    /// What helps. The codes are librdkafka's and may grow: one that is unknown here is tried again.
    pub(super) fn failure(&self) -> Failure {
        match self.code {
            Code::Authentication
            | Code::SSL
            | Code::SaslAuthenticationFailed
            | Code::UnsupportedSASLMechanism
            | Code::IllegalSASLState
            | Code::TopicAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::GroupAuthorizationFailed => Failure::Permission,
            Code::InvalidArgument
            | Code::InvalidConfig
            | Code::InvalidPartitions
            | Code::InvalidReplicationFactor
            | Code::InvalidReplicaAssignment
            | Code::InvalidRequest
            | Code::InvalidTopic
            | Code::PolicyViolation
            | Code::TopicDeletionDisabled
            | Code::UnsupportedFeature
            | Code::UnsupportedVersion => Failure::Refused,
            _ => Failure::Transient,
        }
    }
}
