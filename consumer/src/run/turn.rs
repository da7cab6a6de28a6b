//! The loop that orders the steps: poll, parse, batch, hand over, commit.
//!
//! One blocking thread polls, parses and fills a batch, tells the [`Protocol`] what happened and does what it asks
//! for; one task stores the batch before. The loop goes on polling while an insert runs, so that the group keeps us.

use std::{
    sync::{Arc, mpsc as blocking},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use metrics::{counter, gauge, histogram};
use rdkafka::error::KafkaError;
use runtime::{
    health::{Flag, Health, Heartbeat},
    shutdown::Shutdown,
};
use schema::settings::ConsumerSettings;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    audit::sample::Committed,
    batch::Batch,
    columns::Columns,
    lag::{Lag, Oldest, age},
    metrics::{self as names, Stage, count_error},
    poll::Source,
    protocol::{Action, BatchId, Event, Protocol},
    run::{
        gaps::{Gap, report_lost},
        group::Assigned,
        read::Reader,
        take::Taking,
        wait::{BUSY_WAIT, IDLE_WAIT, Waits},
    },
    wall_clock::wall_clock,
};

/// Batches that are stored at the same time, while another is filled.
const MAX_STORING: usize = 1;
/// Messages that are taken in one turn before the loop looks at anything else.
pub(super) const TURN_MESSAGES: usize = 2_000;
/// How long a full batch waits for the insert before it, unpolled, until fetching is paused. Pausing throws
/// away what was fetched ahead, which a short wait does not.
const UNPAUSED_WAIT: Duration = Duration::from_secs(2);
/// How long a rebalance waits for the running insert.
const REVOKE_TIMEOUT: Duration = Duration::from_secs(10);
/// A turn may wait for an insert, for a commit as long as a session, and for answers about partitions.
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

/// A batch that is being stored.
struct Storing {
    id: BatchId,
    bytes: usize,
    oldest: Oldest,
    since: Instant,
    cancelled: CancellationToken,
}

/// What the loop tells the tasks beside it, and what it hears of them.
pub(super) struct Channels {
    pub(super) jobs: mpsc::Sender<Job>,
    pub(super) done: blocking::Receiver<Done>,
    pub(super) committed: watch::Sender<Committed>,
}

/// The loop, and what it holds.
pub(super) struct Loop {
    pub(super) settings: Arc<ConsumerSettings>,
    pub(super) source: Source,
    pub(super) reader: Reader,
    pub(super) protocol: Protocol,
    pub(super) filling: Batch,
    spare: Option<Arc<Columns>>,
    storing: Vec<Storing>,
    channels: Channels,
    /// Partitions that wait until it is known where they go on.
    pub(super) assigned: Option<Assigned>,
    /// When a commit that failed is tried again.
    pub(super) commit_again: Option<Instant>,
    /// Events that were read and are not counted yet.
    consumed: u64,
    /// The gaps in the offsets of partitions since the logs were last asked about.
    pub(super) gaps: Vec<Gap>,
    pub(super) ask_gaps: Instant,
    /// Until when a release or a stop waits for the batches on their way.
    deadline: Option<Instant>,
    /// What a stop may take.
    stop_timeout: Duration,
    has_left: bool,
    lag: Lag,
    warn_after: Instant,
    last_used: Instant,
    pub(super) group: Flag,
    heartbeat: Heartbeat,
    pub(super) shutdown: Shutdown,
}

impl Loop {
    pub(super) fn new(
        settings: Arc<ConsumerSettings>,
        source: Source,
        channels: Channels,
        health: &Health,
        shutdown: Shutdown,
        stop_timeout: Duration,
    ) -> Self {
        let protocol = Protocol::new(MAX_STORING);
        Self {
            reader: Reader::of(&settings),
            settings,
            source,
            filling: Batch::new(protocol.filling()),
            protocol,
            spare: None,
            storing: Vec::new(),
            channels,
            assigned: None,
            commit_again: None,
            consumed: 0,
            gaps: Vec::new(),
            ask_gaps: now(),
            deadline: None,
            stop_timeout,
            has_left: false,
            lag: Lag::default(),
            warn_after: now(),
            last_used: now(),
            group: health.flag("group"),
            heartbeat: health.heartbeat("poll", MAX_TURN),
            shutdown,
        }
    }

    /// Turns until the shutdown is requested; then finishes the running insert and commits it, within the time.
    /// What was only read is read again by the next process.
    pub(super) fn run(mut self) -> anyhow::Result<()> {
        while !self.shutdown.is_requested() {
            self.turn()?;
        }
        self.group.set(false);
        self.follow_group()?;
        self.deadline = Some(now() + self.stop_timeout);
        self.tell(Event::Stop)?;
        while !self.has_left {
            self.settle(BUSY_WAIT)?;
            self.follow_group()?;
            self.mind_deadlines()?;
        }
        self.explain_last_gaps();
        info!(uncommitted = self.protocol.uncommitted().len(), "leaving the group");
        Ok(())
    }

    fn turn(&mut self) -> anyhow::Result<()> {
        self.heartbeat.beat();
        self.gather()?;
        self.follow_group()?;
        self.settle(Duration::ZERO)?;
        self.close_batch()?;
        self.mind_deadlines()?;
        self.explain_gaps();
        self.bound_memory();
        self.show();
        Ok(())
    }

    /// Tells the protocol what happened, and does what it asks for.
    pub(super) fn tell(&mut self, event: Event) -> anyhow::Result<()> {
        let mut actions = Vec::new();
        self.protocol.step(event, &mut actions);
        actions.into_iter().try_for_each(|action| self.act(action))
    }

    fn act(&mut self, action: Action) -> anyhow::Result<()> {
        match action {
            Action::Accept(starts) => self.accept(&starts)?,
            Action::Release(partitions) => self.release(&partitions),
            Action::NoteLost { partition, expected, start } => report_lost(partition, expected, start),
            Action::Store(id) => self.hand_over(id)?,
            Action::Hold => self.hold()?,
            Action::Pause => self.report_kafka("pause", self.source.pause()),
            Action::Resume => self.report_kafka("resume", self.source.resume()),
            Action::Commit(positions) => self.commit(positions)?,
            Action::Cancel(id) => self.cancel(id),
            Action::Discard => self.discard(),
            // A stop has set its own deadline.
            Action::Await => self.deadline = self.deadline.or(Some(now() + REVOKE_TIMEOUT)),
            Action::Leave => self.has_left = true,
        }
        Ok(())
    }

    /// Tells the audit what is committed of the partitions that are ours.
    pub(super) fn tell_committed(&self) {
        let committed = self.protocol.commits();
        let committed = committed.filter_map(|(partition, committed)| Some((partition, committed?)));
        self.channels.committed.send_replace(committed.collect());
    }

    /// Takes messages until the batch is full or nothing is there.
    fn gather(&mut self) -> anyhow::Result<()> {
        let mut wait = self.wait();
        for _ in 0..TURN_MESSAGES {
            match self.take_next(wait)? {
                Taken::Message if self.protocol.is_paused() => {
                    // Kafka did not follow, or gave a partition in between.
                    self.report_kafka("pause again", self.source.pause());
                    break;
                }
                Taken::Message if self.filling.is_full(&self.settings.batch) => break,
                Taken::Message => wait = Duration::ZERO,
                Taken::Nothing => break,
            }
        }
        counter!(names::EVENTS_CONSUMED).increment(std::mem::take(&mut self.consumed));
        Ok(())
    }

    /// Waits for the running insert while a full batch is next, and pauses fetching when that takes long.
    fn hold(&mut self) -> anyhow::Result<()> {
        let start = now();
        while self.protocol.is_held() && !self.shutdown.is_requested() {
            if start.elapsed() > UNPAUSED_WAIT {
                return self.tell(Event::Held);
            }
            self.settle(IDLE_WAIT)?;
        }
        Ok(())
    }

    fn wait(&self) -> Duration {
        let now = now();
        let stored_since = self.storing.iter().map(|storing| now.saturating_duration_since(storing.since));
        let waits = Waits {
            is_room: self.storing.len() < MAX_STORING,
            is_paused: self.protocol.is_paused(),
            longest_stored: stored_since.max(),
            time_left: self.filling.time_left(&self.settings.batch, now),
        };
        waits.longest()
    }

    fn take_next(&mut self, wait: Duration) -> anyhow::Result<Taken> {
        // The message borrows the source alone, while the other fields take it in.
        match self.source.poll(wait) {
            Some(Ok(message)) => {
                let taking = Taking {
                    gaps: &mut self.gaps,
                    reader: &mut self.reader,
                    protocol: &mut self.protocol,
                    batch: &mut self.filling,
                    consumed: &mut self.consumed,
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

    /// Tells what became of a batch on its way, if that is known within the time.
    fn settle(&mut self, wait: Duration) -> anyhow::Result<()> {
        let done = match self.channels.done.recv_timeout(wait) {
            Ok(done) => done,
            Err(blocking::RecvTimeoutError::Timeout) => return Ok(()),
            Err(blocking::RecvTimeoutError::Disconnected) => anyhow::bail!("the task that stores has ended"),
        };
        let Done { batch, is_stored } = done;
        let id = batch.id;
        if let Some(at) = self.storing.iter().position(|storing| storing.id == id) {
            let storing = self.storing.swap_remove(at);
            if is_stored {
                histogram!(names::BATCH_FLUSH_SECONDS).record(storing.since.elapsed());
            }
        }
        self.spare = Some(batch.columns);
        self.last_used = now();
        self.tell(if is_stored { Event::Stored(id) } else { Event::Cancelled(id) })
    }

    /// Tells when the batch that is being filled has enough, or has waited long enough.
    fn close_batch(&mut self) -> anyhow::Result<()> {
        let bounds = &self.settings.batch;
        let is_due = self.filling.time_left(bounds, now()).is_some_and(|left| left.is_zero());
        if self.filling.is_full(bounds) {
            self.tell(Event::Full)
        } else if is_due {
            self.tell(Event::Due)
        } else {
            Ok(())
        }
    }

    /// Hands the batch that was filled over to the task that stores.
    fn hand_over(&mut self, id: BatchId) -> anyhow::Result<()> {
        let next = self.next_batch();
        let mut batch = std::mem::replace(&mut self.filling, next);
        batch.sort();
        debug_assert_eq!(batch.id, id, "the batch that is stored is the one that was filled");
        let cancelled = CancellationToken::new();
        self.storing.push(Storing {
            id,
            bytes: batch.bytes(),
            oldest: batch.oldest,
            since: now(),
            cancelled: cancelled.clone(),
        });
        self.channels.jobs.try_send(Job { batch, cancelled }).ok().context("the task that stores has ended")
    }

    fn next_batch(&mut self) -> Batch {
        let id = self.protocol.filling();
        match self.spare.take() {
            Some(columns) => Batch::reusing(id, columns),
            None => Batch::new(id),
        }
    }

    fn discard(&mut self) {
        let next = self.next_batch();
        let dropped = std::mem::replace(&mut self.filling, next);
        self.spare.get_or_insert(dropped.columns);
    }

    fn cancel(&self, id: BatchId) {
        for storing in self.storing.iter().filter(|storing| storing.id == id) {
            warn!("a running insert was abandoned: its rows are inserted again by the next owner");
            storing.cancelled.cancel();
        }
    }

    /// What a release waited for is there; a stop goes on waiting.
    pub(super) fn end_wait(&mut self) {
        if !self.shutdown.is_requested() {
            self.deadline = None;
        }
    }

    fn mind_deadlines(&mut self) -> anyhow::Result<()> {
        if self.deadline.is_some_and(|deadline| now() >= deadline) {
            self.deadline = None;
            self.tell(Event::Deadline)?;
        }
        if self.commit_again.is_some_and(|at| now() >= at) {
            self.commit_again = None;
            self.tell(Event::CommitAgain)?;
        }
        Ok(())
    }

    fn bound_memory(&mut self) {
        if self.filling.is_empty() && self.storing.is_empty() && self.last_used.elapsed() > IDLE_BUFFERS {
            self.spare = None;
            if self.filling.columns.capacity() > 0 {
                self.filling = Batch::new(self.filling.id);
            }
        }
    }

    /// Shows what is held, and how far that is behind Kafka.
    fn show(&mut self) {
        if let Some(logs) = self.source.new_logs() {
            self.lag.note(logs);
        }
        let (storing, now) = (&self.storing, wall_clock());
        let bytes = self.filling.bytes() + storing.iter().map(|storing| storing.bytes).sum::<usize>();
        let held = storing.iter().fold(self.filling.oldest, |all, storing| all.or(storing.oldest));
        let records = self.lag.records(self.protocol.commits());
        gauge!(names::MEMORY_HELD).set(bytes as f64);
        gauge!(names::LAG_RECORDS).set(records as f64);
        gauge!(names::LAG_SECONDS).set(self.lag.seconds(self.protocol.commits(), &held, now));
        gauge!(names::OLDEST_UNSTORED).set(age(held.received, now));
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
