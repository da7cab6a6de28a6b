//! The Events that the operator writes besides those that tell of a condition.

use crate::{condition::Resource, vocabulary::vocabulary};

vocabulary! {
    /// Why an Event was written. A condition that newly holds a resource up is told under the reason of the condition.
    pub enum EventReason {
        /// A key of a `secretRef` cannot be used, for the reason that `CredentialsReady` has.
        ApiKeyUnusable,
        /// Keys came to the end that their `expiresAt` says, and are refused from now on.
        ApiKeysExpired,
        /// Keys that were there before were missing or unusable in the tenant's Secret and were made anew.
        ApiKeysReplaced,
        /// The password of a user in ClickHouse was missing in its Secret and was made anew.
        CredentialsReplaced,
        /// The passwords of the tenant's users in ClickHouse were replaced, as the annotation asks, and the old ones end.
        CredentialsRotated,
        /// The tenant took over the database that a tenant of its name left behind, with its events.
        DatabaseAdopted,
        /// The database of a deleted tenant was not found, and is neither dropped nor released.
        DatabaseNotFound,
        /// The database of a deleted tenant is kept, as its policy says.
        DatabaseRetained,
        /// The Pipeline was stopped while no consumer was there to store what it took, which waits in Kafka.
        DrainSkipped,
        /// The Pipeline was stopped before everything that it took was stored; the rest waits in Kafka.
        DrainTimedOut,
        /// The Pipeline was stopped after everything that it took was stored.
        Drained,
        /// The deleted resource was let go as its annotation asks, and its topics or its database stay as they are.
        ExternalResourcesAbandoned,
        /// The list of kept topics was full and gave up its oldest entries, so that no Pipeline takes those topics over.
        RetainedTopicsForgotten,
        /// The topic of `source.kafka` was made anew by its owners; what was not stored of the one before is lost.
        SourceTopicReplaced,
        /// ClickHouse lets every user read what it has to keep to itself.
        SystemTablesExposed,
        /// The Pipeline took over a topic that a Pipeline of its name left behind, or its own that is back, with the records.
        TopicAdopted,
        /// A topic of a deleted Pipeline holds records that are not stored, and is kept although its policy is `Delete`.
        TopicKept,
        /// A topic of the Pipeline was gone with what was not stored of it, and was made anew.
        TopicLost,
        /// The database of a deleted tenant was dropped, and topics that its Pipelines had kept are still there.
        TopicsLeftBehind,
        /// The topics of a deleted Pipeline are kept, as its policy or the protection of its tenant says.
        TopicsRetained,
        /// This version of the operator cannot read a field of the resource, and leaves it and all that it has as they are.
        UnreadableResource,
    }
}

/// How Kubernetes sorts Events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Something that an administrator may want to know.
    Normal,
    /// Something that an administrator should look at.
    Warning,
}

impl Severity {
    /// The word in the field `type` of an Event.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        }
    }
}

impl EventReason {
    /// How much it asks for attention.
    #[must_use]
    pub const fn severity(self) -> Severity {
        match self {
            Self::ApiKeysExpired
            | Self::CredentialsRotated
            | Self::DatabaseAdopted
            | Self::DatabaseRetained
            | Self::DrainSkipped
            | Self::Drained
            | Self::TopicAdopted
            | Self::TopicsRetained => Severity::Normal,
            Self::ApiKeyUnusable
            | Self::ApiKeysReplaced
            | Self::CredentialsReplaced
            | Self::DatabaseNotFound
            | Self::DrainTimedOut
            | Self::ExternalResourcesAbandoned
            | Self::RetainedTopicsForgotten
            | Self::SystemTablesExposed
            | Self::SourceTopicReplaced
            | Self::TopicKept
            | Self::TopicLost
            | Self::TopicsLeftBehind
            | Self::UnreadableResource => Severity::Warning,
        }
    }

    /// The resources that it is told of.
    #[must_use]
    pub const fn resources(self) -> &'static [Resource] {
        match self {
            Self::ApiKeyUnusable
            | Self::ApiKeysExpired
            | Self::ApiKeysReplaced
            | Self::CredentialsReplaced
            | Self::CredentialsRotated
            | Self::DatabaseAdopted
            | Self::DatabaseNotFound
            | Self::DatabaseRetained
            | Self::RetainedTopicsForgotten
            | Self::SystemTablesExposed
            | Self::TopicsLeftBehind => &[Resource::AnalyticsTenant],
            Self::ExternalResourcesAbandoned | Self::UnreadableResource => {
                &[Resource::AnalyticsTenant, Resource::Pipeline]
            }
            Self::DrainSkipped
            | Self::DrainTimedOut
            | Self::Drained
            | Self::SourceTopicReplaced
            | Self::TopicAdopted
            | Self::TopicKept
            | Self::TopicLost
            | Self::TopicsRetained => &[Resource::Pipeline],
        }
    }

    /// What to do.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::ApiKeyUnusable => {
                "Correct the Secret that the message names, or `secretRef`. Until then the key is refused."
            }
            Self::ApiKeysExpired => {
                "Nothing, if nobody uses them any longer. A later `expiresAt` makes the same key work again."
            }
            Self::ApiKeysReplaced => {
                "Give the new keys to whoever used those that the message names: the old ones are refused."
            }
            Self::CredentialsReplaced => {
                "Read the new password from the Secret that the message names: the old one is refused. Consumers get it by themselves."
            }
            Self::CredentialsRotated => {
                "Whoever reads as the tenant's user takes the new password from the Secret that the message names."
            }
            Self::SystemTablesExposed => {
                "Change the setting of ClickHouse's configuration that the message names. Nothing is held up meanwhile."
            }
            Self::DatabaseAdopted | Self::TopicAdopted => "Nothing, if that was meant.",
            Self::DatabaseNotFound => {
                "Nothing, if somebody dropped it, or the operator did just before it was restarted. Else it stays with its events \
                 where the operator does not look: at another server than `clickhouse.url`, or without the right to see it."
            }
            Self::DatabaseRetained => {
                "Nothing. A tenant of the same name in the same namespace takes it over with the topics that the message names, \
                 unless the message says that it does not."
            }
            Self::DrainSkipped => {
                "Nothing, if it may wait. Or set `state` to `Running` until it is stored, and stop the Pipeline then."
            }
            Self::DrainTimedOut => {
                "Nothing, if the rest may wait. Or set `state` to `Running`, find out why the consumer is slow, and stop the \
                 Pipeline again with more `drainTimeoutSeconds`."
            }
            Self::Drained => "Nothing.",
            Self::ExternalResourcesAbandoned => {
                "Delete or keep by hand what the message names; it says why the operator could not. The operator's log has the same."
            }
            Self::RetainedTopicsForgotten => {
                "Delete the topics that the message names, or remove those that are gone from `status.retainedTopics` of the \
                 tenant and add the ids to it again."
            }
            Self::SourceTopicReplaced => {
                "Nothing: the new topic is read from its beginning. Ask its owners for what was lost."
            }
            Self::TopicKept => {
                "Make a Pipeline of the same name for the same tenant: it takes the topic over and stores the records. \
                 Or delete the topic with what is in it."
            }
            Self::TopicLost => {
                "Find out who deleted it, or whether `kafka.bootstrapServers` names another Kafka: with the first one it is taken \
                 over with its records. Else events that were acknowledged and not stored are lost unless they are sent again."
            }
            Self::TopicsLeftBehind => {
                "Delete those of the topics that are still there with Kafka's tools: no Pipeline takes them over by itself."
            }
            Self::TopicsRetained => {
                "Nothing. A Pipeline of the same name for the same tenant takes them over; what the message says is not stored \
                 yet waits for it."
            }
            Self::UnreadableResource => {
                "Correct the field that the message names, or run a version of the operator that knows it."
            }
        }
    }
}
