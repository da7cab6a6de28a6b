//! The parse step of a topic of others: one JSON object of any application becomes one row. Pure.
//!
//! The rule, frozen with the schema version:
//! - the field map says which member becomes which column; a member without a column is not stored;
//! - a text is a JSON text, or a number, which keeps its own digits; `null` is as if the member were not there;
//! - a time is ISO 8601, or a number: seconds since 1970 below 10^11, milliseconds from there on, decimals cut at the
//!   millisecond; without one, the time inside a UUIDv7 id, else the time of receipt;
//! - the time of receipt is the one that Kafka keeps with the record;
//! - the id is the member's, as the ingester reads one; without one it is the record's first position;
//! - a mapped member that stands there twice, or with another kind of value, refuses the record.

use std::borrow::Cow;

use schema::{
    event::Event,
    field_map::FieldMap,
    identity::{id_from_position, id_from_text, time_of_id},
    limits::{MAX_EVENT_BYTES, MAX_NAME_CHARS},
    names::{PipelineName, TopicId},
    timestamp::Timestamp,
};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::{
    parse::Record,
    properties::Properties,
    refused::Refused,
    row::{Position, Row},
};

mod fields;

use fields::{Field, Fields, Members};

/// The protocol of rows that came without one of our own.
const PROTOCOL: &str = "kafka";

/// What Kafka keeps beside the value of a record.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Receipt {
    /// When the record was made or appended, as the topic is set; none in records that have no time.
    pub(crate) received_at: Option<Timestamp>,
    /// Where the record lay first, if it is a dead letter that was sent again.
    pub(crate) first: Option<Position>,
}

/// Parses the records of one topic of others.
#[derive(Debug)]
pub(crate) struct ForeignParser {
    pipeline: PipelineName,
    topic: TopicId,
    fields: Fields,
    properties: Properties,
}

impl ForeignParser {
    pub(crate) fn new(pipeline: PipelineName, topic: TopicId, map: &FieldMap) -> Self {
        Self { pipeline, topic, fields: Fields::of(map), properties: Properties::default() }
    }

    /// The row of a record.
    ///
    /// # Errors
    /// When the record is refused.
    pub(crate) fn parse<'a>(&'a mut self, record: &Record<'a>, receipt: Receipt) -> Result<Row<'a>, Refused> {
        let position =
            Position { topic: self.topic, partition: record.partition, offset: record.offset, index: 0 };
        let received_at = receipt.received_at.ok_or(Refused::ReceivedOutOfRange)?;
        let members = self.fields.read(text_of(record.payload)?)?;
        self.properties.shred(members.get(Field::Properties).map_or("{}", RawValue::get))?;
        let id = match text(&members, Field::Id)? {
            id if id.is_empty() => None,
            id => Some(id_from_text(&self.pipeline, checked(&id)?)),
        };
        let timestamp = match members.get(Field::Timestamp) {
            Some(time) => fields::time(time)?,
            None => id.and_then(time_of_id).unwrap_or(received_at),
        };
        let id = id.unwrap_or_else(|| id_of(&self.pipeline, receipt.first.unwrap_or(position)));
        Row::of(event(&members, id, timestamp, received_at)?, &self.properties, position)
    }
}

fn text_of(payload: &[u8]) -> Result<&str, Refused> {
    if payload.is_empty() {
        return Err(Refused::EmptyRecord);
    }
    if payload.len() > MAX_EVENT_BYTES {
        return Err(Refused::EventTooLarge);
    }
    std::str::from_utf8(payload).map_err(|_| Refused::InvalidUtf8)
}

/// An id before it is hashed into another; the texts that are stored are checked by the row.
fn checked(id: &str) -> Result<&str, Refused> {
    if id.contains('\0') {
        Err(Refused::Nul)
    } else if id.len() > MAX_NAME_CHARS && id.chars().count() > MAX_NAME_CHARS {
        Err(Refused::NameTooLong)
    } else {
        Ok(id)
    }
}

fn id_of(pipeline: &PipelineName, position: Position) -> Uuid {
    let Position { topic, partition, offset, index } = position;
    id_from_position(pipeline, topic, partition, offset, index.into())
}

fn event<'a>(
    members: &Members<'a>,
    id: Uuid,
    timestamp: Timestamp,
    received_at: Timestamp,
) -> Result<Event<'a>, Refused> {
    let text = |field| text(members, field);
    let (user_id, anonymous_id) = (text(Field::UserId)?, text(Field::AnonymousId)?);
    Ok(Event {
        id,
        event_name: text(Field::EventName)?,
        kind: text(Field::Kind)?,
        distinct_id: if user_id.is_empty() { anonymous_id.clone() } else { user_id.clone() },
        user_id,
        anonymous_id,
        session_id: text(Field::SessionId)?,
        app_id: text(Field::AppId)?,
        timestamp,
        corrected_at: None,
        sent_at: None,
        received_at,
        properties: members.get(Field::Properties).unwrap_or(RawValue::NULL),
        ip_address: Cow::Borrowed(""),
        user_agent: Cow::Borrowed(""),
        library: Cow::Borrowed(""),
        protocol: Cow::Borrowed(PROTOCOL),
    })
}

fn text<'a>(members: &Members<'a>, field: Field) -> Result<Cow<'a, str>, Refused> {
    members.get(field).map_or(Ok(Cow::Borrowed("")), fields::text)
}

#[cfg(test)]
mod tests;
