//! A sender that keeps a ledger: batches of events with ids and times of its own, sent again until answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::http::{Answer, Http};
use crate::ledger::{Ledger, Outcome};

/// Events a request.
const BATCH: usize = 50;

/// Requests in flight.
const SENDERS: usize = 4;

/// Time for a request; longer than the ingester's own deadline, so that its answer is seen.
const REQUEST: Duration = Duration::from_secs(30);

/// Between a refusal for now and the next attempt.
const PAUSE: Duration = Duration::from_millis(100);

/// Between two batches of a sender: a fault is seen as well under 4,000 events a second as under more, and
/// neighbours run on the same two cores.
const PACE: Duration = Duration::from_millis(50);

/// A running load. It ends at its deadline, or when it is told to.
#[derive(Debug)]
pub struct Load {
    senders: JoinSet<(Ledger, Tally)>,
    in_flight: Arc<AtomicUsize>,
}

/// What the senders saw besides acknowledgements.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    pub requests: u64,
    /// Answers 503, which ask to try again.
    pub busy: u64,
    /// Of those, answers without `Retry-After`.
    pub busy_without_time: u64,
    /// Requests without an answer.
    pub lost: u64,
}

impl Load {
    /// Sends to `<url>/ingest` for `duration`. Each batch is sent again with the same ids until it is answered
    /// or `patience` after the end has passed, as an SDK does.
    #[must_use]
    pub fn start(url: &str, bearer: &str, duration: Duration, patience: Duration) -> Self {
        let mut senders = JoinSet::new();
        let in_flight = Arc::default();
        for number in 0..SENDERS {
            let sender = Sender { url: format!("{url}/ingest"), bearer: bearer.to_owned(), number };
            senders.spawn(sender.send(duration, patience, Arc::clone(&in_flight)));
        }
        Self { senders, in_flight }
    }

    /// Waits until a request is on its way, so that what is done next happens in the middle of it.
    ///
    /// # Errors
    /// When none is sent any more.
    pub async fn until_in_flight(&self) -> anyhow::Result<()> {
        let looking = async {
            while self.in_flight.load(Ordering::Acquire) == 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(REQUEST, looking).await.context("no request is sent any more")
    }

    /// Waits until every sender has ended.
    ///
    /// # Errors
    /// When a sender panicked.
    pub async fn finish(mut self) -> anyhow::Result<(Ledger, Tally)> {
        let mut all = (Ledger::default(), Tally::default());
        while let Some(ended) = self.senders.join_next().await {
            let (ledger, tally) = ended?;
            all.0.absorb(ledger);
            all.1.requests += tally.requests;
            all.1.busy += tally.busy;
            all.1.busy_without_time += tally.busy_without_time;
            all.1.lost += tally.lost;
        }
        Ok(all)
    }
}

struct Sender {
    url: String,
    bearer: String,
    number: usize,
}

impl Sender {
    #[allow(clippy::disallowed_methods, reason = "a load lasts for a time")]
    async fn send(
        self,
        duration: Duration,
        patience: Duration,
        in_flight: Arc<AtomicUsize>,
    ) -> (Ledger, Tally) {
        let http = Http::new(REQUEST);
        let headers = [("Authorization", self.bearer.as_str()), ("Content-Type", "application/json")];
        let (mut ledger, mut tally) = (Ledger::default(), Tally::default());
        let begin = Instant::now();
        while begin.elapsed() < duration {
            let (ids, body) = batch(self.number);
            for id in &ids {
                ledger.note(*id, Outcome::Unknown);
            }
            while begin.elapsed() < duration + patience {
                tally.requests += 1;
                in_flight.fetch_add(1, Ordering::AcqRel);
                let answer = http.post(&self.url, &headers, body.clone()).await;
                in_flight.fetch_sub(1, Ordering::AcqRel);
                if note(&mut ledger, &mut tally, &ids, answer.ok().as_ref()) == Next::Batch {
                    break;
                }
                tokio::time::sleep(PAUSE).await;
            }
            tokio::time::sleep(PACE).await;
        }
        (ledger, tally)
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Next {
    Batch,
    SameAgain,
}

fn note(ledger: &mut Ledger, tally: &mut Tally, ids: &[Uuid], answer: Option<&Answer>) -> Next {
    let Some(answer) = answer else {
        tally.lost += 1;
        return Next::SameAgain;
    };
    if !answer.status.is_success() {
        if answer.status == 503 {
            tally.busy += 1;
            tally.busy_without_time += u64::from(answer.header("retry-after").is_empty());
            return Next::SameAgain;
        }
        for id in ids {
            ledger.note(*id, Outcome::Refused);
        }
        return Next::Batch;
    }
    for (index, id) in ids.iter().enumerate() {
        ledger.note(*id, outcome(&answer.json()["results"][index], *id));
    }
    Next::Batch
}

/// What the answer says of one event; an answer about another event would be a fault, hence nothing is known.
fn outcome(result: &Value, id: Uuid) -> Outcome {
    match result["status"].as_str() {
        Some("accepted" | "ok") if result["id"] == id.to_string() => Outcome::Acknowledged,
        Some("rejected") => Outcome::Refused,
        Some(_) | None => Outcome::Unknown,
    }
}

fn batch(number: usize) -> (Vec<Uuid>, String) {
    let now = jiff::Timestamp::now();
    let ids: Vec<Uuid> = (0..BATCH).map(|_| Uuid::new_v4()).collect();
    let event = |(index, id): (usize, &Uuid)| {
        json!({
            "id": id,
            "session_id": format!("session-{number}"),
            "user_id": format!("user-{}", index % 7),
            "timestamp": now.to_string(),
            "type": "pageview",
            "path": "/checkout",
            "title": "Checkout",
        })
    };
    let events: Vec<Value> = ids.iter().enumerate().map(event).collect();
    (ids, json!({"events": events}).to_string())
}
