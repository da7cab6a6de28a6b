//! How far what is stored lies behind what Kafka has. Pure; time is a parameter.

use std::collections::BTreeMap;

use rdkafka::statistics::Partition;
use schema::timestamp::Timestamp;

/// The oldest of what is held and not known to be stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Oldest {
    /// When Kafka got the record, as its time stamp says.
    pub(crate) written: Option<Timestamp>,
    /// When the event was received.
    pub(crate) received: Option<Timestamp>,
}

/// What librdkafka told of a partition's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Told {
    /// The first offset.
    start: i64,
    /// The offset behind the last one.
    end: i64,
    /// What the group has committed, as far as librdkafka knows.
    committed: Option<i64>,
    /// From here to the end there is no record, if that is known: a transaction leaves a mark behind its records that
    /// is never passed on, and a log that was compacted may end in a gap.
    last: Option<i64>,
}

/// What Kafka has and `events` may lack.
#[derive(Debug, Default)]
pub(crate) struct Lag {
    logs: BTreeMap<i32, Told>,
    waits: BTreeMap<i32, Wait>,
}

/// A partition that has records which are not stored.
#[derive(Debug, Clone, Copy)]
struct Wait {
    /// What was committed then.
    committed: Option<i64>,
    /// When the commit moved last, or such records were first known to be there.
    since: Timestamp,
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

impl Told {
    /// Reads librdkafka's statistics, in which a negative offset stands for what it does not know
    /// (<https://github.com/confluentinc/librdkafka/blob/master/STATISTICS.md>). None before it knows the log.
    pub(crate) fn of(told: &Partition) -> Option<Self> {
        let known = |offset: i64| (offset >= 0).then_some(offset);
        let (start, end) = (told.lo_offset.max(0), known(told.hi_offset)?);
        let committed = known(told.committed_offset);
        // The queue is that of all our partitions.
        let is_read = told.next_offset >= end && told.fetchq_cnt == 0;
        // Before the first record of an assignment, reading began at the commit, or at the start of the log.
        let passed = known(told.app_offset).or(committed).filter(|passed| *passed <= end).unwrap_or(start);
        Some(Self { start, end, committed, last: is_read.then_some(passed) })
    }

    /// The same log, of which more was known before.
    fn knowing(self, before: Option<&Self>) -> Self {
        let known = before.filter(|before| before.end == self.end).and_then(|before| before.last);
        Self { last: self.last.or(known), ..self }
    }

    /// The records behind a commit. Without one it is librdkafka's that counts, which asks by itself.
    fn behind(&self, committed: Option<i64>) -> u64 {
        let done = committed.or(self.committed).unwrap_or(0).max(self.start);
        u64::try_from(self.last.unwrap_or(self.end) - done).unwrap_or(0)
    }
}

impl Lag {
    /// Kafka told what the logs hold.
    pub(crate) fn note(&mut self, logs: BTreeMap<i32, Told>) {
        let known =
            logs.into_iter().map(|(partition, told)| (partition, told.knowing(self.logs.get(&partition))));
        self.logs = known.collect();
    }

    /// The records of our partitions behind what is committed, as of the last time that Kafka told. What retention
    /// has removed is none of them.
    pub(crate) fn records(&self, committed: impl Iterator<Item = (i32, Option<i64>)>) -> u64 {
        committed.map(|(partition, committed)| self.behind(partition, committed)).sum()
    }

    /// For how many seconds the oldest record that is not stored has been in Kafka: by its time stamp if it is held.
    /// One that was not read yet counts from when it was known to be there, or its partition last went on.
    pub(crate) fn seconds(
        &mut self,
        committed: impl Iterator<Item = (i32, Option<i64>)>,
        held: &Oldest,
        now: Timestamp,
    ) -> f64 {
        let behind = committed.filter(|(partition, committed)| self.behind(*partition, *committed) > 0);
        let wait = |(partition, committed): (i32, Option<i64>)| {
            let before = self.waits.get(&partition).filter(|wait| wait.committed == committed);
            (partition, before.copied().unwrap_or(Wait { committed, since: now }))
        };
        self.waits = behind.map(wait).collect();
        let longest = self.waits.values().map(|wait| wait.since).min();
        age(earlier(held.written, longest), now)
    }

    fn behind(&self, partition: i32, committed: Option<i64>) -> u64 {
        self.logs.get(&partition).map_or(0, |told| told.behind(committed))
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
        let told = |start, end| Told { start, end, committed: None, last: None };
        let mut lag = Lag::default();
        lag.note(logs.iter().map(|(partition, start, end)| (*partition, told(*start, *end))).collect());
        lag
    }

    /// Statistics of an empty log of which nothing was read.
    fn statistics() -> Partition {
        Partition { app_offset: -1_001, committed_offset: -1_001, ..Partition::default() }
    }

    #[test]
    fn records_are_counted_from_the_commit_or_from_the_start_of_the_log() {
        let lag = lag(&[(0, 0, 10), (1, 5, 10), (2, 5, 10), (3, 0, 10)]);
        let committed = [(0, Some(7)), (1, Some(2)), (2, None), (3, Some(12)), (4, Some(1))];
        assert_eq!(lag.records(committed.into_iter()), 3 + 5 + 5);
        assert_eq!(lag.records([].into_iter()), 0);
    }

    #[test]
    fn a_commit_that_only_librdkafka_knows_counts() {
        let told = Partition { hi_offset: 100, committed_offset: 90, ..statistics() };
        let mut lag = Lag::default();
        lag.note([(0, Told::of(&told).unwrap())].into());
        assert_eq!(lag.records([(0, None)].into_iter()), 10);
        assert_eq!(lag.records([(0, Some(95))].into_iter()), 5);
    }

    #[test]
    fn marks_that_are_never_passed_on_are_no_lag() {
        let told = |next, queued, passed, end| Partition {
            next_offset: next,
            fetchq_cnt: queued,
            app_offset: passed,
            hi_offset: end,
            ..statistics()
        };
        let restarted = Partition { committed_offset: 101, ..told(102, 0, -1_001, 102) };
        let cut = Partition { committed_offset: 900, ..told(102, 0, -1_001, 102) };
        for (told, committed, expected) in [
            // The record at 100 is the last, the mark of its transaction lies at 101.
            (told(102, 0, 101, 102), Some(101), 0),
            (told(102, 0, 101, 102), Some(90), 11),
            // A record is fetched ahead, or still to be fetched.
            (told(102, 1, 101, 102), Some(101), 1),
            (told(101, 0, 101, 102), Some(101), 1),
            (restarted.clone(), Some(101), 0),
            (restarted, None, 0),
            (told(102, 0, -1_001, 102), None, 0),
            (cut, None, 0),
        ] {
            let mut lag = Lag::default();
            lag.note([(0, Told::of(&told).unwrap())].into());
            assert_eq!(lag.records([(0, committed)].into_iter()), expected, "{told:?} {committed:?}");
        }
        assert_eq!(Told::of(&Partition { hi_offset: -1_001, ..statistics() }), None);
    }

    #[test]
    fn a_mark_stays_known_while_other_partitions_fill_the_queue() {
        let told = |queued, end| Partition {
            next_offset: end,
            fetchq_cnt: queued,
            app_offset: 101,
            hi_offset: end,
            ..statistics()
        };
        let mut lag = Lag::default();
        let mut behind = |queued, end| {
            lag.note([(0, Told::of(&told(queued, end)).unwrap())].into());
            lag.records([(0, Some(101))].into_iter())
        };
        assert_eq!([behind(5, 102), behind(0, 102), behind(5, 102), behind(5, 103)], [1, 0, 0, 2]);
    }

    #[test]
    fn seconds_are_those_of_the_oldest_record_that_is_held() {
        let mut held = Oldest::default();
        [Some(at(50)), None, Some(at(40)), Some(at(60))]
            .into_iter()
            .for_each(|written| held.note_record(written));
        assert_eq!(lag(&[]).seconds([].into_iter(), &held, at(100)), 60.0);
        let future = Oldest { written: Some(at(200)), received: None };
        assert_eq!(lag(&[(0, 0, 5)]).seconds([(0, None)].into_iter(), &future, at(100)), 0.0);
    }

    #[test]
    fn what_was_never_read_ages_from_when_it_was_seen() {
        let (mut lag, nothing) = (lag(&[(0, 0, 3)]), Oldest::default());
        let mut seconds = |committed, now| lag.seconds([(0, Some(committed))].into_iter(), &nothing, at(now));
        let seen = [seconds(0, 100), seconds(0, 130), seconds(3, 140), seconds(0, 150), seconds(0, 151)];
        assert_eq!(seen, [0.0, 30.0, 0.0, 0.0, 1.0]);
    }

    #[test]
    fn a_partition_that_stands_still_is_seen_while_others_flow() {
        let mut lag = lag(&[(0, 0, 1_000), (1, 0, 5)]);
        let mut seconds = |committed, now| {
            let held = Oldest { written: Some(at(now - 1)), received: None };
            lag.seconds([(0, Some(committed)), (1, Some(2))].into_iter(), &held, at(now))
        };
        assert_eq!([seconds(10, 100), seconds(20, 110), seconds(30, 160)], [1.0, 10.0, 60.0]);
        // Once it goes on, or is somebody else's, it no longer counts.
        let flowing = Oldest { written: Some(at(169)), received: None };
        let committed = [(0, Some(40)), (1, Some(3))];
        assert_eq!(lag.seconds(committed.into_iter(), &flowing, at(170)), 1.0);
        assert_eq!(lag.seconds([(0, Some(50))].into_iter(), &flowing, at(300)), 131.0);
        assert_eq!(lag.seconds(committed.into_iter(), &Oldest::default(), at(301)), 0.0);
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
