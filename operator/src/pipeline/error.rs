//! What can go wrong with a Pipeline.

use crds::Reason;
use schema::names::{TopicName, TopicPrefix};

use crate::{
    attempt::Interruption,
    failure::Failure,
    kubernetes, labels,
    progress::Problem,
    retention::{Consent, Kept},
    topics::TopicsError,
};

use super::{build::topics::Refusal, validate::Invalid};

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("failed to fetch what the Pipeline is about")]
    Fetch { source: kubernetes::Error },
    #[error("failed to hold the Pipeline")]
    Hold { source: kubernetes::Error },
    #[error("failed to tell how the Pipeline is")]
    Report { source: kubernetes::Error },
    #[error(transparent)]
    Invalid(Invalid),
    #[error("failed to look at the topics")]
    DescribeTopic { source: TopicsError },
    #[error("{0}")]
    Unclaimable(Refusal),
    #[error("failed to find out whose the name of the topic is")]
    FindOwner { source: kubernetes::Error },
    #[error("failed to note the topics before making them")]
    IntendTopics { source: kubernetes::Error },
    #[error("failed to note the topics that are gone before making them anew")]
    NoteLost { source: kubernetes::Error },
    #[error("failed to note that the Pipeline begins to stop")]
    BeginDrain { source: kubernetes::Error },
    #[error("failed to bring about the topics")]
    EnsureTopic { source: TopicsError },
    #[error(
        "topic `{topic}` keeps records {kept}, and `topic.retentionHours` asks for less, which deletes records: annotate the Pipeline with `{}: \"{}\"` to allow it once (remove one that was used, and set it again), or ask for more hours",
        labels::ALLOW_RETENTION_HOURS, Consent { from: *kept, to_hours: *spec_hours }
    )]
    RetentionHeld { topic: TopicName, kept: Kept, spec_hours: u64 },
    #[error("failed to bring the keys to the ingester")]
    ApplyKeys { source: kubernetes::Error },
    #[error("failed to bring about the Pipeline's objects")]
    ApplyChild { source: kubernetes::Error },
    #[error("failed to remove what the Pipeline no longer asks for")]
    RemoveChild { source: kubernetes::Error },
    #[error("failed to learn how far the pods are")]
    ReadPods { source: kubernetes::Error },
    #[error("failed to stop the pods that nothing belongs to any longer")]
    HaltPods { source: kubernetes::Error },
    #[error("failed to stop the pods")]
    StopPods { source: kubernetes::Error },
    #[error("failed to learn what is not stored yet")]
    CountUnstored { source: TopicsError },
    #[error("failed to note the topics that are kept")]
    NoteTopics { source: kubernetes::Error },
    #[error("failed to delete the topics")]
    DeleteTopic { source: TopicsError },
    #[error(
        "topic `{topic}` of the status has no name that this Pipeline gives under the prefix `{prefix}`, so it is not deleted: set the chart's `kafka.topicPrefix` back, delete the topic, or annotate the Pipeline with `{}: \"true\"` to leave it",
        labels::ABANDON_EXTERNAL
    )]
    ForeignTopic { topic: TopicName, prefix: TopicPrefix },
    #[error("failed to let the Pipeline go")]
    LetGo { source: kubernetes::Error },
    #[error("{0}")]
    Interrupted(Interruption),
}

impl Error {
    /// Whether the outcome of the attempt, which the status tells, has this failure. Any other ended the attempt before.
    pub(crate) fn is_told(&self) -> bool {
        match self {
            Self::Invalid(_)
            | Self::DescribeTopic { .. }
            | Self::Unclaimable(_)
            | Self::FindOwner { .. }
            | Self::IntendTopics { .. }
            | Self::NoteLost { .. }
            | Self::EnsureTopic { .. }
            | Self::RetentionHeld { .. }
            | Self::ApplyKeys { .. }
            | Self::ApplyChild { .. }
            | Self::RemoveChild { .. }
            | Self::ReadPods { .. }
            | Self::HaltPods { .. } => true,
            // Somebody changed the Pipeline meanwhile, and the next look tells how it is.
            Self::Report { source } => source.reason() == Reason::KubernetesChanged,
            // Those of a deletion are told as what blocks it, which can be said twice.
            Self::Fetch { .. }
            | Self::Hold { .. }
            | Self::BeginDrain { .. }
            | Self::StopPods { .. }
            | Self::CountUnstored { .. }
            | Self::NoteTopics { .. }
            | Self::DeleteTopic { .. }
            | Self::ForeignTopic { .. }
            | Self::LetGo { .. }
            | Self::Interrupted(_) => false,
        }
    }

    /// Whether the failure is Kafka's, so that a deletion may leave what it is about behind. The others end by themselves,
    /// and what would be left undone for them is lost.
    pub(crate) fn is_of_kafka(&self) -> bool {
        match self {
            Self::DescribeTopic { .. }
            | Self::EnsureTopic { .. }
            | Self::CountUnstored { .. }
            | Self::DeleteTopic { .. }
            | Self::ForeignTopic { .. } => true,
            Self::Fetch { .. }
            | Self::Hold { .. }
            | Self::Report { .. }
            | Self::BeginDrain { .. }
            | Self::Invalid(_)
            | Self::Unclaimable(_)
            | Self::FindOwner { .. }
            | Self::IntendTopics { .. }
            | Self::NoteLost { .. }
            | Self::RetentionHeld { .. }
            | Self::ApplyKeys { .. }
            | Self::ApplyChild { .. }
            | Self::RemoveChild { .. }
            | Self::ReadPods { .. }
            | Self::HaltPods { .. }
            | Self::StopPods { .. }
            | Self::NoteTopics { .. }
            | Self::LetGo { .. }
            | Self::Interrupted(_) => false,
        }
    }

    /// Whether Kafka refused to make a topic, or the name is another Pipeline's, so that none of this name is ours.
    pub(crate) fn says_no_topic_was_made(&self) -> bool {
        match self {
            Self::EnsureTopic { source } => source.says_nothing_was_made(),
            Self::Unclaimable(Refusal::Taken { .. }) => true,
            Self::Unclaimable(Refusal::Replaced { .. } | Refusal::Foreign { .. }) => false,
            Self::Fetch { .. }
            | Self::Hold { .. }
            | Self::Report { .. }
            | Self::BeginDrain { .. }
            | Self::Invalid(_)
            | Self::DescribeTopic { .. }
            | Self::FindOwner { .. }
            | Self::IntendTopics { .. }
            | Self::NoteLost { .. }
            | Self::RetentionHeld { .. }
            | Self::ApplyKeys { .. }
            | Self::ApplyChild { .. }
            | Self::RemoveChild { .. }
            | Self::ReadPods { .. }
            | Self::HaltPods { .. }
            | Self::StopPods { .. }
            | Self::CountUnstored { .. }
            | Self::NoteTopics { .. }
            | Self::DeleteTopic { .. }
            | Self::ForeignTopic { .. }
            | Self::LetGo { .. }
            | Self::Interrupted(_) => false,
        }
    }
}

impl Problem for Error {
    fn failure(&self) -> Failure {
        match self {
            Self::Fetch { source }
            | Self::Hold { source }
            | Self::Report { source }
            | Self::BeginDrain { source }
            | Self::FindOwner { source }
            | Self::IntendTopics { source }
            | Self::NoteLost { source }
            | Self::ApplyKeys { source }
            | Self::ApplyChild { source }
            | Self::RemoveChild { source }
            | Self::ReadPods { source }
            | Self::HaltPods { source }
            | Self::StopPods { source }
            | Self::NoteTopics { source }
            | Self::LetGo { source } => source.failure(),
            Self::DescribeTopic { source }
            | Self::EnsureTopic { source }
            | Self::CountUnstored { source }
            | Self::DeleteTopic { source } => source.failure(),
            Self::Invalid(_) | Self::RetentionHeld { .. } | Self::ForeignTopic { .. } => Failure::Refused,
            Self::Unclaimable(_) => Failure::Conflict,
            Self::Interrupted(Interruption::Deadline) => Failure::Transient,
            Self::Interrupted(Interruption::Panic) => Failure::Bug,
        }
    }

    fn reason(&self) -> Reason {
        match self {
            Self::Fetch { source }
            | Self::Hold { source }
            | Self::Report { source }
            | Self::BeginDrain { source }
            | Self::FindOwner { source }
            | Self::IntendTopics { source }
            | Self::NoteLost { source }
            | Self::ApplyKeys { source }
            | Self::ApplyChild { source }
            | Self::RemoveChild { source }
            | Self::ReadPods { source }
            | Self::HaltPods { source }
            | Self::StopPods { source }
            | Self::NoteTopics { source }
            | Self::LetGo { source } => source.reason(),
            Self::DescribeTopic { source }
            | Self::EnsureTopic { source }
            | Self::CountUnstored { source }
            | Self::DeleteTopic { source } => source.reason(),
            Self::Invalid(invalid) => invalid.reason(),
            Self::RetentionHeld { .. } => Reason::RetentionReductionHeld,
            Self::ForeignTopic { .. } => Reason::TopicRenamed,
            Self::Unclaimable(_) => Reason::NameConflict,
            Self::Interrupted(Interruption::Deadline) => Reason::DeadlineExceeded,
            Self::Interrupted(Interruption::Panic) => Reason::InternalError,
        }
    }
}
