//! Which points are run: some of all modes at every change, all of them, or one alone.

use super::mode::Mode;

/// `all/SEED`, or a point as a failure tells it: `SCENARIO/CHANGE/MODE/SEED`.
pub(super) const VARIABLE: &str = "MILLRACE_PERTURB";

/// The seed where none is asked for: a test fails or passes as it did before.
const SEED: u64 = 1;
/// One in this many points is chosen.
const SHARE: u64 = 9;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Choice {
    Some { seed: u64 },
    All { seed: u64 },
    One { scenario: String, change: usize, mode: String, seed: u64 },
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

    pub(super) fn has(&self, scenario: &str, change: usize, mode: Mode) -> bool {
        match self {
            Self::Some { seed } => Dice::of(*seed, scenario, change, mode).roll().is_multiple_of(SHARE),
            Self::All { .. } => true,
            Self::One { scenario: asked, change: at, mode: way, .. } => {
                asked == scenario && *at == change && *way == format!("{mode:?}")
            }
        }
    }

    fn parse(text: &str) -> Self {
        match text.split('/').collect::<Vec<_>>()[..] {
            [scenario, change, mode, seed] => Self::One {
                scenario: scenario.to_owned(),
                change: change.parse().unwrap(),
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

/// Numbers that follow from a seed and a point alone, so that a point does the same by itself. The steps are those of
/// <https://prng.di.unimi.it/splitmix64.c>.
#[derive(Debug, Clone)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn of(seed: u64, scenario: &str, change: usize, mode: Mode) -> Self {
        let point = format!("{scenario}/{change}/{mode:?}");
        Self(point.bytes().fold(seed, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into())))
    }

    pub(super) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn choose<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        let length = u64::try_from(from.len()).unwrap();
        &from[usize::try_from(self.roll() % length).unwrap()]
    }
}

#[test]
fn a_point_that_is_told_is_the_one_that_runs() {
    let choice = Choice::parse("a scenario/12/CrashAfter/7");
    assert!(choice.has("a scenario", 12, Mode::CrashAfter) && choice.seed() == 7);
    assert!(!choice.has("a scenario", 12, Mode::CrashBefore) && !choice.has("another", 12, Mode::CrashAfter));
}
