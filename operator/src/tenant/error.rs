//! What can go wrong with an AnalyticsTenant.

use crds::Reason;
use schema::names::{DatabaseName, STORAGE_TABLE};
use uuid::Uuid;

use crate::{
    attempt::Interruption,
    failure::Failure,
    kubernetes, labels,
    progress::Problem,
    retention::{Consent, Kept},
    tables::{DatabaseComment, Difference, TablesError},
    users::UsersError,
};

use super::{
    build::database::{Loss, Refusal},
    validate::Invalid,
};

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("failed to fetch what the tenant is about")]
    Fetch { source: kubernetes::Error },
    #[error("failed to hold the tenant")]
    Hold { source: kubernetes::Error },
    #[error("failed to tell how the tenant is")]
    Report { source: kubernetes::Error },
    #[error(transparent)]
    Invalid(Invalid),
    #[error("failed to bring about the Secret of the API keys")]
    ApplyKeys { source: kubernetes::Error },
    #[error("failed to look at the database")]
    DescribeDatabase { source: TablesError },
    #[error("{0}")]
    Unclaimable(Refusal),
    #[error("{0}")]
    DatabaseLost(Loss),
    #[error("failed to create the database")]
    CreateDatabase { source: TablesError },
    #[error("failed to note the topics of the released database")]
    NoteTopics { source: kubernetes::Error },
    #[error("failed to take over the released database")]
    ClaimDatabase { source: TablesError },
    #[error("failed to bring the tables up to date")]
    Migrate { source: TablesError },
    #[error(
        "events are kept {kept}, and the spec asks for {wanted_hours} hours, which deletes events: annotate the AnalyticsTenant with `{}: \"{}\"` to allow it once (remove one that was used, and set it again), or ask for more hours",
        labels::ALLOW_RETENTION_HOURS, Consent { from: *kept, to_hours: (*wanted_hours).into() }
    )]
    RetentionHeld { kept: Kept, wanted_hours: u32 },
    #[error(
        "table `{database}.{STORAGE_TABLE}` is not as it was made: {differences}; change it back: the operator does not, and leaves views and retention as they are until then"
    )]
    TableDiffers { database: DatabaseName, differences: String },
    #[error("failed to bring about the Secrets of the users in ClickHouse")]
    ApplyCredentials { source: kubernetes::Error },
    #[error("failed to bring about the users in ClickHouse")]
    EnsureUsers { source: UsersError },
    #[error("failed to remove the users in ClickHouse")]
    RemoveUsers { source: UsersError },
    #[error("failed to bring about the managed Pipeline")]
    ApplyPipeline { source: kubernetes::Error },
    #[error("failed to remove the managed Pipeline that is no longer wanted")]
    RemovePipeline { source: kubernetes::Error },
    #[error("failed to delete the managed Pipeline")]
    DeletePipeline { source: kubernetes::Error },
    #[error(
        "database `{database}` with the id {uuid} has the tenant's events, and its comment names the tenant no longer: to drop it, an administrator of ClickHouse sets the comment back with `ALTER DATABASE {database} MODIFY COMMENT '{comment}'`; to keep it, set `deletionPolicy.clickhouse` to Retain"
    )]
    DisownedDatabase { database: DatabaseName, uuid: Uuid, comment: DatabaseComment },
    #[error("failed to release the database")]
    ReleaseDatabase { source: TablesError },
    #[error("failed to drop the database")]
    DropDatabase { source: TablesError },
    #[error("failed to let the tenant go")]
    LetGo { source: kubernetes::Error },
    #[error("{0}")]
    Interrupted(Interruption),
}

impl Error {
    pub(crate) fn table_differs(database: &DatabaseName, differences: &[Difference]) -> Self {
        let differences: Vec<String> = differences.iter().map(ToString::to_string).collect();
        Self::TableDiffers { database: database.clone(), differences: differences.join(", ") }
    }

    /// Whether the outcome of the attempt, which the status tells, has this failure. Any other ended the attempt before.
    pub(crate) fn is_told(&self) -> bool {
        match self {
            Self::Invalid(_)
            | Self::ApplyKeys { .. }
            | Self::DescribeDatabase { .. }
            | Self::Unclaimable(_)
            | Self::DatabaseLost(_)
            | Self::CreateDatabase { .. }
            | Self::NoteTopics { .. }
            | Self::ClaimDatabase { .. }
            | Self::Migrate { .. }
            | Self::RetentionHeld { .. }
            | Self::TableDiffers { .. }
            | Self::ApplyCredentials { .. }
            | Self::EnsureUsers { .. }
            | Self::RemoveUsers { .. }
            | Self::ApplyPipeline { .. }
            | Self::RemovePipeline { .. }
            | Self::DisownedDatabase { .. }
            | Self::ReleaseDatabase { .. }
            | Self::DropDatabase { .. } => true,
            // Somebody changed the tenant meanwhile, and the next look tells how it is.
            Self::Report { source } => source.reason() == Reason::KubernetesChanged,
            Self::Fetch { .. }
            | Self::Hold { .. }
            | Self::DeletePipeline { .. }
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
            | Self::ApplyKeys { source }
            | Self::ApplyCredentials { source }
            | Self::NoteTopics { source }
            | Self::ApplyPipeline { source }
            | Self::RemovePipeline { source }
            | Self::DeletePipeline { source }
            | Self::LetGo { source } => source.failure(),
            Self::DescribeDatabase { source }
            | Self::CreateDatabase { source }
            | Self::ClaimDatabase { source }
            | Self::Migrate { source }
            | Self::ReleaseDatabase { source }
            | Self::DropDatabase { source } => source.failure(),
            Self::EnsureUsers { source } | Self::RemoveUsers { source } => source.failure(),
            Self::Invalid(invalid) => invalid.failure(),
            Self::DatabaseLost(_) | Self::RetentionHeld { .. } | Self::TableDiffers { .. } => {
                Failure::Refused
            }
            Self::Unclaimable(_) | Self::DisownedDatabase { .. } => Failure::Conflict,
            Self::Interrupted(Interruption::Deadline) => Failure::Transient,
            Self::Interrupted(Interruption::Panic) => Failure::Bug,
        }
    }

    fn reason(&self) -> Reason {
        match self {
            Self::Fetch { source }
            | Self::Hold { source }
            | Self::Report { source }
            | Self::ApplyKeys { source }
            | Self::ApplyCredentials { source }
            | Self::NoteTopics { source }
            | Self::ApplyPipeline { source }
            | Self::RemovePipeline { source }
            | Self::DeletePipeline { source }
            | Self::LetGo { source } => source.reason(),
            Self::DescribeDatabase { source }
            | Self::CreateDatabase { source }
            | Self::ClaimDatabase { source }
            | Self::Migrate { source }
            | Self::ReleaseDatabase { source }
            | Self::DropDatabase { source } => source.reason(),
            Self::EnsureUsers { source } | Self::RemoveUsers { source } => source.reason(),
            Self::Invalid(invalid) => invalid.reason(),
            Self::DatabaseLost(_) => Reason::DatabaseLost,
            Self::RetentionHeld { .. } => Reason::RetentionReductionHeld,
            Self::TableDiffers { .. } => Reason::TableDiffers,
            Self::Unclaimable(_) | Self::DisownedDatabase { .. } => Reason::NameConflict,
            Self::Interrupted(Interruption::Deadline) => Reason::DeadlineExceeded,
            Self::Interrupted(Interruption::Panic) => Reason::InternalError,
        }
    }
}
