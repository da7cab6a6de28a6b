//! The storage table as the server tells of it, so that what was changed by hand is found.
//!
//! The migrations make the table so. The words are the server's own, of `system.columns` and `system.tables`
//! (<https://clickhouse.com/docs/operations/system-tables/tables>).

use crate::names::{DatabaseName, STORAGE_TABLE};

/// A column or a setting with its type or value.
pub type Named = (&'static str, &'static str);

const MILLIS: &str = "DateTime64(3, 'UTC')";

/// The columns with their types, in the order of the table. Others may be added.
pub const COLUMNS: [Named; 24] = [
    ("id", "UUID"),
    ("event_name", "LowCardinality(String)"),
    ("type", "String"),
    ("user_id", "String"),
    ("anonymous_id", "String"),
    ("distinct_id", "String"),
    ("session_id", "String"),
    ("app_id", "String"),
    ("timestamp", MILLIS),
    ("corrected_at", MILLIS),
    ("sent_at", MILLIS),
    ("received_at", MILLIS),
    ("properties", "Map(String, String)"),
    ("ip_address", "String"),
    ("user_agent", "String"),
    ("library", "String"),
    ("protocol", "String"),
    ("day", "Date"),
    ("_version", "UInt64"),
    ("_deleted", "UInt8"),
    ("_inc", "UUID"),
    ("_kp", "UInt16"),
    ("_ko", "UInt64"),
    ("_ki", "UInt16"),
];

/// What decides which events are the same, and which of them wins. None of it can be altered.
pub const ENGINE: &str = "ReplacingMergeTree";
pub const ENGINE_ARGUMENTS: &str = "_version, _deleted";
pub const PARTITION_KEY: &str = "toYYYYMM(day)";
pub const SORTING_KEY: &str = "event_name, day, cityHash64(distinct_id), id";

/// The settings that we want, as the server spells their values. Delivery rests on the first four: an insert that is
/// acknowledged is on the disk, and none is taken for a copy of another.
pub const SETTINGS: [Named; 7] = [
    ("non_replicated_deduplication_window", "0"),
    ("fsync_after_insert", "1"),
    ("fsync_part_directory", "1"),
    ("min_rows_to_fsync_after_merge", "1"),
    ("auto_statistics_types", "''"),
    ("string_serialization_version", "'single_stream'"),
    ("merge_selector_base", "12"),
];

/// The settings of ours that an `engine_full` of `system.tables` does not have, or has with another value.
#[must_use]
pub fn changed_settings(engine: &str) -> Vec<Named> {
    let settings = engine.rsplit_once(" SETTINGS ").map_or("", |(_, settings)| settings);
    let is_set =
        |(name, value): &Named| settings.split(", ").any(|setting| setting == format!("{name} = {value}"));
    SETTINGS.into_iter().filter(|setting| !is_set(setting)).collect()
}

/// The statement that sets these settings.
#[must_use]
pub fn change_settings(database: &DatabaseName, settings: &[Named]) -> String {
    let settings: Vec<String> = settings.iter().map(|(name, value)| format!("{name} = {value}")).collect();
    format!("ALTER TABLE {database}.{STORAGE_TABLE} MODIFY SETTING {}", settings.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{migrations::MIGRATIONS, retention::Retention, tenant_id::TenantId};

    const AS_MADE: &str = "ReplacingMergeTree(_version, _deleted) PARTITION BY toYYYYMM(day) ORDER BY id \
        TTL toDateTime(received_at) + toIntervalHour(24) SETTINGS non_replicated_deduplication_window = 0, \
        fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1, \
        auto_statistics_types = '', string_serialization_version = 'single_stream', merge_selector_base = 12, \
        index_granularity = 8192";

    fn database() -> DatabaseName {
        DatabaseName::of(&TenantId::parse("acme").unwrap())
    }

    /// A step that adds a column or a setting adds it here as well.
    #[test]
    fn the_migrations_make_the_table_so() {
        let retention = Retention::from_hours(24).unwrap();
        let steps: Vec<String> =
            MIGRATIONS.iter().map(|step| step.statement(&database(), retention)).collect();
        let lines: Vec<&str> = steps
            .iter()
            .flat_map(|step| step.lines())
            .map(|line| line.trim().trim_end_matches(','))
            .collect();
        let columns: Vec<&str> = lines
            .iter()
            .skip_while(|line| **line != "(")
            .skip(1)
            .take_while(|line| !line.starts_with("INDEX "))
            .map(|line| line.split(" CODEC(").next().unwrap())
            .collect();
        assert_eq!(columns, COLUMNS.map(|(name, kind)| format!("{name} {kind}")));
        let settings: Vec<&str> =
            lines.iter().skip_while(|line| **line != "SETTINGS").skip(1).copied().collect();
        assert_eq!(settings, SETTINGS.map(|(name, value)| format!("{name} = {value}")));
        for expected in [
            format!("ENGINE = {ENGINE}({ENGINE_ARGUMENTS})"),
            format!("PARTITION BY {PARTITION_KEY}"),
            format!("ORDER BY ({SORTING_KEY})"),
        ] {
            assert!(lines.contains(&expected.as_str()), "{expected}");
        }
    }

    #[test]
    fn a_setting_that_is_missing_or_another_is_found() {
        assert_eq!(changed_settings(AS_MADE), []);
        let other = AS_MADE.replace("fsync_after_insert = 1", "fsync_after_insert = 0");
        assert_eq!(changed_settings(&other), [("fsync_after_insert", "1")]);
        let reset = AS_MADE.replace(", merge_selector_base = 12", "");
        assert_eq!(changed_settings(&reset), [("merge_selector_base", "12")]);
        let more = AS_MADE.replace("window = 0", "window = 0, max_parts_in_total = 5");
        assert_eq!(changed_settings(&more), [], "what somebody added stays");
        assert_eq!(changed_settings("ReplacingMergeTree(_version, _deleted) ORDER BY id"), SETTINGS);
    }

    #[test]
    fn settings_are_changed_in_one_statement() {
        assert_eq!(
            change_settings(&database(), &[("fsync_after_insert", "1"), ("auto_statistics_types", "''")]),
            "ALTER TABLE t_acme.events_raw MODIFY SETTING fsync_after_insert = 1, auto_statistics_types = ''"
        );
    }
}
