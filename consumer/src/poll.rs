//! The poll step: the consumer's side of Kafka. Messages, changes of the group and commits; no decision.
//!
//! librdkafka tells of a rebalance and waits until the application has assigned or released the partitions.
//! Both happen in the run loop, after the running insert was waited for, and not inside the callback, so that
//! the loop's state needs no lock. Only while the consumer is being closed does the callback release at once.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rdkafka::{
    ClientConfig, ClientContext, Offset, TopicPartitionList,
    config::{FromClientConfigAndContext as _, RDKafkaLogLevel},
    consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext, RebalanceProtocol},
    error::{KafkaError, KafkaResult},
    message::BorrowedMessage,
    statistics::Statistics,
    types::RDKafkaRespErr,
};
use schema::{settings::ConsumerSettings, timestamp::Timestamp};
use tracing::{debug, error, info, warn};

use crate::{
    lag::Told,
    protocol::{LogRange, Position, Start},
};

/// The longest time between two polls before the group takes our partitions away. More than twice the longest
/// insert deadline, although the loop goes on polling while it inserts.
const MAX_POLL_INTERVAL: Duration = Duration::from_secs(300);

/// After this time without a sign of life another process gets our partitions; a commit or a question that is
/// not answered is given up then. Short enough that a stop without Kafka ends within the grace of a pod.
const SESSION_TIMEOUT: Duration = Duration::from_secs(15);

/// Bounds of the bytes that librdkafka fetches ahead. With its defaults an outage of ClickHouse would cost
/// 64 MiB of queue and answers of 50 MiB.
const QUEUED_KIB: usize = 16 * 1024;
const FETCH_BYTES: usize = 4 * 1024 * 1024;
const FETCH_PARTITION_BYTES: usize = 1024 * 1024;

/// A question to the brokers beside the flow of messages is given up after this time.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(5);

/// How often librdkafka asks where the logs end, and tells. Asking costs a request per partition.
const STATISTICS_INTERVAL: Duration = Duration::from_secs(5);

/// What the group told us.
#[derive(Debug)]
pub(crate) enum GroupEvent {
    Assigned(Vec<i32>),
    Revoked(Vec<i32>),
    Failed(String),
}

/// A member of the consumer group.
pub(crate) struct Source {
    consumer: BaseConsumer<Group>,
    topic: String,
}

impl Source {
    /// Joins the group.
    ///
    /// # Errors
    /// When the configuration cannot be used; brokers that are away are no error.
    pub(crate) fn join(settings: &ConsumerSettings) -> KafkaResult<Self> {
        let consumer = BaseConsumer::from_config_and_context(&config(settings), Group::default())?;
        consumer.subscribe(&[settings.topic.as_str()])?;
        Ok(Self { consumer, topic: settings.topic.to_string() })
    }

    /// The next message, or none within the time or when the group has told something.
    pub(crate) fn poll(&self, wait: Duration) -> Option<KafkaResult<BorrowedMessage<'_>>> {
        self.consumer.poll(wait)
    }

    /// The next thing that the group told us.
    pub(crate) fn group_event(&self) -> Option<GroupEvent> {
        self.consumer.context().events().pop_front()
    }

    /// What the logs of our partitions held when librdkafka asked last, once after each time.
    pub(crate) fn new_logs(&self) -> Option<BTreeMap<i32, Told>> {
        self.consumer.context().logs.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Takes partitions that were assigned.
    pub(crate) fn accept(&self, starts: &[(i32, Start)]) -> KafkaResult<()> {
        let mut list = TopicPartitionList::with_capacity(starts.len());
        for (partition, start) in starts {
            let offset = match start {
                Start::At(offset) => Offset::Offset(*offset),
                Start::Earliest => Offset::Beginning,
            };
            list.add_partition_offset(&self.topic, *partition, offset)?;
        }
        match self.consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => self.consumer.incremental_assign(&list),
            RebalanceProtocol::Eager | RebalanceProtocol::None => self.consumer.assign(&list),
        }
    }

    /// Gives partitions back that were revoked.
    pub(crate) fn release(&self, partitions: &[i32]) -> KafkaResult<()> {
        release(&self.consumer, &self.list(partitions))
    }

    /// Whether the partitions were taken away because the group had given us up.
    pub(crate) fn is_lost(&self) -> bool {
        self.consumer.assignment_lost()
    }

    /// What the group has committed of these partitions; those without a commit are left out.
    ///
    /// # Errors
    /// When Kafka does not say it of one of them: that is not the same as no commit.
    pub(crate) fn committed(&self, partitions: &[i32]) -> KafkaResult<BTreeMap<i32, i64>> {
        let committed = self.consumer.committed_offsets(self.list(partitions), QUESTION_TIMEOUT)?;
        committed.elements().iter().try_for_each(|element| element.error())?;
        Ok(offsets(&committed))
    }

    /// The first offset of each partition that Kafka dates at a time or later, none where there is no such record;
    /// partitions of which Kafka does not say are left out.
    pub(crate) fn dated(&self, partitions: &[i32], at: Timestamp) -> KafkaResult<BTreeMap<i32, Option<i64>>> {
        if partitions.is_empty() {
            return Ok(BTreeMap::new());
        }
        let mut list = self.list(partitions);
        list.set_all_offsets(Offset::Offset(at.millis()))?;
        let answer = self.consumer.offsets_for_times(list, QUESTION_TIMEOUT)?;
        let known = answer.elements().into_iter().filter(|element| element.error().is_ok());
        Ok(known.filter_map(|element| Some((element.partition(), dated(element.offset())?))).collect())
    }

    /// What the logs of these partitions hold, asked for all at once; those of which Kafka does not say are left out.
    pub(crate) fn log_ranges(&self, partitions: &[i32]) -> KafkaResult<BTreeMap<i32, LogRange>> {
        if partitions.is_empty() {
            return Ok(BTreeMap::new());
        }
        let starts = self.log_offsets(partitions, Offset::Beginning)?;
        let ends = self.log_offsets(partitions, Offset::End)?;
        let range = |(partition, start)| Some((partition, LogRange { start, end: *ends.get(&partition)? }));
        Ok(starts.into_iter().filter_map(range).collect())
    }

    /// The place of a time stamp holds -2 for the earliest and -1 for the latest offset, as in Kafka's `ListOffsets`.
    fn log_offsets(&self, partitions: &[i32], at: Offset) -> KafkaResult<BTreeMap<i32, i64>> {
        let mut list = self.list(partitions);
        list.set_all_offsets(at)?;
        Ok(offsets(&self.consumer.offsets_for_times(list, QUESTION_TIMEOUT)?))
    }

    /// Commits and waits for the answer, at most about as long as the session lasts. Success means that Kafka took all
    /// of it: librdkafka 2.12 fails a commit of which one partition was refused, though the others are taken. A commit
    /// that does not wait would be quicker for the loop, but rdkafka 0.39 never tells what became of one: librdkafka
    /// reports it to a callback only, and the crate listens to events.
    pub(crate) fn commit(&self, positions: &[Position]) -> KafkaResult<()> {
        let mut list = TopicPartitionList::with_capacity(positions.len());
        for (partition, position) in positions {
            list.add_partition_offset(&self.topic, *partition, Offset::Offset(*position))?;
        }
        self.consumer.commit(&list, CommitMode::Sync)
    }

    /// Stops fetching; polling goes on.
    pub(crate) fn pause(&self) -> KafkaResult<()> {
        self.consumer.pause(&self.consumer.assignment()?)
    }

    /// Lifts the pause of partitions that are about to be released: librdkafka keeps it beyond the assignment.
    pub(crate) fn resume_released(&self, partitions: &[i32]) -> KafkaResult<()> {
        self.consumer.resume(&self.list(partitions))
    }

    /// Fetches again.
    pub(crate) fn resume(&self) -> KafkaResult<()> {
        self.consumer.resume(&self.consumer.assignment()?)
    }

    fn list(&self, partitions: &[i32]) -> TopicPartitionList {
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        for partition in partitions {
            list.add_partition(&self.topic, *partition);
        }
        list
    }
}

/// What the place of a time holds after it was asked about: the end stands for no record.
fn dated(offset: Offset) -> Option<Option<i64>> {
    match offset {
        Offset::Offset(offset) => Some(Some(offset)),
        Offset::End => Some(None),
        Offset::Beginning | Offset::Stored | Offset::Invalid | Offset::OffsetTail(_) => None,
    }
}

/// The offsets of a list, by partition; special ones are left out.
pub(crate) fn offsets(list: &TopicPartitionList) -> BTreeMap<i32, i64> {
    let offset = |offset| match offset {
        Offset::Offset(offset) => Some(offset),
        Offset::Beginning | Offset::End | Offset::Stored | Offset::Invalid | Offset::OffsetTail(_) => None,
    };
    list.elements()
        .iter()
        .filter_map(|element| Some((element.partition(), offset(element.offset())?)))
        .collect()
}

/// What librdkafka's statistics say of the logs.
fn logs_in(statistics: &Statistics) -> BTreeMap<i32, Told> {
    let partitions = statistics.topics.values().flat_map(|topic| topic.partitions.values());
    partitions.filter_map(|told| Some((told.partition, Told::of(told)?))).collect()
}

impl Drop for Source {
    /// Leaving the group revokes what is still assigned, and nobody is left to do it.
    fn drop(&mut self) {
        self.consumer.context().is_closing.store(true, Ordering::Release);
    }
}

pub(crate) fn config(settings: &ConsumerSettings) -> ClientConfig {
    let mut config = ClientConfig::new();
    settings.kafka.properties().into_iter().for_each(|(key, value)| {
        config.set(key, value);
    });
    config
        .set("client.id", "millrace-consumer")
        .set("group.id", settings.group.as_str())
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "earliest")
        .set("allow.auto.create.topics", "false")
        // A rebalance takes away only what moves.
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("session.timeout.ms", SESSION_TIMEOUT.as_millis().to_string())
        .set("socket.timeout.ms", SESSION_TIMEOUT.as_millis().to_string())
        .set("max.poll.interval.ms", MAX_POLL_INTERVAL.as_millis().to_string())
        .set("statistics.interval.ms", STATISTICS_INTERVAL.as_millis().to_string())
        .set("check.crcs", "true")
        .set("queued.max.messages.kbytes", QUEUED_KIB.to_string())
        .set("fetch.max.bytes", FETCH_BYTES.to_string())
        .set("max.partition.fetch.bytes", FETCH_PARTITION_BYTES.to_string())
        // The default of a second is a second without messages each time the queue was full.
        .set("fetch.queue.backoff.ms", "20");
    config
}

/// What a reader that joins no group begins with. It never subscribes; librdkafka wants a name of a group all the same.
pub(crate) fn reader_config(settings: &ConsumerSettings, client_id: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    settings.kafka.properties().into_iter().for_each(|(key, value)| {
        config.set(key, value);
    });
    config
        .set("client.id", client_id)
        .set("group.id", settings.group.as_str())
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .set("allow.auto.create.topics", "false")
        // The default of a second is a second without messages each time the queue was full.
        .set("fetch.queue.backoff.ms", "20")
        // The default of ten seconds is a large part of the time that such a reader waits for a record.
        .set("reconnect.backoff.max.ms", "1000");
    config
}

fn release(consumer: &BaseConsumer<Group>, list: &TopicPartitionList) -> KafkaResult<()> {
    match consumer.rebalance_protocol() {
        RebalanceProtocol::Cooperative => consumer.incremental_unassign(list),
        RebalanceProtocol::Eager | RebalanceProtocol::None => consumer.unassign(),
    }
}

/// Keeps what the group tells until the run loop asks.
#[derive(Debug, Default)]
struct Group {
    events: Mutex<VecDeque<GroupEvent>>,
    logs: Mutex<Option<BTreeMap<i32, Told>>>,
    is_closing: AtomicBool,
}

impl Group {
    fn events(&self) -> MutexGuard<'_, VecDeque<GroupEvent>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, event: GroupEvent) {
        self.events().push_back(event);
    }
}

impl ClientContext for Group {
    fn log(&self, level: RDKafkaLogLevel, fac: &str, message: &str) {
        log(level, fac, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // The same error comes out of the next poll, where it is counted.
        debug!(error = %error, "kafka reports a problem: {reason}");
    }

    fn stats(&self, statistics: Statistics) {
        *self.logs.lock().unwrap_or_else(PoisonError::into_inner) = Some(logs_in(&statistics));
    }
}

impl ConsumerContext for Group {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, kind: RDKafkaRespErr, list: &mut TopicPartitionList) {
        if self.is_closing.load(Ordering::Acquire) {
            if let Err(cause) = release(consumer, list) {
                debug!(error = %cause, "failed to release partitions while leaving the group");
            }
            return;
        }
        match kind {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => {
                self.tell(GroupEvent::Assigned(partitions(list)))
            }
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS => {
                self.tell(GroupEvent::Revoked(partitions(list)))
            }
            // librdkafka has no third kind; a newer one might.
            other => self.tell(GroupEvent::Failed(format!("{other:?}"))),
        }
    }
}

/// Passes on what librdkafka logs for a reader that joins no group.
pub(crate) struct Listener;

impl ClientContext for Listener {
    fn log(&self, level: RDKafkaLogLevel, fac: &str, message: &str) {
        log(level, fac, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // The same error comes out of the next poll or answer.
        debug!(error = %error, "kafka reports a problem to a reader: {reason}");
    }
}

impl ConsumerContext for Listener {}

fn partitions(list: &TopicPartitionList) -> Vec<i32> {
    list.elements().iter().map(|element| element.partition()).collect()
}

/// A line of librdkafka's log.
pub(crate) fn log(level: RDKafkaLogLevel, fac: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg
        | RDKafkaLogLevel::Alert
        | RDKafkaLogLevel::Critical
        | RDKafkaLogLevel::Error => error!(target: "librdkafka", facility = fac, "{message}"),
        RDKafkaLogLevel::Warning => warn!(target: "librdkafka", facility = fac, "{message}"),
        RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => {
            info!(target: "librdkafka", facility = fac, "{message}")
        }
        RDKafkaLogLevel::Debug => debug!(target: "librdkafka", facility = fac, "{message}"),
    }
}

#[cfg(test)]
mod tests;
