//! Medians with their smallest and largest value. Pure.

use serde::Serialize;

/// The middle of some measurements, and how far they lie apart.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// All zero for no measurement at all.
    pub(crate) fn of(measurements: impl IntoIterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = measurements.into_iter().map(rounded).collect();
        sorted.sort_by(f64::total_cmp);
        let at = |index: usize| sorted.get(index).copied().unwrap_or_default();
        let middle = sorted.len() / 2;
        let median = if sorted.len() % 2 == 1 {
            at(middle)
        } else {
            rounded((at(middle.saturating_sub(1)) + at(middle)) / 2.0)
        };
        Self { median, min: at(0), max: at(sorted.len().saturating_sub(1)) }
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{:.2} ({:.2} to {:.2})", self.median, self.min, self.max)
    }
}

/// More than three decimals of a microsecond would pretend a precision that nobody has here.
fn rounded(number: f64) -> f64 {
    (number * 1_000.0).round() / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(measurements: &[f64], median: f64, min: f64, max: f64) {
        assert_eq!(Spread::of(measurements.iter().copied()), Spread { median, min, max });
    }

    #[test]
    fn the_median_of_an_odd_number_is_the_middle() {
        check(&[3.0, 1.0, 2.0], 2.0, 1.0, 3.0);
    }
    #[test]
    fn the_median_of_an_even_number_is_between_the_two_in_the_middle() {
        check(&[4.0, 1.0, 2.0, 3.0], 2.5, 1.0, 4.0);
    }
    #[test]
    fn one_measurement_is_all_three() {
        check(&[1.23456], 1.235, 1.235, 1.235);
    }
    #[test]
    fn nothing_measured_is_zero() {
        check(&[], 0.0, 0.0, 0.0);
    }
}
