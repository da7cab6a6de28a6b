//! `GET /health` as seeds 000 and 001 know it, and the checks behind it.
//!
//! The checks run by themselves at a fixed pace and the answer repeats their last result, so that no flood of
//! health requests reaches Kafka or ClickHouse.

mod ping;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{Json, http::StatusCode};
use runtime::health::Flag;
use schema::timestamp::Timestamp;
use serde::Serialize;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

pub(crate) use self::ping::Ping;
use crate::{
    keys::Keys,
    publish::kafka::{KafkaProducer, Reach},
};

/// What the last checks found.
#[derive(Debug, Clone)]
pub(crate) struct Services {
    /// Also a condition of readiness: without Kafka no event can be taken.
    pub(crate) kafka: Flag,
    /// Absent if nobody told where ClickHouse is.
    pub(crate) clickhouse: Option<Arc<AtomicBool>>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    status: &'static str,
    timestamp: Timestamp,
    services: ServiceAnswer,
}

#[derive(Debug, Serialize)]
struct ServiceAnswer {
    #[serde(skip_serializing_if = "Option::is_none")]
    clickhouse: Option<bool>,
    kafka: bool,
}

impl Services {
    /// Without Kafka the process is of no use; without ClickHouse events wait in Kafka.
    pub(crate) fn answer(&self, now: Timestamp) -> (StatusCode, Json<Answer>) {
        let clickhouse = self.clickhouse.as_ref().map(|answers| answers.load(Ordering::Acquire));
        let kafka = self.kafka.is_set();
        let (code, status) = match (kafka, clickhouse) {
            (false, _) => (StatusCode::SERVICE_UNAVAILABLE, "unhealthy"),
            (true, Some(false)) => (StatusCode::OK, "degraded"),
            (true, Some(true) | None) => (StatusCode::OK, "healthy"),
        };
        (code, Json(Answer { status, timestamp: now, services: ServiceAnswer { clickhouse, kafka } }))
    }
}

/// How often Kafka is asked: a broker that comes back is seen in a few seconds.
const KAFKA_INTERVAL: Duration = Duration::from_secs(3);
const KAFKA_DEADLINE: Duration = Duration::from_secs(5);

/// Asks Kafka for the topics of all routes until the shutdown.
pub(crate) async fn watch_kafka(
    producer: KafkaProducer,
    keys: Keys,
    kafka: Flag,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let mut last = None;
    loop {
        let (producer, topics) = (producer.clone(), keys.borrow().topics());
        let check = tokio::task::spawn_blocking(move || producer.reach(&topics, KAFKA_DEADLINE));
        let found = check.await?;
        kafka.set(found == Reach::There);
        if last.as_ref() != Some(&found) {
            tell(&found);
        }
        last = Some(found);
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            () = sleep(KAFKA_INTERVAL) => {}
        }
    }
}

/// Logs a change of what was found.
fn tell(found: &Reach) {
    match found {
        Reach::There => info!("Kafka answers and has every topic"),
        Reach::NoAnswer => warn!("Kafka does not answer; requests are answered with 503"),
        Reach::NoTopic { topic } => warn!(topic, "Kafka has no topic `{topic}` for us"),
    }
}

const CLICKHOUSE_INTERVAL: Duration = Duration::from_secs(10);

/// Asks ClickHouse's `/ping` until the shutdown. It needs no credentials, and no other path is ever asked.
pub(crate) async fn watch_clickhouse(ping: Ping, answers: Arc<AtomicBool>, shutdown: CancellationToken) {
    loop {
        answers.store(ping.is_answered().await, Ordering::Release);
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = sleep(CLICKHOUSE_INTERVAL) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use runtime::health::Health;

    use super::*;

    #[track_caller]
    fn check(kafka: bool, clickhouse: Option<bool>, code: u16, body: &str) {
        let flag = Health::new().flag("kafka");
        flag.set(kafka);
        let clickhouse = clickhouse.map(|answers| Arc::new(AtomicBool::new(answers)));
        let now = Timestamp::parse("2025-06-03T10:00:00Z").unwrap();
        let (status, Json(answer)) = Services { kafka: flag, clickhouse }.answer(now);
        assert_eq!((status.as_u16(), serde_json::to_string(&answer).unwrap().as_str()), (code, body));
    }

    #[test]
    fn the_answer_has_the_form_of_the_seeds() {
        let at = r#""timestamp":"2025-06-03T10:00:00.000Z""#;
        check(
            true,
            Some(true),
            200,
            &format!(r#"{{"status":"healthy",{at},"services":{{"clickhouse":true,"kafka":true}}}}"#),
        );
        check(
            true,
            Some(false),
            200,
            &format!(r#"{{"status":"degraded",{at},"services":{{"clickhouse":false,"kafka":true}}}}"#),
        );
        check(true, None, 200, &format!(r#"{{"status":"healthy",{at},"services":{{"kafka":true}}}}"#));
        check(
            false,
            Some(true),
            503,
            &format!(r#"{{"status":"unhealthy",{at},"services":{{"clickhouse":true,"kafka":false}}}}"#),
        );
    }
}
