//! The loop that orders the steps: poll, parse, batch, hand over, commit.
//!
//! One blocking thread polls, parses and fills a batch, and decides with [`Offsets`] what may be committed; one
//! task stores the batch before. The loop goes on polling while an insert runs, so that the group keeps us.

use std::{
    sync::{Arc, mpsc as blocking},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use metrics::{gauge, histogram};
use rdkafka::error::KafkaError;
use runtime::{
    health::{Flag, Health, Heartbeat},
    shutdown::Shutdown,
};
use schema::settings::ConsumerSettings;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    batch::Batch,
    columns::Columns,
    metrics::{self as names, Stage, count_error},
    offsets::{BatchId, Offsets},
    parse::Parser,
    poll::Source,
    run::take::Taking,
};

/// How long the loop waits for a message while nothing else is to be done.
const IDLE_WAIT: Duration = Duration::from_millis(100);
/// The same while an insert runs, whose end is then noticed soon.
const BUSY_WAIT: Duration = Duration::from_millis(5);
/// Messages that are taken in one turn before the loop looks at anything else.
const TURN_MESSAGES: usize = 2_000;
/// How long a full batch waits for the insert before it, unpolled, until fetching is paused. Pausing throws
/// away what was fetched ahead, which a short wait does not.
const UNPAUSED_WAIT: Duration = Duration::from_secs(2);
/// A turn may wait for an insert, for a commit as long as a session, and for answers about each partition.
const MAX_TURN: Duration = Duration::from_secs(90);
/// While brokers are away librdkafka repeats itself several times a second.
const WARN_INTERVAL: Duration = Duration::from_secs(10);
/// Buffers that were not used for this long are given back.
const IDLE_BUFFERS: Duration = Duration::from_secs(10);

/// A batch to be stored, unless it is cancelled.
pub(super) struct Job {
    pub(super) batch: Batch,
    pub(super) cancelled: CancellationToken,
}

/// A batch that is done with.
pub(super) struct Done {
    pub(super) batch: Batch,
    pub(super) is_stored: bool,
}

/// The batch that is being stored.
pub(super) struct Inserting {
    id: BatchId,
    bytes: usize,
    since: Instant,
    pub(super) cancelled: CancellationToken,
}

/// The state of the loop.
pub(super) struct Loop {
    pub(super) settings: Arc<ConsumerSettings>,
    pub(super) source: Source,
    pub(super) parser: Parser,
    pub(super) offsets: Offsets,
    pub(super) filling: Batch,
    pub(super) spare: Option<Arc<Columns>>,
    pub(super) inserting: Option<Inserting>,
    pub(super) jobs: mpsc::Sender<Job>,
    pub(super) done: blocking::Receiver<Done>,
    pub(super) is_paused: bool,
    pub(super) commit_after: Instant,
    pub(super) warn_after: Instant,
    pub(super) last_used: Instant,
    pub(super) group: Flag,
    pub(super) heartbeat: Heartbeat,
    pub(super) shutdown: Shutdown,
}

impl Loop {
    pub(super) fn new(
        settings: Arc<ConsumerSettings>,
        source: Source,
        jobs: mpsc::Sender<Job>,
        done: blocking::Receiver<Done>,
        health: &Health,
        shutdown: Shutdown,
    ) -> Self {
        Self {
            parser: Parser::new(settings.tenant_id.clone(), settings.topic_id),
            settings,
            source,
            offsets: Offsets::default(),
            filling: Batch::new(BatchId(0)),
            spare: None,
            inserting: None,
            jobs,
            done,
            is_paused: false,
            commit_after: now(),
            warn_after: now(),
            last_used: now(),
            group: health.flag("group"),
            heartbeat: health.heartbeat("poll", MAX_TURN),
            shutdown,
        }
    }

    /// Turns until the shutdown is requested, then stops within the time.
    pub(super) fn run(mut self, stop_timeout: Duration) -> anyhow::Result<()> {
        while !self.shutdown.is_requested() {
            self.turn()?;
        }
        self.stop(stop_timeout);
        Ok(())
    }

    fn turn(&mut self) -> anyhow::Result<()> {
        self.heartbeat.beat();
        self.gather()?;
        self.follow_group()?;
        self.settle(Duration::ZERO)?;
        self.hand_over()?;
        self.commit_due();
        self.bound_memory();
        Ok(())
    }

    /// Takes messages until the batch is full or nothing is there.
    fn gather(&mut self) -> anyhow::Result<()> {
        let is_waiting = self.inserting.is_some() && self.filling.is_full(&self.settings.batch);
        if is_waiting && !self.is_paused {
            return self.wait_unpolled();
        }
        let mut wait = self.wait();
        for _ in 0..TURN_MESSAGES {
            match self.take_next(wait)? {
                Taken::Message if self.filling.is_full(&self.settings.batch) => break,
                Taken::Message => wait = Duration::ZERO,
                Taken::Nothing => break,
            }
        }
        Ok(())
    }

    /// Waits for the running insert while a full batch is next, and pauses fetching when that takes long.
    fn wait_unpolled(&mut self) -> anyhow::Result<()> {
        let start = now();
        while self.inserting.is_some() && !self.shutdown.is_requested() {
            if start.elapsed() > UNPAUSED_WAIT {
                self.source.pause().context("failed to pause")?;
                self.is_paused = true;
                break;
            }
            self.settle(IDLE_WAIT)?;
        }
        Ok(())
    }

    fn wait(&self) -> Duration {
        let most = if self.inserting.is_some() && !self.is_paused { BUSY_WAIT } else { IDLE_WAIT };
        self.filling.time_left(&self.settings.batch, now()).map_or(most, |left| left.min(most))
    }

    fn take_next(&mut self, wait: Duration) -> anyhow::Result<Taken> {
        // The message borrows the source alone, while the other fields take it in.
        match self.source.poll(wait) {
            Some(Ok(message)) => {
                let taking = Taking {
                    source: &self.source,
                    parser: &mut self.parser,
                    offsets: &mut self.offsets,
                    batch: &mut self.filling,
                };
                taking.take(&message);
                Ok(Taken::Message)
            }
            Some(Err(KafkaError::MessageConsumptionFatal(code))) => {
                Err(KafkaError::MessageConsumptionFatal(code)).context("kafka ended the consumer")
            }
            Some(Err(cause)) => {
                count_error(Stage::Poll, "kafka");
                if now() >= self.warn_after {
                    warn!(error = %cause, "failed to read from kafka, trying again");
                    self.warn_after = now() + WARN_INTERVAL;
                }
                Ok(Taken::Message)
            }
            None => Ok(Taken::Nothing),
        }
    }

    pub(super) fn wait_for_insert(&mut self, timeout: Duration) -> anyhow::Result<()> {
        let start = now();
        while self.inserting.is_some() && start.elapsed() < timeout {
            self.settle(IDLE_WAIT)?;
        }
        Ok(())
    }

    /// Notes what became of the running insert, if that is known within the time.
    fn settle(&mut self, wait: Duration) -> anyhow::Result<()> {
        if self.inserting.is_none() {
            return Ok(());
        }
        let done = match self.done.recv_timeout(wait) {
            Ok(done) => done,
            Err(blocking::RecvTimeoutError::Timeout) => return Ok(()),
            Err(blocking::RecvTimeoutError::Disconnected) => anyhow::bail!("the task that stores has ended"),
        };
        if let Some(Inserting { id, since, .. }) = self.inserting.take()
            && done.is_stored
        {
            histogram!(names::BATCH_FLUSH_SECONDS).record(since.elapsed());
            self.offsets.store(id);
        }
        self.spare = Some(done.batch.columns);
        self.last_used = now();
        if self.is_paused {
            self.report_kafka("resume", self.source.resume());
            self.is_paused = false;
        }
        Ok(())
    }

    /// Hands the batch over when it is full or due and no other one is being stored.
    fn hand_over(&mut self) -> anyhow::Result<()> {
        let bounds = &self.settings.batch;
        let is_due = self.filling.time_left(bounds, now()).is_some_and(|left| left.is_zero());
        if self.inserting.is_some() || self.filling.is_empty() || !(is_due || self.filling.is_full(bounds)) {
            return Ok(());
        }
        let next = self.next_batch();
        let batch = std::mem::replace(&mut self.filling, next);
        let cancelled = CancellationToken::new();
        self.inserting = Some(Inserting {
            id: batch.id,
            bytes: batch.bytes(),
            since: now(),
            cancelled: cancelled.clone(),
        });
        self.jobs.try_send(Job { batch, cancelled }).ok().context("the task that stores has ended")
    }

    pub(super) fn next_batch(&mut self) -> Batch {
        let id = BatchId(self.filling.id.0 + 1);
        match self.spare.take() {
            Some(columns) => Batch::reusing(id, columns),
            None => Batch::new(id),
        }
    }

    fn bound_memory(&mut self) {
        if self.filling.is_empty() && self.inserting.is_none() && self.last_used.elapsed() > IDLE_BUFFERS {
            self.spare = None;
            if self.filling.columns.capacity() > 0 {
                self.filling = Batch::new(self.filling.id);
            }
        }
        let inserting = self.inserting.as_ref().map_or(0, |inserting| inserting.bytes);
        gauge!(names::MEMORY_HELD).set((self.filling.bytes() + inserting) as f64);
    }

    /// Finishes the running insert and commits it, within the time; what was only read is read again.
    fn stop(mut self, timeout: Duration) {
        self.group.set(false);
        if let Err(cause) = self.wait_for_insert(timeout) {
            warn!(error = format!("{cause:#}"), "the running insert was not finished");
        }
        if let Some(inserting) = &self.inserting {
            warn!("the running insert was abandoned: its rows are inserted again by the next process");
            inserting.cancelled.cancel();
        }
        // Not if one has just failed: kafka is away then, and asking again would take the rest of the time.
        self.commit_due();
        info!(uncommitted = self.offsets.due().len(), "leaving the group");
    }
}

enum Taken {
    Message,
    Nothing,
}

#[allow(clippy::disallowed_methods, reason = "the loop owns the clock of batches and waits")]
pub(super) fn now() -> Instant {
    Instant::now()
}
