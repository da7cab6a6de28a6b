//! What happens at a change.

use crate::testing::Fault;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// The operator dies before the change, and starts again.
    CrashBefore,
    /// The operator dies after the change and before it hears of it, and starts again.
    CrashAfter,
    /// The change is refused once.
    Refused,
    /// The change is made, and nobody hears of it.
    AnswerLost,
    /// Somebody touches the object just before.
    Touched,
    /// After a crash, caches show older versions of everything.
    LateCache,
    /// After a crash, caches show namesakes that are gone, and that were to take their data with them.
    Namesake,
    /// Another operator does all there is to do between the decision and the change.
    OvertakenBefore,
    /// Another operator does all there is to do after the change, before the next one.
    OvertakenAfter,
}

pub(super) const ALL: [Mode; 9] = [
    Mode::CrashBefore,
    Mode::CrashAfter,
    Mode::Refused,
    Mode::AnswerLost,
    Mode::Touched,
    Mode::LateCache,
    Mode::Namesake,
    Mode::OvertakenBefore,
    Mode::OvertakenAfter,
];

impl Mode {
    pub(super) fn fault(self) -> Fault {
        match self {
            Self::CrashBefore => Fault::CrashBefore,
            Self::CrashAfter | Self::LateCache | Self::Namesake => Fault::CrashAfter,
            Self::Refused => Fault::Refused,
            Self::AnswerLost => Fault::AnswerLost,
            Self::Touched => Fault::Touched,
            Self::OvertakenBefore => Fault::PauseBefore,
            Self::OvertakenAfter => Fault::PauseAfter,
        }
    }

    /// Whether it can happen at the change of this line. Only an object that is there can be touched.
    pub(super) fn is_possible_at(self, line: &str) -> bool {
        let changes_an_object = line
            .split_once(' ')
            .is_some_and(|(verb, key)| ["APPLY", "MERGE", "DELETE"].contains(&verb) && key.contains('/'));
        match self {
            Self::Touched => changes_an_object,
            Self::CrashBefore
            | Self::CrashAfter
            | Self::Refused
            | Self::AnswerLost
            | Self::LateCache
            | Self::Namesake
            | Self::OvertakenBefore
            | Self::OvertakenAfter => true,
        }
    }
}
