//! The senders: numbered events to the ingester, at full speed or at a pace, each batch again until it is answered.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use harness::http::{Answer, Http};
use harness::ledger::Outcome;
use serde::Deserialize;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use uuid::Uuid;

use crate::ledger::{CHUNK, Ledger, name};

/// Events a request. It divides a chunk, so that a request has one name.
const BATCH: u64 = 100;
/// Requests in flight.
const SENDERS: u64 = 8;
/// Time for a request; longer than the ingester's own deadline, so that its answer is seen.
const REQUEST: Duration = Duration::from_secs(25);
/// Between a refusal for now and the next attempt.
const PAUSE: Duration = Duration::from_millis(200);
/// How long after the end a batch is sent again.
const PATIENCE: Duration = Duration::from_secs(120);

const _: () = assert!(CHUNK.is_multiple_of(BATCH));

/// Where events are sent, and by whom.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) url: String,
    pub(crate) bearer: String,
}

/// How fast events are sent.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Speed {
    Full,
    /// Events a second, as long as everything answers; what was missed meanwhile is not caught up with.
    Rate(u64),
}

/// Sends for a time, and then until everything is answered.
///
/// # Errors
/// When a sender panicked.
pub(crate) async fn send(
    target: &Target,
    ledger: &Arc<Ledger>,
    speed: Speed,
    duration: Duration,
) -> anyhow::Result<()> {
    let mut senders = JoinSet::new();
    for _ in 0..SENDERS {
        senders.spawn(send_alone(target.clone(), Arc::clone(ledger), speed, duration));
    }
    while let Some(ended) = senders.join_next().await {
        ended?;
    }
    Ok(())
}

#[allow(clippy::disallowed_methods, reason = "a load lasts for a time")]
async fn send_alone(target: Target, ledger: Arc<Ledger>, speed: Speed, duration: Duration) {
    let http = Http::new(REQUEST);
    let url = format!("{}/ingest", target.url);
    let headers = [("Authorization", target.bearer.as_str()), ("Content-Type", "application/json")];
    let mut pace = tokio::time::interval(match speed {
        Speed::Full => Duration::from_micros(1),
        Speed::Rate(rate) => Duration::from_secs_f64((BATCH * SENDERS) as f64 / rate as f64),
    });
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let begin = Instant::now();
    while begin.elapsed() < duration {
        pace.tick().await;
        let first = ledger.begin(BATCH);
        let body = body(&ledger, first);
        while begin.elapsed() < duration + PATIENCE {
            let answer = http.post(&url, &headers, body.clone()).await;
            if answer.is_ok_and(|answer| note(&ledger, first, &answer)) {
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Writes the answer down; false if it says to try again.
fn note(ledger: &Ledger, first: u64, answer: &Answer) -> bool {
    if answer.status.is_server_error() {
        return false;
    }
    let results = serde_json::from_slice::<Results>(&answer.body).map(|read| read.results);
    let results = results.unwrap_or_default();
    for (index, number) in (first..first + BATCH).enumerate() {
        let outcome = match results.get(index) {
            // An answer about another event would be a fault, hence nothing is known.
            Some(result) if result.id != ledger.id(number) => Outcome::Unknown,
            Some(result) if result.status == "accepted" => Outcome::Acknowledged,
            Some(_) | None => Outcome::Refused,
        };
        ledger.note(number, outcome);
    }
    true
}

#[derive(Deserialize)]
struct Results {
    results: Vec<EventResult>,
}

#[derive(Deserialize)]
struct EventResult {
    id: Uuid,
    status: String,
}

fn body(ledger: &Ledger, first: u64) -> String {
    let (now, name) = (jiff::Timestamp::now(), name(first / CHUNK));
    let mut body = String::from(r#"{"events":["#);
    for number in first..first + BATCH {
        let comma = if number == first { "" } else { "," };
        let (id, user, session) = (ledger.id(number), number % 997, number % 4_999);
        write!(
            body,
            r#"{comma}{{"id":"{id}","type":"custom","event_name":"{name}","user_id":"user-{user}","session_id":"session-{session}","timestamp":"{now}","properties":{{"path":"/checkout","step":{number},"price":19.90}}}}"#
        )
        .expect("a String takes everything");
    }
    body.push_str("]}");
    body
}
