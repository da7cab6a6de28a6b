//! What can go wrong with a tenant's database, and what kind of failure it is.

use crds::Reason;
use schema::{
    migrations::MigrationError,
    names::{DatabaseName, STORAGE_TABLE},
};
use uuid::Uuid;

use crate::{clickhouse::QueryError, failure::Failure};

/// A database that could not be brought to what was wanted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TablesError {
    #[error("failed to describe database `{database}`")]
    Describe { database: DatabaseName, source: QueryError },
    #[error("failed to create database `{database}`")]
    Create { database: DatabaseName, source: QueryError },
    #[error("failed to write the owner of database `{database}`")]
    WriteOwner { database: DatabaseName, source: QueryError },
    #[error("failed to read the migrations of database `{database}`")]
    ReadMigrations { database: DatabaseName, source: QueryError },
    #[error("failed to continue the migrations of database `{database}`")]
    ContinueMigrations { database: DatabaseName, source: MigrationError },
    #[error("failed to apply migration {number} to database `{database}`")]
    Migrate { database: DatabaseName, number: u32, source: QueryError },
    #[error("failed to describe the tables of database `{database}`")]
    DescribeTables { database: DatabaseName, source: QueryError },
    #[error("failed to set back the settings of the storage table of database `{database}`")]
    ChangeSettings { database: DatabaseName, source: QueryError },
    #[error("failed to change the retention of database `{database}`")]
    ChangeRetention { database: DatabaseName, source: QueryError },
    #[error("failed to define view `{database}.{view}`")]
    DefineView { database: DatabaseName, view: &'static str, source: QueryError },
    #[error("failed to drop database `{database}`")]
    Drop { database: DatabaseName, source: QueryError },
    #[error(
        "table `{STORAGE_TABLE}` of database `{database}` is gone: restore it from a backup, or drop the database and consent to its loss (docs/operations/recover.md)"
    )]
    StorageMissing { database: DatabaseName },
    #[error(
        "database `{database}` exists, and the operator's ClickHouse user may not see it: grant `SHOW` on it"
    )]
    Invisible { database: DatabaseName },
    #[error("database `{database}` was dropped by somebody else")]
    Vanished { database: DatabaseName },
    #[error("database `{database}` has no id: its engine is not Atomic")]
    WithoutId { database: DatabaseName },
    #[error("database `{database}` does not belong to this tenant: its comment says `{comment}`")]
    NotOurs { database: DatabaseName, comment: String },
    #[error("database `{database}` has the id {found} and not {expected}: somebody made it anew")]
    Replaced { database: DatabaseName, expected: Uuid, found: Uuid },
}

impl TablesError {
    /// A migration whose answer did not come.
    #[cfg(test)]
    pub(crate) fn lost_answer(database: DatabaseName) -> Self {
        Self::Migrate { database, number: 1, source: QueryError::Deadline { seconds: 1 } }
    }

    /// What helps.
    pub(crate) fn failure(&self) -> Failure {
        match self {
            Self::Describe { source, .. }
            | Self::Create { source, .. }
            | Self::WriteOwner { source, .. }
            | Self::ReadMigrations { source, .. }
            | Self::Migrate { source, .. }
            | Self::DescribeTables { source, .. }
            | Self::ChangeSettings { source, .. }
            | Self::ChangeRetention { source, .. }
            | Self::DefineView { source, .. }
            | Self::Drop { source, .. } => source.failure(),
            Self::ContinueMigrations { .. } | Self::WithoutId { .. } | Self::StorageMissing { .. } => {
                Failure::Refused
            }
            Self::Vanished { .. } => Failure::Transient,
            Self::Invisible { .. } => Failure::Permission,
            Self::NotOurs { .. } | Self::Replaced { .. } => Failure::Conflict,
        }
    }

    /// The reason of the condition, the label of the metric and the field of the log.
    pub(crate) fn reason(&self) -> Reason {
        match self {
            Self::ContinueMigrations { .. } => Reason::MigrationsDiffer,
            Self::StorageMissing { .. } => Reason::StorageTableMissing,
            Self::WithoutId { .. } => Reason::DatabaseEngineUnsupported,
            Self::NotOurs { .. } => Reason::NameConflict,
            Self::Replaced { .. } | Self::Vanished { .. } => Reason::DatabaseReplaced,
            Self::Invisible { .. } => Reason::ClickHousePermissionDenied,
            Self::Describe { source, .. }
            | Self::Create { source, .. }
            | Self::WriteOwner { source, .. }
            | Self::ReadMigrations { source, .. }
            | Self::Migrate { source, .. }
            | Self::DescribeTables { source, .. }
            | Self::ChangeSettings { source, .. }
            | Self::ChangeRetention { source, .. }
            | Self::DefineView { source, .. }
            | Self::Drop { source, .. } => source.reason(),
        }
    }
}
