//! How many records of a topic a consumer group has not stored yet.
//!
//! A client of its own asks, which bears the group's name and never joins it: the consumers of the group do not notice.
//! Invariant: a record counts as stored only where the group's commit says so; a partition without a commit counts from
//! its first record.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

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
    let committed = asker.committed_offsets(partitions(topic), time.left()).map_err(failed)?;
    let commits = offsets(&committed)?;
    let starts = edge(&asker, topic, Offset::Beginning, &time)?;
    let ends = edge(&asker, topic, Offset::End, &time)?;
    let mut sum = 0_u64;
    for partition in 0..topic.partitions {
        let (Some(&start), Some(&end)) = (starts.get(&partition), ends.get(&partition)) else {
            return Err(AdminError::without_offset(partition));
        };
        sum = sum.saturating_add(behind(commits.get(&partition).copied(), start, end));
    }
    Ok(sum)
}

fn partitions(topic: &Topic) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for partition in 0..topic.partitions {
        list.add_partition(topic.name.as_str(), partition);
    }
    list
}

/// Where the logs of all partitions begin or end. Each of the brokers that lead them is asked once.
fn edge(
    asker: &BaseConsumer<Connection>,
    topic: &Topic,
    edge: Offset,
    time: &Time,
) -> Result<BTreeMap<i32, i64>, AdminError> {
    let mut list = partitions(topic);
    // Kafka takes both words in the place of a time.
    list.set_all_offsets(edge).map_err(failed)?;
    offsets(&asker.offsets_for_times(list, time.left()).map_err(failed)?)
}

/// The offsets of an answer by their partitions. One without is left out: no commit is told as an invalid offset, and
/// the others are words of requests.
fn offsets(answer: &TopicPartitionList) -> Result<BTreeMap<i32, i64>, AdminError> {
    let mut offsets = BTreeMap::new();
    for partition in answer.elements() {
        partition.error().map_err(failed)?;
        match partition.offset() {
            Offset::Offset(offset) => drop(offsets.insert(partition.partition(), offset)),
            Offset::Invalid | Offset::Beginning | Offset::End | Offset::Stored | Offset::OffsetTail(_) => {}
        }
    }
    Ok(offsets)
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
