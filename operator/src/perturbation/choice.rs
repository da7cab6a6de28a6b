//! Which points are run: some of all modes at every change and read, all of them, or one alone.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};

use super::mode::Mode;

/// `all/SEED`, or a point as a failure tells it: `SCENARIO/PLACE/MODE/SEED`.
pub(super) const VARIABLE: &str = "MILLRACE_PERTURB";

/// The seed where none is asked for: with the same `rand`, a test fails or passes as it did before.
const SEED: u64 = 1;
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Choice {
    Some { seed: u64 },
    All { seed: u64 },
    One { scenario: String, place: usize, mode: String, seed: u64 },
}

impl Choice {
    pub(super) fn seed(&self) -> u64 {
        match self {
            Self::Some { seed } | Self::All { seed } | Self::One { seed, .. } => *seed,
        }
    }

    pub(super) fn is_of_many(&self) -> bool {
        match self {
            Self::Some { .. } | Self::All { .. } => true,
            Self::One { .. } => false,
        }
    }

    pub(super) fn has(&self, scenario: &str, place: usize, mode: Mode) -> bool {
        match self {
            Self::Some { seed } => Dice::of(*seed, scenario, place, mode).hits_one_in(mode.share()),
            Self::All { .. } => true,
            Self::One { scenario: asked, place: at, mode: way, .. } => {
                asked == scenario && *at == place && *way == format!("{mode:?}")
            }
        }
    }

    fn parse(text: &str) -> Self {
        match text.split('/').collect::<Vec<_>>()[..] {
            [scenario, place, mode, seed] => Self::One {
                scenario: scenario.to_owned(),
                place: place.parse().unwrap(),
                mode: mode.to_owned(),
                seed: seed.parse().unwrap(),
            },
            ["all", seed] => Self::All { seed: seed.parse().unwrap() },
            _ => panic!("{VARIABLE} is `{text}`"),
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "a test has no command line")]
pub(super) fn asked_for() -> Choice {
    std::env::var(VARIABLE).map_or(Choice::Some { seed: SEED }, |text| Choice::parse(&text))
}

/// Chances that follow from a seed and a point alone, so that a point does the same by itself.
pub(super) struct Dice(StdRng);

impl Dice {
    pub(super) fn of(seed: u64, scenario: &str, place: usize, mode: Mode) -> Self {
        let mut hash = DefaultHasher::new();
        (seed, scenario, place, format!("{mode:?}")).hash(&mut hash);
        Self(StdRng::seed_from_u64(hash.finish()))
    }

    /// Whether the one of so many chances came.
    pub(super) fn hits_one_in(&mut self, chances: u32) -> bool {
        self.0.random_ratio(1, chances)
    }

    pub(super) fn choose<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        from.choose(&mut self.0).unwrap()
    }
}

#[test]
fn a_point_that_is_told_is_the_one_that_runs() {
    let choice = Choice::parse("a scenario/12/CrashAfter/7");
    assert!(choice.has("a scenario", 12, Mode::CrashAfter) && choice.seed() == 7);
    assert!(!choice.has("a scenario", 12, Mode::CrashBefore) && !choice.has("another", 12, Mode::CrashAfter));
}
