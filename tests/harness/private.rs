//! A Kafka and a ClickHouse of one test, to be killed and started again.

use std::net::Ipv4Addr;
use std::sync::Arc;

use anyhow::Context as _;
use dev::{clickhouse::ExtraUsers, kafka::SecuredKafka};

use crate::clickhouse::ClickHouse;
use crate::process::{free_port, signal};
use crate::proxy::Proxy;

/// A Kafka on loopback that ends with this.
#[derive(Debug)]
pub struct PrivateKafka {
    broker: Arc<dev::kafka::PrivateKafka>,
}

/// A ClickHouse on loopback that ends with this.
#[derive(Debug)]
pub struct PrivateClickHouse {
    server: Arc<dev::clickhouse::PrivateClickHouse>,
}

impl PrivateKafka {
    /// # Errors
    /// When it does not become ready.
    pub async fn start() -> anyhow::Result<Self> {
        Ok(Self { broker: Arc::new(blocking(dev::kafka::PrivateKafka::start).await?) })
    }

    /// As `start`, with a listener that wants TLS and a user beside the one in the clear, and how it is used.
    ///
    /// # Errors
    /// As `start`.
    pub async fn start_secured() -> anyhow::Result<(Self, SecuredKafka)> {
        let broker = blocking(dev::kafka::PrivateKafka::start_secured).await?;
        let secured = broker.secured()?;
        Ok((Self { broker: Arc::new(broker) }, secured))
    }

    /// As `start_secured`, where the user may do nothing until it is allowed; whoever comes in the clear may do all.
    ///
    /// # Errors
    /// As `start`.
    pub async fn start_guarded() -> anyhow::Result<(Self, SecuredKafka)> {
        let port = free_port()?;
        let start = move || {
            dev::kafka::PrivateKafka::with(|options| {
                options.secured_port = Some(port);
                options.extra.extend(guarded());
            })
        };
        let broker = blocking(start).await?;
        let secured = broker.secured()?;
        Ok((Self { broker: Arc::new(broker) }, secured))
    }

    /// As `start`, with a proxy between it and every client: the broker names the proxy's address as its own.
    ///
    /// # Errors
    /// As `start`.
    pub async fn start_behind_proxy() -> anyhow::Result<(Self, Proxy)> {
        let port = free_port()?;
        let proxy = Proxy::start((Ipv4Addr::LOCALHOST, port).into()).await?;
        let named = format!("PLAIN://{}", proxy.address());
        let start = move || {
            dev::kafka::PrivateKafka::with(|options| {
                options.port = port;
                options.extra.push(("advertised.listeners".to_owned(), named));
            })
        };
        Ok((Self { broker: Arc::new(blocking(start).await?) }, proxy))
    }

    /// `host:port`, the same after every start.
    #[must_use]
    pub fn address(&self) -> String {
        self.broker.bootstrap_servers()
    }

    /// Ends it as `kill -9` does.
    ///
    /// # Errors
    /// When the system refuses.
    pub async fn kill(&self) -> anyhow::Result<()> {
        let broker = Arc::clone(&self.broker);
        blocking(move || broker.kill()).await
    }

    /// Starts it on the same data and the same port.
    ///
    /// # Errors
    /// When it does not become ready.
    pub async fn start_again(&self) -> anyhow::Result<()> {
        let broker = Arc::clone(&self.broker);
        blocking(move || broker.start_again()).await
    }

    /// Stops it in the middle of whatever it does, until `thaw`. A kill ends it all the same.
    ///
    /// # Errors
    /// When it does not run.
    pub fn freeze(&self) -> anyhow::Result<()> {
        signal(self.broker.process().context("Kafka does not run")?.pid, "STOP")
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// When it does not run.
    pub fn thaw(&self) -> anyhow::Result<()> {
        signal(self.broker.process().context("Kafka does not run")?.pid, "CONT")
    }
}

fn guarded() -> [(String, String); 2] {
    [
        ("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer"),
        ("super.users", "User:ANONYMOUS"),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
}

impl PrivateClickHouse {
    /// # Errors
    /// When it does not become ready.
    pub async fn start() -> anyhow::Result<Self> {
        Self::start_with(ExtraUsers::default()).await
    }

    /// As `start`, with more users.
    ///
    /// # Errors
    /// As `start`, and when it cannot read them.
    pub async fn start_with(extra: ExtraUsers) -> anyhow::Result<Self> {
        let start = move || dev::clickhouse::PrivateClickHouse::start_with(extra);
        Ok(Self { server: Arc::new(blocking(start).await?) })
    }

    /// A client of it with another user.
    #[must_use]
    pub fn reader_as(&self, user: &str, password: &str) -> ClickHouse {
        ClickHouse::new(&self.server.url(), user, password)
    }

    /// A client of it.
    #[must_use]
    pub fn reader(&self) -> ClickHouse {
        let user = self.server.user();
        ClickHouse::new(&self.server.url(), &user.name, &user.password)
    }

    /// Ends it as `kill -9` does.
    ///
    /// # Errors
    /// When the system refuses.
    pub async fn kill(&self) -> anyhow::Result<()> {
        let server = Arc::clone(&self.server);
        blocking(move || server.kill()).await
    }

    /// Starts it on the same data and the same port.
    ///
    /// # Errors
    /// When it does not become ready.
    pub async fn start_again(&self) -> anyhow::Result<()> {
        let server = Arc::clone(&self.server);
        blocking(move || server.start_again()).await
    }

    /// Stops it in the middle of whatever it does, until `thaw`. A kill ends it all the same.
    ///
    /// # Errors
    /// When it does not run.
    pub fn freeze(&self) -> anyhow::Result<()> {
        signal(self.server.process().context("ClickHouse does not run")?.pid, "STOP")
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// When it does not run.
    pub fn thaw(&self) -> anyhow::Result<()> {
        signal(self.server.process().context("ClickHouse does not run")?.pid, "CONT")
    }
}

/// The stack's own functions block.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    tokio::task::spawn_blocking(work).await.context("a part of the stack panicked")?
}
