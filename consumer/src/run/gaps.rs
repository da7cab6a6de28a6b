//! Records that did not arrive, and those that are gone.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use metrics::counter;
use tracing::{error, warn};

use crate::{
    metrics as names,
    protocol::LogRange,
    run::turn::{Loop, TURN_MESSAGES, now},
};

/// How often the loop asks why offsets are missing: a topic with transactions has a gap at each of their ends.
const GAP_INTERVAL: Duration = Duration::from_secs(10);
/// Gaps that are kept until then; the loop asks earlier when there are more.
const MAX_GAPS: usize = 4 * TURN_MESSAGES;

/// Offsets from `expected` to before `offset` that did not arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Gap {
    pub(super) partition: i32,
    pub(super) expected: i64,
    pub(super) offset: i64,
}

impl Gap {
    /// Where the records go on that retention removed, if it removed any: offsets may also be missing because they
    /// never were records, such as the marks of transactions.
    pub(super) fn removed_before(self, log: LogRange) -> Option<i64> {
        (log.start > self.expected).then(|| log.start.min(self.offset))
    }
}

impl Loop {
    /// Asks why offsets are missing, now and then, and raises the alarm for records that are gone. What Kafka does
    /// not answer is asked again.
    pub(super) fn explain_gaps(&mut self) {
        let is_time = now() >= self.ask_gaps || self.gaps.len() >= MAX_GAPS;
        if self.gaps.is_empty() || !is_time {
            return;
        }
        self.ask_gaps = now() + GAP_INTERVAL;
        let unexplained = self.explain();
        if unexplained.len() < MAX_GAPS {
            self.gaps = unexplained;
        } else {
            report_unexplained(&unexplained);
        }
    }

    /// Asks for the last time: after a release or a stop nobody knows of the gaps any more.
    pub(super) fn explain_last_gaps(&mut self) {
        report_unexplained(&self.explain());
    }

    /// Asks about all gaps, and returns those that Kafka does not explain.
    fn explain(&mut self) -> Vec<Gap> {
        let gaps = std::mem::take(&mut self.gaps);
        let partitions: BTreeSet<i32> = gaps.iter().map(|gap| gap.partition).collect();
        let partitions: Vec<i32> = partitions.into_iter().collect();
        let logs = self.source.log_ranges(&partitions).unwrap_or_else(|cause| {
            warn!(error = %cause, ?partitions, "failed to ask why offsets are missing");
            BTreeMap::new()
        });
        let (explained, unexplained): (Vec<Gap>, Vec<Gap>) =
            gaps.into_iter().partition(|gap| logs.contains_key(&gap.partition));
        for gap in explained {
            if let Some(start) = logs.get(&gap.partition).and_then(|log| gap.removed_before(*log)) {
                report_lost(gap.partition, gap.expected, start);
            }
        }
        unexplained
    }
}

fn report_unexplained(gaps: &[Gap]) {
    for Gap { partition, expected, offset } in gaps {
        error!(
            partition,
            expected, offset, "offsets are missing, and Kafka does not say whether it removed them"
        );
    }
}

/// Raises the alarm for records that are gone.
pub(super) fn report_lost(partition: i32, expected: i64, start: i64) {
    let lost = u64::try_from(start - expected).unwrap_or(0);
    counter!(names::RECORDS_LOST).increment(lost);
    error!(partition, expected, start, lost, "retention removed {lost} records before they were read");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_before_the_start_of_the_log_was_removed() {
        let gap = Gap { partition: 0, expected: 5, offset: 9 };
        for (start, removed_before) in [(0, None), (5, None), (7, Some(7)), (9, Some(9)), (20, Some(9))] {
            assert_eq!(gap.removed_before(LogRange { start, end: 30 }), removed_before, "start {start}");
        }
    }
}
