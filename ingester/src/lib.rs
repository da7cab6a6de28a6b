//! The ingester takes events over HTTP and answers once Kafka has stored them.
//!
//! ```text
//! HTTP -> authenticate -> receive* -> decode -> validate -> route -> publish* -> answer        (* = effect)
//!             ^
//!         keys* (polled settings file)
//! ```
//!
//! Invariants:
//! - An event is acknowledged to its client only after Kafka acknowledged its record with `acks=all`.
//! - The tenant of an event is its key's; a body that claims another is refused, never re-routed.
//! - Everything is bounded: connections, headers, bodies, bytes in flight, the producer's queue, every wait.
//! - Whether an event is accepted depends on the event and the time of receipt alone; a retry gets the same answer.
//!
//! It does not know Kubernetes, does not talk to ClickHouse but for its `/ping`, keeps no queue of accepted
//! events of its own, and writes nothing to a disk.

mod answer;
mod app;
pub mod args;
mod authenticate;
mod capture;
mod client_address;
mod decode;
mod error;
mod health;
mod keys;
mod metrics;
mod publish;
mod receive;
mod refusal;
mod route;
mod run;
#[cfg(test)]
mod testing;
mod validate;

pub use args::{Flags, Options};
pub use run::{Ingester, run};
