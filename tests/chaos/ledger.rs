//! What was sent and what was answered, an entry per event. Events are numbered, and the number is in the id.

use std::sync::{Mutex, MutexGuard, PoisonError};

use harness::ledger::Outcome;
use uuid::Uuid;

/// Events of one name, so that a reader finds them by the first column of the key.
pub(crate) const CHUNK: u64 = 50_000;

/// Every event of this run. An outcome is a byte, since there are millions.
#[derive(Debug)]
pub(crate) struct Ledger {
    /// The upper half of every id, which no other run has.
    run: u64,
    outcomes: Mutex<Vec<Outcome>>,
}

/// How often each outcome was noted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) acknowledged: u64,
    pub(crate) refused: u64,
    pub(crate) unknown: u64,
}

impl Ledger {
    pub(crate) fn new(run: u64) -> Self {
        Self { run, outcomes: Mutex::default() }
    }

    fn outcomes(&self) -> MutexGuard<'_, Vec<Outcome>> {
        self.outcomes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes down that `count` events are about to be sent, and returns the number of the first.
    pub(crate) fn begin(&self, count: u64) -> u64 {
        let mut outcomes = self.outcomes();
        let first = outcomes.len() as u64;
        outcomes.extend((0..count).map(|_| Outcome::Unknown));
        first
    }

    /// Writes an answer down; an acknowledgement is never taken back.
    pub(crate) fn note(&self, number: u64, outcome: Outcome) {
        let Ok(at) = usize::try_from(number) else { return };
        if let Some(known) = self.outcomes().get_mut(at)
            && *known != Outcome::Acknowledged
        {
            *known = outcome;
        }
    }

    pub(crate) fn sent(&self) -> u64 {
        self.outcomes().len() as u64
    }

    pub(crate) fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for outcome in self.outcomes().iter() {
            match outcome {
                Outcome::Acknowledged => totals.acknowledged += 1,
                Outcome::Refused => totals.refused += 1,
                Outcome::Unknown => totals.unknown += 1,
            }
        }
        totals
    }

    /// The outcomes of a chunk.
    pub(crate) fn chunk(&self, chunk: u64) -> Vec<Outcome> {
        let (from, size) = (usize::try_from(chunk * CHUNK), usize::try_from(CHUNK));
        let (Ok(from), Ok(size)) = (from, size) else { return Vec::new() };
        self.outcomes().iter().skip(from).take(size).copied().collect()
    }

    pub(crate) fn chunks(&self) -> u64 {
        self.sent().div_ceil(CHUNK)
    }

    pub(crate) fn id(&self, number: u64) -> Uuid {
        Uuid::from_u64_pair(self.run, number)
    }

    /// The number in an id of this run.
    pub(crate) fn number(&self, id: Uuid) -> Option<u64> {
        let (run, number) = id.as_u64_pair();
        (run == self.run).then_some(number)
    }
}

/// The name of the events of a chunk.
pub(crate) fn name(chunk: u64) -> String {
    format!("chaos-{chunk:06}")
}
