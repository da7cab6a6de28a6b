//! The options of the process: flags, then environment, then a file, then defaults.
//!
//! What a pipeline is and how Kafka is reached are settings, which the operator writes into the settings file;
//! the two addresses that can be given here serve a process that no operator started.

mod layers;

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

pub use layers::{Error, Flags};

pub use crate::{client_address::Network, publish::kafka::ProducerOptions};

/// The options, all of them known.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where clients connect.
    pub public: SocketAddr,
    /// Where `/health/live`, `/health/ready` and `/metrics` are, for the cluster alone.
    pub admin: SocketAddr,
    /// The settings file and how it is followed.
    pub settings: SettingsOptions,
    /// Deadlines of a request.
    pub deadlines: Deadlines,
    /// Bounds of the process.
    pub bounds: Bounds,
    /// The producer.
    pub producer: ProducerOptions,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<Network>,
}

/// The settings file, and what overrides it.
#[derive(Debug, Clone)]
pub struct SettingsOptions {
    /// The file, a JSON `schema::settings::IngesterSettings`.
    pub file: PathBuf,
    /// How often the keys are read again.
    pub poll: Duration,
    /// Instead of the settings' Kafka addresses.
    pub kafka_brokers: Option<String>,
    /// Instead of the settings' ClickHouse URL.
    pub clickhouse_url: Option<String>,
    /// A PEM file, instead of the settings' authority for ClickHouse's certificate.
    pub clickhouse_ca_file: Option<PathBuf>,
}

/// How long each part of a request may take.
#[derive(Debug, Clone)]
pub struct Deadlines {
    /// From the first byte to the end of the headers; also how long an idle connection is kept.
    pub header: Duration,
    /// The body.
    pub body: Duration,
    /// Everything after the headers, until the answer is made.
    pub request: Duration,
    /// How long a client may leave an answer unread.
    pub write: Duration,
    /// How long connections are taken and kept after the stop was asked for.
    pub drain_grace: Duration,
}

/// What the process may hold at a time.
#[derive(Debug, Clone)]
pub struct Bounds {
    /// Connections.
    pub connections: usize,
    /// Bytes of request bodies in flight.
    pub inflight_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        Self {
            public: SocketAddr::new(any, 8080),
            admin: SocketAddr::new(any, 9090),
            settings: SettingsOptions {
                file: PathBuf::from(schema::settings::MOUNTED_FILE),
                poll: Duration::from_secs(5),
                kafka_brokers: None,
                clickhouse_url: None,
                clickhouse_ca_file: None,
            },
            // Body and publishing together end before the request does, so that most outcomes are definite.
            deadlines: Deadlines {
                header: Duration::from_secs(30),
                body: Duration::from_secs(8),
                request: Duration::from_secs(20),
                write: Duration::from_secs(10),
                // A pod left its Service before it is told to stop; this is for clients with a connection, most of
                // which send in this time and learn from the answer that it ends.
                drain_grace: Duration::from_secs(2),
            },
            // With the producer's queue and the records made of the bodies, below 160 MiB at the worst.
            bounds: Bounds { connections: 1_024, inflight_bytes: 32 * 1024 * 1024 },
            producer: ProducerOptions {
                linger: Duration::from_millis(5),
                publish_timeout: Duration::from_secs(10),
                queue_kib: 64 * 1024,
                batch_messages: 1_000,
            },
            trusted_proxies: Vec::new(),
        }
    }
}
