//! The one accept loop: HTTP/1.1 with bounds that axum's own loop does not have.
//!
//! `axum::serve` builds hyper's connection without a timer, so that hyper's header timeout never fires
//! (<https://github.com/tokio-rs/axum/issues/2741>). Deadlines for bodies and requests belong to the application.
//!
//! ```text
//! serving --stop--> every answer says `connection: close` --drain_grace--> idle ones closed --> the last answer
//! ```
//!
//! A connection that is closed while it is idle may reset a request that is just on its way. Hence, as nginx does
//! (<https://nginx.org/en/docs/http/ngx_http_core_module.html#keepalive_min_timeout>), a stop first goes on for a
//! grace, in which clients learn from an answer that the connection ends.

mod write_deadline;

use std::{
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::Context as _;
use axum::{Router, body::Body, extract::ConnectInfo};
use hyper::{
    Request,
    body::Incoming,
    header::{CONNECTION, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use metrics::{Gauge, gauge};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use tracing::{debug, info, warn};

use self::write_deadline::WriteDeadline;

/// Bounds of a listening port.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at a time; more wait in the kernel's queue.
    pub max_connections: usize,
    /// From the first byte of a request, or from the answer before, to the end of the headers.
    pub header_timeout: Duration,
    /// Bytes of a request's headers.
    pub max_header_bytes: usize,
    /// How long a client may leave an answer unread, from the first byte that the kernel has no room for to the last.
    pub write_timeout: Duration,
    /// How long connections are accepted and kept after the shutdown was requested; each answer is then the last one
    /// of its connection.
    pub drain_grace: Duration,
    /// How long a head that was begun may take to its end after the grace; then its connection is closed.
    pub drain_header_timeout: Duration,
    /// How long requests in flight may go on after the grace, the rest of their heads and the writing of their answers
    /// included.
    pub drain_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 1_024,
            // An idle keep-alive connection waits for its next headers, so this is the idle timeout too.
            header_timeout: Duration::from_secs(30),
            max_header_bytes: 32 * 1024,
            // Answers are some kilobytes, which the kernel takes at once unless earlier ones were never read.
            write_timeout: Duration::from_secs(10),
            drain_grace: Duration::ZERO,
            drain_header_timeout: Duration::from_secs(5),
            drain_timeout: Duration::from_secs(20),
        }
    }
}

/// How long to wait after a failed accept: it fails when the process is out of file descriptors.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Accepts connections until the grace after the shutdown is over, then lets requests in flight finish.
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
    let heads_are_due = CancellationToken::new();
    let mut connections = JoinSet::new();
    let mut grace_is_over = pin!(async {
        shutdown.cancelled().await;
        sleep(limits.drain_grace).await;
    });
    loop {
        let accepted = tokio::select! {
            () = &mut grace_is_over => break,
            Some(_) = connections.join_next() => continue,
            accepted = accept(&listener, &slots) => accepted,
        };
        let Some((stream, peer, slot)) = accepted else {
            sleep(ACCEPT_RETRY).await;
            continue;
        };
        let (counted, activity, due) = (Counted::new(), Activity::default(), heads_are_due.clone());
        let connection = connection((stream, peer), router.clone(), &limits, (shutdown.clone(), &activity));
        let connection = graceful.watch(connection);
        connections.spawn(async move {
            tokio::select! {
                outcome = connection => if let Err(cause) = outcome {
                    debug!(error = %cause, "connection ended");
                },
                () = without_request(&activity, &due) => debug!("a head was not complete in time after the stop"),
            }
            drop((slot, counted));
        });
    }
    drop(listener);
    let ask_for_heads = async {
        sleep(limits.drain_header_timeout).await;
        heads_are_due.cancel();
        std::future::pending().await
    };
    let drained = async {
        tokio::select! {
            () = graceful.shutdown() => {}
            () = ask_for_heads => {}
        }
    };
    timeout(limits.drain_timeout, drained).await.with_context(|| {
        format!("requests were in flight {} s after the stop", limits.drain_timeout.as_secs())
    })
}

/// A connection in the gauge, whatever ends it.
struct Counted(Gauge);

impl Counted {
    fn new() -> Self {
        let gauge = gauge!("http_connections");
        gauge.increment(1);
        Self(gauge)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.decrement(1);
    }
}

/// What a connection is at. Clones share it.
#[derive(Debug, Clone, Default)]
struct Activity {
    is_answering: Arc<AtomicBool>,
    is_writing: Arc<AtomicBool>,
}

/// Ends when a whole head is due and the connection has none. One that is at work goes on: its answer is its last.
async fn without_request(activity: &Activity, due: &CancellationToken) {
    due.cancelled().await;
    if activity.is_answering.load(Ordering::Relaxed) || activity.is_writing.load(Ordering::Relaxed) {
        std::future::pending().await
    }
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
    (stream, peer): (TcpStream, SocketAddr),
    router: Router,
    limits: &Limits,
    (shutdown, activity): (CancellationToken, &Activity),
) -> http1::Connection<
    TokioIo<WriteDeadline<TcpStream>>,
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
    let stream = WriteDeadline::new(stream, limits.write_timeout, Arc::clone(&activity.is_writing));
    let is_answering = Arc::clone(&activity.is_answering);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        let (answer, shutdown) = (router.clone().oneshot(request.map(Body::new)), shutdown.clone());
        let is_answering = Arc::clone(&is_answering);
        is_answering.store(true, Ordering::Relaxed);
        async move {
            let answer = answer.await;
            is_answering.store(false, Ordering::Relaxed);
            let mut answer = answer?;
            if shutdown.is_cancelled() {
                answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok(answer)
        }
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_buf_size(limits.max_header_bytes.max(8_192))
        .serve_connection(TokioIo::new(stream), service)
}

#[cfg(test)]
mod tests;
