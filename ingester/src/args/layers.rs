//! The layers of the options and how they are laid over each other.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use clap::{Args, Parser};
use config::{Config, File, FileFormat};
use runtime::telemetry::LogOptions;
use schema::limits::MAX_BODY_BYTES;
use serde::{Deserialize, Serialize};

use super::{Network, Options};

const PRECEDENCE: &str = "\
Each option is taken from the first of these that has it:
  1. the flag
  2. the environment variable MILLRACE_..., as shown with each option
  3. the environment variable INGESTION_HOST, INGESTION_PORT, INGESTION_REDPANDA_BROKERS,
     INGESTION_REDPANDA_BATCH_SIZE or INGESTION_CLICKHOUSE_URL, for --host, --port, --kafka-brokers,
     --kafka-batch-size and --clickhouse-url
  4. the file given with --config: TOML, with the long names of the options and `_` for `-`,
     such as `body_timeout_ms = 5000`
  5. the default

Pipelines, keys and the connection to Kafka with its TLS and SASL stand in the settings file, which the
operator writes. Its keys are read again while the process runs; anything else counts after a restart.
INGESTION_CLICKHOUSE_DATABASE has no counterpart: the ingester writes to Kafka alone, and each tenant's
database is made by the operator.";

/// The command line of the ingester.
#[derive(Debug, Clone, Parser)]
#[command(name = "ingester", about = "Takes events over HTTP and answers once Kafka has stored them.")]
#[command(after_help = PRECEDENCE)]
pub struct Flags {
    /// A TOML file with options.
    #[arg(long, env = "MILLRACE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,

    #[command(flatten)]
    layer: Layer,

    /// The log.
    #[command(flatten)]
    pub log: LogOptions,
}

/// One layer of options; what it does not have is left to the layers below.
#[derive(Debug, Clone, Default, PartialEq, Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Layer {
    /// Address on which clients connect and metrics are served [default: 0.0.0.0].
    #[arg(long, env = "MILLRACE_HOST")]
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<IpAddr>,

    /// Port for clients; 0 takes a free one [default: 8080].
    #[arg(long, env = "MILLRACE_PORT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,

    /// Port for /health/live, /health/ready and /metrics; 0 takes a free one [default: 9090].
    #[arg(long, env = "MILLRACE_ADMIN_PORT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    admin_port: Option<u16>,

    /// The settings file that the operator writes [default: /etc/millrace/settings.json].
    #[arg(long, env = "MILLRACE_SETTINGS", value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    settings: Option<PathBuf>,

    /// How often the settings file is read for new and revoked keys, in milliseconds [default: 5000].
    #[arg(long, env = "MILLRACE_SETTINGS_POLL_MS", value_name = "MS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    settings_poll_ms: Option<u64>,

    /// Kafka's addresses, host:port separated by commas, instead of those in the settings file.
    #[arg(long, env = "MILLRACE_KAFKA_BROKERS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    kafka_brokers: Option<String>,

    /// The most records in one batch to a broker; a record holds one request [default: 1000].
    #[arg(long, env = "MILLRACE_KAFKA_BATCH_SIZE", value_name = "RECORDS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    kafka_batch_size: Option<u32>,

    /// How long a record waits for others to share a batch, in milliseconds [default: 5].
    #[arg(long, env = "MILLRACE_KAFKA_LINGER_MS", value_name = "MS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    kafka_linger_ms: Option<u64>,

    /// Records that may wait for Kafka, in KiB; then requests are answered with 503 [default: 65536].
    #[arg(long, env = "MILLRACE_KAFKA_QUEUE_KIB", value_name = "KIB")]
    #[serde(skip_serializing_if = "Option::is_none")]
    kafka_queue_kib: Option<u32>,

    /// ClickHouse's HTTP URL for the answer of /health, instead of the one in the settings file.
    #[arg(long, env = "MILLRACE_CLICKHOUSE_URL", value_name = "URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    clickhouse_url: Option<String>,

    /// PEM of the authority that signed ClickHouse's certificate, instead of the one in the settings file
    /// [default: the system's authorities].
    #[arg(long, env = "MILLRACE_CLICKHOUSE_CA_FILE", value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    clickhouse_ca_file: Option<PathBuf>,

    /// How long headers may take, and how long an idle connection is kept, in milliseconds [default: 30000].
    #[arg(long, env = "MILLRACE_HEADER_TIMEOUT_MS", value_name = "MS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    header_timeout_ms: Option<u64>,

    /// How long a body may take before it is answered with 408, in milliseconds [default: 8000].
    #[arg(long, env = "MILLRACE_BODY_TIMEOUT_MS", value_name = "MS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    body_timeout_ms: Option<u64>,

    /// How long Kafka may take before a request is answered with 503, in milliseconds [default: 10000].
    #[arg(long, env = "MILLRACE_PUBLISH_TIMEOUT_MS", value_name = "MS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    publish_timeout_ms: Option<u64>,

    /// How long a whole request may take, in milliseconds; more than body and Kafka together [default: 20000].
    #[arg(long, env = "MILLRACE_REQUEST_TIMEOUT_MS", value_name = "MS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    request_timeout_ms: Option<u64>,

    /// How long a client may leave an answer unread before it is disconnected, in milliseconds [default: 10000].
    #[arg(long, env = "MILLRACE_WRITE_TIMEOUT_MS", value_name = "MS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    write_timeout_ms: Option<u64>,

    /// How long connections are still taken and kept after SIGTERM, each answer then being the last one of its
    /// connection, in milliseconds [default: 2000].
    #[arg(long, env = "MILLRACE_DRAIN_GRACE_MS", value_name = "MS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    drain_grace_ms: Option<u64>,

    /// The most connections at a time [default: 1024].
    #[arg(long, env = "MILLRACE_MAX_CONNECTIONS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    max_connections: Option<usize>,

    /// The most bytes of bodies in flight; more are answered with 503 [default: 33554432].
    #[arg(long, env = "MILLRACE_MAX_INFLIGHT_BYTES", value_name = "BYTES")]
    #[serde(skip_serializing_if = "Option::is_none")]
    max_inflight_bytes: Option<usize>,

    /// A proxy whose X-Forwarded-For is believed, as an address or a network such as 10.0.0.0/8; several with
    /// commas, or the flag again [default: none].
    #[arg(
        long = "trusted-proxy",
        env = "MILLRACE_TRUSTED_PROXIES",
        value_name = "NETWORK",
        value_delimiter = ','
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    trusted_proxies: Option<Vec<Network>>,
}

/// Why the options cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A variable of seed 001 has a value of the wrong kind.
    #[error("`{value}` is no value for the environment variable {variable}")]
    Variable { variable: &'static str, value: String },
    /// The file or a value in it.
    #[error("failed to read the options file")]
    File(#[source] config::ConfigError),
    /// The layers, once they lie on each other.
    #[error("failed to lay the options over each other")]
    Lay(#[source] config::ConfigError),
    /// A request would end before its parts may.
    #[error("the request timeout has to be longer than the body timeout and the publish timeout together")]
    Deadlines,
    /// The largest body would never be taken.
    #[error("the bytes in flight have to be at least {MAX_BODY_BYTES}, the largest body")]
    InFlight,
    /// librdkafka takes at least one record a batch and one KiB of queue, and the server one connection.
    #[error("`{option}` has to be at least 1")]
    Zero { option: &'static str },
}

impl Flags {
    /// Lays the flags over the environment of seed 001, the file and the defaults.
    ///
    /// # Errors
    /// When a layer cannot be read, or the options contradict each other.
    #[allow(clippy::disallowed_methods, reason = "this is where the environment is read")]
    pub fn resolve(self) -> Result<Options, Error> {
        self.resolve_with(|variable| std::env::var(variable).ok())
    }

    fn resolve_with(self, environment: impl Fn(&'static str) -> Option<String>) -> Result<Options, Error> {
        let seed = Config::try_from(&Layer::of_seed(environment)?).map_err(Error::Lay)?;
        let flags = Config::try_from(&self.layer).map_err(Error::Lay)?;
        let mut layers = Config::builder();
        if let Some(path) = self.config {
            layers = layers.add_source(File::from(path).format(FileFormat::Toml));
        }
        let layers = layers.add_source(seed).add_source(flags).build().map_err(Error::File)?;
        checked(layers.try_deserialize::<Layer>().map_err(Error::Lay)?.over_defaults())
    }
}

impl Layer {
    /// The names of seed 001. An empty variable is none.
    fn of_seed(environment: impl Fn(&'static str) -> Option<String>) -> Result<Self, Error> {
        let text = |variable| environment(variable).filter(|value| !value.is_empty());
        Ok(Self {
            host: parsed("INGESTION_HOST", text("INGESTION_HOST"))?,
            port: parsed("INGESTION_PORT", text("INGESTION_PORT"))?,
            kafka_brokers: text("INGESTION_REDPANDA_BROKERS"),
            kafka_batch_size: parsed("INGESTION_REDPANDA_BATCH_SIZE", text("INGESTION_REDPANDA_BATCH_SIZE"))?,
            clickhouse_url: text("INGESTION_CLICKHOUSE_URL"),
            ..Self::default()
        })
    }

    fn over_defaults(self) -> Options {
        let mut options = Options::default();
        let host = self.host.unwrap_or(options.public.ip());
        options.public = SocketAddr::new(host, self.port.unwrap_or(options.public.port()));
        options.admin = SocketAddr::new(host, self.admin_port.unwrap_or(options.admin.port()));
        set(&mut options.settings.file, self.settings);
        set(&mut options.settings.poll, self.settings_poll_ms.map(Duration::from_millis));
        options.settings.kafka_brokers = self.kafka_brokers;
        options.settings.clickhouse_url = self.clickhouse_url;
        options.settings.clickhouse_ca_file = self.clickhouse_ca_file;
        set(&mut options.deadlines.header, self.header_timeout_ms.map(Duration::from_millis));
        set(&mut options.deadlines.body, self.body_timeout_ms.map(Duration::from_millis));
        set(&mut options.deadlines.request, self.request_timeout_ms.map(Duration::from_millis));
        set(&mut options.deadlines.write, self.write_timeout_ms.map(Duration::from_millis));
        set(&mut options.deadlines.drain_grace, self.drain_grace_ms.map(Duration::from_millis));
        set(&mut options.bounds.connections, self.max_connections);
        set(&mut options.bounds.inflight_bytes, self.max_inflight_bytes);
        set(&mut options.producer.linger, self.kafka_linger_ms.map(Duration::from_millis));
        set(&mut options.producer.publish_timeout, self.publish_timeout_ms.map(Duration::from_millis));
        set(&mut options.producer.queue_kib, self.kafka_queue_kib);
        set(&mut options.producer.batch_messages, self.kafka_batch_size);
        set(&mut options.trusted_proxies, self.trusted_proxies);
        options
    }
}

fn set<T>(option: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *option = value;
    }
}

fn parsed<T: std::str::FromStr>(variable: &'static str, value: Option<String>) -> Result<Option<T>, Error> {
    let Some(value) = value else { return Ok(None) };
    value.parse().map(Some).map_err(|_| Error::Variable { variable, value })
}

fn checked(options: Options) -> Result<Options, Error> {
    if options.deadlines.request <= options.deadlines.body + options.producer.publish_timeout {
        return Err(Error::Deadlines);
    }
    if options.bounds.inflight_bytes < MAX_BODY_BYTES {
        return Err(Error::InFlight);
    }
    for (option, is_zero) in [
        ("max_connections", options.bounds.connections == 0),
        ("kafka_batch_size", options.producer.batch_messages == 0),
        ("kafka_queue_kib", options.producer.queue_kib == 0),
        ("publish_timeout_ms", options.producer.publish_timeout.is_zero()),
        ("write_timeout_ms", options.deadlines.write.is_zero()),
        ("settings_poll_ms", options.settings.poll.is_zero()),
    ] {
        if is_zero {
            return Err(Error::Zero { option });
        }
    }
    Ok(options)
}

#[cfg(test)]
mod tests;
