//! What runs, where, and whether it answers.

use std::path::PathBuf;

/// One process of the stack, as `up` and `status` show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    pub name: String,
    pub version: String,
    /// Where it listens, as a user would write it.
    pub address: String,
    /// `None` if it does not run.
    pub pid: Option<u32>,
    pub log: PathBuf,
    /// The answer to its health check, or why there is none.
    pub health: Result<(), String>,
}
