//! What can go wrong with users of ClickHouse, and what kind of failure it is.

use crds::Reason;
use schema::names::{DatabaseName, UserName};

use super::plan::About;
use crate::{clickhouse::QueryError, failure::Failure};

/// Users that could not be brought to what was wanted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UsersError {
    #[error("failed to look at the users of database `{database}`")]
    Observe { database: DatabaseName, source: QueryError },
    #[error("failed to bring about {about} `{name}` in ClickHouse")]
    Change { about: About, name: UserName, source: QueryError },
    #[error(
        "ClickHouse took the statement about {about} `{name}` and shows something else: somebody changes it at the same time, or this version of the server spells it in another way"
    )]
    Unchanged { about: About, name: UserName },
}

/// A run of as many hexadecimal digits may be a hash of a password.
const HASH_DIGITS: usize = 16;

impl UsersError {
    /// A statement that failed. The server may repeat a part of it.
    pub(super) fn of_change(about: About, name: UserName, source: QueryError) -> Self {
        let source = match source {
            QueryError::Exception { code, text } => {
                QueryError::Exception { code, text: without_hashes(&text) }
            }
            other @ (QueryError::Deadline { .. } | QueryError::Busy { .. } | QueryError::Client { .. }) => {
                other
            }
        };
        Self::Change { about, name, source }
    }

    /// An answer that did not come.
    #[cfg(test)]
    pub(crate) fn lost_answer(database: DatabaseName) -> Self {
        Self::Observe { database, source: QueryError::Deadline { seconds: 1 } }
    }

    /// What helps.
    pub(crate) fn failure(&self) -> Failure {
        match self {
            Self::Observe { source, .. } | Self::Change { source, .. } => source.failure(),
            Self::Unchanged { .. } => Failure::Transient,
        }
    }

    /// The reason of the condition, the label of the metric and the field of the log.
    pub(crate) fn reason(&self) -> Reason {
        match self {
            Self::Observe { source, .. } | Self::Change { source, .. } => source.reason(),
            Self::Unchanged { .. } => Reason::ClickHouseUsersDiffer,
        }
    }
}

fn without_hashes(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(rest.len());
        let (run, behind) = rest.split_at(end);
        shown.push_str(if run.len() >= HASH_DIGITS { "[HIDDEN]" } else { run });
        let other = behind.find(|c: char| c.is_ascii_hexdigit()).unwrap_or(behind.len());
        shown.push_str(&behind[..other]);
        rest = &behind[other..];
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_that_the_server_repeats_is_not_told() {
        let hash = "ab".repeat(32);
        let text = format!("Syntax error: failed at position 9 ('{hash}'): bad0cafe is short, {hash}");
        assert_eq!(
            without_hashes(&text),
            "Syntax error: failed at position 9 ('[HIDDEN]'): bad0cafe is short, [HIDDEN]"
        );
    }
}
