//! What the loop does when the group assigns, revokes or answers a commit.

use std::time::Duration;

use metrics::{counter, gauge};
use rdkafka::{TopicPartitionList, error::KafkaResult};
use tracing::{error, info, warn};

use crate::{
    metrics::{self as names, Stage, count_error},
    poll::GroupEvent,
    run::{
        take::report_lost,
        turn::{Loop, now},
    },
    wall_clock::wall_clock,
};

/// How long a rebalance waits for the running insert.
const REVOKE_TIMEOUT: Duration = Duration::from_secs(10);
/// After a refused commit. The next insert brings another one anyway.
const COMMIT_RETRY: Duration = Duration::from_secs(1);

impl Loop {
    /// Acts on what the group told.
    pub(super) fn follow_group(&mut self) -> anyhow::Result<()> {
        while let Some(event) = self.source.group_event() {
            match event {
                GroupEvent::Assigned(list) => self.assigned(&list),
                GroupEvent::Revoked(list) => self.revoked(&list)?,
                GroupEvent::Failed(what) => {
                    count_error(Stage::Poll, "rebalance");
                    error!("kafka told of a rebalance that is not known here: {what}");
                }
            }
        }
        Ok(())
    }

    fn assigned(&mut self, list: &TopicPartitionList) {
        counter!(names::REBALANCES, "kind" => "assigned").increment(1);
        for (partition, committed) in self.positions(list) {
            self.resume(partition, committed);
        }
        self.report_kafka("assign partitions", self.source.accept(list));
        if self.is_paused {
            self.report_kafka("pause assigned partitions", self.source.pause());
        }
        self.group.set(true);
        gauge!(names::PARTITIONS).set(self.offsets.len() as f64);
        info!(added = list.count(), partitions = self.offsets.len(), "partitions were assigned");
    }

    /// What the group committed of partitions; nothing, where Kafka does not say in time. Then a loss by
    /// retention goes unseen, and nothing else depends on it.
    fn positions(&self, list: &TopicPartitionList) -> Vec<(i32, Option<i64>)> {
        self.source.committed(list).unwrap_or_else(|cause| {
            warn!(error = %cause, "failed to ask for the committed offsets");
            list.elements().iter().map(|element| (element.partition(), None)).collect()
        })
    }

    /// Notes where a partition goes on, with an alarm if its log begins behind the committed offset.
    fn resume(&mut self, partition: i32, committed: Option<i64>) {
        self.offsets.assign(partition, committed);
        let Some(committed) = committed else { return };
        match self.source.log_range(partition) {
            Ok(log) if log.start > committed => {
                report_lost(partition, committed, log.start);
                self.offsets.skip_removed(partition, log.start);
            }
            // The log was cut: it is read again from its beginning, which changes nothing that readers see.
            Ok(log) if log.end < committed => self.offsets.assign(partition, None),
            Ok(_) => {}
            Err(cause) => warn!(error = %cause, partition, "failed to ask where the log begins"),
        }
    }

    fn revoked(&mut self, list: &TopicPartitionList) -> anyhow::Result<()> {
        let partitions: Vec<i32> = list.elements().iter().map(|element| element.partition()).collect();
        let is_lost = self.source.is_lost();
        counter!(names::REBALANCES, "kind" => if is_lost { "lost" } else { "revoked" }).increment(1);
        if is_lost {
            warn!(?partitions, "partitions were lost: the group had given this process up");
            self.group.set(false);
        } else {
            info!(?partitions, "partitions were revoked");
            self.wait_for_insert(REVOKE_TIMEOUT)?;
            let mut due = self.offsets.due();
            due.retain(|(partition, _)| partitions.contains(partition));
            self.commit(&due);
        }
        partitions.iter().for_each(|partition| self.offsets.forget(*partition));
        if self.offsets.is_empty() {
            self.drop_batches();
        }
        if self.is_paused {
            // A partition that is released while it is paused would still be so when it comes back.
            self.report_kafka("resume released partitions", self.source.resume_released(list));
        }
        self.report_kafka("release partitions", self.source.release(list));
        gauge!(names::PARTITIONS).set(self.offsets.len() as f64);
        Ok(())
    }

    /// Drops what nobody would commit. Rows of partitions that went while others stayed are inserted all the
    /// same: copies of what their new owner inserts.
    fn drop_batches(&mut self) {
        if let Some(inserting) = &self.inserting {
            inserting.cancelled.cancel();
        }
        let next = self.next_batch();
        let dropped = std::mem::replace(&mut self.filling, next);
        self.spare.get_or_insert(dropped.columns);
    }

    /// Commits what is stored and not committed.
    pub(super) fn commit_due(&mut self) {
        if now() >= self.commit_after {
            self.commit(&self.offsets.due());
        }
    }

    fn commit(&mut self, due: &[(i32, i64)]) {
        if due.is_empty() {
            return;
        }
        match self.source.commit(due) {
            Ok(()) => {
                self.offsets.committed(due);
                gauge!(names::LAST_COMMIT).set(wall_clock().millis() as f64 / 1_000.0);
            }
            Err(cause) => {
                count_error(Stage::Commit, "kafka");
                warn!(error = %cause, "failed to commit, trying again");
                self.commit_after = now() + COMMIT_RETRY;
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
