//! ClickHouse as a server: how statements get there, and what failures mean.
//!
//! What is asked of it is said by those who ask: the databases, and their users.

mod connection;
mod error;
mod literal;
mod turns;

#[cfg(test)]
pub(crate) use turns::{LIMITS, Limits};
pub(crate) use {
    connection::{Connection, Server},
    error::{ConnectionError, QueryError},
    literal::literal,
};
