//! What happens at a change or at a read.

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
    /// A read is not answered. One that hangs ends in the same way, at its deadline.
    ReadFailed,
}

/// What a fault strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    Change(Fault),
    Read,
}

pub(super) const ALL: [Mode; 10] = [
    Mode::CrashBefore,
    Mode::CrashAfter,
    Mode::Refused,
    Mode::AnswerLost,
    Mode::Touched,
    Mode::LateCache,
    Mode::Namesake,
    Mode::OvertakenBefore,
    Mode::OvertakenAfter,
    Mode::ReadFailed,
];

impl Mode {
    pub(super) fn target(self) -> Target {
        match self {
            Self::CrashBefore => Target::Change(Fault::CrashBefore),
            Self::CrashAfter | Self::LateCache | Self::Namesake => Target::Change(Fault::CrashAfter),
            Self::Refused => Target::Change(Fault::Refused),
            Self::AnswerLost => Target::Change(Fault::AnswerLost),
            Self::Touched => Target::Change(Fault::Touched),
            Self::OvertakenBefore => Target::Change(Fault::PauseBefore),
            Self::OvertakenAfter => Target::Change(Fault::PauseAfter),
            Self::ReadFailed => Target::Read,
        }
    }

    /// One in this many points is chosen where some are. Reads are many and alike.
    pub(super) fn share(self) -> u32 {
        match self.target() {
            Target::Change(_) => 9,
            Target::Read => 150,
        }
    }

    /// Whether it can happen at the change or read of this line. Only an object that is there can be touched.
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
            | Self::OvertakenAfter
            | Self::ReadFailed => true,
        }
    }
}
