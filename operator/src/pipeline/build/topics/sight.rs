//! Whether a topic that Kafka does not show is gone. Pure.
//!
//! Brokers learn of a topic one after the other, so that one look is not enough: a topic is gone when an earlier look,
//! long enough ago, did not find it either. When that was stands in the status, so that nobody waits for it and it
//! outlives the operator. A look that finds the topic clears it.

use crds::pipeline::TopicStatus;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::super::super::validate::Recorded;
use crate::{conditions, topics::Topic};

/// When Kafka was looked at, and for how long a topic may not be shown before it is gone.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) at: Timestamp,
    pub(crate) patience: SignedDuration,
}

/// What a look says of the recorded incarnation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Sight {
    /// It bears its name, or none is recorded.
    Clear,
    /// It does not, for the first time or since a moment ago.
    Missed { since: Time },
    /// It does not, and did not before.
    Gone,
}

pub(crate) fn of(
    recorded: Recorded,
    status: Option<&TopicStatus>,
    found: Option<&Topic>,
    moment: Moment,
) -> Sight {
    match recorded {
        Recorded::Nothing | Recorded::Intended => return Sight::Clear,
        Recorded::Incarnation(id) if found.is_some_and(|found| found.id == id) => return Sight::Clear,
        Recorded::Incarnation(_) => {}
    }
    let Moment { at, patience } = moment;
    // A time that is yet to come is that of another clock, and says nothing.
    let before = status.and_then(|status| status.missing_since.as_ref()).filter(|since| since.0 <= at);
    match before {
        Some(since) if at.duration_since(since.0) >= patience => Sight::Gone,
        Some(since) => Sight::Missed { since: since.clone() },
        None => Sight::Missed { since: conditions::seconds(at) },
    }
}

#[cfg(test)]
mod tests {
    use schema::names::{TopicId, TopicName};
    use uuid::Uuid;

    use super::*;

    fn second(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn look(recorded: Recorded, missing_since: Option<i64>, found: Option<u128>) -> Sight {
        let status = TopicStatus {
            name: "t".to_owned(),
            id: String::new(),
            partitions: 1,
            missing_since: missing_since.map(|since| Time(second(since))),
        };
        let found = found.map(|id| Topic {
            name: TopicName::parse("t").unwrap(),
            id: TopicId(Uuid::from_u128(id)),
            partitions: 1,
            replication_factor: 1,
        });
        let moment = Moment { at: second(100), patience: SignedDuration::from_secs(10) };
        of(recorded, Some(&status), found.as_ref(), moment)
    }

    #[test]
    fn a_topic_is_gone_when_an_earlier_look_did_not_find_it_either() {
        let ours = Recorded::Incarnation(TopicId(Uuid::from_u128(1)));
        let missed = |since| Sight::Missed { since: Time(second(since)) };
        for found in [None, Some(2)] {
            assert_eq!(look(ours, None, found), missed(100), "the first look");
            assert_eq!(look(ours, Some(91), found), missed(91), "too soon");
            assert_eq!(look(ours, Some(90), found), Sight::Gone);
            assert_eq!(look(ours, Some(-1_000_000), found), Sight::Gone, "the operator was away");
            assert_eq!(look(ours, Some(101), found), missed(100), "of a clock that is ahead");
        }
    }

    #[test]
    fn nothing_is_missed_that_is_there_or_was_never_known() {
        let ours = Recorded::Incarnation(TopicId(Uuid::from_u128(1)));
        assert_eq!(look(ours, Some(0), Some(1)), Sight::Clear);
        for recorded in [Recorded::Nothing, Recorded::Intended] {
            for found in [None, Some(2)] {
                assert_eq!(look(recorded, Some(0), found), Sight::Clear);
            }
        }
    }
}
