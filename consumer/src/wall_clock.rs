//! The time of day, for what people read: dead letters and the last commit. No row depends on it.

use std::time::{SystemTime, UNIX_EPOCH};

use schema::timestamp::Timestamp;

/// Now.
#[allow(clippy::disallowed_methods, reason = "the one place that asks for the time of day")]
pub(crate) fn wall_clock() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
