//! The accept loop on sockets of its own.

use axum::routing::get;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

const PATIENCE: Duration = Duration::from_secs(5);

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
    let (arrived, stopped) = (CancellationToken::new(), CancellationToken::new());
    let (tell, wait) = (arrived.clone(), stopped.clone());
    let slow = Router::new().route(
        "/",
        get(async move || {
            tell.cancel();
            wait.cancelled().await;
            "late"
        }),
    );
    let (address, token, mut server) = started(Limits::default(), slow).await;
    let stop = async {
        arrived.cancelled().await;
        token.cancel();
        stopped.cancel();
    };
    let (answer, ()) = tokio::join!(answer_to(address, b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"), stop);
    assert!(answer.ends_with("late"), "{answer}");
    server.join_next().await.unwrap().unwrap().unwrap();
}

/// Sends a request without a body over a connection that stays.
async fn ask(stream: &mut TcpStream, path: &str) {
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
}

/// The answer to the next request over a connection that stays; its body is `hello`.
async fn hello_from(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    while !answer.ends_with(b"hello") {
        let byte = timeout(PATIENCE, stream.read_u8()).await.expect("an answer in time");
        answer.push(byte.expect("the connection is open"));
    }
    String::from_utf8(answer).unwrap()
}

/// More than the kernel takes on both sides of a connection of this machine.
const LARGE: usize = 32 * 1024 * 1024;

#[tokio::test]
async fn a_client_that_never_reads_gives_its_place_to_the_next() {
    let router = hello().route("/large", get(async || vec![b' '; LARGE]));
    let limits =
        Limits { max_connections: 1, write_timeout: Duration::from_millis(100), ..Limits::default() };
    let (address, _token, _server) = started(limits, router).await;
    let mut never_reads = TcpStream::connect(address).await.unwrap();
    ask(&mut never_reads, "/large").await;
    let mut next = TcpStream::connect(address).await.unwrap();
    ask(&mut next, "/").await;
    assert!(hello_from(&mut next).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn in_the_grace_after_the_stop_an_idle_connection_gets_one_last_answer() {
    let limits = Limits { drain_grace: Duration::from_secs(3_600), ..Limits::default() };
    let (address, token, _server) = started(limits, hello()).await;
    let mut idle = TcpStream::connect(address).await.unwrap();
    ask(&mut idle, "/").await;
    assert!(!hello_from(&mut idle).await.contains("connection: close"));
    token.cancel();
    // A server without a grace would close the connection now.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    ask(&mut idle, "/").await;
    assert!(hello_from(&mut idle).await.contains("connection: close\r\n"));
    assert!(idle.read_u8().await.is_err(), "the answer was the last one");
    let new = answer_to(address, b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(new.contains("connection: close\r\n"), "{new}");
}

#[tokio::test]
async fn after_the_grace_idle_connections_are_closed_and_nobody_listens() {
    let limits = Limits { drain_grace: Duration::from_millis(50), ..Limits::default() };
    let (address, token, mut server) = started(limits, hello()).await;
    let mut idle = TcpStream::connect(address).await.unwrap();
    ask(&mut idle, "/").await;
    hello_from(&mut idle).await;
    token.cancel();
    let ended = timeout(PATIENCE, server.join_next()).await.expect("the server ends in time");
    ended.unwrap().unwrap().unwrap();
    assert!(idle.read_u8().await.is_err(), "the idle connection was closed");
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn an_idle_connection_is_closed_after_the_header_timeout() {
    let limits = Limits { header_timeout: Duration::from_millis(50), ..Limits::default() };
    let (address, _token, _server) = started(limits, hello()).await;
    let mut idle = TcpStream::connect(address).await.unwrap();
    ask(&mut idle, "/").await;
    hello_from(&mut idle).await;
    let ended = timeout(PATIENCE, idle.read_u8()).await;
    assert!(ended.is_ok_and(|read| read.is_err()), "the connection was still open after 5 s");
    let mut silent = TcpStream::connect(address).await.unwrap();
    let ended = timeout(PATIENCE, silent.read_u8()).await;
    assert!(ended.is_ok_and(|read| read.is_err()), "the connection was still open after 5 s");
}

#[tokio::test]
async fn a_head_that_never_ends_does_not_hold_a_stop_up() {
    const LONG: Duration = Duration::from_secs(3_600);
    let limits = Limits {
        header_timeout: LONG,
        drain_header_timeout: Duration::from_millis(50),
        drain_timeout: LONG,
        ..Limits::default()
    };
    let (address, token, mut server) = started(limits, hello()).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    ask(&mut stream, "/").await;
    hello_from(&mut stream).await;
    stream.write_all(b"GET / HTTP/1.1\r\nhost:").await.unwrap();
    let mut fresh = TcpStream::connect(address).await.unwrap();
    fresh.write_all(b"GET / HTTP/1.1\r\nhost:").await.unwrap();
    // The server has both beginnings once it answered somebody who came later.
    answer_to(address, b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    token.cancel();
    let ended = timeout(PATIENCE, server.join_next()).await.expect("the server ends in time");
    ended.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn a_request_that_takes_longer_than_heads_may_is_answered_after_the_stop() {
    let (arrived, heads_were_due) = (CancellationToken::new(), CancellationToken::new());
    let (tell, wait) = (arrived.clone(), heads_were_due.clone());
    let slow = Router::new().route(
        "/",
        get(async move || {
            tell.cancel();
            wait.cancelled().await;
            "late"
        }),
    );
    let limits = Limits { drain_header_timeout: Duration::ZERO, ..Limits::default() };
    let (address, token, mut server) = started(limits, slow).await;
    let mut beginning = TcpStream::connect(address).await.unwrap();
    beginning.write_all(b"GET / HTTP/1.1\r\nhost:").await.unwrap();
    let stop = async {
        arrived.cancelled().await;
        token.cancel();
        let closed = timeout(PATIENCE, beginning.read_u8()).await.expect("it is closed in time");
        assert!(closed.is_err(), "there is no answer to half a head");
        heads_were_due.cancel();
    };
    let (answer, ()) = tokio::join!(answer_to(address, b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"), stop);
    assert!(answer.ends_with("late"), "{answer}");
    server.join_next().await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn a_connection_that_ended_is_counted_no_more() {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let shown = recorder.handle();
    let _recorder = metrics::set_default_local_recorder(&recorder);
    let (address, token, mut server) = started(Limits::default(), hello()).await;
    let mut idle = TcpStream::connect(address).await.unwrap();
    ask(&mut idle, "/").await;
    hello_from(&mut idle).await;
    assert!(shown.render().contains("http_connections 1"), "{}", shown.render());
    drop(idle);
    token.cancel();
    server.join_next().await.unwrap().unwrap().unwrap();
    assert!(shown.render().contains("http_connections 0"), "{}", shown.render());
}
