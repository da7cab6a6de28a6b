//! What helps against each reason.

use super::Reason;

const NOTHING: &str = "Nothing.";
const CORRECT_SPEC: &str = "Correct the field of the spec that the message names.";

impl Reason {
    /// What to do.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::Ready | Self::Valid | Self::InSync | Self::Available => NOTHING,
            Self::ScaledToZero => {
                "Set the Pipeline's `ingester.replicas` and `consumer.replicas` to 1 or more when events are to flow."
            }
            Self::AccessManagementDisabled => "Nothing: it does not count for `Ready`.",
            Self::KeyExpired => {
                "Give the key that the message names a later `expiresAt`, or remove it from `apiKeys`."
            }
            Self::RotationInProgress => {
                "Nothing. If it stays, look at `WorkloadsAvailable` of the Pipelines that the message names."
            }
            Self::ServerSettingsUnsafe => {
                "Change the setting of ClickHouse's configuration that the message names. Nothing is held up meanwhile."
            }
            Self::Pending => "Nothing. If it stays, another condition is `False` and says what is missing.",
            Self::Progressing => "Nothing: `Ready` says what is missing.",
            Self::Deleting => "Nothing, unless there is `DeletionBlocked`, which says what holds it.",
            Self::PipelineNotReady => "Read the conditions of the Pipeline `<tenant>-default`.",
            Self::PipelineBeingRemoved => {
                "Nothing. If it stays, read `DeletionBlocked` of the Pipeline `<tenant>-default`."
            }
            Self::TenantNotFound => {
                "Make the AnalyticsTenant in the Pipeline's namespace, or a new Pipeline, since `tenantRef` cannot be changed."
            }
            Self::TenantNotReady => "Read the conditions of the AnalyticsTenant that the message names.",
            Self::TopicNotFound => {
                "Make the topic, or a new Pipeline with another `source`, which cannot be changed. \
                 The consumer starts by itself."
            }
            Self::SecretNotFound | Self::SecretKeyMissing => {
                "Make the Secret or its entry, or correct `secretRef`. The other keys are taken meanwhile."
            }
            Self::SecretNotLabelled => {
                "Label the Secret with `analytics.millrace.dev/api-key: \"true\"`. The other keys are taken meanwhile."
            }
            Self::SecretKeyUnusable => {
                "Put a key into the entry as the operator makes them, `mrq_` in front where `scopes` has `Query`. \
                 The other keys are taken meanwhile."
            }
            Self::TopicNotReady => "Do what `TopicReady` asks for. The pods start by themselves.",
            Self::Stopped => {
                "Set `state` to `Running` when events are to flow; or do what `SpecValid`, `TableReady` or \
                 `TopicReady` asks for, and the pods start by themselves."
            }
            Self::Draining => "Nothing: it ends when all is stored, or after `drainTimeoutSeconds`.",
            Self::TenantSuspended => "Set the AnalyticsTenant's `suspend` to `None` when events are to flow.",
            Self::Suspended => "Set `suspend` to `None` when events are to flow.",
            Self::Paused => "Set the Pipeline's `state` to `Running` when events are to be stored.",
            Self::RolloutInProgress => {
                "Nothing. If it stays, look at the pods of the Deployment that the message names."
            }
            Self::RolloutStuck => {
                "Look at the Events and the log of the pods of the Deployment that the message names. \
                 The next change of the spec replaces them."
            }
            Self::PipelinesExist => {
                "Delete the Pipelines that the message names, and correct those that cannot be read."
            }
            Self::ProtectionEnabled => {
                "Set the AnalyticsTenant's `deletionProtection` to `false` to let it go. The tenant works until then; \
                 its deletion cannot be taken back."
            }
            Self::InvalidTenantId => {
                "Make the tenant anew with a `tenantId` of at most 40 of `a-z`, `0-9` and `-`, which cannot be added later."
            }
            Self::InvalidRetention => {
                "Set exactly one of `retention.days`, 1 to 18250, and `retention.hours`, 1 to 438000."
            }
            Self::RetentionAbovePlan => {
                "Ask for no more than the message allows, choose another `tier`, or raise the chart's \
                 `plans.<tier>.maxRetentionHours`."
            }
            Self::InvalidName => "Make the Pipeline anew under a name of at most 48 of `a-z`, `0-9` and `-`.",
            Self::InvalidTopicName => {
                "Make the Pipeline anew with a `topic.name` that begins as the message says, or without one, since it \
                 cannot be changed."
            }
            Self::InvalidReplication => {
                "Lower `topic.minInsyncReplicas`, or make a new Pipeline with more copies in `topic.replicationFactor`."
            }
            Self::InvalidSourceTopic => {
                "Make a new Pipeline with the topic of another application, since `source` cannot be changed."
            }
            Self::SourceTopicNotAllowed => {
                "Make a new Pipeline with a topic that is listed, or ask whoever runs Millrace to list this one."
            }
            Self::InvalidBatch => CORRECT_SPEC,
            Self::TopicRenamed => {
                "Set the chart's `kafka.topicPrefix` back, or make a new Pipeline. \
                 To delete the old one, delete its topics, or leave them with the annotation \
                 `analytics.millrace.dev/abandon-external: \"true\"`."
            }
            Self::RetentionReductionHeld => {
                "Ask for the retention of before, or consent with the annotation \
                 `analytics.millrace.dev/allow-retention-hours` as the message spells it; it counts once."
            }
            Self::NameConflict => {
                "Read in the message whose it is. Delete what is in the way, or make the resource anew under another \
                 name or `tenantId`; or give it what an earlier one of its name left, as docs/operations/recover.md says. \
                 Until then nothing is written there in its name."
            }
            Self::KubernetesUnreachable | Self::KubernetesChanged => {
                "Nothing: the operator tries again after a second at first and five minutes at last."
            }
            Self::KubernetesPermissionDenied => {
                "Give the operator's service account what the message names, as the chart's ClusterRole does; \
                 a quota or an admission policy can refuse as well."
            }
            Self::KubernetesRefused => {
                "Correct the field of the spec that the message names, or apply the definitions of the operator's chart \
                 if the message says that they are older."
            }
            Self::ChildConflict => "Rename or delete the object that the message names.",
            Self::ChildBeingDeleted => {
                "Nothing. If it stays, a finalizer of somebody else holds the object that the message names."
            }
            Self::UnreadableObject => {
                "Correct the field that the message names, or run a version of the operator that knows it."
            }
            Self::KafkaUnreachable => {
                "Look at Kafka and at the network between. The operator stops no pods for it."
            }
            Self::KafkaPermissionDenied => {
                "Correct the user's Secret or ACLs, or the certificate in the Secret `kafka.tls.caSecret`. \
                 After a change of a Secret, restart the operator, which reads it when it starts."
            }
            Self::KafkaRefused => "Correct `topic` of the spec, or what the message says of the brokers.",
            Self::TopicNotVisible | Self::TopicMissing => {
                "Nothing: the operator looks again after a second at first and five minutes at last."
            }
            Self::TopicReplaced | Self::DatabaseReplaced => {
                "Nothing: the operator looks again, and says if something has to be done."
            }
            Self::PartitionsCannotShrink => {
                "Raise `topic.partitions` to the number in the message: Kafka cannot shrink a topic."
            }
            Self::TooFewReplicas => {
                "Give the topic more copies with Kafka's own tools, or lower `topic.minInsyncReplicas`."
            }
            Self::ClickHouseUnreachable => {
                "Look at ClickHouse and at the network between. \
                 The operator stops no pods for it, and events wait in Kafka."
            }
            Self::ClickHousePermissionDenied => {
                "Correct the user's Secret or its grants. \
                 After a change of the Secret, restart the operator, which reads it when it starts."
            }
            Self::ClickHouseRefused => {
                "Do what the message asks for: a newer ClickHouse, or a greater `max_table_size_to_drop` for a deletion."
            }
            Self::ClickHouseUsersDiffer => {
                "Find out who changes the users that the message names. If nobody does, report the version of ClickHouse."
            }
            Self::DatabaseLost => {
                "Bring the database back from a backup, or consent to its loss with the annotation \
                 `analytics.millrace.dev/recreate-database` as the message spells it."
            }
            Self::DatabaseEngineUnsupported => {
                "Move the database that the message names out of the way: the operator makes one itself."
            }
            Self::MigrationsDiffer => {
                "Run an operator that is not older than the one that migrated the database. \
                 A migration with another text was changed after it was published: report it."
            }
            Self::TableDiffers => {
                "Undo in the table `events_raw` what the message names. Columns may be added, and settings set themselves back."
            }
            Self::StorageTableMissing => {
                "Restore the table `events_raw` from a backup. Without one, drop the database and do what `DatabaseLost` \
                 asks for: what Kafka still has is stored again."
            }
            Self::DeadlineExceeded => {
                "Nothing: the operator tries again. \
                 If it stays, Kubernetes, Kafka or ClickHouse is slow."
            }
            Self::InternalError => {
                "Report it with the operator's log. It is tried again within five minutes."
            }
        }
    }
}
