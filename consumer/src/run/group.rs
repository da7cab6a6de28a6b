//! What the loop does when the group assigns, revokes or answers a commit.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use metrics::{counter, gauge};
use rdkafka::error::KafkaResult;
use tracing::{error, info, warn};

use crate::{
    metrics::{self as names, Stage, count_error},
    poll::GroupEvent,
    protocol::{Event, Position, Start},
    run::{
        starts::{Error, ask_starts},
        turn::{Loop, now},
    },
    wall_clock::wall_clock,
};

/// After a refused commit.
const COMMIT_RETRY: Duration = Duration::from_secs(1);
/// Between two questions for where partitions go on.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// Partitions that the group gave us, of which Kafka has not said yet where they go on.
pub(super) struct Assigned {
    partitions: Vec<i32>,
    /// How often Kafka was asked what their logs hold.
    asked: u32,
    ask_again: Instant,
}

impl Loop {
    /// Acts on what the group told, in its order: while it is not known where new partitions go on, the rest waits.
    pub(super) fn follow_group(&mut self) -> anyhow::Result<()> {
        let is_early = |assigned: &Assigned| now() < assigned.ask_again && !self.shutdown.is_requested();
        if self.assigned.as_ref().is_some_and(is_early) {
            return Ok(());
        }
        if let Some(Assigned { partitions, asked, .. }) = self.assigned.take() {
            self.assigned(partitions, asked)?;
        }
        while self.assigned.is_none()
            && let Some(event) = self.source.group_event()
        {
            match event {
                GroupEvent::Assigned(partitions) => {
                    counter!(names::REBALANCES, "kind" => names::ASSIGNED).increment(1);
                    self.assigned(partitions, 0)?;
                }
                GroupEvent::Revoked(partitions) => self.revoked(partitions)?,
                GroupEvent::Failed(what) => {
                    count_error(Stage::Poll, "rebalance");
                    error!("kafka told of a rebalance that is not known here: {what}");
                }
            }
        }
        Ok(())
    }

    fn assigned(&mut self, partitions: Vec<i32>, asked: u32) -> anyhow::Result<()> {
        if self.shutdown.is_requested() {
            // They are released with the rest when this process leaves; nothing of them is taken.
            let starts: Vec<_> = partitions.iter().map(|partition| (*partition, Start::Earliest)).collect();
            self.report_kafka("accept partitions", self.source.accept(&starts));
            return Ok(());
        }
        match ask_starts(&self.source, &partitions, self.settings.start_at, asked + 1) {
            Ok(assignments) => {
                self.tell(Event::Assigned(assignments))?;
                info!(?partitions, owned = self.protocol.partitions(), "partitions were assigned");
            }
            Err(cause) => {
                count_error(Stage::Poll, "group");
                let error = &cause as &dyn std::error::Error;
                warn!(error, ?partitions, "it is not known where partitions go on, asking again");
                self.group.set(false);
                let asked = match cause {
                    Error::AskCommitted { .. } => asked,
                    Error::AskDated { .. } | Error::NoLog { .. } | Error::NotDated { .. } => asked + 1,
                };
                self.assigned = Some(Assigned { partitions, asked, ask_again: now() + ASK_AGAIN });
            }
        }
        Ok(())
    }

    fn revoked(&mut self, partitions: Vec<i32>) -> anyhow::Result<()> {
        let is_lost = self.source.is_lost();
        counter!(names::REBALANCES, "kind" => if is_lost { names::LOST } else { names::REVOKED })
            .increment(1);
        if is_lost {
            warn!(?partitions, "partitions were lost: the group had given this process up");
            self.group.set(false);
            return self.tell(Event::Lost(partitions));
        }
        info!(?partitions, "partitions were revoked");
        self.tell(Event::Revoked(partitions))
    }

    /// Partitions that librdkafka does not take are never read while this process stays their owner: better that another
    /// one is.
    pub(super) fn accept(&mut self, starts: &[(i32, Start)]) -> anyhow::Result<()> {
        self.source.accept(starts).context("failed to accept partitions")?;
        self.group.set(true);
        gauge!(names::PARTITIONS).set(self.protocol.partitions() as f64);
        self.tell_committed();
        Ok(())
    }

    pub(super) fn release(&mut self, partitions: &[i32]) {
        if self.protocol.is_paused() {
            // A partition that is released while it is paused would still be so when it comes back.
            self.report_kafka("resume released partitions", self.source.resume_released(partitions));
        }
        self.report_kafka("release partitions", self.source.release(partitions));
        self.end_wait();
        gauge!(names::PARTITIONS).set(self.protocol.partitions() as f64);
        self.tell_committed();
        // Behind the release, which the next owner waits for and the answers do not need.
        self.explain_last_gaps_of(partitions);
    }

    pub(super) fn commit(&mut self, positions: Vec<Position>) -> anyhow::Result<()> {
        match self.source.commit(&positions) {
            Ok(()) => {
                gauge!(names::LAST_COMMIT).set(wall_clock().millis() as f64 / 1_000.0);
                self.commit_again = None;
                self.tell(Event::Committed(positions))?;
                self.tell_committed();
                Ok(())
            }
            Err(cause) => {
                count_error(Stage::Commit, "kafka");
                warn!(error = %cause, "failed to commit, trying again");
                self.commit_again = Some(now() + COMMIT_RETRY);
                self.tell(Event::CommitFailed)
            }
        }
    }

    /// Problems that the next rebalance mends.
    pub(super) fn report_kafka(&self, what: &'static str, outcome: KafkaResult<()>) {
        if let Err(cause) = outcome {
            count_error(Stage::Poll, "group");
            warn!(error = %cause, "failed to {what}");
        }
    }
}
