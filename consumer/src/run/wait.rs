//! How long the loop waits for a message. Pure.

use std::time::Duration;

/// How long the loop waits for a message while nothing else is to be done.
pub(super) const IDLE_WAIT: Duration = Duration::from_millis(100);
/// The same while an insert runs, whose end is then noticed soon.
pub(super) const BUSY_WAIT: Duration = Duration::from_millis(5);
/// An insert that runs for longer than this ends later than soon.
const SOON: Duration = Duration::from_secs(1);

/// What the wait for a message depends on.
pub(super) struct Waits {
    /// Another batch may be stored.
    pub(super) is_room: bool,
    pub(super) is_paused: bool,
    /// How long the oldest batch on its way is being stored.
    pub(super) longest_stored: Option<Duration>,
    /// Until the batch that is being filled is due.
    pub(super) time_left: Option<Duration>,
}

impl Waits {
    /// How long the loop may wait for a message without coming late to anything. A batch that is due and finds no
    /// room waits for the one before it, not for the clock.
    pub(super) fn longest(&self) -> Duration {
        let is_end_near = !self.is_paused && self.longest_stored.is_some_and(|stored| stored < SOON);
        let most = if is_end_near { BUSY_WAIT } else { IDLE_WAIT };
        self.time_left.filter(|_| self.is_room).map_or(most, |left| left.min(most))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loop_waits_for_what_comes_next_and_never_spins() {
        let ms = Duration::from_millis;
        let wait = |is_room, is_paused, longest_stored, time_left| {
            Waits { is_room, is_paused, longest_stored, time_left }.longest()
        };
        assert_eq!(wait(true, false, None, None), IDLE_WAIT, "nothing is there");
        assert_eq!(wait(true, false, None, Some(ms(30))), ms(30), "a batch is due soon");
        assert_eq!(wait(true, false, None, Some(ms(900))), IDLE_WAIT, "a batch is due later");
        assert_eq!(wait(false, false, Some(ms(40)), Some(ms(0))), BUSY_WAIT, "due, behind an insert");
        assert_eq!(wait(false, false, Some(ms(40_000)), Some(ms(0))), IDLE_WAIT, "due, behind a slow insert");
        assert_eq!(wait(false, true, Some(ms(40)), Some(ms(0))), IDLE_WAIT, "paused");
    }
}
