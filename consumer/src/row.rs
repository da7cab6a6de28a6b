//! The row of `events_raw` that an event becomes.
//!
//! The same record always becomes the same rows: nothing here asks a clock, a random source or an unordered
//! map, and each column of the table's keys is a function of the event alone. What the properties become is
//! written in [`crate::properties`]. Pure.

use schema::{
    event::Event,
    identity::{Operation, version},
    limits::MAX_NAME_CHARS,
    names::TopicId,
    timestamp::Timestamp,
};

use crate::{properties::Properties, refused::Refused};

/// Where an event lies in Kafka.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) topic: TopicId,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) index: u16,
}

/// One row, borrowed from the record.
#[derive(Debug)]
pub(crate) struct Row<'a> {
    pub(crate) event: Event<'a>,
    pub(crate) properties: &'a Properties,
    pub(crate) corrected_at: Timestamp,
    pub(crate) sent_at: Timestamp,
    /// Days since 1970 of the client's `timestamp`: part of the table's keys.
    pub(crate) day: u16,
    pub(crate) version: u64,
    pub(crate) position: Position,
}

/// 2000-01-01 and 2100-01-01 in UTC. The ingester sets the time of receipt, so a record beyond them is forged
/// or broken; ClickHouse's Date and DateTime reach further on both sides.
const RECEIVED_MILLIS: std::ops::Range<i64> = 946_684_800_000..4_102_444_800_000;

impl<'a> Row<'a> {
    /// The row of an event whose properties were shredded already.
    pub(crate) fn of(
        event: Event<'a>,
        properties: &'a Properties,
        position: Position,
    ) -> Result<Self, Refused> {
        check_nul(&event)?;
        Self::without_nul(event, properties, position)
    }

    /// The same of an event none of whose texts holds a NUL.
    pub(crate) fn without_nul(
        event: Event<'a>,
        properties: &'a Properties,
        position: Position,
    ) -> Result<Self, Refused> {
        check_names(&event)?;
        if !RECEIVED_MILLIS.contains(&event.received_at.millis()) {
            return Err(Refused::ReceivedOutOfRange);
        }
        event.timestamp.check(event.received_at).map_err(Refused::Time)?;
        let day = u16::try_from(event.timestamp.day()).map_err(|_| Refused::ReceivedOutOfRange)?;
        Ok(Self {
            corrected_at: event.corrected_at.unwrap_or(event.timestamp),
            sent_at: event.sent_at.unwrap_or(event.received_at),
            day,
            version: version(Operation::Create, event.received_at, position.offset),
            event,
            properties,
            position,
        })
    }
}

fn names<'e>(event: &'e Event<'_>) -> [&'e str; 6] {
    [
        &event.event_name,
        &event.user_id,
        &event.anonymous_id,
        &event.distinct_id,
        &event.session_id,
        &event.app_id,
    ]
}

fn check_nul(event: &Event<'_>) -> Result<(), Refused> {
    let others: [&str; 5] =
        [&event.kind, &event.ip_address, &event.user_agent, &event.library, &event.protocol];
    let has_nul = names(event).iter().chain(&others).any(|text| text.contains('\0'));
    if has_nul { Err(Refused::Nul) } else { Ok(()) }
}

fn check_names(event: &Event<'_>) -> Result<(), Refused> {
    if event.event_name.is_empty() {
        return Err(Refused::NoName);
    }
    let is_too_long = |text: &str| text.len() > MAX_NAME_CHARS && text.chars().count() > MAX_NAME_CHARS;
    if names(event).iter().any(|text| is_too_long(text)) {
        return Err(Refused::NameTooLong);
    }
    Ok(())
}
