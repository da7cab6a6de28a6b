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
    /// Requests pass, and a connection is reset when its server answers: what was asked is done and nobody knows.
    LoseAnswers,
    /// Requests pass, and what the server answers is read and never comes out.
    SwallowAnswers,
    /// A connection is reset when it carries a request to a coordinator of Kafka's groups; all others pass.
    WithoutGroups,
}

/// Where bytes of a connection go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    ToServer,
    ToClient,
}

/// A connection is to be reset.
#[derive(Debug)]
struct Reset;

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
            Mode::Pass
            | Mode::Delay(_)
            | Mode::Blackhole
            | Mode::LoseAnswers
            | Mode::SwallowAnswers
            | Mode::WithoutGroups => {
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
            tokio::try_join!(
                pump(client_reads, server_writes, Direction::ToServer, seen.clone()),
                pump(server_reads, client_writes, Direction::ToClient, seen)
            )
        };
        tokio::select! {
            ended = exchange => ended.is_err(),
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

async fn pump(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    direction: Direction,
    mode: watch::Receiver<Mode>,
) -> Result<(), Reset> {
    let mut buffer = vec![0; 64 * 1024];
    let mut requests = Requests::default();
    loop {
        let length = match from.read(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(length) => length,
        };
        // Followed in every mode, or a later one would begin in the middle of a request.
        let asks_group = direction == Direction::ToServer && requests.ask_group(&buffer[..length]);
        let now = *mode.borrow();
        match now {
            Mode::Delay(pause) => tokio::time::sleep(pause).await,
            Mode::Blackhole => continue,
            Mode::Cut => return Err(Reset),
            Mode::LoseAnswers if direction == Direction::ToClient => return Err(Reset),
            Mode::SwallowAnswers if direction == Direction::ToClient => continue,
            Mode::WithoutGroups if asks_group => return Err(Reset),
            Mode::Pass | Mode::LoseAnswers | Mode::SwallowAnswers | Mode::WithoutGroups => {}
        }
        if to.write_all(&buffer[..length]).await.is_err() {
            break;
        }
    }
    // The other side may be gone already.
    let _ = to.shutdown().await;
    Ok(())
}

/// Kafka's requests to the coordinator of a group: commit and fetch of offsets, join, heartbeat, leave, sync, and
/// the heartbeat of the newer protocol (<https://kafka.apache.org/protocol#protocol_api_keys>).
const GROUP_REQUESTS: [i16; 7] = [8, 9, 11, 12, 13, 14, 68];

/// Follows the requests of one connection: a length of four bytes, a key of two, the rest.
#[derive(Debug, Default)]
struct Requests {
    head: Vec<u8>,
    rest: usize,
}

impl Requests {
    /// Whether a request to a coordinator begins in these bytes, which follow those before.
    fn ask_group(&mut self, mut bytes: &[u8]) -> bool {
        let mut asks = false;
        while let Some((first, after)) = bytes.split_first() {
            if self.rest > 0 {
                let taken = self.rest.min(bytes.len());
                self.rest -= taken;
                bytes = &bytes[taken..];
                continue;
            }
            self.head.push(*first);
            bytes = after;
            if let [a, b, c, d, high, low] = self.head[..] {
                asks |= GROUP_REQUESTS.contains(&i16::from_be_bytes([high, low]));
                // The key counts as part of what follows the length.
                self.rest = (u32::from_be_bytes([a, b, c, d]) as usize).saturating_sub(2);
                self.head.clear();
            }
        }
        asks
    }
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

    #[tokio::test]
    async fn a_lost_answer_is_a_reset_after_the_request_has_passed() {
        let (address, _echo) = echo().await;
        let proxy = Proxy::start(address).await.unwrap();
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        proxy.set(Mode::SwallowAnswers);
        assert_eq!(ask(&mut stream).await, None);
        proxy.set(Mode::LoseAnswers);
        stream.write_all(b"x").await.unwrap();
        assert!(tokio::time::timeout(SOON, stream.read_u8()).await.unwrap().is_err());
    }

    #[test]
    fn requests_to_a_group_are_found_wherever_the_bytes_are_cut() {
        let request = |key: u8, length: u8| {
            let mut bytes = vec![0, 0, 0, length + 2, 0, key];
            bytes.extend(vec![12; length.into()]);
            bytes
        };
        let harmless = [request(1, 9), request(0, 0), request(3, 40)].concat();
        let with_group = [harmless.clone(), request(8, 5), harmless.clone()].concat();
        for size in 1..20 {
            let asks = |bytes: &[u8]| {
                let mut requests = Requests::default();
                bytes.chunks(size).map(|chunk| requests.ask_group(chunk)).filter(|asks| *asks).count()
            };
            assert_eq!((asks(&harmless), asks(&with_group)), (0, 1), "in pieces of {size}");
        }
    }
}
