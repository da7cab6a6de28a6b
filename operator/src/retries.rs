//! When to look at an object again: after a failure ever later, and from time to time although all is well.
//!
//! kube's error policy has no growing delay of its own, so failures in a row are counted per object here.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// After the first failure.
const FIRST: Duration = Duration::from_secs(1);
/// After many: a backend that is away for an hour is found again within minutes.
const LONGEST: Duration = Duration::from_secs(5 * 60);
/// Kafka and ClickHouse cannot be watched; what somebody changed there is found within this time.
const RECHECK: Duration = Duration::from_secs(5 * 60);
/// While something is missing that no watch tells of.
const SOON: Duration = Duration::from_secs(10);
/// While something of the same name belongs to somebody else.
const CONFLICT: Duration = Duration::from_secs(60);
/// Delays are spread by this part of themselves, so that objects do not come back all at once.
const SPREAD: f64 = 0.2;

/// The failures in a row of each object, by its UID.
#[derive(Debug, Default)]
pub(crate) struct Retries {
    failures: Mutex<HashMap<String, u32>>,
}

impl Retries {
    /// Counts a failure and says how long to wait after it.
    pub(crate) fn failed(&self, uid: &str) -> Duration {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let count = failures.entry(uid.to_owned()).or_insert(0);
        let delay = after(*count);
        *count = count.saturating_add(1);
        spread(delay, rand::random())
    }

    /// Forgets the failures of an object that works, or is gone.
    pub(crate) fn forget(&self, uid: &str) {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
    }
}

/// Until the periodic look.
pub(crate) fn recheck() -> Duration {
    spread(RECHECK, rand::random())
}

/// Until the next look while something is missing.
pub(crate) fn soon() -> Duration {
    spread(SOON, rand::random())
}

/// Until the next look at a name that belongs to somebody else.
pub(crate) fn conflict() -> Duration {
    spread(CONFLICT, rand::random())
}

/// The longest delay, for failures that waiting does not mend.
pub(crate) fn longest() -> Duration {
    spread(LONGEST, rand::random())
}

fn after(failures: u32) -> Duration {
    FIRST.saturating_mul(2_u32.saturating_pow(failures)).min(LONGEST)
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
    fn delays_double_from_a_second_to_five_minutes() {
        let delays: Vec<u64> = (0..12).map(|failures| after(failures).as_secs()).collect();
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

    proptest! {
        #[test]
        fn a_spread_delay_is_never_longer_and_not_much_shorter(failures: u32, chance in 0.0..=1.0) {
            let (delay, spread) = (after(failures), spread(after(failures), chance));
            prop_assert!(spread <= delay && spread >= delay.mul_f64(0.79));
        }
    }
}
