//! How many records of a topic a consumer group has not stored yet.
//!
//! A client of its own asks, which bears the group's name and never joins it: the consumers of the group do not notice.
//! Invariant: a record counts as stored only where the group's commit says so; a partition without a commit counts from
//! its first record.

use std::time::{Duration, Instant};

use rdkafka::{
    Offset, TopicPartitionList,
    config::FromClientConfigAndContext as _,
    consumer::{BaseConsumer, Consumer as _},
    error::KafkaError,
    types::RDKafkaErrorCode as Code,
};
use schema::{names::ConsumerGroup, settings::KafkaSettings};

use super::{
    Topic,
    connection::{Connection, client_config},
    error::AdminError,
};

/// Asks as a client of the cluster with these settings. Blocks until all answers are there or the deadline is over.
pub(super) fn unstored(
    settings: &KafkaSettings,
    deadline: Duration,
    topic: &Topic,
    group: &ConsumerGroup,
) -> Result<u64, AdminError> {
    let time = Time::until(deadline);
    let asker = asker(settings, deadline, group)?;
    let name = topic.name.as_str();
    let mut partitions = TopicPartitionList::new();
    for partition in 0..topic.partitions {
        partitions.add_partition(name, partition);
    }
    let committed = asker.committed_offsets(partitions, time.left()).map_err(failed)?;
    let mut sum = 0_u64;
    for partition in committed.elements_for_topic(name) {
        partition.error().map_err(failed)?;
        let commit = match partition.offset() {
            Offset::Offset(next) => Some(next),
            // No commit is told as an invalid offset; the others are words of requests.
            Offset::Invalid | Offset::Beginning | Offset::End | Offset::Stored | Offset::OffsetTail(_) => {
                None
            }
        };
        let (start, end) =
            asker.fetch_watermarks(name, partition.partition(), time.left()).map_err(failed)?;
        sum = sum.saturating_add(behind(commit, start, end));
    }
    Ok(sum)
}

/// The records of one partition that are not stored: those that Kafka deleted are not there to be stored. A log that ends
/// before the commit was cut, and the consumer reads what it has by now from its beginning.
fn behind(commit: Option<i64>, start: i64, end: i64) -> u64 {
    let next = match commit {
        Some(commit) if commit <= end => commit.max(start),
        Some(_) | None => start,
    };
    u64::try_from(end.saturating_sub(next)).unwrap_or(0)
}

fn asker(
    settings: &KafkaSettings,
    deadline: Duration,
    group: &ConsumerGroup,
) -> Result<BaseConsumer<Connection>, AdminError> {
    let mut config = client_config(settings, deadline);
    config.set("group.id", group.as_str()).set("enable.auto.commit", "false");
    BaseConsumer::from_config_and_context(&config, Connection::default())
        .map_err(|error| AdminError::new(Code::InvalidArgument, &error.to_string()))
}

fn failed(error: KafkaError) -> AdminError {
    AdminError::new(error.rdkafka_error_code().unwrap_or(Code::Fail), &error.to_string())
}

/// The time that is left for all questions together.
struct Time {
    ends: Instant,
}

impl Time {
    #[allow(clippy::disallowed_methods, reason = "the deadline of a blocking call is kept here")]
    fn until(deadline: Duration) -> Self {
        Self { ends: Instant::now() + deadline }
    }

    #[allow(clippy::disallowed_methods, reason = "the deadline of a blocking call is kept here")]
    fn left(&self) -> Duration {
        self.ends.saturating_duration_since(Instant::now())
    }
}

#[cfg(test)]
mod tests;
