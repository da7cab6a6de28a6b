//! The answers to `/health/live` and `/health/ready`, and `/metrics`.
//!
//! Live means that the process' own loops turn; it never asks Kafka, ClickHouse or Kubernetes, since a restart
//! does not mend those. Ready means that the process can do its work.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{Json, Router, extract::State, http::StatusCode, response::IntoResponse, routing::get};
use serde::Serialize;

use tokio::sync::watch;

use crate::telemetry::MetricsHandle;

/// The health of a process. Clones share it.
#[derive(Debug, Clone)]
pub struct Health {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    started: Instant,
    flags: Mutex<BTreeMap<&'static str, Flag>>,
    changes: watch::Sender<()>,
    heartbeats: Mutex<BTreeMap<&'static str, Heartbeat>>,
}

/// A condition of readiness, false at first.
#[derive(Debug, Clone)]
pub struct Flag {
    holds: Arc<AtomicBool>,
    changes: watch::Sender<()>,
}

impl Flag {
    /// Says whether the condition holds now.
    pub fn set(&self, holds: bool) {
        if self.holds.swap(holds, Ordering::AcqRel) != holds {
            self.changes.send_replace(());
        }
    }

    /// Whether the condition holds.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.holds.load(Ordering::Acquire)
    }
}

/// The sign of life of a loop.
#[derive(Debug, Clone)]
pub struct Heartbeat {
    started: Instant,
    last_ms: Arc<AtomicU64>,
    max_age: Duration,
}

impl Heartbeat {
    /// Says that the loop turns.
    pub fn beat(&self) {
        self.last_ms.store(elapsed_ms(self.started), Ordering::Release);
    }

    fn is_alive(&self) -> bool {
        let age = elapsed_ms(self.started).saturating_sub(self.last_ms.load(Ordering::Acquire));
        Duration::from_millis(age) <= self.max_age
    }
}

fn elapsed_ms(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

impl Default for Health {
    fn default() -> Self {
        Self::new()
    }
}

impl Health {
    /// A process without conditions: live and ready.
    #[must_use]
    #[allow(clippy::disallowed_methods, reason = "ages of heartbeats are measured from here")]
    pub fn new() -> Self {
        let inner = Inner {
            started: Instant::now(),
            flags: Mutex::default(),
            changes: watch::Sender::new(()),
            heartbeats: Mutex::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// A condition of readiness. The same name gives the same condition.
    #[must_use]
    pub fn flag(&self, name: &'static str) -> Flag {
        let mut flags = self.inner.flags.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Flag { holds: Arc::default(), changes: self.inner.changes.clone() };
        flags.entry(name).or_insert_with(new).clone()
    }

    /// The sign of life of a loop, which has to come at least every `max_age`.
    #[must_use]
    pub fn heartbeat(&self, name: &'static str, max_age: Duration) -> Heartbeat {
        let heartbeat =
            Heartbeat { started: self.inner.started, last_ms: Arc::new(AtomicU64::new(0)), max_age };
        heartbeat.beat();
        let mut heartbeats = self.inner.heartbeats.lock().unwrap_or_else(PoisonError::into_inner);
        heartbeats.insert(name, heartbeat.clone());
        heartbeat
    }

    /// The loops that have stopped.
    #[must_use]
    pub fn stopped(&self) -> Vec<&'static str> {
        let heartbeats = self.inner.heartbeats.lock().unwrap_or_else(PoisonError::into_inner);
        heartbeats.iter().filter(|(_, beat)| !beat.is_alive()).map(|(name, _)| *name).collect()
    }

    /// The conditions of readiness that do not hold.
    #[must_use]
    pub fn missing(&self) -> Vec<&'static str> {
        let flags = self.inner.flags.lock().unwrap_or_else(PoisonError::into_inner);
        flags.iter().filter(|(_, flag)| !flag.is_set()).map(|(name, _)| *name).collect()
    }

    /// Waits until every condition of readiness holds. It has no deadline of its own.
    pub async fn until_ready(&self) {
        self.until(|missing| missing.is_empty()).await;
    }

    /// Waits until a condition of readiness does not hold. It has no deadline of its own.
    pub async fn until_unready(&self) {
        self.until(|missing| !missing.is_empty()).await;
    }

    async fn until(&self, holds: impl Fn(&[&'static str]) -> bool) {
        // Subscribed before the first look, so that no change falls between the two.
        let mut changes = self.inner.changes.subscribe();
        while !holds(&self.missing()) {
            changes.changed().await.expect("the sender lives as long as the health that is borrowed here");
        }
    }
}

/// The body of both health answers.
#[derive(Debug, Serialize)]
struct Answer {
    status: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    missing: Vec<&'static str>,
}

impl Answer {
    fn of(missing: Vec<&'static str>) -> (StatusCode, Json<Self>) {
        if missing.is_empty() {
            (StatusCode::OK, Json(Self { status: "ok", missing }))
        } else {
            (StatusCode::SERVICE_UNAVAILABLE, Json(Self { status: "unavailable", missing }))
        }
    }
}

/// `/health/live` and `/health/ready`.
pub fn probes(health: Health) -> Router {
    Router::new()
        .route("/health/live", get(async |State(health): State<Health>| Answer::of(health.stopped())))
        .route("/health/ready", get(async |State(health): State<Health>| Answer::of(health.missing())))
        .with_state(health)
}

/// `/health/live`, `/health/ready` and `/metrics`, for a port that only the cluster reaches.
pub fn router(health: Health, metrics: MetricsHandle) -> Router {
    let render = async |State(metrics): State<MetricsHandle>| {
        ([("content-type", "text/plain; version=0.0.4")], metrics.render()).into_response()
    };
    probes(health).merge(Router::new().route("/metrics", get(render)).with_state(metrics))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_that_is_not_set_is_missing() {
        let health = Health::new();
        let flag = health.flag("kafka");
        assert_eq!(health.missing(), ["kafka"]);
        flag.set(true);
        assert!(health.missing().is_empty());
    }

    #[tokio::test]
    async fn a_change_of_a_condition_wakes_who_waits_for_it() {
        let health = Health::new();
        let flag = health.flag("kafka");
        health.until_unready().await;
        let ((), ()) = tokio::join!(health.until_ready(), async { flag.set(true) });
        let ((), ()) = tokio::join!(health.until_unready(), async { flag.set(false) });
        assert_eq!(health.missing(), ["kafka"]);
    }

    #[test]
    fn a_loop_without_a_beat_has_stopped() {
        let health = Health::new();
        let heartbeat = health.heartbeat("poll", Duration::ZERO);
        std::thread::sleep(Duration::from_millis(5));
        assert_eq!(health.stopped(), ["poll"]);
        drop(heartbeat);
    }

    #[test]
    fn a_loop_that_beats_is_alive() {
        let health = Health::new();
        health.heartbeat("poll", Duration::from_secs(60)).beat();
        assert!(health.stopped().is_empty());
    }
}
