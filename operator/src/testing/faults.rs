//! What can happen at a change or at a read, and at which one it does.

use super::{State, World, api_server};

/// What happens at a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The operator dies before the change.
    CrashBefore,
    /// The operator dies after the change, before it hears of it.
    CrashAfter,
    /// The change is not made, and the answer is an error that waiting mends.
    Refused,
    /// The change is made, and the answer is an error all the same.
    AnswerLost,
    /// Somebody touches the object just before.
    Touched,
    /// Whoever is about to make the change stands still before it.
    PauseBefore,
    /// Whoever made the change stands still before the next step.
    PauseAfter,
}

/// The fault of a world, if there is to be one.
#[derive(Debug, Clone, Default)]
pub(super) struct Faults {
    next: Option<(usize, Fault)>,
    changes: usize,
    /// The read that fails, if one does.
    failing_read: Option<usize>,
    reads: usize,
    has_struck: bool,
    has_crashed: bool,
    is_pause_due: bool,
}

impl Faults {
    pub(super) fn has_crashed(&self) -> bool {
        self.has_crashed
    }

    /// Counts a change that is about to be made. The fault that strikes first, if there is one.
    pub(super) fn before(&mut self) -> Option<Fault> {
        self.changes += 1;
        let (_, fault) = self.next.filter(|(change, _)| *change == self.changes)?;
        self.has_struck = true;
        Some(fault)
    }

    /// Counts a read, and tells whether it is the one that fails.
    pub(super) fn fails_read(&mut self) -> bool {
        self.reads += 1;
        let fails = self.failing_read == Some(self.reads);
        self.has_struck |= fails;
        fails
    }

    /// After a change. An error is the status that it is answered with instead.
    pub(super) fn after(&mut self) -> Result<(), u16> {
        let Some((_, fault)) = self.next.filter(|(change, _)| *change == self.changes) else { return Ok(()) };
        match fault {
            Fault::CrashAfter => {
                self.has_crashed = true;
                Err(500)
            }
            Fault::AnswerLost => Err(500),
            Fault::PauseAfter => {
                (self.next, self.is_pause_due) = (None, true);
                Ok(())
            }
            Fault::CrashBefore | Fault::Refused | Fault::Touched | Fault::PauseBefore => Ok(()),
        }
    }

    /// Whether whoever makes the next change has to stand still now. Once.
    pub(super) fn take_pause_before(&mut self) -> bool {
        let is_due = self.next == Some((self.changes + 1, Fault::PauseBefore));
        if is_due {
            (self.next, self.has_struck) = (None, true);
        }
        is_due
    }

    /// Whether whoever made the last change has to stand still now. Once.
    pub(super) fn take_pause_after(&mut self) -> bool {
        std::mem::take(&mut self.is_pause_due)
    }
}

/// Lets a fault strike before a change is made. An error is the status that it is answered with instead.
pub(super) fn strike(state: &mut State, line: &str, fault: Fault) -> Result<(), u16> {
    match fault {
        Fault::CrashBefore => {
            state.faults.has_crashed = true;
            Err(500)
        }
        Fault::Refused => Err(500),
        Fault::Touched => {
            let object = line.split(' ').nth(1).and_then(|key| state.objects.get_mut(key));
            object.into_iter().for_each(api_server::touched);
            Ok(())
        }
        Fault::CrashAfter | Fault::AnswerLost | Fault::PauseBefore | Fault::PauseAfter => Ok(()),
    }
}

impl World {
    /// A fault strikes at a change, counted from now with 1.
    pub(crate) fn fail_at(&self, change: usize, fault: Fault) {
        self.state().faults = Faults { next: Some((change, fault)), ..Faults::default() };
    }

    /// A read, counted from now with 1, is not answered.
    pub(crate) fn fail_read_at(&self, read: usize) {
        self.state().faults = Faults { failing_read: Some(read), ..Faults::default() };
    }

    pub(crate) fn has_crashed(&self) -> bool {
        self.state().faults.has_crashed()
    }

    /// Whether the fault struck.
    pub(crate) fn has_struck(&self) -> bool {
        self.state().faults.has_struck
    }

    /// The operator starts again, and no fault strikes any more.
    pub(crate) fn restart(&self) {
        self.state().faults = Faults { has_struck: true, ..Faults::default() };
    }
}
