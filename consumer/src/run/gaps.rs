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

/// Why offsets are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    /// They never were records, such as the marks of transactions: the log still begins at or before the first of them.
    NoRecords,
    /// Retention removed records, up to here.
    Removed { start: i64 },
    /// Retention went on beyond what arrived behind them, so that it may have removed them before they were read or, if
    /// they never were records, after they were passed.
    Unknown,
}

impl Gap {
    fn cause(self, log: LogRange) -> Cause {
        match log.start {
            start if start <= self.expected => Cause::NoRecords,
            start if start <= self.offset => Cause::Removed { start },
            _ => Cause::Unknown,
        }
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
        let gaps = std::mem::take(&mut self.gaps);
        let unexplained = self.explain(gaps);
        if unexplained.len() < MAX_GAPS {
            self.gaps = unexplained;
        } else {
            report_unexplained(&unexplained);
        }
    }

    /// Asks for the last time about the gaps of partitions that go: after that nobody knows of them any more.
    pub(super) fn explain_last_gaps_of(&mut self, partitions: &[i32]) {
        let last = self.gaps.extract_if(.., |gap| partitions.contains(&gap.partition)).collect();
        report_unexplained(&self.explain(last));
    }

    /// The same about all gaps, before the process ends.
    pub(super) fn explain_last_gaps(&mut self) {
        let last = std::mem::take(&mut self.gaps);
        report_unexplained(&self.explain(last));
    }

    /// Asks about gaps, and returns those that Kafka does not explain.
    fn explain(&self, gaps: Vec<Gap>) -> Vec<Gap> {
        let partitions: BTreeSet<i32> = gaps.iter().map(|gap| gap.partition).collect();
        let partitions: Vec<i32> = partitions.into_iter().collect();
        let logs = self.source.log_ranges(&partitions).unwrap_or_else(|cause| {
            warn!(error = %cause, ?partitions, "failed to ask why offsets are missing");
            BTreeMap::new()
        });
        let Explained { lost, unknown, unexplained } = judge(gaps, &logs);
        for Lost { partition, expected, start } in lost {
            report_lost(partition, expected, start);
        }
        report_unexplained(&unknown);
        unexplained
    }
}

/// What the ranges of the logs tell of gaps.
#[derive(Debug, Default, PartialEq, Eq)]
struct Explained {
    lost: Vec<Lost>,
    /// The gaps whose cause no answer tells any more.
    unknown: Vec<Gap>,
    /// The gaps of partitions whose range is not known.
    unexplained: Vec<Gap>,
}

/// Records from `expected` to before `start` that retention removed.
#[derive(Debug, PartialEq, Eq)]
struct Lost {
    partition: i32,
    expected: i64,
    start: i64,
}

fn judge(gaps: Vec<Gap>, logs: &BTreeMap<i32, LogRange>) -> Explained {
    let mut explained = Explained::default();
    for gap in gaps {
        let Gap { partition, expected, .. } = gap;
        match logs.get(&partition).map(|log| gap.cause(*log)) {
            Some(Cause::NoRecords) => {}
            Some(Cause::Removed { start }) => explained.lost.push(Lost { partition, expected, start }),
            Some(Cause::Unknown) => explained.unknown.push(gap),
            None => explained.unexplained.push(gap),
        }
    }
    explained
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
        for (start, cause) in [
            (0, Cause::NoRecords),
            (5, Cause::NoRecords),
            (7, Cause::Removed { start: 7 }),
            (9, Cause::Removed { start: 9 }),
            (10, Cause::Unknown),
        ] {
            assert_eq!(gap.cause(LogRange { start, end: 30 }), cause, "start {start}");
        }
    }

    /// The gap of a mark, of which Kafka was asked only after retention had passed it, is no loss.
    #[test]
    fn a_gap_of_a_log_that_nobody_knows_is_kept_and_the_others_are_done_with() {
        let gap = |partition| Gap { partition, expected: 5, offset: 9 };
        let logs =
            [(0, 7), (2, 0), (3, 20)].map(|(partition, start)| (partition, LogRange { start, end: 30 }));
        let explained = judge((0..4).map(gap).collect(), &logs.into());
        let lost = vec![Lost { partition: 0, expected: 5, start: 7 }];
        assert_eq!(explained, Explained { lost, unknown: vec![gap(3)], unexplained: vec![gap(1)] });
    }
}
