//! Which records a round of the audit looks at. Pure; chance is a parameter.
//!
//! Half of the spans lie in what was stored since the round before, so that a loss shows soon; the others anywhere
//! in the log, so that what is damaged later shows too. Nothing is looked at before it has been committed for a
//! whole round. Where nothing new is stored, a few records a round are looked at all the same.

use std::collections::BTreeMap;

/// What Kafka has acknowledged of the partitions that are ours.
pub(crate) type Committed = BTreeMap<i32, i64>;

/// Records of one partition, from `start` to before `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) partition: i32,
    pub(crate) start: i64,
    pub(crate) end: i64,
}

/// Records that are read in one go: about as many as a fetch brings of small ones.
const SPAN_RECORDS: u64 = 1_000;
/// Records that are looked at in a round in which nothing new was stored.
const IDLE_RECORDS: u64 = 10;
/// What may be owed at most, in records, after rounds that failed: more would come at once when they succeed again.
const MAX_OWED: u64 = 100_000;

/// Picks spans of records.
#[derive(Debug)]
pub(crate) struct Sampler {
    share_per_mille: u64,
    /// Thousandths of records that are still to be looked at.
    owed: u64,
    /// What was committed when the last round began, and when the one before did.
    last: Committed,
    before_last: Committed,
    everything: Vec<Span>,
    fresh: Vec<Span>,
    is_first_of_round: bool,
}

impl Span {
    /// The number of records, if none is missing.
    pub(crate) fn records(&self) -> u64 {
        u64::try_from(self.end - self.start).unwrap_or(0)
    }

    pub(crate) fn contains(&self, offset: i64) -> bool {
        (self.start..self.end).contains(&offset)
    }
}

impl Sampler {
    /// A sampler of so many records in a thousand.
    pub(crate) fn new(share_per_mille: u32) -> Self {
        Self {
            share_per_mille: share_per_mille.min(1_000).into(),
            owed: 0,
            last: Committed::new(),
            before_last: Committed::new(),
            everything: Vec::new(),
            fresh: Vec::new(),
            is_first_of_round: true,
        }
    }

    /// Begins a round. Partitions whose log begins nobody knows where are left out.
    pub(crate) fn begin(&mut self, committed: &Committed, starts: &BTreeMap<i32, i64>) {
        let spans = |from: &dyn Fn(i32) -> Option<i64>| -> Vec<Span> {
            let span = |(partition, committed): (&i32, &i64)| {
                let end = *self.last.get(partition)?.min(committed);
                Some(Span { partition: *partition, start: from(*partition)?, end })
            };
            committed.iter().filter_map(span).filter(|span| span.records() > 0).collect()
        };
        let start = |partition: i32| starts.get(&partition).copied();
        let everything = spans(&start);
        let fresh = spans(&|partition| Some((*self.before_last.get(&partition)?).max(start(partition)?)));
        let stored: u64 = fresh.iter().map(Span::records).sum();
        self.owed = self.owed.saturating_add(stored * self.share_per_mille).min(MAX_OWED * 1_000);
        self.before_last = std::mem::replace(&mut self.last, committed.clone());
        (self.everything, self.fresh, self.is_first_of_round) = (everything, fresh, true);
    }

    /// The next records to look at in this round.
    pub(crate) fn next(&mut self, chance: &mut impl FnMut() -> u64) -> Option<Span> {
        let least = if self.is_first_of_round { IDLE_RECORDS } else { 0 };
        self.is_first_of_round = false;
        let most = (self.owed / 1_000).max(least).min(SPAN_RECORDS);
        let is_fresh = !self.fresh.is_empty() && chance().is_multiple_of(2);
        let windows = if is_fresh { &self.fresh } else { &self.everything };
        let window = pick(windows, chance())?;
        let length = most.min(window.records());
        let start = window.start + (chance() % (window.records() - length + 1)) as i64;
        (length > 0).then_some(Span { start, end: start + length as i64, ..window })
    }

    /// So many offsets were passed. They are what is owed: not all of them need to be records, where transactions
    /// leave marks or a log is compacted.
    pub(crate) fn charge(&mut self, passed: u64) {
        self.owed = self.owed.saturating_sub(passed.max(1) * 1_000);
    }
}

/// One of the windows, a longer one more often.
fn pick(windows: &[Span], chance: u64) -> Option<Span> {
    let mut at = chance.checked_rem(windows.iter().map(Span::records).sum())?;
    windows.iter().copied().find(|window| {
        let is_inside = at < window.records();
        at = at.saturating_sub(window.records());
        is_inside
    })
}

#[cfg(test)]
mod tests;
