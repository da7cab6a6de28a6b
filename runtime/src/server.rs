//! The one accept loop: HTTP/1.1 with bounds that axum's own loop does not have.
//!
//! `axum::serve` builds hyper's connection without a timer, so that hyper's header timeout never fires
//! (<https://github.com/tokio-rs/axum/issues/2741>). Deadlines for bodies and requests belong to the application.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context as _;
use axum::{Router, body::Body, extract::ConnectInfo};
use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use metrics::gauge;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use tracing::{debug, info, warn};

/// Bounds of a listening port.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at a time; more wait in the kernel's queue.
    pub max_connections: usize,
    /// From the first byte of a request, or from the answer before, to the end of the headers.
    pub header_timeout: Duration,
    /// Bytes of a request's headers.
    pub max_header_bytes: usize,
    /// How long requests in flight may go on after the shutdown was requested.
    pub drain_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 1_024,
            // An idle keep-alive connection waits for its next headers, so this is the idle timeout too.
            header_timeout: Duration::from_secs(30),
            max_header_bytes: 32 * 1024,
            drain_timeout: Duration::from_secs(20),
        }
    }
}

/// How long to wait after a failed accept: it fails when the process is out of file descriptors.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Accepts connections until the shutdown is requested, then lets requests in flight finish.
///
/// # Errors
/// When requests in flight do not finish within the drain timeout.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let address = listener.local_addr().context("failed to read the listening address")?;
    info!(%address, "listening on {address}");
    let slots = Arc::new(Semaphore::new(limits.max_connections));
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            Some(_) = connections.join_next() => continue,
            accepted = accept(&listener, &slots) => accepted,
        };
        let Some((stream, peer, slot)) = accepted else {
            sleep(ACCEPT_RETRY).await;
            continue;
        };
        gauge!("http_connections").set((limits.max_connections - slots.available_permits()) as f64);
        let connection = graceful.watch(connection(stream, peer, router.clone(), &limits));
        connections.spawn(async move {
            if let Err(cause) = connection.await {
                debug!(error = %cause, "connection ended");
            }
            drop(slot);
        });
    }
    drop(listener);
    timeout(limits.drain_timeout, graceful.shutdown()).await.with_context(|| {
        format!("requests were in flight {} s after the stop", limits.drain_timeout.as_secs())
    })
}

/// One connection and its place among the most that are allowed.
async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots).acquire_owned().await.expect("the semaphore is never closed");
    match listener.accept().await {
        Ok((stream, peer)) => Some((stream, peer, slot)),
        Err(cause) => {
            warn!(error = %cause, "failed to accept a connection");
            None
        }
    }
}

fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    limits: &Limits,
) -> http1::Connection<
    TokioIo<TcpStream>,
    impl hyper::service::Service<
        Request<Incoming>,
        Response = hyper::Response<Body>,
        Error = std::convert::Infallible,
        Future: Send,
    > + use<>,
> {
    // Answers are small: waiting to fill a packet would only delay them.
    if let Err(cause) = stream.set_nodelay(true) {
        debug!(error = %cause, "failed to set TCP_NODELAY");
    }
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        router.clone().oneshot(request.map(Body::new))
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_buf_size(limits.max_header_bytes.max(8_192))
        .serve_connection(TokioIo::new(stream), service)
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    async fn started(
        limits: Limits,
        router: Router,
    ) -> (SocketAddr, CancellationToken, JoinSet<anyhow::Result<()>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, token) = (listener.local_addr().unwrap(), CancellationToken::new());
        let mut server = JoinSet::new();
        server.spawn(serve(listener, router, limits, token.clone()));
        (address, token, server)
    }

    async fn answer_to(address: SocketAddr, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request).await.unwrap();
        let mut answer = Vec::new();
        // A refused connection may be reset after its answer; what came before the reset counts.
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    }

    fn hello() -> Router {
        Router::new().route("/", get(async || "hello"))
    }

    #[tokio::test]
    async fn a_request_is_answered_and_a_stop_is_clean() {
        let (address, token, mut server) = started(Limits::default(), hello()).await;
        let answer = answer_to(address, b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("hello"), "{answer}");
        token.cancel();
        server.join_next().await.unwrap().unwrap().unwrap();
    }

    #[tokio::test]
    async fn headers_that_never_end_are_cut() {
        let limits = Limits { header_timeout: Duration::from_millis(50), ..Limits::default() };
        let (address, _token, _server) = started(limits, hello()).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nhost:").await.unwrap();
        let mut answer = Vec::new();
        let ended = timeout(Duration::from_secs(5), stream.read_to_end(&mut answer)).await;
        assert!(ended.is_ok(), "the connection was still open after 5 s");
    }

    #[tokio::test]
    async fn headers_that_are_too_long_are_refused() {
        let (address, _token, _server) = started(Limits::default(), hello()).await;
        let request = format!("GET / HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "a".repeat(64 * 1024));
        let answer = answer_to(address, request.as_bytes()).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    }

    #[tokio::test]
    async fn a_request_in_flight_is_answered_after_the_stop() {
        let slow = Router::new().route(
            "/",
            get(async || {
                sleep(Duration::from_millis(200)).await;
                "late"
            }),
        );
        let (address, token, mut server) = started(Limits::default(), slow).await;
        let answer = answer_to(address, b"GET / HTTP/1.1\r\nhost: x\r\n\r\n");
        let stop = async {
            sleep(Duration::from_millis(50)).await;
            token.cancel();
        };
        let (answer, ()) = tokio::join!(answer, stop);
        assert!(answer.ends_with("late"), "{answer}");
        server.join_next().await.unwrap().unwrap().unwrap();
    }
}
