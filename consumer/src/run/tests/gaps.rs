//! Gaps in the offsets of partitions that go.

use super::*;
use crate::{counted::Counted, metrics as names, run::gaps::Gap};

/// A loop of a topic of which retention removed the first records of partition 0, and the offset where its log starts.
fn after_retention(fixture: &Fixture) -> (Alone, i64) {
    // The brokers of the test keep five megabytes of a partition.
    for _ in 0..8 {
        fixture.produce(0, &"x".repeat(900_000), "acme");
    }
    let alone = Alone::of(fixture);
    let start = alone.consumer.source.log_ranges(&[0]).unwrap()[&0].start;
    assert!(start > 0);
    (alone, start)
}

fn gap(partition: i32, expected: i64, offset: i64) -> Gap {
    Gap { partition, expected, offset }
}

#[tokio::test]
async fn the_last_gaps_are_explained_or_given_up_before_the_process_ends() {
    let counted = Counted::default();
    let _guard = metrics::set_default_local_recorder(&counted);
    let fixture = Fixture::make(ClickHouse::answering(&[]).await);
    let (Alone { mut consumer, .. }, start) = after_retention(&fixture);
    consumer.gaps = vec![gap(0, 0, start), gap(1, 0, 1)];
    consumer.explain_last_gaps();
    assert_eq!(counted.counter(names::RECORDS_LOST), u64::try_from(start).unwrap());
    assert!(consumer.gaps.is_empty());

    fixture.cluster.broker_down(1).unwrap();
    consumer.gaps = vec![gap(0, 0, start)];
    consumer.explain_last_gaps();
    assert_eq!(counted.counter(names::RECORDS_LOST), u64::try_from(start).unwrap());
    assert!(consumer.gaps.is_empty());
}

#[tokio::test]
async fn a_release_gives_up_the_gaps_of_its_own_partitions_alone() {
    let counted = Counted::default();
    let _guard = metrics::set_default_local_recorder(&counted);
    let fixture = Fixture::make(ClickHouse::answering(&[]).await);
    let (Alone { mut consumer, .. }, start) = after_retention(&fixture);
    consumer.gaps = vec![gap(0, 0, start), gap(1, 0, 1)];
    consumer.release(&[0]);
    assert_eq!(counted.counter(names::RECORDS_LOST), u64::try_from(start).unwrap());
    assert_eq!(consumer.gaps, [gap(1, 0, 1)]);

    fixture.cluster.broker_down(1).unwrap();
    consumer.gaps.push(gap(0, 0, start));
    consumer.release(&[0]);
    assert_eq!(counted.counter(names::RECORDS_LOST), u64::try_from(start).unwrap());
    assert_eq!(consumer.gaps, [gap(1, 0, 1)]);
}
