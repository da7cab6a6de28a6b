//! Brings the events of one pipeline from Kafka into ClickHouse, so that `events` shows each exactly once.
//! A tenant's events are a set and inserting is set union: whatever is in doubt is inserted again, and offsets
//! are committed only after the insert is known to be stored.
//!
//! ```text
//! poll* -> parse -> batch -> store* (insert*, dead_letter*) -> commit*
//! audit* (reads Kafka and `events` again, beside the rest)
//! ```
//!
//! Invariants:
//! - A committed position never passes a record that is neither stored nor dead-lettered ([`protocol`]).
//! - The same record always becomes the same rows ([`row`]); no clock, random value or unordered map is asked.
//! - An answer of ClickHouse counts as stored only if nothing speaks against it ([`answer`]).
//! - At most one batch is being inserted and one is being filled; then fetching stops.
//! - Files without effects (`answer`, `audit::sample`, `audit::suspects`, `audit::wanted`, `batch`, `city_hash`,
//!   `columns`, `first_position`, `foreign`, `lag`, `letter`, `native`, `order`, `parse`, `pieces`, `properties`,
//!   `protocol`, `refused`, `retry`, `row`, `trace`) import none that has them (`audit`, `connection`, `dead_letter`,
//!   `incarnation`, `insert`, `poll`, `reread`, `run`, `store`).
//!
//! It makes no table and no topic, knows nothing of Kubernetes, and keeps nothing on disk.

mod answer;
mod args;
mod audit;
mod batch;
mod city_hash;
mod columns;
mod connection;
mod dead_letter;
mod first_position;
mod foreign;
mod incarnation;
mod insert;
mod lag;
mod letter;
mod metrics;
mod native;
mod order;
mod parse;
pub mod parts;
mod pieces;
mod poll;
mod properties;
mod protocol;
mod refused;
mod reread;
mod retry;
mod row;
mod run;
mod store;
mod trace;
mod wall_clock;

#[cfg(test)]
mod counted;
#[cfg(test)]
mod scripted;

#[cfg(test)]
mod allocations;

pub use args::Options;
pub use run::run;
