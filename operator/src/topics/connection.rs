//! What the client of Kafka says of its connections: its log lines, and why the last one failed.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use rdkafka::{
    ClientConfig, ClientContext,
    config::RDKafkaLogLevel,
    consumer::ConsumerContext,
    error::KafkaError,
    producer::{DeliveryResult, ProducerContext},
    types::RDKafkaErrorCode as Code,
};
use schema::settings::KafkaSettings;

use super::error::AdminError;

/// The settings of the client: those of the connection, and short enough waits that a broker that is gone for a
/// minute is found again within seconds.
pub(super) fn client_config(settings: &KafkaSettings, deadline: Duration) -> ClientConfig {
    let mut config = ClientConfig::new();
    for (name, value) in settings.properties() {
        config.set(name, value);
    }
    config
        .set("client.id", "millrace-operator")
        .set("socket.timeout.ms", deadline.as_millis().to_string())
        .set("socket.connection.setup.timeout.ms", "5000")
        .set("socket.keepalive.enable", "true")
        .set("reconnect.backoff.max.ms", "2000");
    config
}

/// Listens to the client.
///
/// A call that finds no broker only ever times out. Why there is none (a wrong password, a certificate of an unknown
/// authority) is said here, so the last such error is kept for the calls to cite.
#[derive(Default)]
pub(super) struct Connection {
    last_error: Mutex<Option<AdminError>>,
}

impl Connection {
    pub(super) fn last_error(&self) -> Option<AdminError> {
        self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn works(&self) {
        self.remember(None);
    }

    fn remember(&self, error: Option<AdminError>) {
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = error;
    }
}

impl ClientContext for Connection {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error
            | RDKafkaLogLevel::Warning => tracing::warn!(facility, "kafka client: {message}"),
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => {
                tracing::debug!(facility, "kafka client: {message}");
            }
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        match error.rdkafka_error_code() {
            // This one follows the error that says why, and says nothing itself.
            Some(Code::AllBrokersDown) | None => {}
            Some(code) => self.remember(Some(AdminError::new(code, reason))),
        }
    }
}

impl ProducerContext for Connection {
    type DeliveryOpaque = ();

    /// Nothing is ever produced with this client.
    fn delivery(&self, _result: &DeliveryResult<'_>, (): ()) {}
}

/// Nothing is ever read with such a client.
impl ConsumerContext for Connection {}
