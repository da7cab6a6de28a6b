//! The shell that every binary wears: telemetry, shutdown, owned tasks, health answers, and the one accept loop.
//!
//! ```text
//! main -> telemetry::init -> Shutdown::on_signals -> Tasks::run(..) -> Tasks::finish
//! ```
//!
//! Invariants:
//! - Every task has an owner: the end of any task ends the process, so that none dies unseen.
//! - No socket is accepted but by [`server::serve`], which bounds headers, connections and their ends.
//!
//! It knows nothing of events, Kafka, ClickHouse or Kubernetes.

pub mod health;
pub mod server;
pub mod shutdown;
pub mod tasks;
pub mod telemetry;
pub mod trust;
