//! When a consumer inserts.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// When a batch is closed.
#[derive(Debug, Clone, PartialEq, Eq, KubeSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchSpec {
    /// Rows. Default 50000.
    #[serde(default = "default_max_rows")]
    #[schemars(range(min = 1, max = 1000000))]
    pub max_rows: i32,
    /// Bytes of the encoded rows. Default 33554432, which is 32 MiB.
    #[serde(default = "default_max_bytes")]
    #[schemars(range(min = 1048576, max = 268435456))]
    pub max_bytes: i64,
    /// Milliseconds from the first row to the insert. Default 1000.
    #[serde(default = "default_max_delay_ms")]
    #[schemars(range(min = 10, max = 60000))]
    pub max_delay_ms: i32,
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
