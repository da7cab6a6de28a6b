//! The error policy: what is done after an insert failed, and when. Pure; chance is a parameter.
//!
//! Nothing is ever skipped: every class but one ends in the same rows being inserted again, and that one ends
//! in the dead-letter topic.

use std::time::Duration;

use crate::answer::Failure;

/// What a failure asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// Doubt, or something that passes: insert the same rows again, for ever.
    Again,
    /// A refusal whose code says neither that it passes nor that a value is wrong: again, and if it stays the table is
    /// looked at. One that somebody extended may refuse rows with any code; otherwise somebody must act.
    Unlisted,
    /// An answer that looks like a success and does not say of how many rows: each attempt may store a copy. Again, and
    /// if it stays somebody must act.
    Unproven,
    /// The server is behind with its merges or its disk: again, slower.
    Slower,
    /// The block is too large for the server's memory: halve it, and go slower when it is small enough.
    Smaller,
    /// A right, a table or a database is missing. The data is fine, so somebody must act: again each minute.
    Configuration,
    /// The table does not have our columns. As [`Class::Configuration`].
    Schema,
    /// Some row is refused for a value: find it by halving. If it is also refused alone, and the table is as rows
    /// are made for it, it is a dead letter.
    Poison,
}

impl Class {
    pub(crate) const ALL: [Self; 8] = [
        Self::Again,
        Self::Unlisted,
        Self::Unproven,
        Self::Slower,
        Self::Smaller,
        Self::Configuration,
        Self::Schema,
        Self::Poison,
    ];

    /// A label for metrics and logs.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Again => "again",
            Self::Unlisted => "unlisted",
            Self::Unproven => "unproven",
            Self::Slower => "slower",
            Self::Smaller => "smaller",
            Self::Configuration => "configuration",
            Self::Schema => "schema",
            Self::Poison => "poison",
        }
    }

    /// Whether nothing goes on until somebody acts, after so many failures of the class in a row.
    pub(crate) fn needs_action(self, in_a_row: u32) -> bool {
        match self {
            Self::Again | Self::Slower | Self::Smaller | Self::Poison => false,
            Self::Unlisted | Self::Unproven => in_a_row >= PATIENCE,
            Self::Configuration | Self::Schema => true,
        }
    }
}

/// What happens so often in a row does not pass by itself.
pub(crate) const PATIENCE: u32 = 3;

/// The failures of attempts at the same rows.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    /// All of them.
    pub(crate) count: u32,
    /// The last ones that were of one class.
    pub(crate) in_a_row: u32,
    class: Option<Class>,
}

impl Failures {
    /// Counts one more, and says of what class it was.
    pub(crate) fn add(&mut self, class: Class) -> Class {
        self.count += 1;
        self.in_a_row = if self.class == Some(class) { self.in_a_row + 1 } else { 1 };
        self.class = Some(class);
        class
    }
}

/// The class of a failure.
pub(crate) fn classify(failure: &Failure) -> Class {
    match failure {
        Failure::Refused { code, .. } => class_of_code(*code),
        // A proxy's way to say that we may not, or that nothing is there.
        Failure::Status { status: 401 | 403 | 404 } => Class::Configuration,
        Failure::NoSummary => Class::Unproven,
        Failure::Status { .. }
        | Failure::Exception
        | Failure::FewerRows { .. }
        | Failure::Deadline { .. }
        | Failure::Connect { .. }
        | Failure::Send { .. }
        | Failure::TooLong { .. }
        | Failure::Unexpected
        | Failure::Read { .. } => Class::Again,
    }
}

/// The class of ClickHouse's code (`src/Common/ErrorCodes.cpp` in its repository). A code that is not known
/// here is not taken for poison by itself: that could dead-letter good rows.
fn class_of_code(code: u32) -> Class {
    match code {
        // Too many parts; not enough space; a disk that fails (std::exception).
        252 | 243 | 1001 => Class::Slower,
        // Memory limit exceeded.
        241 => Class::Smaller,
        // Unknown table; unknown database; read-only; unknown user; wrong password; access denied;
        // required password; authentication failed.
        60 | 81 | 164 | 192 | 193 | 194 | 497 | 516 => Class::Configuration,
        // No such column; unknown identifier; unknown setting; number of columns; duplicate column; unknown type.
        16 | 47 | 115 | 7 | 15 | 50 => Class::Schema,
        // Cannot parse text, input, date, number, UUID, IPv4, IPv6; type mismatch; argument out of bound; cannot
        // convert type; too large size; incorrect data; value out of range of data type; division by zero;
        // unexpected value for an Enum; cannot insert NULL; decimal overflow; throwIf; violated constraint.
        6 | 27 | 38 | 41 | 53 | 69 | 70 | 72 | 117 | 131 | 153 | 321 | 349 | 376 | 395 | 407 | 469 | 675
        | 676 | 691 => Class::Poison,
        // A body that was cut on its way (3, 32, 33), since ours is always whole; files, sockets and other servers that
        // fail; time, quotas and numbers of queries; the same query still runs; a table that is dropped or read-only;
        // Keeper and replicas; an insert of unknown status; cancelled; system error; a deadlock that was avoided, such as
        // with an ALTER; storage of objects; an overloaded server; exceptions of libraries, and of nobody knows what.
        3 | 32 | 33 | 74 | 75 | 76 | 95 | 96 | 159 | 173 | 198 | 201 | 202 | 203 | 204 | 209 | 210 | 216
        | 218 | 225 | 236 | 242 | 244 | 254 | 279 | 285 | 286 | 289 | 319 | 364 | 384 | 394 | 410 | 415
        | 416 | 425 | 439 | 473 | 499 | 745 | 999 | 1000 | 1002 => Class::Again,
        _unlisted => Class::Unlisted,
    }
}

/// Whether rows may be in the table after an attempt at them that failed so.
pub(crate) fn leaves_doubt(failure: &Failure) -> bool {
    match failure {
        // Timeout exceeded; socket timeout; network error; unknown status of insert; cancelled. What is not listed may
        // come from behind the table, such as from a view, when the rows are in it; so may a deadlock and the exceptions
        // of libraries and of nobody knows what.
        Failure::Refused { code: 159 | 209 | 210 | 319 | 394 | 473 | 1000 | 1002, .. } => true,
        Failure::Refused { code, .. } => class_of_code(*code) == Class::Unlisted,
        // A proxy that gave up on an answer says so with one of these.
        Failure::Status { status } => *status >= 500,
        Failure::Connect { .. } => false,
        Failure::Exception
        | Failure::FewerRows { .. }
        | Failure::NoSummary
        | Failure::Deadline { .. }
        | Failure::Send { .. }
        | Failure::TooLong { .. }
        | Failure::Unexpected
        | Failure::Read { .. } => true,
    }
}

/// How long to wait, before chance is applied.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// After the first failure; doubled with each further one.
    pub(crate) first: Duration,
    /// After the first failure of a server that is behind.
    pub(crate) first_slower: Duration,
    /// The longest, and what is waited while somebody must act.
    pub(crate) longest: Duration,
    /// How long a batch of which nothing is stored is held, if somebody changed the table, before its rows are taken
    /// for what is wrong.
    pub(crate) hold: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(500),
            first_slower: Duration::from_secs(5),
            longest: Duration::from_secs(60),
            hold: Duration::from_secs(600),
        }
    }
}

impl Pace {
    /// How long to wait after the failure number `failures`, counted from 1. `chance` is between 0 and 1 and
    /// takes up to half of it away, so that consumers do not come back together.
    pub(crate) fn delay(&self, class: Class, failures: u32, chance: f64) -> Duration {
        let doubled = |first: Duration| first.saturating_mul(1 << failures.saturating_sub(1).min(16));
        let whole = match class {
            Class::Again | Class::Unlisted | Class::Unproven | Class::Poison => doubled(self.first),
            Class::Slower | Class::Smaller => doubled(self.first_slower),
            Class::Configuration | Class::Schema => self.longest,
        };
        whole.min(self.longest).mul_f64(1.0 - chance.clamp(0.0, 1.0) / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(codes: &[u32], expected: Class) {
        for code in codes {
            let failure = Failure::Refused { code: *code, name: String::new() };
            assert_eq!(classify(&failure), expected, "code {code}");
        }
    }

    #[test]
    fn what_passes_is_inserted_again() {
        check(
            &[
                3, 159, 202, 203, 209, 210, 216, 225, 236, 242, 285, 319, 394, 425, 473, 745, 999, 1000,
                1002, 32, 33,
            ],
            Class::Again,
        );
    }
    #[test]
    fn a_code_that_is_not_known_is_never_poison() {
        check(&[0, 36, 49, 190, 467, 12_345], Class::Unlisted);
    }
    #[test]
    fn a_server_that_is_behind_is_given_time() {
        check(&[252, 243, 1001], Class::Slower);
    }
    #[test]
    fn too_little_memory_halves_the_block() {
        check(&[241], Class::Smaller);
    }
    #[test]
    fn a_wrong_configuration_waits_for_somebody() {
        check(&[60, 81, 497, 516, 164, 192, 193], Class::Configuration);
        assert_eq!(classify(&Failure::Status { status: 403 }), Class::Configuration);
    }
    #[test]
    fn another_table_waits_for_somebody() {
        check(&[16, 47, 115, 7, 15, 50], Class::Schema);
    }
    #[test]
    fn a_row_that_is_refused_is_looked_for() {
        check(&[6, 27, 38, 41, 53, 69, 70, 72, 117, 131, 321, 349, 395, 469, 691], Class::Poison);
    }
    #[test]
    fn doubt_is_inserted_again() {
        for failure in [
            Failure::Status { status: 502 },
            Failure::Exception,
            Failure::FewerRows { sent: 2, written: 1 },
            Failure::Deadline { deadline: Duration::ZERO },
            Failure::Connect { source: "refused".into() },
            Failure::Send { source: "reset".into() },
            Failure::Read { source: "reset".into() },
            Failure::TooLong { most: 1 },
        ] {
            assert_eq!(classify(&failure), Class::Again, "{failure}");
        }
    }

    #[test]
    fn somebody_is_called_when_what_may_pass_does_not() {
        for class in [Class::Unlisted, Class::Unproven] {
            assert_eq!(
                [1, 2, 3, 200].map(|in_a_row| class.needs_action(in_a_row)),
                [false, false, true, true]
            );
        }
        for class in [Class::Again, Class::Slower, Class::Smaller, Class::Poison] {
            assert!(!class.needs_action(200), "{class:?}");
        }
        assert_eq!(classify(&Failure::NoSummary), Class::Unproven);
    }
    #[test]
    fn failures_in_a_row_are_those_of_one_class() {
        let mut failures = Failures::default();
        for (class, count, in_a_row) in
            [(Class::Again, 1, 1), (Class::Again, 2, 2), (Class::Unlisted, 3, 1), (Class::Unlisted, 4, 2)]
        {
            failures.add(class);
            assert_eq!((failures.count, failures.in_a_row), (count, in_a_row));
        }
    }
    #[test]
    fn only_rows_that_may_have_landed_are_in_doubt() {
        let code = |code| Failure::Refused { code, name: String::new() };
        for doubtful in [
            code(159),
            code(319),
            code(467),
            code(473),
            code(1000),
            Failure::Status { status: 504 },
            Failure::NoSummary,
        ] {
            assert!(leaves_doubt(&doubtful), "{doubtful}");
        }
        for certain in [
            code(252),
            code(202),
            code(745),
            code(6),
            Failure::Status { status: 403 },
            Failure::Connect { source: "refused".into() },
        ] {
            assert!(!leaves_doubt(&certain), "{certain}");
        }
    }

    #[test]
    fn delays_grow_to_a_minute_and_stay_there() {
        let delays =
            |class| [1, 2, 3, 8, 200].map(|failures| Pace::default().delay(class, failures, 0.0).as_millis());
        assert_eq!(delays(Class::Again), [500, 1_000, 2_000, 60_000, 60_000]);
        assert_eq!(delays(Class::Slower), [5_000, 10_000, 20_000, 60_000, 60_000]);
        assert_eq!(delays(Class::Configuration), [60_000; 5]);
    }

    #[test]
    fn chance_takes_up_to_half_of_a_delay() {
        assert_eq!(Pace::default().delay(Class::Again, 1, 1.0), Duration::from_millis(250));
        assert_eq!(Pace::default().delay(Class::Again, 1, 0.5), Duration::from_millis(375));
    }
}
