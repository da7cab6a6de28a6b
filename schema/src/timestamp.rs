//! A point in time as events carry it: milliseconds, in JSON as RFC 3339 in UTC with three decimals.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    millis: i64,
}

/// A text that is not a time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a time is written as ISO 8601, for example 2026-01-31T12:00:00.000Z")]
pub struct TimestampError;

/// Why an event's time is refused. The answer depends on the record alone, so a retry gets the same one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TimeRefused {
    #[error("the time is before the year 2000")]
    TooOld,
    #[error("the time is more than 24 hours after the event was received")]
    TooNew,
}

impl TimeRefused {
    /// A label for metrics and answers.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::TooOld => "timestamp_too_old",
            Self::TooNew => "timestamp_too_new",
        }
    }
}

/// 2000-01-01T00:00:00Z. Earlier times are unset clocks, and each month of them would be a partition of its own.
const OLDEST_MILLIS: i64 = 946_684_800_000;
/// How far a client's clock may be ahead of ours.
const MAX_AHEAD_MILLIS: i64 = 24 * 60 * 60 * 1_000;
/// 9999-12-31T23:59:59.999Z and 0000-01-01T00:00:00Z: what four digits of a year can say.
const LARGEST_MILLIS: i64 = 253_402_300_799_999;
const SMALLEST_MILLIS: i64 = -62_167_219_200_000;

impl Timestamp {
    /// A time from milliseconds since 1970, held within the years 0000 to 9999.
    #[must_use]
    pub fn from_millis(millis: i64) -> Self {
        Self { millis: millis.clamp(SMALLEST_MILLIS, LARGEST_MILLIS) }
    }

    /// Milliseconds since 1970.
    #[must_use]
    pub fn millis(self) -> i64 {
        self.millis
    }

    /// Days since 1970-01-01 in UTC, rounded down.
    #[must_use]
    pub fn day(self) -> i64 {
        self.millis.div_euclid(86_400_000)
    }

    /// Reads ISO 8601: a date and a time, with an offset or without one, which means UTC.
    /// Decimals finer than a millisecond are cut, never rounded, so that a day cannot change.
    ///
    /// # Errors
    /// When the text is not such a time.
    pub fn parse(text: &str) -> Result<Self, TimestampError> {
        if let Some(millis) = millis_of_own_form(text.as_bytes()) {
            return Ok(Self { millis });
        }
        if let Ok(instant) = text.parse::<jiff::Timestamp>() {
            return Ok(Self::from_millis(instant.as_nanosecond().div_euclid(1_000_000) as i64));
        }
        // A civil time of a single form: `2026-01-31` alone would silently become midnight.
        if !text.contains(['T', 't', ' ']) || text.contains('[') {
            return Err(TimestampError);
        }
        let civil: jiff::civil::DateTime = text.parse().map_err(|_| TimestampError)?;
        let instant = civil.to_zoned(jiff::tz::TimeZone::UTC).map_err(|_| TimestampError)?;
        Ok(Self::from_millis(instant.timestamp().as_nanosecond().div_euclid(1_000_000) as i64))
    }

    /// Whether an event of this time is stored, judged against the time its record was received.
    ///
    /// # Errors
    /// When the time is before 2000 or more than 24 hours after `received_at`.
    pub fn check(self, received_at: Self) -> Result<(), TimeRefused> {
        if self.millis < OLDEST_MILLIS {
            return Err(TimeRefused::TooOld);
        }
        if self.millis > received_at.millis.saturating_add(MAX_AHEAD_MILLIS) {
            return Err(TimeRefused::TooNew);
        }
        Ok(())
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil_from_days(self.day());
        let of_day = self.millis.rem_euclid(86_400_000);
        let (hour, minute) = (of_day / 3_600_000, of_day / 60_000 % 60);
        let (second, milli) = (of_day / 1_000 % 60, of_day % 1_000);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
    }
}

/// Year, month and day of a day number since 1970-01-01, in the proleptic Gregorian calendar.
/// Eras of 400 years, years that begin in March: the leap day is the last of its year.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

/// The days from 1970-01-01 to a date, by the same eras.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The milliseconds of a time in the form that is written here, which nearly every time that is read has; none of
/// any other, be it a time or not.
fn millis_of_own_form(text: &[u8]) -> Option<i64> {
    let text: &[u8; 24] = text.try_into().ok()?;
    let punctuation = [text[4], text[7], text[10], text[13], text[16], text[19], text[23]];
    if &punctuation != b"--T::.Z" {
        return None;
    }
    let digits = |range: std::ops::Range<usize>| {
        text[range].iter().try_fold(0_i64, |number, byte| {
            byte.is_ascii_digit().then(|| number * 10 + i64::from(byte - b'0'))
        })
    };
    let (year, month, day) = (digits(0..4)?, digits(5..7)?, digits(8..10)?);
    let (hour, minute, second, milli) = (digits(11..13)?, digits(14..16)?, digits(17..19)?, digits(20..23)?);
    // Days that not every month has and leap seconds are left to the calendar proper.
    let is_plain =
        (1..=12).contains(&month) && (1..=28).contains(&day) && hour < 24 && minute < 60 && second < 60;
    let of_day = ((hour * 60 + minute) * 60 + second) * 1_000 + milli;
    is_plain.then(|| days_from_civil(year, month, day) * 86_400_000 + of_day)
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text)
    }
}

/// Reads a time from a text without keeping the text.
struct Text;

impl de::Visitor<'_> for Text {
    type Value = Timestamp;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a string")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Timestamp, E> {
        Timestamp::parse(text).map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        assert_eq!(Timestamp::parse(text).ok().map(|t| t.to_string()).as_deref(), expected, "{text}");
    }

    #[test]
    fn iso_8601_is_read() {
        for (text, expected) in [
            ("2024-01-01T00:00:00Z", Some("2024-01-01T00:00:00.000Z")),
            ("2024-02-29T23:59:59.9999Z", Some("2024-02-29T23:59:59.999Z")),
            ("2024-01-01T01:00:00+01:00", Some("2024-01-01T00:00:00.000Z")),
            ("2024-01-01 01:00:00", Some("2024-01-01T01:00:00.000Z")),
            ("2024-01-01T01:00:00.5", Some("2024-01-01T01:00:00.500Z")),
            ("1969-12-31T23:59:59.0005Z", Some("1969-12-31T23:59:59.000Z")),
            ("2024-01-01", None),
            ("yesterday", None),
            ("", None),
            ("1704067200", None),
            ("2024-01-01T01:00:00[Europe/Paris]", None),
        ] {
            check(text, expected);
        }
    }

    #[test]
    fn a_time_in_the_own_form_needs_no_calendar() {
        for (text, expected) in [
            ("2026-11-28T23:59:59.999Z", true),
            ("0000-01-01T00:00:00.000Z", true),
            ("2026-11-29T00:00:00.000Z", false),
            ("2026-11-28T24:00:00.000Z", false),
            ("2026-11-28T00:00:60.000Z", false),
            ("2026-13-28T00:00:00.000Z", false),
            ("2026-11-28 00:00:00.000Z", false),
            ("2026-11-28T00:00:00.00ZZ", false),
            ("2026-11-28T00:00:00Z", false),
        ] {
            assert_eq!(millis_of_own_form(text.as_bytes()).is_some(), expected, "{text}");
        }
    }

    #[test]
    fn times_outside_the_window_are_refused() {
        let received = Timestamp::parse("2026-06-01T12:00:00Z").unwrap();
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", Err(TimeRefused::TooOld)),
            ("1999-12-31T23:59:59.999Z", Err(TimeRefused::TooOld)),
            ("2000-01-01T00:00:00Z", Ok(())),
            ("2026-06-02T12:00:00Z", Ok(())),
            ("2026-06-02T12:00:00.001Z", Err(TimeRefused::TooNew)),
            ("2100-01-01T00:00:00Z", Err(TimeRefused::TooNew)),
        ] {
            assert_eq!(Timestamp::parse(text).unwrap().check(received), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(millis in SMALLEST_MILLIS..=LARGEST_MILLIS) {
            let time = Timestamp::from_millis(millis);
            let text = time.to_string();
            prop_assert_eq!(text.len(), 24);
            prop_assert_eq!(Timestamp::parse(&text), Ok(time));
        }

        /// The calendar proper is the witness.
        #[test]
        fn the_own_form_is_read_as_any_other(
            date in (0..=9999_i64, 0..=13_i64, 0..=32_i64),
            time in (0..=24_i64, 0..=60_i64, 0..=61_i64, 0..=999_i64),
        ) {
            let ((year, month, day), (hour, minute, second, milli)) = (date, time);
            let text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z");
            if let Some(millis) = millis_of_own_form(text.as_bytes()) {
                let instant: jiff::Timestamp = text.parse().unwrap();
                prop_assert_eq!(i128::from(millis), instant.as_nanosecond().div_euclid(1_000_000));
            }
        }
    }
}
