use schema::names::{TopicId, TopicName};
use uuid::Uuid;

use super::*;
use crate::topics::Topic;

const EVERY_PODS: [Pods; 4] = [Pods::Running, Pods::Idle, Pods::Stopping, Pods::Gone];

/// A Pipeline that was just deleted and whose topics go.
fn fresh() -> Observed {
    Observed {
        ingester: Pods::Running,
        consumer: Pods::Running,
        stake: Stake::Records,
        time: Time::Left,
        policy: Policy::Delete,
        external: External::WaitedFor,
    }
}

fn unstored() -> Unstored {
    let name = TopicName::parse("millrace.acme.web").unwrap();
    let topic = Topic { name, id: TopicId(Uuid::from_u128(1)), partitions: 6, replication_factor: 1 };
    Unstored { topic, records: 5 }
}

/// The count that Kafka gives, or its failure.
type Counted = Result<Option<Unstored>, &'static str>;

const ALL_STORED: Counted = Ok(None);
const AWAY: Counted = Err("away");

fn some_left() -> Counted {
    Ok(Some(unstored()))
}

#[track_caller]
fn check(observed: Observed, expected: Step) {
    assert_eq!(next(&observed), expected, "{observed:?}");
}

#[test]
fn the_consumer_drains_once_the_ingester_is_gone() {
    check(fresh(), Step::Stop(Stop::Ingester));
    check(Observed { ingester: Pods::Idle, ..fresh() }, Step::Stop(Stop::Ingester));
    check(Observed { ingester: Pods::Stopping, ..fresh() }, Step::AwaitPods);
    check(Observed { ingester: Pods::Gone, ..fresh() }, Step::Drain);
}

#[test]
fn topics_come_when_no_pod_is_left() {
    let stopping = Observed { ingester: Pods::Gone, consumer: Pods::Stopping, ..fresh() };
    check(stopping, Step::AwaitPods);
    check(Observed { consumer: Pods::Gone, ..stopping }, Step::SettleTopics);
    for (ingester, consumer) in EVERY_PODS.iter().flat_map(|ingester| EVERY_PODS.map(|c| (*ingester, c))) {
        for stake in [Stake::Records, Stake::Nothing] {
            let step = next(&Observed { ingester, consumer, stake, ..fresh() });
            let are_gone = ingester == Pods::Gone && consumer == Pods::Gone;
            assert_eq!(step == Step::SettleTopics, are_gone, "{ingester:?} {consumer:?} {stake:?}");
        }
    }
}

#[test]
fn nobody_drains_where_there_is_no_consumer_to_do_it() {
    check(Observed { consumer: Pods::Gone, ..fresh() }, Step::Stop(Stop::Ingester));
    check(Observed { consumer: Pods::Stopping, ..fresh() }, Step::Stop(Stop::Ingester));
    check(Observed { consumer: Pods::Idle, ..fresh() }, Step::Stop(Stop::Both));
}

#[test]
fn nobody_drains_where_nothing_can_be_lost() {
    let nothing = Observed { stake: Stake::Nothing, ..fresh() };
    check(nothing, Step::Stop(Stop::Both));
    check(Observed { ingester: Pods::Gone, ..nothing }, Step::Stop(Stop::Consumer));
}

#[test]
fn a_drain_ends_when_all_is_stored_or_its_time_is_over() {
    for policy in [Policy::Retain, Policy::Protect, Policy::Delete] {
        let (left, over) = (Observed { policy, ..fresh() }, Observed { policy, time: Time::Over, ..fresh() });
        assert_eq!(drain(&left, ALL_STORED), Drain::IsOver);
        assert_eq!(drain(&left, some_left()), Drain::GoesOn(Left::Records(unstored())));
        assert_eq!(drain(&over, some_left()), Drain::IsOver);
    }
}

#[test]
fn no_time_excuses_that_kafka_is_away_where_the_topic_is_to_be_deleted() {
    for time in [Time::Left, Time::Over] {
        let deletes = Observed { time, ..fresh() };
        assert_eq!(drain(&deletes, AWAY), Drain::Blocked("away"));
        assert_eq!(drain(&Observed { external: External::Abandoned, ..deletes }, AWAY), Drain::IsOver);
    }
    assert_eq!(fate(Policy::Delete, Some(AWAY)), Fate::Unknown("away"));
}

#[test]
fn kafka_away_holds_a_deletion_that_keeps_for_the_time_of_the_drain() {
    for policy in [Policy::Retain, Policy::Protect] {
        let keeps = Observed { policy, ..fresh() };
        assert_eq!(drain(&keeps, AWAY), Drain::GoesOn(Left::Unknown));
        assert_eq!(drain(&Observed { time: Time::Over, ..keeps }, AWAY), Drain::IsOver);
        assert_eq!(drain(&Observed { external: External::Abandoned, ..keeps }, AWAY), Drain::IsOver);
    }
    assert_eq!(fate(Policy::Retain, Some(AWAY)), Fate::Keep(Left::Unknown));
}

#[test]
fn a_topic_is_deleted_only_where_nothing_is_lost_with_it() {
    let fate = |counted| fate(Policy::Delete, counted);
    assert_eq!(fate(Some(some_left())), Fate::KeepUnstored(unstored()));
    assert_eq!(fate(Some(ALL_STORED)), Fate::Delete);
    assert_eq!(fate(None), Fate::Delete, "nothing is at stake");
}

#[test]
fn a_topic_that_is_kept_is_kept_whatever_is_in_it() {
    let fate = |counted| fate(Policy::Retain, counted);
    assert_eq!(fate(Some(some_left())), Fate::Keep(Left::Records(unstored())));
    assert_eq!(fate(Some(ALL_STORED)), Fate::Keep(Left::Nothing));
    assert_eq!(fate(None), Fate::Keep(Left::Nothing));
}

#[test]
fn a_protected_topic_is_kept_whatever_is_in_it() {
    let fate = |counted| fate(Policy::Protect, counted);
    assert_eq!(fate(Some(some_left())), Fate::KeepProtected(Left::Records(unstored())));
    assert_eq!(fate(Some(ALL_STORED)), Fate::KeepProtected(Left::Nothing));
    assert_eq!(fate(Some(AWAY)), Fate::KeepProtected(Left::Unknown));
    assert_eq!(fate(None), Fate::KeepProtected(Left::Nothing));
}
