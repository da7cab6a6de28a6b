//! A Kafka and a ClickHouse of one test, to be killed and started again.

use std::fs;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;

use crate::clickhouse::ClickHouse;
use crate::process::{free_port, signal};
use crate::proxy::Proxy;
use crate::wait::{Look, until};

/// A Kafka on loopback that ends with this.
#[derive(Debug)]
pub struct PrivateKafka {
    broker: Arc<dev::kafka::PrivateKafka>,
}

/// What becomes of the users that a server has when another one is added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Others {
    Stay,
    Go,
}

/// Time until a server has read its users again.
const RELOADED: Duration = Duration::from_secs(30);

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

impl PrivateClickHouse {
    /// # Errors
    /// When it does not become ready.
    pub async fn start() -> anyhow::Result<Self> {
        Ok(Self { server: Arc::new(blocking(dev::clickhouse::PrivateClickHouse::start).await?) })
    }

    /// Gives its user another name and password, beside the one it has or instead of it.
    ///
    /// # Errors
    /// When it does not take the new ones in time.
    pub async fn add_user(&self, name: &str, password: &str, others: Others) -> anyhow::Result<ClickHouse> {
        let (file, known) = (self.server.users_file(), self.server.user());
        let hash = self.hash(password).await?;
        let text = fs::read_to_string(&file).context("failed to read the users")?;
        let (open, close) = (format!("<{}>", known.name), format!("</{}>", known.name));
        let (before, rest) = text.split_once(&open).context("a user")?;
        let (user, after) = rest.split_once(&close).context("the end of a user")?;
        let fresh = user.replace(&self.hash(&known.password).await?, &hash);
        let is_known = text.contains(&format!("<{name}>"));
        let fresh = if is_known { String::new() } else { format!("<{name}>{fresh}</{name}>") };
        let text = match others {
            Others::Stay => format!("{before}{open}{user}{close}\n{fresh}{after}"),
            Others::Go => format!("{before}{fresh}{after}"),
        };
        fs::write(&file, text).context("failed to write the users")?;
        let client = ClickHouse::new(&self.server.url(), name, password);
        let old = self.reader();
        until(RELOADED, "new users", || async {
            client.run("SELECT 1").await?;
            let is_old_there = old.run("SELECT 1").await.is_ok();
            Ok(Look::at(is_old_there == (others == Others::Stay), is_old_there))
        })
        .await?;
        Ok(client)
    }

    async fn hash(&self, password: &str) -> anyhow::Result<String> {
        let hash = self.reader().run(&format!("SELECT lower(hex(SHA256('{password}')))")).await?;
        Ok(hash.trim().to_owned())
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
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    tokio::task::spawn_blocking(work).await.context("a part of the stack panicked")?
}
