//! What a Lease says, and what it comes to say: plain functions.

use std::time::Duration;

use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
    jiff::Timestamp,
};
use tokio::time::Instant;

/// Whose the Lease is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nobody's, or its holder was silent for too long.
    Free,
    Ours,
    /// Somebody else's for this long, if nothing is heard of them.
    Held {
        by: String,
        rest: Duration,
    },
}

/// What was seen last, and since when.
#[derive(Debug, Default)]
pub(super) struct Sight(Option<(LeaseSpec, Instant)>);

impl Sight {
    /// How long the Lease has said the same.
    pub(super) fn silence(&mut self, lease: &Lease, now: Instant) -> Duration {
        let spec = lease.spec.clone().unwrap_or_default();
        match &self.0 {
            Some((seen, since)) if *seen == spec => now.saturating_duration_since(*since),
            Some(_) | None => {
                self.0 = Some((spec, now));
                Duration::ZERO
            }
        }
    }
}

fn holder(lease: &Lease) -> Option<&str> {
    let holder = lease.spec.as_ref()?.holder_identity.as_deref()?;
    (!holder.is_empty()).then_some(holder)
}

pub(super) fn is_held_by(lease: &Lease, identity: &str) -> bool {
    holder(lease) == Some(identity)
}

/// Whose a Lease is that was silent for this long. It lapses after the time that its holder wrote into it.
pub(super) fn standing(lease: &Lease, identity: &str, lapse: Duration, silence: Duration) -> Standing {
    let written = lease.spec.as_ref().and_then(|spec| spec.lease_duration_seconds);
    let lapse = written.and_then(|seconds| seconds.try_into().ok()).map_or(lapse, Duration::from_secs);
    match holder(lease) {
        None => Standing::Free,
        Some(holder) if holder == identity => Standing::Ours,
        Some(_) if silence >= lapse => Standing::Free,
        Some(holder) => Standing::Held { by: holder.to_owned(), rest: lapse - silence },
    }
}

/// The Lease as its holder writes it, be it for the first time or again.
pub(super) fn claimed(mut lease: Lease, identity: &str, lapse: Duration, now: Timestamp) -> Lease {
    let (is_new, is_renewal) = (lease.spec.is_none(), is_held_by(&lease, identity));
    let spec = lease.spec.get_or_insert_default();
    if !is_renewal {
        spec.acquire_time = Some(MicroTime(now));
        let transitions = spec.lease_transitions.unwrap_or(0);
        spec.lease_transitions = Some(if is_new { 0 } else { transitions.saturating_add(1) });
    }
    spec.holder_identity = Some(identity.to_owned());
    spec.lease_duration_seconds = Some(i32::try_from(lapse.as_secs()).unwrap_or(i32::MAX));
    spec.renew_time = Some(MicroTime(now));
    lease
}

/// The Lease without a holder.
pub(super) fn released(mut lease: Lease, now: Timestamp) -> Lease {
    let spec = lease.spec.get_or_insert_default();
    spec.holder_identity = None;
    spec.renew_time = Some(MicroTime(now));
    lease
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAPSE: Duration = Duration::from_secs(30);

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn held_by(identity: &str) -> Lease {
        claimed(Lease::default(), identity, LAPSE, at(100))
    }

    #[test]
    fn whose_a_lease_is_depends_on_its_holder_and_on_how_long_it_was_silent() {
        let mut nobodys = held_by("other");
        nobodys.spec.as_mut().unwrap().holder_identity = Some(String::new());
        let mut without_time = held_by("other");
        without_time.spec.as_mut().unwrap().lease_duration_seconds = None;
        let mut shorter = held_by("other");
        shorter.spec.as_mut().unwrap().lease_duration_seconds = Some(15);
        let held = |rest| Standing::Held { by: "other".to_owned(), rest: Duration::from_secs(rest) };
        let cases = [
            ("never held", Lease::default(), 0, Standing::Free),
            ("given back", released(held_by("other"), at(101)), 0, Standing::Free),
            ("given back by client-go", nobodys, 0, Standing::Free),
            ("ours", held_by("us"), 0, Standing::Ours),
            ("ours and silent", held_by("us"), 99, Standing::Ours),
            ("another's", held_by("other"), 0, held(30)),
            ("another's until the next second", held_by("other"), 29, held(1)),
            ("another's who was silent for its time", held_by("other"), 30, Standing::Free),
            ("another's without a time", without_time, 29, held(1)),
            ("another's with a shorter time", shorter, 15, Standing::Free),
        ];
        for (case, lease, silence, expected) in cases {
            let found = standing(&lease, "us", LAPSE, Duration::from_secs(silence));
            assert_eq!(found, expected, "{case}");
        }
    }

    #[test]
    fn silence_is_measured_from_when_the_last_word_was_seen_whatever_its_time_says() {
        let (mut sight, start) = (Sight::default(), Instant::now());
        let (first, second) = (held_by("other"), claimed(held_by("other"), "other", LAPSE, at(1)));
        let later = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(sight.silence(&first, start), Duration::ZERO);
        assert_eq!(sight.silence(&first, later(20)), Duration::from_secs(20));
        assert_eq!(sight.silence(&second, later(25)), Duration::ZERO, "an earlier time is a word as well");
        assert_eq!(sight.silence(&second, later(26)), Duration::from_secs(1));
    }

    #[test]
    fn a_label_is_no_word_of_the_holder() {
        let (mut sight, start) = (Sight::default(), Instant::now());
        sight.silence(&held_by("other"), start);
        let mut labelled = held_by("other");
        labelled.metadata.labels = Some([("a".to_owned(), "b".to_owned())].into());
        let later = start + Duration::from_secs(9);
        assert_eq!(sight.silence(&labelled, later), Duration::from_secs(9));
    }

    #[test]
    fn transitions_count_the_changes_of_the_holder() {
        let spec = |lease: &Lease| lease.spec.clone().unwrap();
        let first = held_by("one");
        assert_eq!(spec(&first).lease_transitions, Some(0));
        let renewed = claimed(first, "one", LAPSE, at(200));
        assert_eq!(spec(&renewed).lease_transitions, Some(0));
        assert_eq!(spec(&renewed).acquire_time, Some(MicroTime(at(100))));
        assert_eq!(spec(&renewed).renew_time, Some(MicroTime(at(200))));
        let taken = claimed(released(renewed, at(201)), "two", LAPSE, at(300));
        assert_eq!(spec(&taken).lease_transitions, Some(1));
        assert_eq!(spec(&taken).acquire_time, Some(MicroTime(at(300))));
    }
}
