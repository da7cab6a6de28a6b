//! Generated events: the visitors of a shop that sells garden tools, over the last hours.
//!
//! A visit opens the front page and walks on at random: it searches, looks at products,
//! puts some into the cart, and now and then pays.
//! Pure: the same seed, time and number give the same events.

use std::collections::VecDeque;

use jiff::{SignedDuration, Timestamp};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use uuid::Uuid;

use super::event::Event;
use visit::Visit;

mod catalogue;
mod visit;

/// How far back the visits reach: enough hours for a table of hours, few enough to have many events in each.
const HOURS: i64 = 6;

/// Visitors who come back now and then; each has about two visits among 200,000 events.
const VISITORS: u32 = 9_000;

/// An endless shop; whoever iterates takes as many events as he wants.
pub(crate) struct Shop {
    random: StdRng,
    now: Timestamp,
    waiting: VecDeque<Event>,
}

impl Shop {
    /// A run of its own: another seed gives other visits and other ids. No event is later than `now`.
    pub(crate) fn new(seed: u64, now: Timestamp) -> Self {
        Self { random: StdRng::seed_from_u64(seed), now, waiting: VecDeque::new() }
    }

    fn visit(&mut self) -> VecDeque<Event> {
        let visitor = format!("visitor-{:04}", self.random.random_range(0..VISITORS));
        let session = Uuid::from_u128(self.random.random()).to_string();
        let latest = self.now - SignedDuration::from_secs(visit::LONGEST_SECONDS);
        let earlier = SignedDuration::from_millis(self.random.random_range(0..HOURS * 3_600_000));
        Visit::new(visitor, session, whole_millis(latest - earlier)).events(&mut self.random)
    }
}

impl Iterator for Shop {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Some(event);
            }
            self.waiting = self.visit();
        }
    }
}

/// Events keep milliseconds, so that is what is sent.
fn whole_millis(at: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(at.as_millisecond())
        .expect("a time cut to milliseconds stays within the years of its type")
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashSet};

    use super::*;

    const NOW: Timestamp = Timestamp::constant(1_795_000_000, 123_456_789);

    fn events(seed: u64) -> Vec<Event> {
        Shop::new(seed, NOW).take(20_000).collect()
    }

    fn as_json(events: &[Event]) -> Vec<String> {
        events.iter().map(|event| serde_json::to_string(event).unwrap()).collect()
    }

    #[test]
    fn a_seed_gives_the_same_events_again() {
        assert_eq!(as_json(&events(1)[..500]), as_json(&events(1)[..500]));
    }

    #[test]
    fn two_seeds_share_no_id() {
        let first: HashSet<Uuid> = events(1).iter().map(|event| event.id).collect();
        assert_eq!(first.len(), 20_000);
        assert!(events(2).iter().all(|event| !first.contains(&event.id)));
    }

    #[test]
    fn all_times_are_within_the_last_hours() {
        let oldest =
            NOW - SignedDuration::from_hours(HOURS) - SignedDuration::from_secs(visit::LONGEST_SECONDS + 1);
        assert!(events(3).iter().all(|event| oldest < event.at && event.at <= NOW));
    }

    #[test]
    fn a_visit_starts_with_a_page_and_its_times_grow() {
        let mut last = BTreeMap::new();
        for event in events(4) {
            match last.insert(event.session.clone(), event.at) {
                None => assert_eq!(event.name, "page_view"),
                Some(before) => assert!(before < event.at),
            }
        }
    }

    #[test]
    fn fewer_buy_than_fill_a_cart_and_fewer_fill_one_than_look() {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for event in events(5) {
            *counts.entry(event.name).or_default() += 1;
        }
        let funnel = ["page_view", "add_to_cart", "checkout", "purchase"].map(|name| counts[name]);
        assert!(funnel.is_sorted_by(|more, fewer| more > fewer), "{counts:?}");
        assert!(funnel[3] > 100, "{counts:?}");
        assert!(counts.contains_key("search"));
    }

    #[test]
    fn a_visit_reads_like_one() {
        let events = events(6);
        let session = events.iter().find(|event| event.name == "purchase").unwrap().session.clone();
        let visit: Vec<Event> = events.into_iter().filter(|event| event.session == session).collect();
        insta::assert_snapshot!(as_json(&visit).join("\n"));
    }
}
