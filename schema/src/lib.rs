//! What the processes of Millrace must agree on: names, the event and its record, keys, settings files, and the SQL.
//!
//! ```text
//! operator --settings--> ingester --record--> Kafka --record--> consumer --rows--> ClickHouse
//!     \------------------------- migrations, views, names -----------------------------^
//! ```
//!
//! Invariants:
//! - Everything here is a plain function on values: no async, no client library, no clock, no environment.
//! - A name that more than one process uses is made in [`names`] and nowhere else.
//! - How an event's identity, time check and version are derived is frozen per [`record::SCHEMA_VERSION`],
//!   with the vectors in `schema/events` as witnesses.
//!
//! It does not talk to anything: clients live in the binaries.

pub mod access;
pub mod api_key;
pub mod event;
pub mod field_map;
pub mod identity;
pub mod limits;
pub mod migrations;
pub mod names;
pub mod record;
pub mod retention;
pub mod secret;
pub mod settings;
pub mod storage;
pub mod tenant_id;
pub mod timestamp;
