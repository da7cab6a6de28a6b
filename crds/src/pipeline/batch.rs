//! When a consumer inserts.

use std::ops::RangeInclusive;

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// When a batch is closed.
#[derive(Debug, Clone, PartialEq, Eq, KubeSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchSpec {
    /// The rows at which a batch is closed. Default 50000.
    #[serde(default = "default_max_rows")]
    #[schemars(range(min = *BatchSpec::MAX_ROWS.start(), max = *BatchSpec::MAX_ROWS.end()))]
    pub max_rows: i32,
    /// The bytes of its encoded rows at which a batch is closed. Default 33554432, which is 32 MiB.
    #[serde(default = "default_max_bytes")]
    #[schemars(range(min = *BatchSpec::MAX_BYTES.start(), max = *BatchSpec::MAX_BYTES.end()))]
    pub max_bytes: i64,
    /// Milliseconds from the first row to the insert. Default 1000.
    #[serde(default = "default_max_delay_ms")]
    #[schemars(range(min = *BatchSpec::MAX_DELAY_MS.start(), max = *BatchSpec::MAX_DELAY_MS.end()))]
    pub max_delay_ms: i32,
}

impl BatchSpec {
    /// What `maxRows` may be.
    pub const MAX_ROWS: RangeInclusive<i64> = 1..=1_000_000;
    /// What `maxBytes` may be.
    pub const MAX_BYTES: RangeInclusive<i64> = 1_048_576..=268_435_456;
    /// What `maxDelayMs` may be.
    pub const MAX_DELAY_MS: RangeInclusive<i64> = 10..=60_000;
}

fn default_max_rows() -> i32 {
    50_000
}

fn default_max_bytes() -> i64 {
    32 * 1024 * 1024
}

fn default_max_delay_ms() -> i32 {
    1_000
}

impl Default for BatchSpec {
    fn default() -> Self {
        Self {
            max_rows: default_max_rows(),
            max_bytes: default_max_bytes(),
            max_delay_ms: default_max_delay_ms(),
        }
    }
}
