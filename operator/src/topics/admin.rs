//! The admin calls of librdkafka, each a blocking function with a deadline.
//!
//! rdkafka's safe `AdminClient` knows neither the id of a topic nor the incremental change of settings, and it lets
//! log lines and errors pile up unread while a broker is away (docs/adr/0001-kafka-admin.md).
//! The functions of <https://docs.confluent.io/platform/current/clients/librdkafka/html/rdkafka_8h.html> are called
//! here and nowhere else. What librdkafka lends out of an event is copied before the event is destroyed.

#![allow(unsafe_code, reason = "librdkafka's admin calls exist only as C functions")]

mod answer;

use std::{
    collections::BTreeMap,
    ffi::{CString, c_char, c_int},
    ptr::{self, NonNull},
    time::Duration,
};

use rdkafka::{
    config::FromClientConfigAndContext as _,
    producer::{Producer as _, ThreadedProducer},
    types::RDKafkaErrorCode as Code,
};
use rdkafka_sys as sys;
use schema::{
    names::{TopicId, TopicName},
    settings::KafkaSettings,
};

use super::{
    Topic, TopicSpec, connection::Connection, connection::client_config, error::AdminError, settings::Setting,
};
use answer::{
    copied, first, read_description, read_entries, read_error, read_id, read_resource_result,
    read_topic_result, succeeded,
};

/// After the deadline librdkafka itself answers; this is for the case that it does not.
const GRACE: Duration = Duration::from_secs(2);
/// librdkafka's errors are a line; longer ones are cut.
const ERROR_TEXT_BYTES: usize = 512;

/// A connection for admin calls. The producer is there for its client and the thread that serves its log and errors.
pub(super) struct Admin {
    producer: ThreadedProducer<Connection>,
    /// How long one call may take, the search for a broker included.
    deadline: Duration,
}

impl Admin {
    pub(super) fn new(settings: &KafkaSettings, deadline: Duration) -> Result<Self, AdminError> {
        ThreadedProducer::from_config_and_context(&client_config(settings, deadline), Connection::default())
            .map(|producer| Self { producer, deadline })
            .map_err(|error| AdminError::new(Code::InvalidArgument, &error.to_string()))
    }

    pub(super) fn describe_topic(&self, name: &TopicName) -> Result<Option<Topic>, AdminError> {
        let text = c_text(name.as_str())?;
        let mut names = [text.as_ptr()];
        // SAFETY: one name in the array; librdkafka copies it.
        let topics = unsafe { sys::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), names.len()) };
        let topics = Owned::new(topics, sys::rd_kafka_TopicCollection_destroy)?;
        let event = self.describe(&topics)?;
        // SAFETY: the event answers DescribeTopics; what it lends is read before it is dropped.
        let outcome = unsafe {
            let mut count = 0;
            let result = sys::rd_kafka_event_DescribeTopics_result(event.as_ptr());
            let described = sys::rd_kafka_DescribeTopics_result_topics(result, &mut count);
            read_description(name, first(described, count)?)
        };
        match outcome {
            Ok(topic) => Ok(Some(topic)),
            Err(error) if error.says_it_is_absent() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The ids of all topics that our user may see.
    pub(super) fn topic_ids(&self) -> Result<Vec<TopicId>, AdminError> {
        let names: Vec<CString> = self.topic_names()?;
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let mut pointers: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
        // SAFETY: the array has the length that is told, and its names end with a NUL; librdkafka copies them.
        let topics =
            unsafe { sys::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len()) };
        let topics = Owned::new(topics, sys::rd_kafka_TopicCollection_destroy)?;
        let event = self.describe(&topics)?;
        // SAFETY: the event answers DescribeTopics; what it lends is read before it is dropped.
        let ids = unsafe {
            let mut count = 0;
            let result = sys::rd_kafka_event_DescribeTopics_result(event.as_ptr());
            let described = sys::rd_kafka_DescribeTopics_result_topics(result, &mut count);
            (0..count).map(|index| read_id(*described.add(index))).collect::<Vec<_>>()
        };
        // One that went since its name was read is no failure.
        ids.into_iter().filter(|id| !id.as_ref().is_err_and(AdminError::says_it_is_absent)).collect()
    }

    fn topic_names(&self) -> Result<Vec<CString>, AdminError> {
        let metadata = self.producer.client().fetch_metadata(None, self.deadline).map_err(|error| {
            AdminError::new(error.rdkafka_error_code().unwrap_or(Code::Fail), &error.to_string())
        })?;
        metadata.topics().iter().map(|topic| c_text(topic.name())).collect()
    }

    fn describe(
        &self,
        topics: &Owned<sys::rd_kafka_TopicCollection_t>,
    ) -> Result<Owned<sys::rd_kafka_event_t>, AdminError> {
        let operation = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
        self.call(operation, |client, options, queue| {
            // SAFETY: all four are alive until the call has its answer.
            unsafe { sys::rd_kafka_DescribeTopics(client, topics.as_ptr(), options, queue) }
        })
    }

    pub(super) fn create_topic(&self, spec: &TopicSpec, settings: &[Setting]) -> Result<(), AdminError> {
        let name = c_text(spec.name.as_str())?;
        let mut text = ErrorText::new();
        // SAFETY: the name ends with a NUL, the buffer has the length that is told.
        let topic = unsafe {
            sys::rd_kafka_NewTopic_new(
                name.as_ptr(),
                spec.partitions,
                spec.replication_factor,
                text.as_mut_ptr(),
                ERROR_TEXT_BYTES,
            )
        };
        let topic = Owned::new(topic, sys::rd_kafka_NewTopic_destroy).map_err(|_| text.into_error())?;
        for (setting, value) in settings {
            let (setting, value) = (c_text(setting)?, c_text(value)?);
            // SAFETY: both end with a NUL; librdkafka copies them.
            let code = unsafe {
                sys::rd_kafka_NewTopic_set_config(topic.as_ptr(), setting.as_ptr(), value.as_ptr())
            };
            succeeded(code, ptr::null())?;
        }
        let mut topics = [topic.as_ptr()];
        let operation = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_CREATETOPICS;
        let event = self.call(operation, |client, options, queue| {
            // SAFETY: one topic in the array, alive until the call has its answer.
            unsafe { sys::rd_kafka_CreateTopics(client, topics.as_mut_ptr(), topics.len(), options, queue) }
        })?;
        // SAFETY: the event answers CreateTopics; what it lends is read before it is dropped.
        unsafe {
            let mut count = 0;
            let result = sys::rd_kafka_event_CreateTopics_result(event.as_ptr());
            read_topic_result(sys::rd_kafka_CreateTopics_result_topics(result, &mut count), count)
        }
    }

    pub(super) fn create_partitions(&self, name: &TopicName, partitions: i32) -> Result<(), AdminError> {
        let name = c_text(name.as_str())?;
        let total = usize::try_from(partitions)
            .map_err(|_| AdminError::new(Code::InvalidPartitions, "a topic has at least one partition"))?;
        let mut text = ErrorText::new();
        // SAFETY: the name ends with a NUL, the buffer has the length that is told.
        let request = unsafe {
            sys::rd_kafka_NewPartitions_new(name.as_ptr(), total, text.as_mut_ptr(), ERROR_TEXT_BYTES)
        };
        let request =
            Owned::new(request, sys::rd_kafka_NewPartitions_destroy).map_err(|_| text.into_error())?;
        let mut requests = [request.as_ptr()];
        let operation = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_CREATEPARTITIONS;
        let event = self.call(operation, |client, options, queue| {
            // SAFETY: one request in the array, alive until the call has its answer.
            unsafe {
                sys::rd_kafka_CreatePartitions(client, requests.as_mut_ptr(), requests.len(), options, queue);
            }
        })?;
        // SAFETY: the event answers CreatePartitions; what it lends is read before it is dropped.
        unsafe {
            let mut count = 0;
            let result = sys::rd_kafka_event_CreatePartitions_result(event.as_ptr());
            read_topic_result(sys::rd_kafka_CreatePartitions_result_topics(result, &mut count), count)
        }
    }

    pub(super) fn delete_topic(&self, name: &TopicName) -> Result<(), AdminError> {
        let name = c_text(name.as_str())?;
        // SAFETY: the name ends with a NUL; librdkafka copies it.
        let request = unsafe { sys::rd_kafka_DeleteTopic_new(name.as_ptr()) };
        let request = Owned::new(request, sys::rd_kafka_DeleteTopic_destroy)?;
        let mut requests = [request.as_ptr()];
        let operation = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DELETETOPICS;
        let event = self.call(operation, |client, options, queue| {
            // SAFETY: one request in the array, alive until the call has its answer.
            unsafe {
                sys::rd_kafka_DeleteTopics(client, requests.as_mut_ptr(), requests.len(), options, queue)
            }
        })?;
        // SAFETY: the event answers DeleteTopics; what it lends is read before it is dropped.
        unsafe {
            let mut count = 0;
            let result = sys::rd_kafka_event_DeleteTopics_result(event.as_ptr());
            read_topic_result(sys::rd_kafka_DeleteTopics_result_topics(result, &mut count), count)
        }
    }

    pub(super) fn describe_configs(&self, name: &TopicName) -> Result<BTreeMap<String, String>, AdminError> {
        let topic = config_resource(name)?;
        let mut resources = [topic.as_ptr()];
        let operation = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS;
        let event = self.call(operation, |client, options, queue| {
            // SAFETY: one resource in the array, alive until the call has its answer.
            unsafe {
                sys::rd_kafka_DescribeConfigs(
                    client,
                    resources.as_mut_ptr(),
                    resources.len(),
                    options,
                    queue,
                );
            }
        })?;
        // SAFETY: the event answers DescribeConfigs; what it lends is read before it is dropped.
        unsafe {
            let mut count = 0;
            let result = sys::rd_kafka_event_DescribeConfigs_result(event.as_ptr());
            let described = first(sys::rd_kafka_DescribeConfigs_result_resources(result, &mut count), count)?;
            read_resource_result(described)?;
            Ok(read_entries(described))
        }
    }

    pub(super) fn alter_configs(&self, name: &TopicName, changes: &[Setting]) -> Result<(), AdminError> {
        let topic = config_resource(name)?;
        for (setting, value) in changes {
            let (setting, value) = (c_text(setting)?, c_text(value)?);
            let set = sys::rd_kafka_AlterConfigOpType_t::RD_KAFKA_ALTER_CONFIG_OP_TYPE_SET;
            // SAFETY: both texts end with a NUL and are copied; the error is null or ours to destroy.
            unsafe {
                let error = sys::rd_kafka_ConfigResource_add_incremental_config(
                    topic.as_ptr(),
                    setting.as_ptr(),
                    set,
                    value.as_ptr(),
                );
                if let Ok(error) = Owned::new(error, sys::rd_kafka_error_destroy) {
                    read_error(error.as_ptr())?;
                }
            }
        }
        let mut resources = [topic.as_ptr()];
        let operation = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_INCREMENTALALTERCONFIGS;
        let event = self.call(operation, |client, options, queue| {
            // SAFETY: one resource in the array, alive until the call has its answer.
            unsafe {
                let count = resources.len();
                sys::rd_kafka_IncrementalAlterConfigs(client, resources.as_mut_ptr(), count, options, queue);
            }
        })?;
        // SAFETY: the event answers IncrementalAlterConfigs; what it lends is read before it is dropped.
        unsafe {
            let mut count = 0;
            let result = sys::rd_kafka_event_IncrementalAlterConfigs_result(event.as_ptr());
            let altered = sys::rd_kafka_IncrementalAlterConfigs_result_resources(result, &mut count);
            read_resource_result(first(altered, count)?)
        }
    }

    /// Submits one request, waits for its event, and cites the connection's error when no broker was found.
    fn call(
        &self,
        operation: sys::rd_kafka_admin_op_t,
        submit: impl FnOnce(*mut sys::rd_kafka_t, *const sys::rd_kafka_AdminOptions_t, *mut sys::rd_kafka_queue_t),
    ) -> Result<Owned<sys::rd_kafka_event_t>, AdminError> {
        let connection = self.producer.client().context();
        let outcome = self.submit_and_wait(operation, submit);
        match outcome {
            Ok(event) => {
                connection.works();
                Ok(event)
            }
            Err(error) => Err(match connection.last_error() {
                Some(cause) => error.because_of(&cause),
                None => error,
            }),
        }
    }

    fn submit_and_wait(
        &self,
        operation: sys::rd_kafka_admin_op_t,
        submit: impl FnOnce(*mut sys::rd_kafka_t, *const sys::rd_kafka_AdminOptions_t, *mut sys::rd_kafka_queue_t),
    ) -> Result<Owned<sys::rd_kafka_event_t>, AdminError> {
        let client = self.producer.client().native_ptr();
        let options = self.options(operation)?;
        // SAFETY: the client lives as long as `self`; the queue and the options outlive the poll, and librdkafka
        // keeps what it still needs of them when they are destroyed before a late answer.
        let event = unsafe {
            let queue = Owned::new(sys::rd_kafka_queue_new(client), sys::rd_kafka_queue_destroy)?;
            submit(client, options.as_ptr(), queue.as_ptr());
            sys::rd_kafka_queue_poll(queue.as_ptr(), millis(self.deadline + GRACE))
        };
        let event = Owned::new(event, sys::rd_kafka_event_destroy)
            .map_err(|_| AdminError::new(Code::OperationTimedOut, ""))?;
        // SAFETY: the event is alive, and lends its text.
        unsafe {
            succeeded(
                sys::rd_kafka_event_error(event.as_ptr()),
                sys::rd_kafka_event_error_string(event.as_ptr()),
            )?;
        }
        Ok(event)
    }

    fn options(
        &self,
        operation: sys::rd_kafka_admin_op_t,
    ) -> Result<Owned<sys::rd_kafka_AdminOptions_t>, AdminError> {
        use sys::rd_kafka_admin_op_t as op;
        let client = self.producer.client().native_ptr();
        let is_done_by_controller = matches!(
            operation,
            op::RD_KAFKA_ADMIN_OP_CREATETOPICS
                | op::RD_KAFKA_ADMIN_OP_CREATEPARTITIONS
                | op::RD_KAFKA_ADMIN_OP_DELETETOPICS
        );
        // The controller gets half of it; then it answers that it goes on doing what it was asked to do.
        let (deadline, operation_deadline) = (millis(self.deadline), millis(self.deadline / 2));
        let mut text = ErrorText::new();
        // SAFETY: the options are ours; the buffer has the length that is told.
        unsafe {
            let options = sys::rd_kafka_AdminOptions_new(client, operation);
            let options = Owned::new(options, sys::rd_kafka_AdminOptions_destroy)?;
            let (raw, buffer) = (options.as_ptr(), text.as_mut_ptr());
            let code =
                sys::rd_kafka_AdminOptions_set_request_timeout(raw, deadline, buffer, ERROR_TEXT_BYTES);
            succeeded(code, buffer)?;
            if is_done_by_controller {
                let code = sys::rd_kafka_AdminOptions_set_operation_timeout(
                    raw,
                    operation_deadline,
                    buffer,
                    ERROR_TEXT_BYTES,
                );
                succeeded(code, buffer)?;
            }
            Ok(options)
        }
    }
}

/// Something of librdkafka's that is ours to destroy.
struct Owned<T> {
    raw: NonNull<T>,
    destroy: unsafe extern "C" fn(*mut T),
}

impl<T> Owned<T> {
    fn new(raw: *mut T, destroy: unsafe extern "C" fn(*mut T)) -> Result<Self, AdminError> {
        let raw = NonNull::new(raw).ok_or_else(|| AdminError::new(Code::Fail, "librdkafka made nothing"))?;
        Ok(Self { raw, destroy })
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

/// Where librdkafka writes why it made nothing.
struct ErrorText([c_char; ERROR_TEXT_BYTES]);

impl ErrorText {
    fn new() -> Self {
        Self([0; ERROR_TEXT_BYTES])
    }

    fn as_mut_ptr(&mut self) -> *mut c_char {
        self.0.as_mut_ptr()
    }

    fn into_error(self) -> AdminError {
        // SAFETY: the buffer was zeroed, and librdkafka ends what it writes with a NUL.
        AdminError::new(Code::InvalidArgument, &unsafe { copied(self.0.as_ptr()) })
    }
}

fn c_text(text: &str) -> Result<CString, AdminError> {
    CString::new(text).map_err(|_| AdminError::new(Code::InvalidArgument, "a name must not hold a NUL"))
}

fn millis(duration: Duration) -> c_int {
    c_int::try_from(duration.as_millis()).unwrap_or(c_int::MAX)
}

fn config_resource(name: &TopicName) -> Result<Owned<sys::rd_kafka_ConfigResource_t>, AdminError> {
    let name = c_text(name.as_str())?;
    let kind = sys::rd_kafka_ResourceType_t::RD_KAFKA_RESOURCE_TOPIC;
    // SAFETY: the name ends with a NUL; librdkafka copies it.
    let resource = unsafe { sys::rd_kafka_ConfigResource_new(kind, name.as_ptr()) };
    Owned::new(resource, sys::rd_kafka_ConfigResource_destroy)
}
