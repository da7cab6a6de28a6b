//! Sends the bodies over several connections, each as soon as the one before is answered.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use dev::http::{Client, Post};
use serde::Deserialize;
use tokio::task::JoinSet;

use super::generator::{Body, Generator};

/// Time for one request.
const DEADLINE: Duration = Duration::from_secs(30);

/// A request is given up after so many answers that ask to come again.
const ATTEMPTS: u64 = 50;

const PAUSE: Duration = Duration::from_millis(200);

/// Status of a request that may be sent again.
const BUSY: u16 = 503;

#[derive(Deserialize)]
struct Answer {
    events_accepted: u64,
}

/// Sends everything and returns how many requests had to be repeated.
pub(crate) async fn send(
    url: &str,
    authorization: &str,
    bodies: Generator,
    connections: u32,
) -> anyhow::Result<u64> {
    let bodies = Arc::new(Mutex::new(bodies));
    let client = Client::new(DEADLINE);
    let mut workers = JoinSet::new();
    for _ in 0..connections {
        let request =
            Request { client: client.clone(), url: url.to_owned(), authorization: authorization.to_owned() };
        workers.spawn(request.work(Arc::clone(&bodies)));
    }
    let mut retries = 0;
    while let Some(result) = workers.join_next().await {
        retries += result.context("failed to finish a connection's task")??;
    }
    Ok(retries)
}

struct Request {
    client: Client,
    url: String,
    authorization: String,
}

impl Request {
    async fn work(self, bodies: Arc<Mutex<Generator>>) -> anyhow::Result<u64> {
        let mut retries = 0;
        loop {
            let next = bodies.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some(body) = next else { return Ok(retries) };
            retries += self.send(body).await?;
        }
    }

    async fn send(&self, body: Body) -> anyhow::Result<u64> {
        for attempt in 0..ATTEMPTS {
            let answer = self.client.post(self.post(body.bytes.clone())).await?;
            if answer.status.as_u16() == BUSY {
                tokio::time::sleep(answer.retry_after.unwrap_or(PAUSE)).await;
                continue;
            }
            ensure!(answer.status.is_success(), "the ingester answered {answer}");
            let accepted: Answer =
                serde_json::from_slice(&answer.body).context("failed to understand the answer")?;
            ensure!(accepted.events_accepted == body.events, "the ingester refused events: {answer}");
            return Ok(attempt);
        }
        anyhow::bail!("failed to send a request in {ATTEMPTS} attempts")
    }

    fn post(&self, body: Bytes) -> Post {
        let headers = vec![
            ("Authorization", self.authorization.clone()),
            ("Content-Type", "application/json".to_owned()),
        ];
        Post { url: self.url.clone(), headers, body }
    }
}
