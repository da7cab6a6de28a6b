//! Partitions that librdkafka does not take.

use super::*;
use crate::protocol::Start;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_whose_partitions_are_not_taken_is_not_ready_and_ends() {
    let fixture = Fixture::make(ClickHouse::answering(&[]).await);
    let Alone { mut consumer, health, .. } = Alone::of(&fixture);
    // The same partition twice is nothing that librdkafka takes.
    let outcome = consumer.accept(&[(0, Start::Earliest), (0, Start::Earliest)]);
    assert!(outcome.is_err_and(|cause| cause.to_string() == "failed to accept partitions"));
    assert_eq!(health.missing(), ["group"]);
}
