//! Sends events to the ingester over several connections and writes down what became of each.
//!
//! A request that was not answered, or was answered with "try again", is sent again with the same bytes,
//! for as long as the deadline allows: it is the same events, so nothing is doubled by it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::StatusCode;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::ledger::{Ledger, Outcome};
use crate::http::{self, Answer, Client, Post};

/// Time in which one request has to be accepted, all its attempts together: longer than a rolling update of the ingester.
const DEADLINE: Duration = Duration::from_secs(90);

/// Time for one attempt; the ingester itself gives up earlier and says so.
const ATTEMPT: Duration = Duration::from_secs(30);

/// Pause before another attempt where the answer names none.
const PAUSE: Duration = Duration::from_millis(250);

/// No answer makes the sender wait longer than this.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("failed to send events: the ingester answered {answer}")]
    Refused { answer: Answer },
    #[error("failed to send events within {} s: the ingester answered {answer}", DEADLINE.as_secs())]
    Busy { answer: Answer },
    #[error("failed to send events within {} s", DEADLINE.as_secs())]
    Unreachable {
        #[source]
        source: http::Error,
    },
    #[error("failed to finish a connection's task")]
    Task {
        #[source]
        source: tokio::task::JoinError,
    },
}

/// The ingester and the key that it knows.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    client: Client,
    base: String,
    authorization: String,
}

/// The body of one request and the ids of its events, in their order.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    pub(crate) path: &'static str,
    pub(crate) ids: Vec<Uuid>,
    pub(crate) body: Bytes,
}

/// What an answer means for the events of its request.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Done(Vec<Outcome>),
    Again(Duration),
    Stop,
}

impl Target {
    pub(crate) fn new(base: String, key: &str) -> Self {
        Self { client: Client::new(ATTEMPT), base, authorization: format!("Bearer {key}") }
    }

    fn post(&self, batch: &Batch) -> Post {
        Post {
            url: format!("{}{}", self.base, batch.path),
            headers: vec![
                ("Authorization", self.authorization.clone()),
                ("Content-Type", "application/json".to_owned()),
            ],
            body: batch.body.clone(),
        }
    }
}

/// Sends all batches over `connections` connections. `sent` is told how many events each finished request had.
pub(crate) async fn send(
    target: &Target,
    batches: impl Iterator<Item = Batch> + Send + 'static,
    connections: usize,
    sent: impl Fn(usize) + Clone + Send + 'static,
) -> Result<Ledger, Error> {
    let batches = Arc::new(Mutex::new(batches));
    let mut workers = JoinSet::new();
    for _ in 0..connections {
        workers.spawn(work(target.clone(), Arc::clone(&batches), sent.clone()));
    }
    let mut ledger = Ledger::default();
    while let Some(result) = workers.join_next().await {
        ledger.absorb(result.map_err(|source| Error::Task { source })??);
    }
    Ok(ledger)
}

/// One connection: takes a batch, sends it until it is answered for good, takes the next.
async fn work(
    target: Target,
    batches: Arc<Mutex<impl Iterator<Item = Batch>>>,
    sent: impl Fn(usize),
) -> Result<Ledger, Error> {
    let mut ledger = Ledger::default();
    loop {
        let next = batches.lock().unwrap_or_else(PoisonError::into_inner).next();
        let Some(batch) = next else { return Ok(ledger) };
        let outcomes = send_one(&target, &batch, &mut ledger).await?;
        for (id, outcome) in batch.ids.iter().zip(outcomes) {
            ledger.write(*id, outcome);
        }
        sent(batch.ids.len());
    }
}

#[allow(clippy::disallowed_methods, reason = "bounds how long a real service may be busy")]
async fn send_one(target: &Target, batch: &Batch, ledger: &mut Ledger) -> Result<Vec<Outcome>, Error> {
    let end = Instant::now() + DEADLINE;
    loop {
        let result = target.client.post(target.post(batch)).await;
        let pause = match &result {
            Ok(answer) => match judge(answer, batch.ids.len()) {
                Verdict::Done(outcomes) => return Ok(outcomes),
                Verdict::Again(pause) => pause,
                Verdict::Stop => return Err(Error::Refused { answer: answer.clone() }),
            },
            Err(_) => PAUSE,
        };
        if Instant::now() + pause >= end {
            return Err(match result {
                Ok(answer) => Error::Busy { answer },
                Err(source) => Error::Unreachable { source },
            });
        }
        ledger.count_retry();
        tokio::time::sleep(pause).await;
    }
}

/// The part of an answer that says what became of each event.
#[derive(serde::Deserialize)]
struct Body {
    results: Vec<EventResult>,
}

#[derive(serde::Deserialize)]
struct EventResult {
    status: String,
    reason: Option<String>,
}

fn judge(answer: &Answer, events: usize) -> Verdict {
    match answer.status {
        // 400 is also the answer when every single event was refused.
        StatusCode::OK | StatusCode::BAD_REQUEST => match serde_json::from_slice::<Body>(&answer.body) {
            Ok(body) if body.results.len() == events => {
                Verdict::Done(body.results.into_iter().map(outcome).collect())
            }
            Ok(_) | Err(_) => Verdict::Stop,
        },
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => {
            Verdict::Again(answer.retry_after.unwrap_or(PAUSE).min(LONGEST_PAUSE))
        }
        // Status codes are an open set; an answer that no one expects stops the sender.
        _ => Verdict::Stop,
    }
}

fn outcome(result: EventResult) -> Outcome {
    if result.status == "accepted" {
        Outcome::Accepted
    } else {
        Outcome::Refused(result.reason.unwrap_or(result.status))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(status: u16, retry_after: Option<u64>, body: &'static str, expected: &Verdict) {
        let answer = Answer {
            status: StatusCode::from_u16(status).unwrap(),
            retry_after: retry_after.map(Duration::from_secs),
            body: Bytes::from_static(body.as_bytes()),
        };
        assert_eq!(judge(&answer, 2), *expected);
    }

    #[test]
    fn each_event_has_its_own_outcome() {
        check(
            200,
            None,
            r#"{"results":[{"index":0,"status":"accepted"},{"index":1,"status":"rejected","reason":"too_large"}]}"#,
            &Verdict::Done(vec![Outcome::Accepted, Outcome::Refused("too_large".to_owned())]),
        );
    }

    #[test]
    fn an_answer_for_another_number_of_events_stops() {
        check(200, None, r#"{"results":[{"index":0,"status":"accepted"}]}"#, &Verdict::Stop);
        check(200, None, "OK", &Verdict::Stop);
    }

    #[test]
    fn a_busy_service_is_asked_again_when_it_says() {
        check(503, Some(2), "", &Verdict::Again(Duration::from_secs(2)));
        check(503, Some(3_600), "", &Verdict::Again(LONGEST_PAUSE));
        check(429, None, "", &Verdict::Again(PAUSE));
    }

    #[test]
    fn a_refused_key_is_not_tried_again() {
        check(401, None, r#"{"status":"error"}"#, &Verdict::Stop);
    }
}
