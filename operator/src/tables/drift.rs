//! What was changed by hand in a storage table and cannot be set back while events are in it. Pure.
//!
//! Columns that somebody added are none of ours, and the consumer goes on beside them.

use std::fmt;

use clickhouse::Row;
use schema::storage::{COLUMNS, ENGINE, ENGINE_ARGUMENTS, PARTITION_KEY, SORTING_KEY};
use serde::Deserialize;

/// The longest part of the server's words that is repeated: it ends up in a condition.
const MAX_WORDS: usize = 200;

/// A column as the server tells of it.
#[derive(Row, Deserialize)]
pub(super) struct ColumnRow {
    pub(super) name: String,
    /// The type, and behind it how the server makes the value itself, if it does.
    pub(super) kind: String,
}

/// How the server keeps the events.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout<'a> {
    /// The engine with its arguments, and all that follows.
    pub(super) engine: &'a str,
    pub(super) partition_key: &'a str,
    pub(super) sorting_key: &'a str,
}

/// One thing that is not as the migrations made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Difference {
    Missing { column: &'static str },
    OtherType { column: &'static str, expected: &'static str, found: String },
    OtherEngine { found: String },
    OtherKey { clause: &'static str, expected: &'static str, found: String },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { column } => write!(f, "column `{column}` is missing"),
            Self::OtherType { column, expected, found } => {
                write!(f, "column `{column}` is {found} and not {expected}")
            }
            Self::OtherEngine { found } => {
                write!(f, "the engine is {found} and not {ENGINE}({ENGINE_ARGUMENTS})")
            }
            Self::OtherKey { clause, expected, found } => {
                write!(f, "{clause} is ({found}) and not ({expected})")
            }
        }
    }
}

pub(super) fn differences(columns: &[ColumnRow], layout: Layout<'_>) -> Vec<Difference> {
    let columns = COLUMNS.into_iter().filter_map(|(column, expected)| {
        match columns.iter().find(|found| found.name == column) {
            None => Some(Difference::Missing { column }),
            Some(found) if found.kind == expected => None,
            Some(found) => Some(Difference::OtherType { column, expected, found: cut(&found.kind) }),
        }
    });
    let keys = [
        ("PARTITION BY", PARTITION_KEY, layout.partition_key),
        ("ORDER BY", SORTING_KEY, layout.sorting_key),
    ];
    let keys = keys.into_iter().filter(|(_, expected, found)| expected != found);
    let keys =
        keys.map(|(clause, expected, found)| Difference::OtherKey { clause, expected, found: cut(found) });
    columns.chain(engine(layout.engine)).chain(keys).collect()
}

/// A server may keep copies of what it was told to keep once, by an engine of a longer name with more arguments in front.
fn engine(full: &str) -> Option<Difference> {
    let (name, rest) = full.split_once('(').unwrap_or((full, ""));
    let arguments =
        rest.split_once(") PARTITION BY ").or_else(|| rest.split_once(')')).map_or("", |(all, _)| all);
    let is_ours = name.ends_with(ENGINE)
        && (arguments == ENGINE_ARGUMENTS || arguments.ends_with(&format!(", {ENGINE_ARGUMENTS}")));
    (!is_ours).then(|| Difference::OtherEngine { found: cut(&format!("{name}({arguments})")) })
}

fn cut(words: &str) -> String {
    words.chars().take(MAX_WORDS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const AS_MADE: Layout<'_> = Layout {
        engine: "ReplacingMergeTree(_version, _deleted) PARTITION BY toYYYYMM(day) ORDER BY (event_name) SETTINGS x = 1",
        partition_key: PARTITION_KEY,
        sorting_key: SORTING_KEY,
    };

    fn columns() -> Vec<ColumnRow> {
        let column = |(name, kind): (&str, &str)| ColumnRow { name: name.to_owned(), kind: kind.to_owned() };
        COLUMNS.into_iter().map(column).collect()
    }

    fn with(change: impl FnOnce(&mut Vec<ColumnRow>)) -> Vec<String> {
        let mut columns = columns();
        change(&mut columns);
        differences(&columns, AS_MADE).iter().map(ToString::to_string).collect()
    }

    fn laid_out(layout: Layout<'_>) -> Vec<String> {
        differences(&columns(), layout).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_table_as_it_was_made_and_one_with_more_columns_do_not_differ() {
        assert!(with(|_| {}).is_empty());
        let added = ColumnRow { name: "country".to_owned(), kind: "String".to_owned() };
        assert!(with(|columns| columns.insert(3, added)).is_empty());
    }

    #[test]
    fn a_column_of_ours_that_is_missing_or_another_is_told() {
        assert_eq!(with(|columns| drop(columns.remove(0))), ["column `id` is missing"]);
        assert_eq!(
            with(|columns| columns[2].kind = "Enum8('a' = 1)".to_owned()),
            ["column `type` is Enum8('a' = 1) and not String"]
        );
        assert_eq!(
            with(|columns| columns[17].kind = "Date MATERIALIZED".to_owned()),
            ["column `day` is Date MATERIALIZED and not Date"]
        );
    }

    #[test]
    fn another_engine_or_key_is_told() {
        for (engine, expected) in [
            ("MergeTree PARTITION BY toYYYYMM(day) ORDER BY id", "MergeTree PARTITION BY toYYYYMM"),
            ("ReplacingMergeTree(_version) PARTITION BY toYYYYMM(day)", "ReplacingMergeTree(_version)"),
            (
                "ReplacingMergeTree(my_version, _deleted) ORDER BY id",
                "ReplacingMergeTree(my_version, _deleted)",
            ),
        ] {
            let told = laid_out(Layout { engine, ..AS_MADE });
            assert!(told.len() == 1 && told[0].contains(expected), "{told:?}");
        }
        assert_eq!(
            laid_out(Layout { sorting_key: "event_name, day", ..AS_MADE }),
            ["ORDER BY is (event_name, day) and not (event_name, day, cityHash64(distinct_id), id)"]
        );
        assert_eq!(
            laid_out(Layout { partition_key: "", ..AS_MADE }),
            ["PARTITION BY is () and not (toYYYYMM(day))"]
        );
    }

    #[test]
    fn an_engine_that_keeps_copies_is_the_same() {
        for name in ["Replicated", "Shared"] {
            let engine = format!(
                "{name}ReplacingMergeTree('/clickhouse/tables/{{uuid}}/{{shard}}', '{{replica}}', _version, _deleted) PARTITION BY x"
            );
            assert!(laid_out(Layout { engine: &engine, ..AS_MADE }).is_empty(), "{engine}");
        }
    }
}
