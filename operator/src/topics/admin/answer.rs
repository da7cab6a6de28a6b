//! What librdkafka answers, copied out of what it lends.

use std::{
    collections::BTreeMap,
    ffi::{CStr, c_char},
};

use rdkafka::types::{RDKafkaErrorCode as Code, RDKafkaRespErr};
use rdkafka_sys as sys;
use schema::names::{TopicId, TopicName};

use super::super::{Topic, error::AdminError, topic_id::topic_id};

/// # Safety
/// The text is null, or ends with a NUL and is alive.
pub(super) unsafe fn copied(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: promised by the caller.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

/// `text` is null or one that librdkafka lends together with the code.
pub(super) fn succeeded(code: RDKafkaRespErr, text: *const c_char) -> Result<(), AdminError> {
    if code == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
        return Ok(());
    }
    // SAFETY: librdkafka ends its texts with a NUL.
    Err(AdminError::new(code.into(), &unsafe { copied(text) }))
}

/// # Safety
/// The array has `count` elements and is alive.
pub(super) unsafe fn first<T>(array: *mut *const T, count: usize) -> Result<*const T, AdminError> {
    if array.is_null() || count == 0 {
        return Err(AdminError::new(Code::Fail, "the broker answered with nothing"));
    }
    // SAFETY: promised by the caller.
    Ok(unsafe { *array })
}

/// # Safety
/// The error is null or alive.
pub(super) unsafe fn read_error(error: *const sys::rd_kafka_error_t) -> Result<(), AdminError> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: promised by the caller.
    unsafe { succeeded(sys::rd_kafka_error_code(error), sys::rd_kafka_error_string(error)) }
}

/// # Safety
/// The array has `count` elements and is alive.
pub(super) unsafe fn read_topic_result(
    results: *mut *const sys::rd_kafka_topic_result_t,
    count: usize,
) -> Result<(), AdminError> {
    // SAFETY: promised by the caller.
    unsafe {
        let result = first(results, count)?;
        succeeded(sys::rd_kafka_topic_result_error(result), sys::rd_kafka_topic_result_error_string(result))
    }
}

/// # Safety
/// The resource is alive.
pub(super) unsafe fn read_resource_result(
    resource: *const sys::rd_kafka_ConfigResource_t,
) -> Result<(), AdminError> {
    // SAFETY: promised by the caller.
    unsafe {
        succeeded(
            sys::rd_kafka_ConfigResource_error(resource),
            sys::rd_kafka_ConfigResource_error_string(resource),
        )
    }
}

/// # Safety
/// The resource is alive.
pub(super) unsafe fn read_entries(
    resource: *const sys::rd_kafka_ConfigResource_t,
) -> BTreeMap<String, String> {
    let mut count = 0;
    // SAFETY: the array and its entries live as long as the resource; a value may be null.
    unsafe {
        let entries = sys::rd_kafka_ConfigResource_configs(resource, &mut count);
        (0..count)
            .map(|index| {
                let entry = *entries.add(index);
                (
                    copied(sys::rd_kafka_ConfigEntry_name(entry)),
                    copied(sys::rd_kafka_ConfigEntry_value(entry)),
                )
            })
            .collect()
    }
}

/// # Safety
/// The description is alive.
pub(super) unsafe fn read_description(
    name: &TopicName,
    description: *const sys::rd_kafka_TopicDescription_t,
) -> Result<Topic, AdminError> {
    // SAFETY: everything read here lives as long as the description.
    unsafe {
        let id = read_id(description)?;
        let mut count = 0;
        let partitions = sys::rd_kafka_TopicDescription_partitions(description, &mut count);
        let copies = (0..count).map(|index| {
            let mut copies = 0;
            sys::rd_kafka_TopicPartitionInfo_replicas(*partitions.add(index), &mut copies);
            copies
        });
        Ok(Topic {
            name: name.clone(),
            id,
            partitions: as_i32(count),
            replication_factor: as_i32(copies.min().unwrap_or(0)),
        })
    }
}

/// # Safety
/// The description is alive.
pub(super) unsafe fn read_id(
    description: *const sys::rd_kafka_TopicDescription_t,
) -> Result<TopicId, AdminError> {
    // SAFETY: everything read here lives as long as the description.
    unsafe {
        read_error(sys::rd_kafka_TopicDescription_error(description))?;
        let id = sys::rd_kafka_TopicDescription_topic_id(description);
        topic_id(sys::rd_kafka_Uuid_most_significant_bits(id), sys::rd_kafka_Uuid_least_significant_bits(id))
    }
}

fn as_i32(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}
