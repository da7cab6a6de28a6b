//! When to look at an object again: after a failure ever later, and from time to time although all is well.
//!
//! kube's error policy has no growing delay of its own, so failures in a row are counted per object here. Watches grow
//! theirs in the same way.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use jiff::SignedDuration;
use kube::runtime::utils::Backoff;

use crate::conditions::Changes;

/// How long the operator waits, before each delay is spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pace {
    /// After the first failure; each further one in a row doubles it.
    pub(crate) first: Duration,
    /// After many failures of an object.
    pub(crate) longest: Duration,
    /// Until an object is looked at although all is well.
    pub(crate) recheck: Duration,
    /// Until an object is looked at that misses something no watch tells of.
    pub(crate) soon: Duration,
    /// Until a consumer that stores what is left is looked at, or a topic that Kafka did not show: somebody waits for the
    /// end of it.
    pub(crate) draining: Duration,
    /// For how long Kafka does not show a topic until it is gone.
    pub(crate) gone: SignedDuration,
    /// Until an object is looked at whose name belongs to somebody else.
    pub(crate) conflict: Duration,
    /// After many failures of a watch.
    pub(crate) watch: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(1),
            // A backend that is away for an hour is found again within minutes.
            longest: Duration::from_secs(5 * 60),
            recheck: Duration::from_secs(RECHECK_SECONDS.into()),
            soon: Duration::from_secs(10),
            draining: Duration::from_secs(2),
            // A broker learns of a topic within a moment, where it learns of it at all.
            gone: SignedDuration::from_secs(10),
            conflict: Duration::from_secs(60),
            // While a watch is broken, changes of its kind are found by the next look only.
            watch: Duration::from_secs(30),
        }
    }
}

/// Kafka and ClickHouse cannot be watched; what somebody changed there is found within this time.
pub(crate) const RECHECK_SECONDS: u16 = 5 * 60;

/// Failures in a row that may be over a moment later.
const FIRST_FEW: u32 = 3;

/// Delays are spread by this part of themselves, so that objects do not come back all at once.
const SPREAD: f64 = 0.2;

impl Pace {
    /// Until the periodic look.
    pub(crate) fn recheck(&self) -> Duration {
        spread(self.recheck, rand::random())
    }

    /// Until the next look while something is missing.
    pub(crate) fn soon(&self) -> Duration {
        spread(self.soon, rand::random())
    }

    /// Until the next look at a consumer that stores what is left.
    pub(crate) fn draining(&self) -> Duration {
        spread(self.draining, rand::random())
    }

    /// Until the next look at a name that belongs to somebody else.
    pub(crate) fn conflict(&self) -> Duration {
        spread(self.conflict, rand::random())
    }

    /// The longest delay, for failures that waiting does not mend.
    pub(crate) fn longest(&self) -> Duration {
        spread(self.longest, rand::random())
    }

    /// The delay after so many earlier failures, up to the longest.
    fn after(&self, failures: u32, longest: Duration) -> Duration {
        self.first.saturating_mul(2_u32.saturating_pow(failures)).min(longest)
    }
}

/// The failures in a row of each object, by its UID.
#[derive(Debug, Default)]
pub(crate) struct Retries {
    pub(crate) pace: Pace,
    failures: Mutex<HashMap<String, u32>>,
}

impl Retries {
    pub(crate) fn at(pace: Pace) -> Self {
        Self { pace, failures: Mutex::default() }
    }

    /// Counts a failure and says how long to wait after it.
    pub(crate) fn failed(&self, uid: &str) -> Duration {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let count = failures.entry(uid.to_owned()).or_insert(0);
        let delay = self.pace.after(*count, self.pace.longest);
        *count = count.saturating_add(1);
        spread(delay, rand::random())
    }

    /// Whether a change that is met at an object now is one of the first in a row.
    pub(crate) fn changes(&self, uid: &str) -> Changes {
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        match failures.get(uid) {
            Some(count) if *count >= FIRST_FEW => Changes::Last,
            Some(_) | None => Changes::Pass,
        }
    }

    /// Forgets the failures of an object that works, or is gone.
    pub(crate) fn forget(&self, uid: &str) {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
    }
}

/// The delays of one watch, each after a failure of it.
#[derive(Debug)]
pub(crate) struct WatchDelays {
    pace: Pace,
    failures: u32,
}

impl WatchDelays {
    pub(crate) fn at(pace: Pace) -> Self {
        Self { pace, failures: 0 }
    }
}

impl Iterator for WatchDelays {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let delay = self.pace.after(self.failures, self.pace.watch);
        self.failures = self.failures.saturating_add(1);
        Some(spread(delay, rand::random()))
    }
}

impl Backoff for WatchDelays {
    fn reset(&mut self) {
        self.failures = 0;
    }
}

/// Takes away up to [`SPREAD`] of a delay. `chance` is from 0 to 1.
fn spread(delay: Duration, chance: f64) -> Duration {
    delay.mul_f64(1.0 - SPREAD * chance.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rule_25_delays_double_from_a_second_to_five_minutes() {
        let pace = Pace::default();
        let delays: Vec<u64> = (0..12).map(|failures| pace.after(failures, pace.longest).as_secs()).collect();
        assert_eq!(delays, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
    }

    #[test]
    fn an_object_that_works_starts_anew() {
        let retries = Retries::default();
        for _ in 0..10 {
            retries.failed("a");
        }
        assert!(retries.failed("a") > Duration::from_secs(200));
        assert!(retries.failed("b") <= Duration::from_secs(1));
        retries.forget("a");
        assert!(retries.failed("a") <= Duration::from_secs(1));
    }

    #[test]
    fn a_change_passes_until_it_is_the_fourth_failure_in_a_row() {
        let retries = Retries::default();
        for _ in 0..3 {
            assert_eq!(retries.changes("a"), Changes::Pass);
            retries.failed("a");
        }
        assert_eq!((retries.changes("a"), retries.changes("b")), (Changes::Last, Changes::Pass));
    }

    /// A delay may be shorter by a fifth.
    #[test]
    fn a_watch_that_stays_broken_is_asked_for_ever_later_and_anew_at_once_after_it_worked() {
        let mut delays = WatchDelays::at(Pace::default());
        for expected in [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0] {
            let delay = delays.next().unwrap().as_secs_f64();
            assert!(delay <= expected && delay >= expected * 0.79, "{delay} instead of {expected}");
        }
        delays.reset();
        assert!(delays.next().unwrap() <= Duration::from_secs(1));
    }

    proptest! {
        #[test]
        fn a_spread_delay_is_never_longer_and_not_much_shorter(failures: u32, chance in 0.0..=1.0) {
            let pace = Pace::default();
            let delay = pace.after(failures, pace.longest);
            let spread = spread(delay, chance);
            prop_assert!(spread <= delay && spread >= delay.mul_f64(0.79));
        }
    }
}
