//! How far what is stored lies behind what Kafka has. Pure; time is a parameter.

use std::collections::BTreeMap;

use schema::timestamp::Timestamp;

use crate::protocol::LogRange;

/// The oldest of what is held and not known to be stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Oldest {
    /// When Kafka got the record, as its time stamp says.
    pub(crate) written: Option<Timestamp>,
    /// When the event was received.
    pub(crate) received: Option<Timestamp>,
}

/// What Kafka has and `events` may lack.
#[derive(Debug, Default)]
pub(crate) struct Lag {
    logs: BTreeMap<i32, LogRange>,
    /// Since when there are records that were neither stored nor read.
    unread_since: Option<Timestamp>,
}

impl Oldest {
    /// A record is held.
    pub(crate) fn note_record(&mut self, written: Option<Timestamp>) {
        self.written = earlier(self.written, written);
    }

    /// An event is held.
    pub(crate) fn note_event(&mut self, received: Timestamp) {
        self.received = earlier(self.received, Some(received));
    }

    /// The oldest of both.
    pub(crate) fn or(self, other: Self) -> Self {
        Self {
            written: earlier(self.written, other.written),
            received: earlier(self.received, other.received),
        }
    }
}

impl Lag {
    /// Kafka told what the logs hold.
    pub(crate) fn note(&mut self, logs: BTreeMap<i32, LogRange>) {
        self.logs = logs;
    }

    /// The records of our partitions behind what is committed, as of the last time that Kafka told. What retention
    /// has removed is none of them.
    pub(crate) fn records(&self, committed: impl Iterator<Item = (i32, Option<i64>)>) -> u64 {
        let behind = |(partition, committed): (i32, Option<i64>)| {
            let log = self.logs.get(&partition)?;
            u64::try_from(log.end - committed.unwrap_or(0).max(log.start)).ok()
        };
        committed.filter_map(behind).sum()
    }

    /// For how many seconds the oldest record that is not stored has been in Kafka: by its time stamp once it was
    /// read, before that from when it was first known to be there.
    pub(crate) fn seconds(&mut self, records: u64, held: &Oldest, now: Timestamp) -> f64 {
        self.unread_since = match (held.written, records) {
            (None, 1..) => self.unread_since.or(Some(now)),
            (None, 0) | (Some(_), _) => None,
        };
        age(held.written.or(self.unread_since), now)
    }
}

/// Seconds since then; none are left of what is not there or lies in the future.
pub(crate) fn age(then: Option<Timestamp>, now: Timestamp) -> f64 {
    then.map_or(0.0, |then| (now.millis() - then.millis()).max(0) as f64 / 1_000.0)
}

fn earlier(a: Option<Timestamp>, b: Option<Timestamp>) -> Option<Timestamp> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    fn lag(logs: &[(i32, i64, i64)]) -> Lag {
        let mut lag = Lag::default();
        lag.note(
            logs.iter()
                .map(|(partition, start, end)| (*partition, LogRange { start: *start, end: *end }))
                .collect(),
        );
        lag
    }

    #[test]
    fn records_are_counted_from_the_commit_or_from_the_start_of_the_log() {
        let lag = lag(&[(0, 0, 10), (1, 5, 10), (2, 5, 10), (3, 0, 10)]);
        let committed = [(0, Some(7)), (1, Some(2)), (2, None), (3, Some(12)), (4, Some(1))];
        assert_eq!(lag.records(committed.into_iter()), 3 + 5 + 5);
        assert_eq!(lag.records([].into_iter()), 0);
    }

    #[test]
    fn seconds_are_those_of_the_oldest_record_that_is_held() {
        let mut held = Oldest::default();
        [Some(at(50)), None, Some(at(40)), Some(at(60))]
            .into_iter()
            .for_each(|written| held.note_record(written));
        assert_eq!(lag(&[]).seconds(0, &held, at(100)), 60.0);
        assert_eq!(lag(&[]).seconds(5, &Oldest { written: Some(at(200)), received: None }, at(100)), 0.0);
    }

    #[test]
    fn what_was_never_read_ages_from_when_it_was_seen() {
        let (mut lag, nothing) = (Lag::default(), Oldest::default());
        assert_eq!(lag.seconds(3, &nothing, at(100)), 0.0);
        assert_eq!(lag.seconds(3, &nothing, at(130)), 30.0);
        assert_eq!(lag.seconds(0, &nothing, at(140)), 0.0);
        assert_eq!(lag.seconds(3, &nothing, at(150)), 0.0);
    }

    #[test]
    fn the_oldest_of_two_batches_is_the_older_of_each() {
        let mut one = Oldest { written: Some(at(2)), received: None };
        one.note_event(at(9));
        one.note_event(at(8));
        let other = Oldest { written: Some(at(1)), received: Some(at(10)) };
        assert_eq!(one.or(other), Oldest { written: Some(at(1)), received: Some(at(8)) });
        assert_eq!(one.or(Oldest::default()), one);
    }
}
