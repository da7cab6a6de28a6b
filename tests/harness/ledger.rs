//! What a sender knows of its events, compared with what a reader finds.
//!
//! The classes are those of the guarantee: an acknowledged event is stored once, a refused one never,
//! and one whose answer was lost at most once.

use std::collections::BTreeMap;
use std::fmt;

use uuid::Uuid;

/// What the sender was told of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Acknowledged,
    Refused,
    /// No answer, or one that says to try again.
    Unknown,
}

/// The events of one sender.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    outcomes: BTreeMap<Uuid, Outcome>,
}

/// How the store differs from the ledger.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    pub acknowledged: usize,
    pub stored: usize,
    /// Acknowledged and not stored.
    pub missing: Vec<Uuid>,
    /// Stored more than once.
    pub doubled: Vec<Uuid>,
    /// Stored although it was refused, or never sent.
    pub unexpected: Vec<Uuid>,
}

impl Ledger {
    /// Writes an outcome down. A later answer replaces a lost one and never an acknowledgement:
    /// what was acknowledged once has to be there.
    pub fn note(&mut self, id: Uuid, outcome: Outcome) {
        let known = self.outcomes.entry(id).or_insert(outcome);
        if *known != Outcome::Acknowledged {
            *known = outcome;
        }
    }

    /// Takes over what another sender wrote down.
    pub fn absorb(&mut self, other: Self) {
        for (id, outcome) in other.outcomes {
            self.note(id, outcome);
        }
    }

    /// How many events have this outcome.
    #[must_use]
    pub fn count(&self, outcome: Outcome) -> usize {
        self.outcomes.values().filter(|known| **known == outcome).count()
    }

    /// Compares with how often each id is stored.
    #[must_use]
    pub fn judge(&self, stored: &BTreeMap<Uuid, u64>) -> Verdict {
        let mut verdict = Verdict { stored: stored.len(), ..Verdict::default() };
        for (id, outcome) in &self.outcomes {
            let is_stored = stored.contains_key(id);
            match outcome {
                Outcome::Acknowledged => {
                    verdict.acknowledged += 1;
                    verdict.missing.extend((!is_stored).then_some(*id));
                }
                Outcome::Refused => verdict.unexpected.extend(is_stored.then_some(*id)),
                Outcome::Unknown => {}
            }
        }
        for (id, copies) in stored {
            verdict.doubled.extend((*copies > 1).then_some(*id));
            verdict.unexpected.extend((!self.outcomes.contains_key(id)).then_some(*id));
        }
        verdict
    }
}

impl Verdict {
    /// Nothing is missing, doubled or unexpected.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        self.missing.is_empty() && self.doubled.is_empty() && self.unexpected.is_empty()
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "acknowledged={} stored={} missing={} doubled={} unexpected={}",
            self.acknowledged,
            self.stored,
            self.missing.len(),
            self.doubled.len(),
            self.unexpected.len()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u128) -> Uuid {
        Uuid::from_u128(number)
    }

    #[test]
    fn each_class_has_its_own_rule() {
        let mut ledger = Ledger::default();
        ledger.note(id(1), Outcome::Acknowledged);
        ledger.note(id(2), Outcome::Acknowledged);
        ledger.note(id(3), Outcome::Refused);
        ledger.note(id(4), Outcome::Unknown);
        ledger.note(id(5), Outcome::Unknown);
        let stored = BTreeMap::from([(id(2), 2), (id(3), 1), (id(4), 1), (id(6), 1)]);
        let verdict = ledger.judge(&stored);
        assert_eq!(verdict.missing, [id(1)]);
        assert_eq!(verdict.doubled, [id(2)]);
        assert_eq!(verdict.unexpected, [id(3), id(6)]);
        assert!(!verdict.is_exact());
    }

    #[test]
    fn an_acknowledgement_is_never_taken_back() {
        let mut ledger = Ledger::default();
        ledger.note(id(1), Outcome::Unknown);
        ledger.note(id(1), Outcome::Acknowledged);
        ledger.note(id(1), Outcome::Refused);
        assert_eq!(ledger.judge(&BTreeMap::new()).missing, [id(1)]);
    }
}
