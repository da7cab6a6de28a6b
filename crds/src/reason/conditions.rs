//! Where each reason appears.

use super::Reason;
use crate::condition::ConditionType::{
    self, CredentialsReady, DatabaseReady, DeletionBlocked, Paused, Ready, Reconciling, SchemaInSync,
    SpecValid, Stalled, TableReady, TopicReady, WorkloadsAvailable,
};

impl Reason {
    /// The conditions that can have this reason, those that sum others up last. Tests of the operator compare this with
    /// what it writes.
    #[must_use]
    pub const fn conditions(self) -> &'static [ConditionType] {
        match self {
            Self::Ready => &[CredentialsReady, DatabaseReady, TableReady, TopicReady, Ready],
            Self::Valid => &[SpecValid],
            Self::InSync => &[SchemaInSync],
            Self::Available | Self::TopicNotReady => &[WorkloadsAvailable],
            Self::ScaledToZero
            | Self::TenantSuspended
            | Self::Stopped
            | Self::Draining
            | Self::RolloutInProgress
            | Self::RolloutStuck => &[WorkloadsAvailable, Ready],
            Self::Paused => &[WorkloadsAvailable, Paused, Ready],
            Self::AccessManagementDisabled
            | Self::KeyExpired
            | Self::RotationInProgress
            | Self::ServerSettingsUnsafe => &[CredentialsReady],
            Self::Pending => ANY_ASPECT,
            Self::Progressing => &[Reconciling],
            Self::Suspended | Self::Deleting | Self::PipelineNotReady | Self::PipelineBeingRemoved => {
                &[Ready]
            }
            Self::TenantNotFound | Self::TenantNotReady => &[TableReady, Ready],
            Self::TopicNotFound => &[TopicReady, Ready],
            Self::SecretNotFound
            | Self::SecretNotLabelled
            | Self::SecretKeyMissing
            | Self::SecretKeyUnusable => &[CredentialsReady, Ready],
            Self::PipelinesExist | Self::ProtectionEnabled => &[DeletionBlocked],
            Self::InvalidTenantId
            | Self::InvalidRetention
            | Self::RetentionAbovePlan
            | Self::InvalidName
            | Self::InvalidTopicName
            | Self::InvalidReplication
            | Self::InvalidSourceTopic
            | Self::SourceTopicNotAllowed
            | Self::InvalidBatch => &[SpecValid, Ready, Stalled],
            Self::TopicRenamed => &[SpecValid, Ready, Stalled, DeletionBlocked],
            Self::RetentionReductionHeld => &[SchemaInSync, TopicReady, Ready, Stalled],
            Self::NameConflict => &[SpecValid, DatabaseReady, TopicReady, Ready, Stalled, DeletionBlocked],
            Self::KubernetesUnreachable | Self::KubernetesChanged | Self::KubernetesPermissionDenied => {
                &[CredentialsReady, DatabaseReady, TopicReady, WorkloadsAvailable, Ready, DeletionBlocked]
            }
            Self::KubernetesRefused | Self::UnreadableObject => &[
                CredentialsReady,
                DatabaseReady,
                TopicReady,
                WorkloadsAvailable,
                Ready,
                Stalled,
                DeletionBlocked,
            ],
            Self::ChildConflict => &[CredentialsReady, WorkloadsAvailable, Ready, Stalled],
            Self::ChildBeingDeleted => &[CredentialsReady, WorkloadsAvailable, Ready],
            Self::KafkaUnreachable | Self::KafkaPermissionDenied | Self::TopicNotVisible => {
                &[TopicReady, Ready, DeletionBlocked]
            }
            Self::KafkaRefused | Self::TopicReplaced => &[TopicReady, Ready, Stalled, DeletionBlocked],
            Self::TopicMissing => &[TopicReady, Ready],
            Self::PartitionsCannotShrink | Self::TooFewReplicas => &[TopicReady, Ready, Stalled],
            Self::ClickHouseUnreachable | Self::ClickHousePermissionDenied => {
                &[CredentialsReady, DatabaseReady, SchemaInSync, Ready, DeletionBlocked]
            }
            Self::ClickHouseRefused => {
                &[CredentialsReady, DatabaseReady, SchemaInSync, Ready, Stalled, DeletionBlocked]
            }
            Self::ClickHouseUsersDiffer => &[CredentialsReady, Ready],
            Self::DatabaseEngineUnsupported => {
                &[DatabaseReady, SchemaInSync, Ready, Stalled, DeletionBlocked]
            }
            Self::DatabaseLost | Self::DatabaseReplaced => &[DatabaseReady, Ready, Stalled, DeletionBlocked],
            Self::MigrationsDiffer | Self::StorageTableMissing | Self::TableDiffers => {
                &[SchemaInSync, Ready, Stalled]
            }
            Self::DeadlineExceeded => &[Ready, DeletionBlocked],
            Self::InternalError => &[Ready, Stalled, DeletionBlocked],
        }
    }
}

/// The conditions that are there from the beginning.
const ANY_ASPECT: &[ConditionType] = &[
    SpecValid,
    CredentialsReady,
    DatabaseReady,
    SchemaInSync,
    TableReady,
    TopicReady,
    WorkloadsAvailable,
    Ready,
];
