//! The databases of ClickHouse: described, created or taken over, migrated, released or dropped.
//!
//! ```text
//! create:   create with its owner* -> describe*
//! migrate:  describe* -> (_migrations*) -> read* -> (apply* -> record*)... -> settings* -> views* -> retention*
//! release:  describe* -> compare the owner -> rewrite the comment*
//! drop:     describe* -> compare the owner -> drop*
//! ```
//!
//! Invariants:
//! - Nothing is written to or dropped from a database whose comment does not name the caller's tenant.
//! - No event is deleted by a shorter retention without consent.
//! - Nothing but its settings is set back in a table that somebody changed: how it differs is told.
//! - Every statement can be repeated, and what comes next is decided from what the server says now: a run after a
//!   crash between any two statements goes on where it stopped.
//! - Every statement has a deadline, their number at one time is bounded, and so is the wait for that bound.
//! - A tenant whose statements hang leaves turns to the others.

mod comment;
mod drift;
mod error;
mod statement;

use std::future::Future;

use clickhouse::Row;
use schema::{
    migrations::{self, AppliedMigration},
    names::{DatabaseName, EVENTS_VIEW, MIGRATIONS_TABLE, STORAGE_TABLE, TableGeneration, TopicId},
    retention::Retention,
    storage,
};
use serde::Deserialize;
use tracing::{info, warn};
use uuid::Uuid;

use crate::{
    clickhouse::Connection,
    retention::{Kept, Shortening},
};
use drift::{ColumnRow, Layout};
pub(crate) use {
    comment::{DatabaseComment, DatabaseOwner},
    drift::Difference,
    error::TablesError,
};

/// How much of a foreign comment is repeated in an error, which ends up in a condition.
const MAX_COMMENT_CHARS: usize = 200;

/// A database as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Database {
    pub(crate) name: DatabaseName,
    /// ClickHouse's id of this incarnation.
    pub(crate) uuid: Uuid,
    pub(crate) comment: DatabaseComment,
}

/// How long events are to be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WantedRetention {
    pub(crate) retention: Retention,
    pub(crate) shortening: Shortening,
}

/// The tables after a migration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Migrated {
    /// The id of the storage table.
    pub(crate) generation: TableGeneration,
    /// The retention that stays, where the wanted one is shorter and may not be applied.
    pub(crate) kept: Option<Kept>,
    /// How the storage table differs from the one that was made. Then views and retention stay as they are.
    pub(crate) differences: Vec<Difference>,
}

/// What the controllers ask of ClickHouse. A trait, so that their tests can answer instead.
pub(crate) trait Tables: Send + Sync {
    /// The database of this name, if there is one.
    fn describe(
        &self,
        name: &DatabaseName,
    ) -> impl Future<Output = Result<Option<Database>, TablesError>> + Send;

    /// Creates the database for this owner. One that is there already is returned as it is: whoever asked compares
    /// its comment.
    fn create(
        &self,
        name: &DatabaseName,
        owner: &DatabaseOwner,
    ) -> impl Future<Output = Result<Database, TablesError>> + Send;

    /// Takes a released database over.
    ///
    /// # Errors
    /// [`TablesError::Replaced`] and [`TablesError::NotOurs`] when it is by now another than `database`, or was not
    /// released by a tenant of the owner's name.
    fn claim(
        &self,
        database: &Database,
        owner: &DatabaseOwner,
    ) -> impl Future<Output = Result<(), TablesError>> + Send;

    /// Brings tables, their settings, views and retention to this version and this spec. Without consent a longer
    /// retention stays, in the views as in the table. A table that differs from the one that was made keeps its views
    /// and its retention.
    fn migrate(
        &self,
        name: &DatabaseName,
        wanted: WantedRetention,
    ) -> impl Future<Output = Result<Migrated, TablesError>> + Send;

    /// Leaves the database behind for a tenant of the same name. One that is absent or released already is released.
    fn release(
        &self,
        database: &Database,
        owner: &DatabaseOwner,
        topics: &[TopicId],
    ) -> impl Future<Output = Result<(), TablesError>> + Send;

    /// Drops the database with everything in it. One that is absent is dropped.
    ///
    /// # Errors
    /// [`TablesError::Replaced`] and [`TablesError::NotOurs`] when it is by now another than `database`, or another's.
    fn drop(
        &self,
        database: &Database,
        owner: &DatabaseOwner,
    ) -> impl Future<Output = Result<(), TablesError>> + Send;
}

/// The databases of a real server.
#[derive(Clone)]
pub(crate) struct ClickHouseTables {
    connection: Connection,
}

#[derive(Row, Deserialize)]
struct DatabaseRow {
    uuid: String,
    comment: String,
}

#[derive(Row, Deserialize)]
struct MigrationRow {
    number: u32,
    checksum: String,
}

#[derive(Row, Deserialize)]
struct TableRow {
    name: String,
    uuid: String,
    comment: String,
    definition: String,
    engine: String,
    partition_key: String,
    sorting_key: String,
}

/// Whether a look at the steps changed anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Steps {
    WereApplied,
    AreApplied,
}

impl ClickHouseTables {
    /// The databases behind a connection.
    pub(crate) fn new(connection: Connection) -> Self {
        Self { connection }
    }

    /// The database, if it is still the incarnation that the caller saw.
    async fn unchanged(&self, database: &Database) -> Result<Option<Database>, TablesError> {
        match self.describe(&database.name).await? {
            Some(found) if found.uuid != database.uuid => Err(TablesError::Replaced {
                database: database.name.clone(),
                expected: database.uuid,
                found: found.uuid,
            }),
            found => Ok(found),
        }
    }

    async fn write_comment(&self, name: &DatabaseName, comment: &DatabaseComment) -> Result<(), TablesError> {
        self.connection
            .change(name, &statement::change_comment(name, comment))
            .await
            .map_err(|source| TablesError::WriteOwner { database: name.clone(), source })
    }

    async fn tables_of(&self, name: &DatabaseName) -> Result<Vec<TableRow>, TablesError> {
        self.connection
            .read(name, &statement::describe_tables(name))
            .await
            .map_err(|source| TablesError::DescribeTables { database: name.clone(), source })
    }

    async fn apply_migrations(
        &self,
        name: &DatabaseName,
        tables: &[TableRow],
        retention: Retention,
    ) -> Result<Steps, TablesError> {
        let reading = |source| TablesError::ReadMigrations { database: name.clone(), source };
        if tables.iter().all(|table| table.name != MIGRATIONS_TABLE) {
            self.connection.change(name, &migrations::migrations_table(name)).await.map_err(reading)?;
        }
        let applied: Vec<MigrationRow> =
            self.connection.read(name, &statement::applied_migrations(name)).await.map_err(reading)?;
        let applied: Vec<AppliedMigration> = applied
            .into_iter()
            .map(|row| AppliedMigration { number: row.number, checksum: row.checksum })
            .collect();
        let pending = migrations::pending(&applied)
            .map_err(|source| TablesError::ContinueMigrations { database: name.clone(), source })?;
        let steps = if pending.is_empty() { Steps::AreApplied } else { Steps::WereApplied };
        for step in pending {
            info!(database = %name, number = step.number, "applying migration to database `{name}`");
            for statement in [step.statement(name, retention), statement::record_migration(name, &step)] {
                self.connection.change(name, &statement).await.map_err(|source| TablesError::Migrate {
                    database: name.clone(),
                    number: step.number,
                    source,
                })?;
            }
        }
        Ok(steps)
    }

    /// Gives the storage table the settings that it was made with.
    async fn set_back(&self, name: &DatabaseName, storage: &TableRow) -> Result<(), TablesError> {
        let changed = storage::changed_settings(&storage.engine);
        if changed.is_empty() {
            return Ok(());
        }
        let names: Vec<&str> = changed.iter().map(|(name, _)| *name).collect();
        let names = names.join(", ");
        warn!(database = %name, "settings {names} of `{name}.{STORAGE_TABLE}` were changed and are set back");
        self.connection
            .change(name, &storage::change_settings(name, &changed))
            .await
            .map_err(|source| TablesError::ChangeSettings { database: name.clone(), source })
    }

    /// How the storage table differs from the one that was made.
    async fn differences(
        &self,
        name: &DatabaseName,
        storage: &TableRow,
    ) -> Result<Vec<Difference>, TablesError> {
        let columns: Vec<ColumnRow> = self
            .connection
            .read(name, &statement::describe_columns(name))
            .await
            .map_err(|source| TablesError::DescribeTables { database: name.clone(), source })?;
        Ok(drift::differences(&columns, storage.layout()))
    }

    async fn define_views(
        &self,
        name: &DatabaseName,
        views: Vec<migrations::View>,
    ) -> Result<(), TablesError> {
        for view in views {
            info!(database = %name, view = view.name, "defining view `{name}.{}`", view.name);
            self.connection.change(name, &view.statement).await.map_err(|source| {
                TablesError::DefineView { database: name.clone(), view: view.name, source }
            })?;
        }
        Ok(())
    }

    async fn keep_for(&self, name: &DatabaseName, retention: Retention) -> Result<(), TablesError> {
        info!(database = %name, hours = retention.hours(), "changing the retention of database `{name}`");
        self.connection
            .change(name, &migrations::change_retention(name, retention))
            .await
            .map_err(|source| TablesError::ChangeRetention { database: name.clone(), source })
    }
}

impl Tables for ClickHouseTables {
    async fn describe(&self, name: &DatabaseName) -> Result<Option<Database>, TablesError> {
        let rows: Vec<DatabaseRow> = self
            .connection
            .read(name, &statement::describe_database(name))
            .await
            .map_err(|source| TablesError::Describe { database: name.clone(), source })?;
        let Some(row) = rows.into_iter().next() else {
            return Ok(None);
        };
        let uuid = incarnation(&row.uuid).ok_or_else(|| TablesError::WithoutId { database: name.clone() })?;
        Ok(Some(Database { name: name.clone(), uuid, comment: DatabaseComment::parse(&row.comment) }))
    }

    async fn create(&self, name: &DatabaseName, owner: &DatabaseOwner) -> Result<Database, TablesError> {
        let comment = DatabaseComment::Owned(owner.clone());
        match self.connection.change(name, &statement::create_database(name, &comment)).await {
            // Somebody was faster, or our last answer got lost.
            Err(error) if error.says_it_exists() => {}
            outcome => outcome.map_err(|source| TablesError::Create { database: name.clone(), source })?,
        }
        self.describe(name).await?.ok_or_else(|| TablesError::Invisible { database: name.clone() })
    }

    async fn claim(&self, database: &Database, owner: &DatabaseOwner) -> Result<(), TablesError> {
        let Some(found) = self.unchanged(database).await? else {
            return Err(TablesError::Vanished { database: database.name.clone() });
        };
        match &found.comment {
            comment if comment.is_owned_by(owner) => Ok(()),
            comment if comment.is_released_to(owner) => {
                self.write_comment(&database.name, &DatabaseComment::Owned(owner.clone())).await
            }
            comment => Err(not_ours(database, comment)),
        }
    }

    async fn migrate(&self, name: &DatabaseName, wanted: WantedRetention) -> Result<Migrated, TablesError> {
        let before = self.tables_of(name).await?;
        let tables = match self.apply_migrations(name, &before, wanted.retention).await? {
            Steps::WereApplied => self.tables_of(name).await?,
            Steps::AreApplied => before,
        };
        let storage = tables
            .iter()
            .find(|table| table.name == STORAGE_TABLE)
            .ok_or_else(|| TablesError::StorageMissing { database: name.clone() })?;
        let generation =
            incarnation(&storage.uuid).ok_or_else(|| TablesError::WithoutId { database: name.clone() })?;
        let generation = TableGeneration(generation);
        self.set_back(name, storage).await?;
        let differences = self.differences(name, storage).await?;
        if !differences.is_empty() {
            return Ok(Migrated { generation, kept: None, differences });
        }
        // A retention that shrinks hides rows before they are dropped, so that no reader sees an old version of an
        // event whose newer version was in a part that was dropped first. Growing has no wrong order.
        let plan = plan(&storage.definition, wanted);
        let views = match plan.of_views(wanted.retention, &tables) {
            Some(retention) => outdated(migrations::views(name, retention), &tables),
            None => missing(migrations::views(name, wanted.retention), &tables),
        };
        self.define_views(name, views).await?;
        if plan == RetentionPlan::Change {
            self.keep_for(name, wanted.retention).await?;
        }
        Ok(Migrated { generation, kept: plan.kept(), differences })
    }

    async fn release(
        &self,
        database: &Database,
        owner: &DatabaseOwner,
        topics: &[TopicId],
    ) -> Result<(), TablesError> {
        let Some(found) = self.unchanged(database).await? else {
            return Ok(());
        };
        match &found.comment {
            comment if comment.is_owned_by(owner) => {
                let released = DatabaseComment::released_by(owner, topics);
                self.write_comment(&database.name, &released).await
            }
            comment if comment.is_released_to(owner) => Ok(()),
            comment => Err(not_ours(database, comment)),
        }
    }

    async fn drop(&self, database: &Database, owner: &DatabaseOwner) -> Result<(), TablesError> {
        let Some(found) = self.unchanged(database).await? else {
            return Ok(());
        };
        if !found.comment.is_owned_by(owner) {
            return Err(not_ours(database, &found.comment));
        }
        self.connection
            .change(&database.name, &statement::drop_database(&database.name))
            .await
            .map_err(|source| TablesError::Drop { database: database.name.clone(), source })
    }
}

impl TableRow {
    fn layout(&self) -> Layout<'_> {
        Layout { engine: &self.engine, partition_key: &self.partition_key, sorting_key: &self.sorting_key }
    }
}

/// What to do about the retention of the storage table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RetentionPlan {
    Nothing,
    Change,
    /// The table keeps events for longer than the spec asks for, and goes on doing so.
    Hold(Retention),
    /// Nobody knows how many events the wanted retention would delete.
    HoldUnknown,
}

fn plan(definition: &str, wanted: WantedRetention) -> RetentionPlan {
    let is_allowed = |has| wanted.shortening.permits(has);
    match migrations::retention_of(definition) {
        Some(has) if has == wanted.retention => RetentionPlan::Nothing,
        Some(has) if has.hours() < wanted.retention.hours() => RetentionPlan::Change,
        Some(has) if is_allowed(Kept::Hours(has.hours().into())) => RetentionPlan::Change,
        Some(has) => RetentionPlan::Hold(has),
        None if is_allowed(Kept::Otherwise) => RetentionPlan::Change,
        None => RetentionPlan::HoldUnknown,
    }
}

impl RetentionPlan {
    /// What readers may see; none if nobody knows and nothing may be hidden from them.
    fn of_views(self, wanted: Retention, tables: &[TableRow]) -> Option<Retention> {
        match self {
            Self::Nothing | Self::Change => Some(wanted),
            Self::Hold(has) => Some(has),
            Self::HoldUnknown => {
                let view = tables.iter().find(|table| table.name == EVENTS_VIEW)?;
                migrations::retention_shown(&view.definition)
            }
        }
    }

    fn kept(self) -> Option<Kept> {
        match self {
            Self::Nothing | Self::Change => None,
            Self::Hold(has) => Some(Kept::Hours(has.hours().into())),
            Self::HoldUnknown => Some(Kept::Otherwise),
        }
    }
}

/// The views that the server lacks, or has in another definition.
fn outdated(views: Vec<migrations::View>, tables: &[TableRow]) -> Vec<migrations::View> {
    let is_current = |view: &migrations::View| {
        tables.iter().any(|table| table.name == view.name && view.is_described_by(&table.comment))
    };
    views.into_iter().filter(|view| !is_current(view)).collect()
}

/// The views that the server lacks.
fn missing(views: Vec<migrations::View>, tables: &[TableRow]) -> Vec<migrations::View> {
    views.into_iter().filter(|view| tables.iter().all(|table| table.name != view.name)).collect()
}

fn not_ours(database: &Database, comment: &DatabaseComment) -> TablesError {
    let comment = comment.to_string().chars().take(MAX_COMMENT_CHARS).collect();
    TablesError::NotOurs { database: database.name.clone(), comment }
}

/// An id of ClickHouse's, which is zero where the engine keeps none.
fn incarnation(text: &str) -> Option<Uuid> {
    Uuid::try_parse(text).ok().filter(|id| !id.is_nil())
}

#[cfg(test)]
mod tests;
