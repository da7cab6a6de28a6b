//! What was sent and what became of it, as the sender knows it.
//!
//! Pure. The reader is asked for exactly these ids, so that nothing it says depends on what the consumer counts.

use std::collections::BTreeMap;

use uuid::Uuid;

/// What the ingester's answer said of one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The ingester has it, acknowledged by Kafka.
    Accepted,
    /// The ingester refused it, with this reason; it is not to be sent again.
    Refused(String),
}

/// Every id that was sent.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    outcomes: BTreeMap<Uuid, Outcome>,
    retries: u64,
}

impl Ledger {
    pub(crate) fn write(&mut self, id: Uuid, outcome: Outcome) {
        self.outcomes.insert(id, outcome);
    }

    /// A request had to be sent again: the service was busy, or its answer did not arrive.
    pub(crate) fn count_retry(&mut self) {
        self.retries += 1;
    }

    pub(crate) fn retries(&self) -> u64 {
        self.retries
    }

    pub(crate) fn sent(&self) -> u64 {
        self.outcomes.len() as u64
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = Uuid> {
        self.outcomes.keys().copied()
    }

    /// How many events were refused, by reason.
    pub(crate) fn refusals(&self) -> BTreeMap<&str, u64> {
        let mut reasons = BTreeMap::new();
        for outcome in self.outcomes.values() {
            match outcome {
                Outcome::Accepted => {}
                Outcome::Refused(reason) => *reasons.entry(reason.as_str()).or_default() += 1,
            }
        }
        reasons
    }

    pub(crate) fn absorb(&mut self, other: Self) {
        self.outcomes.extend(other.outcomes);
        self.retries += other.retries;
    }
}

/// What the view `events` holds of a ledger's ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found {
    /// Rows with one of the ids.
    pub(crate) rows: u64,
    /// Different ids among these rows.
    pub(crate) ids: u64,
}

/// The verdict: what was sent against what is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Balance {
    pub(crate) sent: u64,
    pub(crate) stored: u64,
    pub(crate) missing: u64,
    pub(crate) duplicates: u64,
}

impl Balance {
    pub(crate) fn new(sent: u64, found: Found) -> Self {
        Self {
            sent,
            stored: found.ids,
            missing: sent.saturating_sub(found.ids),
            duplicates: found.rows.saturating_sub(found.ids),
        }
    }

    /// Each event is there once.
    pub(crate) fn is_even(self) -> bool {
        self.stored == self.sent && self.missing == 0 && self.duplicates == 0
    }
}

/// The demo's last line; scripts read it.
impl std::fmt::Display for Balance {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { sent, stored, missing, duplicates } = self;
        write!(formatter, "demo: sent={sent} stored={stored} missing={missing} duplicates={duplicates}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(sent: u64, rows: u64, ids: u64, line: &str, is_even: bool) {
        let balance = Balance::new(sent, Found { rows, ids });
        assert_eq!(balance.to_string(), line);
        assert_eq!(balance.is_even(), is_even);
    }

    #[test]
    fn each_event_once_is_even() {
        check(3, 3, 3, "demo: sent=3 stored=3 missing=0 duplicates=0", true);
    }

    #[test]
    fn an_absent_event_is_missing() {
        check(3, 2, 2, "demo: sent=3 stored=2 missing=1 duplicates=0", false);
    }

    #[test]
    fn a_second_row_of_an_id_is_a_duplicate() {
        check(3, 4, 3, "demo: sent=3 stored=3 missing=0 duplicates=1", false);
    }

    #[test]
    fn a_missing_and_a_double_do_not_cancel_out() {
        check(3, 3, 2, "demo: sent=3 stored=2 missing=1 duplicates=1", false);
    }

    #[test]
    fn refusals_are_counted_by_reason_and_count_as_sent() {
        let mut ledger = Ledger::default();
        ledger.write(Uuid::from_u128(1), Outcome::Accepted);
        ledger.write(Uuid::from_u128(2), Outcome::Refused("too_large".to_owned()));
        ledger.write(Uuid::from_u128(3), Outcome::Refused("too_large".to_owned()));
        assert_eq!(ledger.sent(), 3);
        assert_eq!(ledger.refusals(), BTreeMap::from([("too_large", 2)]));
    }

    #[test]
    fn an_id_that_is_sent_again_counts_once() {
        let mut ledger = Ledger::default();
        ledger.write(Uuid::from_u128(1), Outcome::Accepted);
        let mut again = Ledger::default();
        again.write(Uuid::from_u128(1), Outcome::Accepted);
        again.count_retry();
        ledger.absorb(again);
        assert_eq!((ledger.sent(), ledger.retries()), (1, 1));
    }
}
