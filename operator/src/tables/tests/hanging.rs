//! A server that takes every statement about some databases and answers none, over real HTTP.

use std::{future::Future, time::Duration};

use futures::future::select_all;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use super::*;
use crate::clickhouse::{LIMITS, Limits, QueryError, Server};

/// Statements about databases of this prefix are not answered.
const HANGING: &str = "t_hanging";

/// One row of one column in `RowBinaryWithNamesAndTypes`.
const ROW: &[u8] = b"\x01\x03one\x05UInt8\x01";

#[derive(Row, Deserialize)]
struct One {
    one: u8,
}

struct StandIn {
    url: String,
    /// Ends with the test.
    _serving: JoinSet<()>,
}

impl StandIn {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(answer(stream));
            }
        });
        Self { url, _serving: serving }
    }

    fn connection(&self) -> Connection {
        self.connection_with(LIMITS)
    }

    fn connection_with(&self, limits: Limits) -> Connection {
        let server = Server {
            url: self.url.clone(),
            user: "millrace".to_owned(),
            password: Secret::new("pw".to_owned()),
            ca_pem: None,
        };
        Connection::with_limits(&server, limits).unwrap()
    }
}

/// Answers one statement; the client's statements are short and end with a semicolon here.
async fn answer(mut stream: TcpStream) {
    let mut request = Vec::new();
    while !request.ends_with(b";") {
        if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
            return;
        }
    }
    let request = String::from_utf8(request).unwrap();
    if request.contains(HANGING) {
        std::future::pending::<()>().await;
    }
    let body = if request.contains("SELECT") { ROW } else { b"" };
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body).await.unwrap();
}

fn database(name: &str) -> DatabaseName {
    DatabaseName::of(&TenantId::parse(name).unwrap())
}

async fn change(connection: &Connection, name: &DatabaseName) -> Result<(), QueryError> {
    connection.change(name, &format!("ALTER TABLE {name}.events_raw MODIFY TTL 1;")).await
}

async fn read(connection: &Connection, name: &DatabaseName) -> Result<Vec<One>, QueryError> {
    connection.read(name, &format!("SELECT 1 AS one FROM {name}.events_raw;")).await
}

/// Runs `work` while statements about several databases hang. Far below the deadlines of those.
async fn meanwhile<T>(hanging: impl Future<Output = usize>, work: impl Future<Output = T>) -> T {
    tokio::select! {
        biased;
        index = hanging => panic!("statement {index} ended"),
        done = tokio::time::timeout(Duration::from_secs(8), work) => done.expect("it waits behind the others"),
    }
}

fn names() -> [DatabaseName; 4] {
    ["one", "two", "three", "four"].map(|name| database(&format!("hanging-{name}")))
}

#[tokio::test]
async fn changes_that_hang_hold_up_nothing_of_others() {
    let server = StandIn::start().await;
    let (connection, names) = (server.connection(), names());
    let hanging = names.iter().map(|name| Box::pin(change(&connection, name)));
    let hanging = async { select_all(hanging).await.1 };
    meanwhile(hanging, async {
        change(&connection, &database("acme")).await.unwrap();
        assert_eq!(read(&connection, &database("acme")).await.unwrap()[0].one, 1);
    })
    .await;
}

#[tokio::test]
async fn reads_that_hang_hold_up_nothing_of_others() {
    let server = StandIn::start().await;
    let (connection, names) = (server.connection(), names());
    let hanging = names.iter().map(|name| Box::pin(read(&connection, name)));
    let hanging = async { select_all(hanging).await.1 };
    meanwhile(hanging, async {
        assert_eq!(read(&connection, &database("acme")).await.unwrap()[0].one, 1);
        change(&connection, &database("acme")).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_change_without_a_turn_is_tried_again_later() {
    let server = StandIn::start().await;
    let limits = Limits { statements: 4, wait: Duration::from_millis(10), ..LIMITS };
    let (connection, names) = (server.connection_with(limits), names());
    let hanging = names.iter().map(|name| Box::pin(change(&connection, name)));
    let hanging = async { select_all(hanging).await.1 };
    meanwhile(hanging, async {
        let source = change(&connection, &database("acme")).await.unwrap_err();
        assert!(matches!(source, QueryError::Busy { .. }), "{source}");
        let error = TablesError::Create { database: database("acme"), source };
        assert_eq!((error.failure(), error.reason()), (Failure::Transient, Reason::ClickHouseUnreachable));
        read(&connection, &database("acme")).await.unwrap();
    })
    .await;
}
