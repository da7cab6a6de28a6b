//! The tables and views of a tenant's database, as numbered steps and as definitions that follow the spec.
//!
//! A migration is applied once, in order, and never edited: its checksum is recorded beside its number.
//! Each is idempotent, since a crash may come between its statement and its record, and each leaves the
//! table usable by a consumer of the version before: columns are added with defaults, never renamed.
//! What the spec can change (the retention, the views) is no migration: it is compared and applied each time.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

use crate::{names::DatabaseName, retention::Retention};

/// A numbered step of the schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migration {
    pub number: u32,
    pub name: &'static str,
    sql: &'static str,
}

/// All steps in their order. New ones are appended.
pub const MIGRATIONS: &[Migration] =
    &[Migration { number: 1, name: "events_raw", sql: include_str!("../clickhouse/0001_events_raw.sql") }];

/// A step that a database says it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppliedMigration {
    pub number: u32,
    pub checksum: String,
}

/// Why the steps of a database cannot be continued.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MigrationError {
    #[error("migration {number} was applied with another text than this version has")]
    Edited { number: u32 },
    #[error("migration {number} was applied by a newer version, this one knows up to {known}")]
    Newer { number: u32, known: u32 },
}

impl Migration {
    /// The hash of the step's text, 64 hexadecimal digits.
    #[must_use]
    pub fn checksum(&self) -> String {
        hash_of(self.sql)
    }

    /// The step's statement for one database.
    #[must_use]
    pub fn statement(&self, database: &DatabaseName, retention: Retention) -> String {
        fill(self.sql, database, retention)
    }
}

/// The steps that a database still lacks, in order.
///
/// # Errors
/// When an applied step differs from ours, or is not known here: going on could damage the table.
pub fn pending(applied: &[AppliedMigration]) -> Result<Vec<Migration>, MigrationError> {
    let known = MIGRATIONS.last().map_or(0, |last| last.number);
    for step in applied {
        match MIGRATIONS.iter().find(|ours| ours.number == step.number) {
            None => return Err(MigrationError::Newer { number: step.number, known }),
            Some(ours) if ours.checksum() != step.checksum => {
                return Err(MigrationError::Edited { number: step.number });
            }
            Some(_) => {}
        }
    }
    let is_applied = |ours: &&Migration| applied.iter().any(|step| step.number == ours.number);
    Ok(MIGRATIONS.iter().filter(|ours| !is_applied(ours)).copied().collect())
}

/// The statement that makes the table in which steps are recorded.
#[must_use]
pub fn migrations_table(database: &DatabaseName) -> String {
    include_str!("../clickhouse/_migrations.sql").replace("{database}", database.as_str())
}

/// The published views, in the order in which they depend on each other.
#[must_use]
pub fn views(database: &DatabaseName, retention: Retention) -> Vec<View> {
    [
        (crate::names::EVENTS_VIEW, include_str!("../clickhouse/events.sql")),
        (crate::names::HOURLY_VIEW, include_str!("../clickhouse/hourly_event_stats.sql")),
    ]
    .map(|(name, sql)| View::new(name, &fill(sql, database, retention)))
    .to_vec()
}

/// A view and the statement that makes or replaces it.
///
/// The server stores a definition in its own words, so the view's comment ends with a hash of ours:
/// who wants to know whether a view is up to date compares comments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    pub name: &'static str,
    pub statement: String,
    mark: String,
}

impl View {
    fn new(name: &'static str, sql: &str) -> Self {
        let definition = hash_of(sql).split_off(48);
        Self {
            name,
            statement: sql.replace("{definition}", &definition),
            mark: format!("Definition {definition}."),
        }
    }

    /// Whether a view with this comment has this definition.
    #[must_use]
    pub fn is_described_by(&self, comment: &str) -> bool {
        comment.ends_with(&self.mark)
    }
}

/// The statement that changes the storage table's retention.
/// Parts written before follow at their next merge; the view hides what is past the retention at once.
#[must_use]
pub fn change_retention(database: &DatabaseName, retention: Retention) -> String {
    fill(include_str!("../clickhouse/retention.sql"), database, retention)
}

/// The storage table's retention as `system.tables.create_table_query` spells it.
#[must_use]
pub fn retention_clause(retention: Retention) -> String {
    format!("TTL toDateTime(received_at) + toIntervalHour({})", retention.hours())
}

/// The retention that a `create_table_query` tells of; none if it has no clause of ours.
#[must_use]
pub fn retention_of(definition: &str) -> Option<Retention> {
    let (_, rest) = definition.split_once("TTL toDateTime(received_at) + toIntervalHour(")?;
    let (hours, _) = rest.split_once(')')?;
    Retention::from_hours(hours.parse().ok()?).ok()
}

/// The retention that the `create_table_query` of the view of events tells of; none if it has no condition of ours.
#[must_use]
pub fn retention_shown(definition: &str) -> Option<Retention> {
    let (_, rest) = definition.split_once("received_at > (now64(3) - toIntervalHour(")?;
    let (hours, _) = rest.split_once(')')?;
    Retention::from_hours(hours.parse().ok()?).ok()
}

/// SHA-256 as 64 hexadecimal digits.
fn hash_of(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing into a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Names are checked types of `[a-z0-9_]`, so that nothing has to be quoted.
fn fill(sql: &str, database: &DatabaseName, retention: Retention) -> String {
    sql.replace("{database}", database.as_str()).replace("{retention_hours}", &retention.hours().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tenant_id::TenantId;

    fn database() -> DatabaseName {
        DatabaseName::of(&TenantId::parse("acme").unwrap())
    }

    fn applied(step: &Migration) -> AppliedMigration {
        AppliedMigration { number: step.number, checksum: step.checksum() }
    }

    #[test]
    fn a_definition_tells_its_retention() {
        let hours = |hours| Retention::from_hours(hours).unwrap();
        let definition = |clause: &str| format!("CREATE TABLE t.events_raw (..) {clause} SETTINGS x = 1");
        for retention in [hours(1), hours(2_160)] {
            assert_eq!(retention_of(&definition(&retention_clause(retention))), Some(retention));
        }
        for foreign in [
            "",
            "TTL toDateTime(received_at) + toIntervalDay(1)",
            "TTL toDateTime(received_at) + toIntervalHour(",
        ] {
            assert_eq!(retention_of(&definition(foreign)), None, "{foreign}");
        }
    }

    #[test]
    fn a_view_tells_what_it_shows() {
        let view = "CREATE VIEW t.events (..) AS SELECT id FROM t.events_raw FINAL \
                    WHERE received_at > (now64(3) - toIntervalHour(48)) SETTINGS x = 1";
        assert_eq!(retention_shown(view), Retention::from_hours(48).ok());
        assert_eq!(retention_shown("CREATE VIEW t.events (..) AS SELECT id FROM t.events_raw FINAL"), None);
    }

    #[test]
    fn numbers_count_from_one_without_a_gap() {
        let numbers: Vec<u32> = MIGRATIONS.iter().map(|step| step.number).collect();
        assert_eq!(numbers, (1..=MIGRATIONS.len() as u32).collect::<Vec<_>>());
    }

    /// A published step is frozen; whoever needs a change appends a step.
    #[test]
    fn published_steps_are_not_edited() {
        insta::assert_debug_snapshot!(
            MIGRATIONS.iter().map(|step| (step.number, step.checksum())).collect::<Vec<_>>()
        );
    }

    #[test]
    fn a_new_database_lacks_every_step() {
        assert_eq!(pending(&[]).unwrap(), MIGRATIONS);
    }

    #[test]
    fn an_applied_step_is_not_repeated() {
        assert_eq!(pending(&[applied(&MIGRATIONS[0])]).unwrap(), MIGRATIONS[1..]);
    }

    #[test]
    fn an_edited_step_stops() {
        let edited = AppliedMigration { number: 1, checksum: "0".repeat(64) };
        assert_eq!(pending(&[edited]), Err(MigrationError::Edited { number: 1 }));
    }

    #[test]
    fn a_step_of_a_newer_version_stops() {
        let newer = AppliedMigration { number: 99, checksum: String::new() };
        assert!(matches!(pending(&[newer]), Err(MigrationError::Newer { number: 99, .. })));
    }

    #[test]
    fn a_view_of_another_retention_is_another_definition() {
        let days = |days| views(&database(), Retention::from_days(days).unwrap());
        let comment = |view: &View| view.statement.rsplit_once("COMMENT '").unwrap().1.trim_end().to_owned();
        let (before, after) = (&days(1)[0], &days(2)[0]);
        let written = comment(before);
        let written = written.strip_suffix('\'').unwrap();
        assert!(before.is_described_by(written));
        assert!(!after.is_described_by(written));
        assert!(!before.is_described_by(""));
    }

    #[test]
    fn statements_name_the_database_and_the_retention() {
        let retention = Retention::from_days(90).unwrap();
        let mut statements = vec![migrations_table(&database())];
        statements.extend(MIGRATIONS.iter().map(|step| step.statement(&database(), retention)));
        statements.extend(views(&database(), retention).into_iter().map(|view| view.statement));
        statements.push(change_retention(&database(), retention));
        for statement in &statements {
            assert!(statement.contains("t_acme.") && !statement.contains('{'), "{statement}");
        }
        insta::assert_snapshot!(statements.join("\n;\n"));
    }
}
