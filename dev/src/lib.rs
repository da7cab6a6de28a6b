//! The local stack: real Kafka, ClickHouse and Kubernetes on one machine, without Docker.
//!
//! ```text
//! up:     preflight -> packages -> artifacts -> network -> (Kubernetes | Kafka | ClickHouse) -> table
//! down:   Kubernetes -> Kafka, ClickHouse -> network -> state folder -> nothing is left
//! tests:  Stack::running()          the shared parts
//!         PrivateKafka::start()     parts that a test may kill; also PrivateClickHouse and PrivateApiServer
//! ```
//!
//! Invariants: all state is in one folder that `down` removes; built tools are in a cache outside of the checkout;
//! everything listens on loopback or on the stack's own addresses 10.244.x.x and 10.96.x.x;
//! only processes that the stack wrote down are ever signalled.
//!
//! It is for development and tests: one broker, one ClickHouse, one node, no replication, no DNS, no network policies.

pub mod args;
pub mod artifacts;
pub mod clickhouse;
mod command;
pub mod console;
pub mod demo;
pub mod down;
pub mod folders;
pub mod http;
pub mod images;
pub mod kafka;
pub mod kubernetes;
mod lock;
mod packages;
mod ports;
mod preflight;
pub mod process;
mod run_logged;
mod stack;
pub mod status;
pub mod up;

pub use stack::Stack;
