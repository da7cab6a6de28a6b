//! A TCP proxy on loopback that can refuse, delay, swallow and cut what goes through it.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What happens to connections and their bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Pass,
    /// Each piece of bytes waits this long, in both directions.
    Delay(Duration),
    /// Connections are accepted and bytes are read, and nothing ever comes of it.
    Blackhole,
    /// Open connections are reset, new ones are closed at once.
    Cut,
}

/// Stands in front of a server until it is dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    mode: watch::Sender<Mode>,
    _accepts: JoinSet<()>,
}

impl Proxy {
    /// Passes everything from a free port of loopback to `target`, which need not listen yet.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start(target: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("failed to listen")?;
        let address = listener.local_addr()?;
        let (mode, seen) = watch::channel(Mode::Pass);
        let mut accepts = JoinSet::new();
        accepts.spawn(accept(listener, target, seen));
        Ok(Self { address, mode, _accepts: accepts })
    }

    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes what happens from now on, to open connections too.
    pub fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }
}

async fn accept(listener: TcpListener, target: SocketAddr, mode: watch::Receiver<Mode>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let now = *mode.borrow();
        match now {
            Mode::Cut => drop(client),
            Mode::Pass | Mode::Delay(_) | Mode::Blackhole => {
                connections.spawn(serve(client, target, mode.clone()));
            }
        }
        // What ended is forgotten here, so that a long test does not collect it.
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(mut client: TcpStream, target: SocketAddr, mut mode: watch::Receiver<Mode>) {
    let Ok(mut server) = TcpStream::connect(target).await else { return };
    // Without it small pieces wait for each other; that it cannot be had costs time only.
    let _ = client.set_nodelay(true);
    let _ = server.set_nodelay(true);
    let seen = mode.clone();
    let is_cut = {
        let (client_reads, client_writes) = client.split();
        let (server_reads, server_writes) = server.split();
        let exchange = async {
            tokio::join!(
                pump(client_reads, server_writes, seen.clone()),
                pump(server_reads, client_writes, seen)
            )
        };
        tokio::select! {
            _ = exchange => false,
            // An error means that the proxy is gone; then the connection ends too.
            _ = mode.wait_for(|mode| *mode == Mode::Cut) => true,
        }
    };
    if is_cut {
        // A reset, where a quiet close would look like an orderly end.
        let _ = client.set_zero_linger();
        let _ = server.set_zero_linger();
    }
}

async fn pump(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, mode: watch::Receiver<Mode>) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let length = match from.read(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(length) => length,
        };
        let now = *mode.borrow();
        match now {
            Mode::Pass => {}
            Mode::Delay(pause) => tokio::time::sleep(pause).await,
            Mode::Blackhole => continue,
            Mode::Cut => break,
        }
        if to.write_all(&buffer[..length]).await.is_err() {
            break;
        }
    }
    // The other side may be gone already.
    let _ = to.shutdown().await;
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_millis(200);

    /// A server that says every byte again.
    async fn echo() -> (SocketAddr, JoinSet<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (mut reads, mut writes) = stream.split();
                let _ = tokio::io::copy(&mut reads, &mut writes).await;
            }
        });
        (address, tasks)
    }

    async fn ask(stream: &mut TcpStream) -> Option<u8> {
        stream.write_all(b"x").await.ok()?;
        tokio::time::timeout(SOON, stream.read_u8()).await.ok()?.ok()
    }

    #[tokio::test]
    async fn bytes_pass_until_they_are_swallowed_or_cut() {
        let (address, _echo) = echo().await;
        let proxy = Proxy::start(address).await.unwrap();
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(ask(&mut stream).await, Some(b'x'));
        proxy.set(Mode::Blackhole);
        assert_eq!(ask(&mut stream).await, None);
        proxy.set(Mode::Cut);
        assert!(
            tokio::time::timeout(SOON, stream.read_u8()).await.unwrap().is_err(),
            "the connection is reset"
        );
        proxy.set(Mode::Pass);
        let mut again = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(ask(&mut again).await, Some(b'x'));
    }
}
