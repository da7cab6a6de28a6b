//! Where partitions go on that the group gave us: what is asked of Kafka, and what its answers mean.

use std::collections::BTreeMap;

use rdkafka::error::KafkaError;
use schema::timestamp::Timestamp;
use tracing::warn;

use crate::{
    poll::Source,
    protocol::{Assignment, LogRange},
};

/// How often Kafka is asked what the logs of committed partitions hold. A partition without a leader may have no answer
/// for hours, and all others would wait for it. Without one it goes on at the commit: a loss by retention is seen when
/// records arrive, and that the log was cut only if it still ends before the commit when it is fetched.
const LOG_QUESTIONS: u32 = 3;

/// Why it is not known where partitions go on.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("failed to ask for the committed offsets")]
    AskCommitted { source: KafkaError },
    #[error("failed to ask which records are the first to be read")]
    AskDated { source: KafkaError },
    #[error("kafka did not say what the log of partition {partition} holds")]
    NoLog { partition: i32 },
    #[error("kafka did not say which record of partition {partition} is the first to be read")]
    NotDated { partition: i32 },
}

/// Asks where partitions go on, and what their logs hold; `asked` says how often, this time included. Partitions of
/// which nothing is committed begin at the first record of the time `start_at`, or without it at the earliest.
///
/// # Errors
/// When it is not known. Not known is not the same as nowhere: then everything would be read again, and what is before
/// the time.
pub(super) fn ask_starts(
    source: &Source,
    partitions: &[i32],
    start_at: Option<Timestamp>,
    asked: u32,
) -> Result<Vec<Assignment>, Error> {
    let committed = source.committed(partitions).map_err(|source| Error::AskCommitted { source })?;
    let is_dated = |partition: &i32| start_at.is_some() && !committed.contains_key(partition);
    let late: Vec<i32> = partitions.iter().copied().filter(is_dated).collect();
    let of_interest: Vec<i32> = committed.keys().chain(&late).copied().collect();
    // Before the dates: a partition without a late record begins at the end that its log had, so that nothing that
    // comes meanwhile is passed.
    let logs = source.log_ranges(&of_interest).unwrap_or_else(|cause| {
        warn!(error = %cause, partitions = ?of_interest, "failed to ask where the logs begin and end");
        BTreeMap::new()
    });
    let dated = start_at.map(|at| source.dated(&late, at)).transpose();
    let dated = dated.map_err(|source| Error::AskDated { source })?;
    let answers = Answers { committed, logs, dated };
    partitions.iter().map(|partition| answers.assignment(*partition, asked)).collect()
}

/// What Kafka said of some partitions; those of which it did not are left out.
#[derive(Debug, Clone)]
struct Answers {
    /// What the group has committed; those without a commit are left out as well.
    committed: BTreeMap<i32, i64>,
    logs: BTreeMap<i32, LogRange>,
    /// The first record of the time at which reading begins, none where there is no such record. None if reading begins
    /// at the earliest.
    dated: Option<BTreeMap<i32, Option<i64>>>,
}

impl Answers {
    fn assignment(&self, partition: i32, asked: u32) -> Result<Assignment, Error> {
        let (committed, log) = (self.committed.get(&partition).copied(), self.logs.get(&partition).copied());
        if committed.is_some() {
            return match log {
                None if asked < LOG_QUESTIONS => Err(Error::NoLog { partition }),
                log => Ok(Assignment { partition, committed, log, begin: None }),
            };
        }
        let begin = self.dated.as_ref().map(|dated| begin(partition, dated, log)).transpose()?;
        Ok(Assignment { partition, committed, log, begin })
    }
}

/// Where a partition begins that does so at a time.
fn begin(partition: i32, dated: &BTreeMap<i32, Option<i64>>, log: Option<LogRange>) -> Result<i64, Error> {
    match dated.get(&partition) {
        Some(Some(first)) => Ok(*first),
        Some(None) => log.map(|log| log.end).ok_or(Error::NoLog { partition }),
        None => Err(Error::NotDated { partition }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: LogRange = LogRange { start: 3, end: 9 };

    const NO_LOG: &str = "kafka did not say what the log of partition 0 holds";
    const NOT_DATED: &str = "kafka did not say which record of partition 0 is the first to be read";

    /// The answers about partition 0.
    fn answers(
        committed: Option<i64>,
        log: Option<LogRange>,
        dated: Option<&[(i32, Option<i64>)]>,
    ) -> Answers {
        Answers {
            committed: committed.map(|offset| (0, offset)).into_iter().collect(),
            logs: log.map(|log| (0, log)).into_iter().collect(),
            dated: dated.map(|dated| dated.iter().copied().collect()),
        }
    }

    /// The commit of partition 0, the start of its log and where it begins, or why it has to wait.
    #[track_caller]
    fn check(answers: &Answers, asked: u32, expected: Result<[Option<i64>; 3], &str>) {
        let seen = answers.assignment(0, asked);
        let seen = seen.map(|seen| [seen.committed, seen.log.map(|log| log.start), seen.begin]);
        assert_eq!(seen.map_err(|cause| cause.to_string()), expected.map_err(str::to_owned), "time {asked}");
    }

    #[test]
    fn a_partition_of_which_nothing_is_committed_begins_at_the_earliest_whatever_its_log_holds() {
        check(&answers(None, None, None), 1, Ok([None, None, None]));
    }

    #[test]
    fn a_partition_that_begins_at_a_time_waits_until_its_first_record_is_known() {
        let (first, no_first) = ([(0, Some(7))], [(0, None)]);
        for asked in [1, LOG_QUESTIONS, 1_000] {
            check(&answers(None, Some(LOG), Some(&first)), asked, Ok([None, Some(3), Some(7)]));
            check(&answers(None, None, Some(&first)), asked, Ok([None, None, Some(7)]));
            check(&answers(None, Some(LOG), Some(&no_first)), asked, Ok([None, Some(3), Some(9)]));
            check(&answers(None, None, Some(&no_first)), asked, Err(NO_LOG));
            check(&answers(None, Some(LOG), Some(&[])), asked, Err(NOT_DATED));
        }
    }

    #[test]
    fn a_committed_partition_waits_a_few_times_for_what_its_log_holds() {
        for dated in [None, Some(&[][..])] {
            check(&answers(Some(5), Some(LOG), dated), 1, Ok([Some(5), Some(3), None]));
            let unknown = answers(Some(5), None, dated);
            check(&unknown, 1, Err(NO_LOG));
            check(&unknown, LOG_QUESTIONS - 1, Err(NO_LOG));
            check(&unknown, LOG_QUESTIONS, Ok([Some(5), None, None]));
        }
    }
}
