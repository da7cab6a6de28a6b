//! The shared stack as tests see it.

use std::sync::LazyLock;

use anyhow::anyhow;
use dev::Stack;

use crate::clickhouse::ClickHouse;
use crate::kafka::Kafka;

static STACK: LazyLock<Result<Stack, String>> =
    LazyLock::new(|| Stack::running().map_err(|error| format!("{error:#}")));

/// The running stack.
///
/// # Errors
/// When it does not run; the text says how to start it.
pub fn stack() -> anyhow::Result<&'static Stack> {
    STACK.as_ref().map_err(|error| anyhow!("{error}"))
}

/// The shared Kafka, without encryption.
///
/// # Errors
/// When the stack does not run.
pub fn kafka() -> anyhow::Result<Kafka> {
    Ok(Kafka::plain(&stack()?.kafka))
}

/// The shared Kafka through its listener with users and certificates.
///
/// # Errors
/// When the stack does not run.
pub fn secured_kafka() -> anyhow::Result<Kafka> {
    Ok(Kafka::secured(&stack()?.secured_kafka))
}

/// The shared ClickHouse.
///
/// # Errors
/// When the stack does not run.
pub fn clickhouse() -> anyhow::Result<ClickHouse> {
    let stack = stack()?;
    Ok(ClickHouse::new(&stack.clickhouse_url, &stack.clickhouse_user, &stack.clickhouse_password))
}
