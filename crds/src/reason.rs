//! The reasons of conditions: every word that the operator writes there, with its meaning.
//!
//! The same words are the label `outcome` of `operator_reconciles_total`, the field `reason` of the operator's log, and
//! the reasons of the Events that tell of `Stalled`, `DeletionBlocked` and a missing tenant. A word that was published keeps its spelling.

mod conditions;
mod remedy;

use crate::vocabulary::vocabulary;

vocabulary! {
    /// Why a condition is as it is.
    pub enum Reason {
        // All is well.

        /// What the condition is about is there and works.
        Ready,
        /// The operator accepts the spec.
        Valid,
        /// The tables and views are those of the operator's version, and events are kept as long as the spec says.
        InSync,
        /// All pods that were asked for are available in their present version.
        Available,
        /// Nothing is wrong and something does not flow: no ingester or no consumer was asked for.
        ScaledToZero,
        /// There is no consumer, because the Pipeline's `state` is `Paused`: events wait in Kafka.
        Paused,
        /// The tenant's `suspend` keeps the Pipeline from taking events, and with `All` from storing any.
        TenantSuspended,
        /// The tenant's `suspend` keeps its Pipelines from taking events, and with `All` from storing any.
        Suspended,
        /// The API keys are there; the operator makes no users in ClickHouse, so pods use the installation's.
        AccessManagementDisabled,
        /// An API key is past its `expiresAt` and is refused, and the others are taken.
        KeyExpired,
        /// The passwords of the tenant's users in ClickHouse are being replaced, and until all consumers have the new one
        /// the old ones are taken as well.
        RotationInProgress,
        /// The credentials are there, and ClickHouse lets every user read what it has to keep to itself.
        ServerSettingsUnsafe,

        // Something is on its way.

        /// It was not looked at yet, because the resource is new or another aspect has to be done first.
        Pending,
        /// The operator is at work, or waits for what `Ready` names.
        Progressing,
        /// The resource is being deleted.
        Deleting,
        /// The managed Pipeline is not ready, or was not looked at since it changed.
        PipelineNotReady,
        /// The tenant no longer wants its managed Pipeline, which is not gone yet.
        PipelineBeingRemoved,
        /// The namespace has no AnalyticsTenant of the name in `tenantRef`.
        TenantNotFound,
        /// The tenant is being deleted, has no tables or no keys yet, or its id or database belongs to another.
        TenantNotReady,
        /// Kafka has no topic of the name in `source.kafka.topic`, and the consumer is stopped until it has.
        TopicNotFound,
        /// The id of the topic is not known yet, and no pod is made without it.
        TopicNotReady,
        /// Pods are away, because the Pipeline's `state` is `Stopped`, what they would work with is gone or somebody
        /// else's, or the spec was refused or the tenant not ready while they were.
        Stopped,
        /// The consumer stores what was taken before; only while `state` is `Stopped` or the tenant's `suspend` is `All`.
        Draining,
        /// Not all pods are of the present version and available yet.
        RolloutInProgress,
        /// A Deployment made no progress within the time that Kubernetes gives it.
        RolloutStuck,
        /// Pipelines that were made by hand still name the tenant, or Pipelines that cannot be read may do so.
        PipelinesExist,
        /// The tenant is to be deleted and is protected, by its `deletionProtection` or by its tier's plan.
        ProtectionEnabled,

        // A key that is brought along cannot be used.

        /// The namespace has no Secret of the name in a `secretRef`.
        SecretNotFound,
        /// The Secret of a `secretRef` does not say by its label that it holds keys, and is not used.
        SecretNotLabelled,
        /// The Secret of a `secretRef` has no entry of that name.
        SecretKeyMissing,
        /// The entry of a `secretRef` holds no key of Millrace's form, or one that must not have the scopes.
        SecretKeyUnusable,

        // The spec cannot be brought about, or not without a consent.

        /// The tenant's id, which is `tenantId` or else namespace and name, is too long or has a character that no id has.
        InvalidTenantId,
        /// The retention is out of range, is not exactly one of `days` and `hours`, or is missing with the tier `Enterprise`.
        InvalidRetention,
        /// The retention is longer than the tenant's tier allows.
        RetentionAbovePlan,
        /// The Pipeline's name cannot be part of the name of a topic.
        InvalidName,
        /// The name in `topic.name` is none that a topic of this tenant can have.
        InvalidTopicName,
        /// More copies would have to acknowledge a write than the topic has.
        InvalidReplication,
        /// The name in `source.kafka.topic` is none that a topic can have, or that of a topic of Millrace itself.
        InvalidSourceTopic,
        /// The topic in `source.kafka.topic` is none of those that the chart's `kafka.sourceTopics` lists.
        SourceTopicNotAllowed,
        /// A number of `batch` is out of range.
        InvalidBatch,
        /// The status names topics that this Pipeline would not name so, as after a change of `kafka.topicPrefix`.
        TopicRenamed,
        /// Events or records are kept for longer than the spec says, and a shorter retention would delete them.
        RetentionReductionHeld,
        /// The tenant's id, the database, the topic of that name or the name itself belongs to somebody else.
        NameConflict,

        // Kubernetes.

        /// The Kubernetes API did not answer in time, or with a failure that passes.
        KubernetesUnreachable,
        /// An object changed while the operator worked on it.
        KubernetesChanged,
        /// The Kubernetes API does not allow the operator what it has to do.
        KubernetesPermissionDenied,
        /// The Kubernetes API refused an object as the spec makes it.
        KubernetesRefused,
        /// An object of a name that the operator has to use belongs to somebody else.
        ChildConflict,
        /// An object of a name that the operator has to use is on its way out, and is made anew when it is gone.
        ChildBeingDeleted,
        /// This version of the operator cannot read an object that the resource needs, such as its tenant.
        UnreadableObject,

        // Kafka.

        /// Kafka did not answer in time, or with a failure that passes.
        KafkaUnreachable,
        /// Kafka refused the operator's user: its password, or what it may do; or the brokers' certificate is not of
        /// `kafka.tls.caSecret`.
        KafkaPermissionDenied,
        /// Kafka refused what was asked: a setting, a number of copies, or what a policy of the brokers forbids.
        KafkaRefused,
        /// The brokers do not show a topic that was there a moment ago, or did not show a change of one in time.
        TopicNotVisible,
        /// A topic was there a moment ago and is not any longer.
        TopicMissing,
        /// Somebody deleted a topic and made it anew between two looks at it.
        TopicReplaced,
        /// A topic has more partitions than the spec asks for.
        PartitionsCannotShrink,
        /// A topic has fewer copies than would have to acknowledge each write.
        TooFewReplicas,

        // ClickHouse.

        /// ClickHouse did not answer in time, or with a failure that passes.
        ClickHouseUnreachable,
        /// ClickHouse refused the operator's user: its password, its address, or what it may do.
        ClickHousePermissionDenied,
        /// ClickHouse does not know what a statement needs, or guards a table from being dropped.
        ClickHouseRefused,
        /// ClickHouse shows the tenant's users otherwise than it was told to make them.
        ClickHouseUsersDiffer,
        /// The database that the tenant had is gone, or another one bears its name.
        DatabaseLost,
        /// Somebody dropped the database or made it anew between two looks at it.
        DatabaseReplaced,
        /// The database or its storage table has no id, as with another engine than `Atomic`.
        DatabaseEngineUnsupported,
        /// The database was migrated by a newer version, or with another text of a migration.
        MigrationsDiffer,
        /// The storage table lacks a column, or has another type, engine or order than it was made with.
        TableDiffers,
        /// The storage table is gone although the database says that it was made.
        StorageTableMissing,

        // The operator itself.

        /// A look at the resource did not end within three minutes.
        DeadlineExceeded,
        /// The operator met a bug of its own.
        InternalError,
    }
}
