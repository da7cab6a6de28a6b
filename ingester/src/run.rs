//! The process: what it consists of, and the order in which it ends.
//!
//! A stop makes the process unready and, after a grace for clients with a connection, closes the public port;
//! requests in flight finish; only then do the producer, which sends what is left, and the port of the probes end.

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::AtomicBool},
    time::{Duration, SystemTime},
};

use anyhow::Context as _;
use axum::Router;
use runtime::{
    health::{self as probes, Health},
    server::{Limits, serve},
    shutdown::Shutdown,
    tasks::Tasks,
    telemetry::MetricsHandle,
};
use schema::{settings::IngesterSettings, timestamp::Timestamp};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use uuid::{NoContext, Uuid};

use crate::{
    Options, app,
    capture::{App, Clock},
    health::{Ping, Services, watch_clickhouse, watch_kafka},
    keys::{self, Current, Keys},
    metrics,
    publish::kafka::{KafkaProducer, Life},
    receive::InFlight,
};

/// The conditions of readiness: Kafka answers and has every topic, no stop was asked for, the producer works.
const KAFKA: &str = "kafka";
const ACCEPTING: &str = "accepting";
const PRODUCER: &str = "producer";

/// How long the poll loop may be silent before the process counts as dead; it turns ten times a second.
const POLL_MAX_AGE: Duration = Duration::from_secs(30);
/// How long a head that was begun before the grace was over may take: a client sends it in one go.
const DRAIN_HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// After the last request every record has its outcome, so the flush has little left to do.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);
/// What is left for the tasks to end after requests were drained and records flushed.
const END_SLACK: Duration = Duration::from_secs(2);

/// An ingester whose ports are open, but that answers nobody yet.
#[derive(Debug)]
pub struct Ingester {
    options: Options,
    /// With the options laid over them.
    settings: IngesterSettings,
    current: Current,
    keys: Keys,
    public: TcpListener,
    admin: TcpListener,
    health: Health,
}

/// Runs an ingester until the shutdown is requested.
///
/// # Errors
/// When it cannot start, or a part of it fails.
pub async fn run(options: Options, shutdown: Shutdown, metrics: MetricsHandle) -> anyhow::Result<()> {
    Ingester::bind(options).await?.run(shutdown, metrics).await
}

impl Ingester {
    /// Reads the settings and opens the ports.
    ///
    /// # Errors
    /// When the settings cannot be read, or a port is taken.
    pub async fn bind(options: Options) -> anyhow::Result<Self> {
        let mut settings = keys::read(&options.settings.file).await?;
        let (current, keys) = Current::new(settings.clone());
        override_with(&options, &mut settings).await?;
        let public = listen(options.public).await?;
        let admin = listen(options.admin).await?;
        let health = Health::new();
        // Known from the start, so that a process that does not run yet is not ready.
        for condition in [KAFKA, ACCEPTING, PRODUCER] {
            let _ = health.flag(condition);
        }
        Ok(Self { options, settings, current, keys, public, admin, health })
    }

    /// The health of the process, to wait for its changes.
    #[must_use]
    pub fn health(&self) -> Health {
        self.health.clone()
    }

    /// The address of the public port.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.public.local_addr()
    }

    /// The address of the probes and metrics.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn admin_address(&self) -> std::io::Result<SocketAddr> {
        self.admin.local_addr()
    }

    /// Serves until the shutdown is requested, then lets requests finish and sends what is left.
    ///
    /// # Errors
    /// When a part fails, or does not end in time. A producer that failed for good is such a failure: the
    /// process has to be started anew.
    pub async fn run(self, shutdown: Shutdown, metrics: MetricsHandle) -> anyhow::Result<()> {
        metrics::describe();
        let Self { options, settings, current, keys, public, admin, health } = self;
        let producer = KafkaProducer::new(&settings.kafka, &options.producer)
            .context("failed to make the producer from the settings")?;
        let ping = |url: &String| Ping::new(url, settings.clickhouse_ca_pem.as_deref());
        let ping = settings.clickhouse_url.as_ref().map(ping).transpose()?;
        let services = Services {
            kafka: health.flag(KAFKA),
            clickhouse: ping.as_ref().map(|_| Arc::new(AtomicBool::new(false))),
        };
        let router = app::router(app(&options, &producer, &keys, &services), health.clone());

        let mut tasks = Tasks::new(shutdown.clone());
        let token = shutdown.token();
        if let Some((ping, answers)) = ping.zip(services.clickhouse) {
            let watch = watch_clickhouse(ping, answers, token.clone());
            tasks.run("clickhouse", async {
                watch.await;
                Ok(())
            });
        }
        tasks.run("kafka", watch_kafka(producer.clone(), keys, services.kafka, token.clone()));
        let file = Arc::from(options.settings.file.as_path());
        tasks.run("keys", keys::follow(current, file, options.settings.poll, token));
        run_servers(
            &mut tasks,
            &options,
            Ports { public, admin, router, metrics },
            (producer, health, shutdown),
        );
        tasks.finish(end_timeout(&options)).await
    }
}

/// The two ports and what they serve.
struct Ports {
    public: TcpListener,
    admin: TcpListener,
    router: Router,
    metrics: MetricsHandle,
}

/// Starts the ports and the producer's loop, which end one after the other.
fn run_servers(
    tasks: &mut Tasks,
    options: &Options,
    ports: Ports,
    (producer, health, shutdown): (KafkaProducer, Health, Shutdown),
) {
    let drained = CancellationToken::new();
    let limits = Limits {
        max_connections: options.bounds.connections,
        header_timeout: options.deadlines.header,
        write_timeout: options.deadlines.write,
        drain_grace: options.deadlines.drain_grace,
        drain_header_timeout: DRAIN_HEADER_TIMEOUT,
        drain_timeout: drain_timeout(options),
        ..Limits::default()
    };
    let (token, is_accepting) = (shutdown.token(), health.flag(ACCEPTING));
    is_accepting.set(true);
    tasks.run("readiness", {
        let token = token.clone();
        async move {
            token.cancelled().await;
            is_accepting.set(false);
            Ok(())
        }
    });
    // Dropped however the task ends, so that the producer never waits for requests that nobody serves.
    let ends_producer = drained.clone().drop_guard();
    tasks.run("http", async move {
        let outcome = serve(ports.public, ports.router, limits, token).await;
        drop(ends_producer);
        outcome
    });
    let is_working = health.flag(PRODUCER);
    is_working.set(true);
    let life = Life { heartbeat: health.heartbeat("producer", POLL_MAX_AGE), is_working, shutdown };
    tasks.run_blocking("producer", {
        let drained = drained.clone();
        move || producer.poll(&life, &drained, FLUSH_TIMEOUT)
    });
    tasks.run("metrics", ports.metrics.clone().upkeep(drained.clone()));
    tasks.run("admin", serve(ports.admin, probes::router(health, ports.metrics), Limits::default(), drained));
}

fn app(options: &Options, producer: &KafkaProducer, keys: &Keys, services: &Services) -> App {
    App {
        keys: keys.clone(),
        producer: Arc::new(producer.clone()),
        in_flight: InFlight::new(options.bounds.inflight_bytes),
        services: services.clone(),
        trusted_proxies: options.trusted_proxies.clone(),
        body_timeout: options.deadlines.body,
        request_timeout: options.deadlines.request,
        clock: Clock { now, fresh_id },
    }
}

/// The longest way of a connection after the grace: the rest of a head, the request, and an answer that is read slowly.
fn drain_timeout(options: &Options) -> Duration {
    DRAIN_HEADER_TIMEOUT + options.deadlines.request + options.deadlines.write + Duration::from_secs(1)
}

/// From the stop to the end of the process.
fn end_timeout(options: &Options) -> Duration {
    options.deadlines.drain_grace + drain_timeout(options) + FLUSH_TIMEOUT + END_SLACK
}

/// Lays the options over the settings.
async fn override_with(options: &Options, settings: &mut IngesterSettings) -> anyhow::Result<()> {
    if let Some(brokers) = &options.settings.kafka_brokers {
        settings.kafka.bootstrap_servers.clone_from(brokers);
    }
    if let Some(url) = &options.settings.clickhouse_url {
        settings.clickhouse_url = Some(url.clone());
    }
    if let Some(path) = &options.settings.clickhouse_ca_file {
        let pem = tokio::fs::read_to_string(path).await;
        settings.clickhouse_ca_pem =
            Some(pem.with_context(|| format!("failed to read `{}`", path.display()))?);
    }
    Ok(())
}

async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("failed to listen on {address}"))
}

#[allow(clippy::disallowed_methods, reason = "this is the clock of the process")]
fn now() -> Timestamp {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX))
}

/// A UUIDv7 of the time of receipt, so that the id tells what the record says.
fn fresh_id(received_at: Timestamp) -> Uuid {
    let millis = u64::try_from(received_at.millis()).unwrap_or_default();
    let nanos = (millis % 1_000) as u32 * 1_000_000;
    Uuid::new_v7(uuid::Timestamp::from_unix(NoContext, millis / 1_000, nanos))
}

#[cfg(test)]
mod tests;
