//! How long a tenant's events stay readable.

use serde::{Deserialize, Serialize};

/// A retention of at least one hour, counted from the time an event was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retention {
    hours: u32,
}

/// A retention of zero or above [`Retention::MAX_HOURS`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a retention is between 1 hour and 18250 days, this one is {hours} hours")]
pub struct RetentionError {
    hours: u64,
}

impl Retention {
    /// Fifty years. A TTL is a `DateTime`, which ends in 2106: a later end wraps round to 1970 and the next
    /// merge deletes events that just arrived.
    pub const MAX_HOURS: u32 = 18_250 * 24;

    /// Where nobody says anything else: 90 days.
    pub const DEFAULT: Self = Self { hours: 90 * 24 };

    /// # Errors
    /// When the number is zero or above [`Retention::MAX_HOURS`].
    pub fn from_hours(hours: u64) -> Result<Self, RetentionError> {
        match u32::try_from(hours) {
            Ok(hours @ 1..=Self::MAX_HOURS) => Ok(Self { hours }),
            Ok(_) | Err(_) => Err(RetentionError { hours }),
        }
    }

    /// # Errors
    /// As [`Retention::from_hours`].
    pub fn from_days(days: u64) -> Result<Self, RetentionError> {
        Self::from_hours(days.saturating_mul(24))
    }

    /// The retention in hours.
    #[must_use]
    pub fn hours(self) -> u32 {
        self.hours
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_is_refused() {
        assert_eq!(Retention::from_hours(0), Err(RetentionError { hours: 0 }));
    }

    #[test]
    fn a_day_is_twenty_four_hours() {
        assert_eq!(Retention::from_days(1).unwrap().hours(), 24);
    }

    #[test]
    fn more_than_fifty_years_are_refused() {
        assert!(Retention::from_days(18_251).is_err());
        assert!(Retention::from_days(u64::MAX).is_err());
    }
}
