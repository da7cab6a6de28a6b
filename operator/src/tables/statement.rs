//! The statements that the schema crate does not hold: databases, their comments, the record of a migration. Pure.
//!
//! Names are checked types of `[a-z0-9_]` and stand as they are. Everything else is a literal.

use schema::{
    migrations::Migration,
    names::{DatabaseName, EVENTS_VIEW, HOURLY_VIEW, MIGRATIONS_TABLE, STORAGE_TABLE},
};

use super::comment::DatabaseComment;
use crate::clickhouse::literal;

/// Without `IF NOT EXISTS`: a database that we cannot see must not be taken for ours.
/// The comment is part of the statement, so that no crash leaves a database without an owner.
pub(super) fn create_database(name: &DatabaseName, comment: &DatabaseComment) -> String {
    format!("CREATE DATABASE {name} COMMENT {}", literal(&comment.to_string()))
}

pub(super) fn change_comment(name: &DatabaseName, comment: &DatabaseComment) -> String {
    format!("ALTER DATABASE {name} MODIFY COMMENT {}", literal(&comment.to_string()))
}

/// `SYNC`: when the statement has ended, the files are gone too, and the name is free.
pub(super) fn drop_database(name: &DatabaseName) -> String {
    format!("DROP DATABASE IF EXISTS {name} SYNC")
}

/// The UUID as text, so that the driver needs no feature for it.
pub(super) fn describe_database(name: &DatabaseName) -> String {
    format!(
        "SELECT toString(uuid) AS uuid, comment FROM system.databases WHERE name = {}",
        literal(name.as_str())
    )
}

/// The tables and views of ours with what tells whether they are up to date.
pub(super) fn describe_tables(name: &DatabaseName) -> String {
    let names = [STORAGE_TABLE, MIGRATIONS_TABLE, EVENTS_VIEW, HOURLY_VIEW].map(literal).join(", ");
    format!(
        "SELECT name, toString(uuid) AS uuid, comment, create_table_query AS definition, engine_full AS engine, \
         partition_key, sorting_key FROM system.tables WHERE database = {} AND name IN ({names})",
        literal(name.as_str())
    )
}

/// The columns of the storage table. A value that the server makes by itself is another matter than a default.
pub(super) fn describe_columns(name: &DatabaseName) -> String {
    format!(
        "SELECT name, if(default_kind IN ('', 'DEFAULT'), type, concat(type, ' ', default_kind)) AS kind \
         FROM system.columns WHERE database = {} AND table = {}",
        literal(name.as_str()),
        literal(STORAGE_TABLE)
    )
}

pub(super) fn applied_migrations(name: &DatabaseName) -> String {
    format!("SELECT number, checksum FROM {name}.{MIGRATIONS_TABLE} FINAL ORDER BY number")
}

pub(super) fn record_migration(name: &DatabaseName, step: &Migration) -> String {
    format!(
        "INSERT INTO {name}.{MIGRATIONS_TABLE} (number, name, checksum) SETTINGS async_insert = 0 VALUES ({}, {}, {})",
        step.number,
        literal(step.name),
        literal(&step.checksum())
    )
}

#[cfg(test)]
mod tests {
    use schema::{migrations::MIGRATIONS, tenant_id::TenantId};

    use super::*;

    fn database() -> DatabaseName {
        DatabaseName::of(&TenantId::parse("team-acme").unwrap())
    }

    #[test]
    fn statements_are_as_frozen() {
        let comment = DatabaseComment::Foreign("it's a \\ trap".to_owned());
        insta::assert_snapshot!(
            [
                create_database(&database(), &comment),
                change_comment(&database(), &comment),
                drop_database(&database()),
                describe_database(&database()),
                describe_tables(&database()),
                describe_columns(&database()),
                applied_migrations(&database()),
                record_migration(&database(), &MIGRATIONS[0]),
            ]
            .join("\n")
        );
    }
}
