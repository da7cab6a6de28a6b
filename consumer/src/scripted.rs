//! A ClickHouse for tests that answers what a script says.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use schema::{
    names::{DatabaseName, PipelineName, TopicId, TopicName, TopicPrefix},
    secret::Secret,
    settings::{
        AuditSettings, BatchSettings, ClickHouseSettings, ConsumerSettings, KafkaSettings, RecordFormat,
        SecurityProtocol,
    },
    tenant_id::TenantId,
};
use tokio::{net::TcpListener, task::JoinSet};
use uuid::Uuid;

use crate::columns;

/// What the server does with one insert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    Stored,
    /// Stored, and a proxy has taken the summary away.
    WithoutSummary,
    /// More or fewer rows than were sent.
    Written(u64),
    /// An exception as the server sends it.
    Code(u32),
    /// The same with a text that is longer than what is read.
    LongCode(u32),
    /// The same with status 200, the code in a header only.
    HeaderWith200(u32),
    /// The same with status 200 and the text in the body only.
    BodyWith200(u32),
    /// An answer of something in between.
    Status(u16),
    /// Never.
    Hung,
    /// The connection is cut.
    Reset,
}

/// One insert as the server saw it.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) connection: usize,
    pub(crate) query: String,
    pub(crate) headers: hyper::HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) rows: u64,
}

impl Seen {
    pub(crate) fn query_id(&self) -> &str {
        self.query.rsplit_once("query_id=").unwrap().1
    }

    pub(crate) fn contains(&self, text: &str) -> bool {
        self.body.windows(text.len()).any(|window| window == text.as_bytes())
    }
}

type Script = Box<dyn FnMut(&Seen) -> Answer + Send>;

#[derive(Clone)]
pub(crate) struct ClickHouse {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    _tasks: Arc<Mutex<JoinSet<()>>>,
}

struct State {
    script: Script,
    /// What the table is described as.
    table: String,
    /// What the audit's questions are answered; an exception without it.
    shown: Option<String>,
    /// How many of them there were.
    asked: usize,
    seen: Vec<(Seen, Answer)>,
}

impl ClickHouse {
    /// A server that answers each insert as the script says.
    pub(crate) async fn start(script: impl FnMut(&Seen) -> Answer + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State {
            script: Box::new(script),
            table: columns::tests::table(),
            shown: Some(String::new()),
            asked: 0,
            seen: Vec::new(),
        }));
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Arc::clone(&state)));
        Self { address, state, _tasks: Arc::new(Mutex::new(tasks)) }
    }

    /// A server that gives these answers and then stores everything.
    pub(crate) async fn answering(answers: &[Answer]) -> Self {
        let mut answers = VecDeque::from(answers.to_vec());
        Self::start(move |_| answers.pop_front().unwrap_or(Answer::Stored)).await
    }

    pub(crate) fn follow(&self, script: impl FnMut(&Seen) -> Answer + Send + 'static) {
        self.lock().script = Box::new(script);
    }

    /// Changes how the table is described.
    pub(crate) fn change_table(&self, change: impl FnOnce(&str) -> String) {
        let mut state = self.lock();
        state.table = change(&state.table);
    }

    /// Answers the audit's questions with these lines from now on, or with an exception.
    pub(crate) fn show(&self, lines: Option<&str>) {
        self.lock().shown = lines.map(str::to_owned);
    }

    /// How many questions of the audit there were.
    pub(crate) fn asked(&self) -> usize {
        self.lock().asked
    }

    /// The inserts so far, with their answers.
    pub(crate) fn seen(&self) -> Vec<(Seen, Answer)> {
        self.lock().seen.clone()
    }

    /// The inserts that were answered as stored.
    pub(crate) fn stored(&self) -> Vec<Seen> {
        self.seen()
            .into_iter()
            .filter(|(_, answer)| *answer == Answer::Stored)
            .map(|(seen, _)| seen)
            .collect()
    }

    pub(crate) fn settings(&self) -> ClickHouseSettings {
        ClickHouseSettings {
            url: format!("http://{}/", self.address),
            user: "acme".to_owned(),
            password: Secret::new("pass word".to_owned()),
            database: DatabaseName::of(&tenant()),
            ca_pem: None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn accept(listener: TcpListener, state: Arc<Mutex<State>>) {
    let mut connections = JoinSet::new();
    for number in 0.. {
        let Ok((stream, _)) = listener.accept().await else { return };
        let state = Arc::clone(&state);
        connections.spawn(async move {
            let answering = service_fn(|request| answer(request, number, &state));
            // An answer that is an error cuts the connection, which is what a script asks for.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), answering).await;
        });
    }
}

/// The connection is cut.
#[derive(Debug, thiserror::Error)]
#[error("cut")]
struct Cut;

async fn answer(
    request: Request<Incoming>,
    connection: usize,
    state: &Mutex<State>,
) -> Result<Response<Full<Bytes>>, Cut> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| Cut)?.to_bytes();
    let query = head.uri.query().unwrap_or_default().to_owned();
    if head.method == hyper::Method::POST && !head.headers.contains_key(hyper::header::CONTENT_LENGTH) {
        // As the server does: HTTP_LENGTH_REQUIRED.
        return Ok(respond(411, 0, Some(381), String::new()));
    }
    if query.contains("system.columns") {
        let table = state.lock().unwrap_or_else(PoisonError::into_inner).table.clone();
        return Ok(respond(200, 0, None, table));
    }
    if query.starts_with("query=SELECT") {
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        state.asked += 1;
        let is_horizon = query.contains("system.tables");
        return Ok(match &state.shown {
            // The event of `line` was received a day before.
            Some(_) if is_horizon => {
                respond(200, 0, None, "1769947200000\t0\tTTL x + toIntervalHour(48)\n".to_owned())
            }
            Some(lines) => respond(200, 0, None, lines.clone()),
            None => respond(500, 0, Some(159), "Code: 159. DB::Exception: Of the script".to_owned()),
        });
    }
    let rows = rows_of(&body);
    let seen = Seen { connection, query, headers: head.headers, body, rows };
    let answer = {
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = (state.script)(&seen);
        state.seen.push((seen, answer));
        answer
    };
    let exception =
        |code| format!("Code: {code}. DB::Exception: Of the script. (OF_THE_SCRIPT) (version 26.7.2.1)\n");
    Ok(match answer {
        Answer::Stored => respond(200, rows, None, String::new()),
        Answer::WithoutSummary => Response::new(Full::default()),
        Answer::Written(written) => respond(200, written, None, String::new()),
        Answer::Code(code) => respond(500, 0, Some(code), exception(code)),
        Answer::LongCode(code) => {
            respond(500, 0, Some(code), format!("{} {}", exception(code), "x".repeat(200_000)))
        }
        Answer::HeaderWith200(code) => respond(200, rows, Some(code), String::new()),
        Answer::BodyWith200(code) => respond(200, rows, None, exception(code)),
        Answer::Status(status) => respond(status, rows, None, "<html>".to_owned()),
        Answer::Hung => std::future::pending().await,
        Answer::Reset => return Err(Cut),
    })
}

fn respond(status: u16, written: u64, code: Option<u32>, body: String) -> Response<Full<Bytes>> {
    let summary = format!(r#"{{"read_rows":"{written}","written_rows":"{written}"}}"#);
    let mut response = Response::builder().status(status).header("X-ClickHouse-Summary", summary);
    if let Some(code) = code {
        response = response.header("X-ClickHouse-Exception-Code", code);
    }
    response.body(Full::new(Bytes::from(body))).unwrap()
}

fn rows_of(body: &[u8]) -> u64 {
    let varint = |from: usize| {
        let length = body[from..].iter().position(|byte| *byte < 0x80).unwrap() + 1;
        let bytes = body[from..from + length].iter().enumerate();
        (bytes.fold(0, |number, (place, byte)| number | u64::from(byte & 0x7f) << (7 * place)), from + length)
    };
    varint(varint(0).1).0
}

pub(crate) fn tenant() -> TenantId {
    TenantId::parse("acme").unwrap()
}

pub(crate) fn topic() -> TopicName {
    TopicName::of(&TopicPrefix::parse("millrace").unwrap(), &tenant(), &PipelineName::parse("web").unwrap())
}

/// Settings for the brokers of these addresses and this ClickHouse.
pub(crate) fn settings(bootstrap_servers: &str, clickhouse: &ClickHouse) -> ConsumerSettings {
    let topic_id = TopicId(Uuid::from_u128(7));
    let generation = schema::names::TableGeneration(Uuid::from_u128(8));
    ConsumerSettings {
        tenant_id: tenant(),
        pipeline: PipelineName::parse("web").unwrap(),
        kafka: KafkaSettings {
            bootstrap_servers: bootstrap_servers.to_owned(),
            security_protocol: SecurityProtocol::Plaintext,
            sasl: None,
            ca_pem: None,
        },
        topic: topic(),
        topic_id,
        dead_letter_topic: topic().dead_letter(),
        group: schema::names::ConsumerGroup::of(&topic(), topic_id, generation),
        clickhouse: clickhouse.settings(),
        batch: BatchSettings { max_rows: 1_000, max_bytes: 1_000_000, max_delay_ms: 50 },
        format: RecordFormat::Events,
        start_at: None,
        audit: AuditSettings { share_per_mille: 0, interval_ms: 100 },
    }
}

/// An event as one line.
pub(crate) fn line(name: &str) -> String {
    format!(
        r#"{{"id":"{}","event_name":"{name}","timestamp":"2026-01-31T12:00:00.000Z","received_at":"2026-01-31T12:00:00.000Z","properties":{{}}}}"#,
        Uuid::new_v5(&Uuid::nil(), name.as_bytes())
    )
}
