//! Kafka's id of a topic, which rdkafka's safe calls do not tell.
//!
//! What librdkafka lends out of an event is copied before the event is destroyed
//! (<https://docs.confluent.io/platform/current/clients/librdkafka/html/rdkafka_8h.html>).

#![allow(unsafe_code, reason = "DescribeTopics exists only as a C function")]

use std::{
    ffi::{CString, c_int},
    ptr::{self, NonNull},
    time::Duration,
};

use rdkafka::{
    ClientContext,
    client::Client,
    error::{KafkaError, KafkaResult},
    metadata::MetadataPartition,
    types::{RDKafkaErrorCode as Code, RDKafkaRespErr},
};
use rdkafka_sys as sys;
use schema::names::{TopicId, TopicName};
use uuid::Uuid;

/// After the deadline librdkafka itself answers; this is for the case that it does not.
const GRACE: Duration = Duration::from_secs(2);

/// The id of a topic; none if there is no such topic.
///
/// # Errors
/// When no broker answers in time, or the topic may not be described.
pub(super) fn topic_id<C: ClientContext>(
    client: &Client<C>,
    name: &TopicName,
    deadline: Duration,
) -> KafkaResult<Option<TopicId>> {
    let Some(leader) = leader(client, name, deadline)? else { return Ok(None) };
    let event = describe(client, name, leader, deadline)?;
    // SAFETY: the event answers DescribeTopics and is alive; what it lends is read before it is dropped.
    let (code, id) = unsafe {
        succeeded(sys::rd_kafka_event_error(event.as_ptr()))?;
        let mut count = 0;
        let result = sys::rd_kafka_event_DescribeTopics_result(event.as_ptr());
        if result.is_null() {
            return Err(KafkaError::AdminOp(Code::Fail));
        }
        let topics = sys::rd_kafka_DescribeTopics_result_topics(result, &mut count);
        if topics.is_null() || count == 0 {
            return Err(KafkaError::AdminOp(Code::Fail));
        }
        let topic = *topics;
        let error = sys::rd_kafka_TopicDescription_error(topic);
        // A null error has the code of none.
        let code = sys::rd_kafka_error_code(error);
        let id = sys::rd_kafka_TopicDescription_topic_id(topic);
        let half = |bits: i64| bits as u64;
        let (most, least) =
            (sys::rd_kafka_Uuid_most_significant_bits(id), sys::rd_kafka_Uuid_least_significant_bits(id));
        (code, Uuid::from_u64_pair(half(most), half(least)))
    };
    match code {
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART => Ok(None),
        code => {
            succeeded(code)?;
            Ok(Some(TopicId(id)))
        }
    }
}

/// A broker that leads a partition of the topic, which knows of the topic's end before any other; none if there is no
/// such topic.
fn leader<C: ClientContext>(
    client: &Client<C>,
    name: &TopicName,
    deadline: Duration,
) -> KafkaResult<Option<i32>> {
    let metadata = client.fetch_metadata(Some(name.as_str()), deadline)?;
    let Some(topic) = metadata.topics().first() else { return Ok(None) };
    match topic.error() {
        Some(RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) => return Ok(None),
        Some(code) => succeeded(code)?,
        None => {}
    }
    let leader = topic.partitions().iter().map(MetadataPartition::leader).find(|leader| *leader >= 0);
    leader.map(Some).ok_or(KafkaError::AdminOp(Code::LeaderNotAvailable))
}

fn describe<C: ClientContext>(
    client: &Client<C>,
    name: &TopicName,
    broker: i32,
    deadline: Duration,
) -> KafkaResult<Owned<sys::rd_kafka_event_t>> {
    let text = CString::new(name.as_str()).map_err(|_| KafkaError::AdminOp(Code::InvalidTopic))?;
    let mut names = [text.as_ptr()];
    let raw = client.native_ptr();
    let operation = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
    // SAFETY: the client outlives the call, librdkafka copies the name, and keeps what it still needs of the options
    // and the queue when they are destroyed before a late answer.
    unsafe {
        let topics = sys::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), names.len());
        let topics = Owned::new(topics, sys::rd_kafka_TopicCollection_destroy)?;
        let options = sys::rd_kafka_AdminOptions_new(raw, operation);
        let options = Owned::new(options, sys::rd_kafka_AdminOptions_destroy)?;
        succeeded(sys::rd_kafka_AdminOptions_set_request_timeout(
            options.as_ptr(),
            millis(deadline),
            ptr::null_mut(),
            0,
        ))?;
        let code = sys::rd_kafka_AdminOptions_set_broker(options.as_ptr(), broker, ptr::null_mut(), 0);
        succeeded(code)?;
        let queue = Owned::new(sys::rd_kafka_queue_new(raw), sys::rd_kafka_queue_destroy)?;
        sys::rd_kafka_DescribeTopics(raw, topics.as_ptr(), options.as_ptr(), queue.as_ptr());
        let event = sys::rd_kafka_queue_poll(queue.as_ptr(), millis(deadline + GRACE));
        Owned::new(event, sys::rd_kafka_event_destroy)
            .map_err(|_| KafkaError::AdminOp(Code::OperationTimedOut))
    }
}

fn succeeded(code: RDKafkaRespErr) -> KafkaResult<()> {
    match code {
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
        code => Err(KafkaError::AdminOp(code.into())),
    }
}

fn millis(duration: Duration) -> c_int {
    c_int::try_from(duration.as_millis()).unwrap_or(c_int::MAX)
}

/// Something of librdkafka's that is ours to destroy.
struct Owned<T> {
    raw: NonNull<T>,
    destroy: unsafe extern "C" fn(*mut T),
}

impl<T> Owned<T> {
    fn new(raw: *mut T, destroy: unsafe extern "C" fn(*mut T)) -> KafkaResult<Self> {
        NonNull::new(raw).map(|raw| Self { raw, destroy }).ok_or(KafkaError::AdminOp(Code::Fail))
    }

    fn as_ptr(&self) -> *mut T {
        self.raw.as_ptr()
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        // SAFETY: the pointer came with this function, is not null and is destroyed once.
        unsafe { (self.destroy)(self.raw.as_ptr()) }
    }
}
