//! Events that `events` did not show, until it is known why. Pure.
//!
//! Only a dead letter excuses such an event, and who can write many of those can keep the audit from reading them
//! all. So an event stays here until the letters were read, and counts as missing if they never are.

use std::collections::BTreeMap;

use crate::{audit::wanted::Wanted, columns::Origin};

/// Events that are held. More than that is damage that nobody needs to be told of one by one.
const MAX_HELD: usize = 4_000;
/// How often the letters may stay unread before an event counts as missing all the same.
const MAX_FAILURES: u32 = 3;

/// Events that were not there when they were looked up.
#[derive(Debug, Default)]
pub(crate) struct Suspects {
    held: BTreeMap<Origin, Suspect>,
}

#[derive(Debug)]
struct Suspect {
    event: Wanted,
    /// How often the letters could not be read since.
    failures: u32,
}

impl Suspects {
    /// These were not there; says whether one of them was not held before. What is beyond the bound is left out.
    pub(crate) fn add(&mut self, events: Vec<Wanted>) -> bool {
        let before = self.held.len();
        for event in events {
            if self.held.len() < MAX_HELD {
                self.held.entry(event.origin).or_insert(Suspect { event, failures: 0 });
            }
        }
        self.held.len() > before
    }

    /// All that are held.
    pub(crate) fn all(&self) -> Vec<Wanted> {
        self.held.values().map(|suspect| suspect.event.clone()).collect()
    }

    /// Something excuses all but these.
    pub(crate) fn keep(&mut self, events: &[Wanted]) {
        let mut held = std::mem::take(&mut self.held);
        let kept = events.iter().filter_map(|event| held.remove_entry(&event.origin));
        self.held = kept.collect();
    }

    /// The letters were read: nothing excuses those that are held.
    pub(crate) fn convict(&mut self) -> Vec<Wanted> {
        std::mem::take(&mut self.held).into_values().map(|suspect| suspect.event).collect()
    }

    /// The letters could not be read: takes out those for which that was so too often.
    pub(crate) fn give_up(&mut self) -> Vec<Wanted> {
        self.held.values_mut().for_each(|suspect| suspect.failures += 1);
        let given_up = self.held.extract_if(.., |_, suspect| suspect.failures >= MAX_FAILURES);
        given_up.map(|(_, suspect)| suspect.event).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::wanted::tests::wanted;

    fn places(events: &[Wanted]) -> Vec<i64> {
        events.iter().map(|event| event.origin.offset).collect()
    }

    fn event(offset: i64) -> Wanted {
        wanted(0, offset, 0, 0)
    }

    #[test]
    fn an_event_whose_letters_are_never_read_is_given_up_after_a_few_rounds() {
        let mut suspects = Suspects::default();
        assert!(suspects.add(vec![event(1)]));
        assert_eq!(suspects.give_up(), []);
        // It is found missing again, which does not begin anew.
        assert!(!suspects.add(vec![event(1)]));
        assert!(suspects.add(vec![event(1), event(2)]));
        assert_eq!(suspects.give_up(), []);
        assert_eq!(places(&suspects.give_up()), [1]);
        assert_eq!(places(&suspects.all()), [2]);
        assert_eq!(places(&suspects.give_up()), [2]);
        assert_eq!(suspects.all(), []);
    }

    #[test]
    fn what_something_excuses_is_held_no_longer() {
        let mut suspects = Suspects::default();
        suspects.add((1..=4).map(event).collect());
        assert_eq!(suspects.give_up(), []);
        suspects.keep(&[event(2), event(4), event(9)]);
        assert_eq!(places(&suspects.all()), [2, 4]);
        assert_eq!(suspects.give_up(), []);
        assert_eq!(places(&suspects.give_up()), [2, 4]);
        suspects.add(vec![event(7)]);
        assert_eq!(places(&suspects.convict()), [7]);
        assert_eq!(suspects.all(), []);
    }

    #[test]
    fn the_events_that_are_held_are_bounded() {
        let mut suspects = Suspects::default();
        suspects.add((0..2 * MAX_HELD as i64).map(event).collect());
        assert!(!suspects.add(vec![event(-1)]));
        assert_eq!(suspects.all().len(), MAX_HELD);
    }
}
