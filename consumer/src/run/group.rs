//! What the loop does when the group assigns, revokes or answers a commit.

use std::time::Duration;

use metrics::{counter, gauge};
use rdkafka::error::KafkaResult;
use tracing::{error, info, warn};

use crate::{
    metrics::{self as names, Stage, count_error},
    poll::GroupEvent,
    protocol::{Assignment, Event, Position},
    run::turn::{Loop, now},
    wall_clock::wall_clock,
};

/// After a refused commit.
const COMMIT_RETRY: Duration = Duration::from_secs(1);

impl Loop {
    /// Acts on what the group told.
    pub(super) fn follow_group(&mut self) -> anyhow::Result<()> {
        while let Some(event) = self.source.group_event() {
            match event {
                GroupEvent::Assigned(partitions) => self.assigned(&partitions)?,
                GroupEvent::Revoked(partitions) => self.revoked(partitions)?,
                GroupEvent::Failed(what) => {
                    count_error(Stage::Poll, "rebalance");
                    error!("kafka told of a rebalance that is not known here: {what}");
                }
            }
        }
        Ok(())
    }

    fn assigned(&mut self, partitions: &[i32]) -> anyhow::Result<()> {
        counter!(names::REBALANCES, "kind" => "assigned").increment(1);
        let assignments = self.assignments(partitions);
        self.tell(Event::Assigned(assignments))?;
        info!(?partitions, owned = self.protocol.partitions(), "partitions were assigned");
        Ok(())
    }

    /// Where partitions go on. Where Kafka does not say in time, a loss by retention goes unseen, and nothing else
    /// depends on it.
    fn assignments(&self, partitions: &[i32]) -> Vec<Assignment> {
        let committed = self.source.committed(partitions).unwrap_or_else(|cause| {
            warn!(error = %cause, "failed to ask for the committed offsets");
            Default::default()
        });
        let with_commit: Vec<i32> = committed.keys().copied().collect();
        let logs = self.source.log_ranges(&with_commit).unwrap_or_else(|cause| {
            warn!(error = %cause, "failed to ask where the logs begin and end");
            Default::default()
        });
        let assignment = |partition: &i32| Assignment {
            partition: *partition,
            committed: committed.get(partition).copied(),
            log: logs.get(partition).copied(),
        };
        partitions.iter().map(assignment).collect()
    }

    fn revoked(&mut self, partitions: Vec<i32>) -> anyhow::Result<()> {
        let is_lost = self.source.is_lost();
        counter!(names::REBALANCES, "kind" => if is_lost { "lost" } else { "revoked" }).increment(1);
        if is_lost {
            warn!(?partitions, "partitions were lost: the group had given this process up");
            self.group.set(false);
            return self.tell(Event::Lost(partitions));
        }
        info!(?partitions, "partitions were revoked");
        self.tell(Event::Revoked(partitions))
    }

    pub(super) fn accept(&mut self, partitions: &[i32]) {
        self.report_kafka("accept partitions", self.source.accept(partitions));
        self.group.set(true);
        gauge!(names::PARTITIONS).set(self.protocol.partitions() as f64);
    }

    pub(super) fn release(&mut self, partitions: &[i32]) {
        if self.protocol.is_paused() {
            // A partition that is released while it is paused would still be so when it comes back.
            self.report_kafka("resume released partitions", self.source.resume_released(partitions));
        }
        self.report_kafka("release partitions", self.source.release(partitions));
        self.gaps.retain(|gap| !partitions.contains(&gap.partition));
        self.end_wait();
        gauge!(names::PARTITIONS).set(self.protocol.partitions() as f64);
    }

    pub(super) fn commit(&mut self, positions: Vec<Position>) -> anyhow::Result<()> {
        match self.source.commit(&positions) {
            Ok(()) => {
                gauge!(names::LAST_COMMIT).set(wall_clock().millis() as f64 / 1_000.0);
                self.commit_again = None;
                self.tell(Event::Committed(positions))
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
