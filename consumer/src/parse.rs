//! The parse step: a record of Kafka becomes rows and dead letters. Pure.
//!
//! A record that is not ours is refused as a whole; a bad line among good ones is refused alone.

mod own_form;

pub(crate) use own_form::plain_length;

use schema::{
    event::Event,
    limits::{MAX_EVENT_BYTES, MAX_EVENTS_PER_REQUEST},
    names::TopicId,
    record,
    tenant_id::TenantId,
};

use crate::{
    properties::Properties,
    refused::Refused,
    row::{Position, Row},
};

/// What the ingester may add to an event of the largest size: ids, times, addresses, each bounded, and the
/// escapes that its own JSON needs for them.
const MAX_LINE_BYTES: usize = MAX_EVENT_BYTES + 16 * 1024;

/// A record as Kafka hands it over, borrowed.
#[derive(Debug, Clone)]
pub(crate) struct Record<'a> {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) payload: &'a [u8],
}

/// What one line of a record becomes.
#[expect(
    clippy::large_enum_variant,
    reason = "a row is handed over once and never kept; a box would allocate"
)]
pub(crate) enum Parsed<'a> {
    /// Is stored; the offset advances when its batch is.
    Row(Row<'a>),
    /// Goes to the dead-letter topic; the offset advances when that is acknowledged.
    Reject { index: u16, line: &'a [u8], refused: Refused },
}

/// Parses the records of one topic.
#[derive(Debug)]
pub(crate) struct Parser {
    tenant: TenantId,
    topic: TopicId,
    properties: Properties,
}

impl Parser {
    pub(crate) fn new(tenant: TenantId, topic: TopicId) -> Self {
        Self { tenant, topic, properties: Properties::default() }
    }

    /// Whether the record is one of ours, by its headers. Each header that says who it is must be right each
    /// time it stands there, so that a second one cannot contradict the first.
    pub(crate) fn check_headers<'h>(
        &self,
        headers: impl Iterator<Item = (&'h str, &'h [u8])>,
    ) -> Result<(), Refused> {
        let (mut has_tenant, mut has_version, mut has_content_type) = (false, false, false);
        for (key, value) in headers {
            match key {
                record::TENANT if value != self.tenant.as_str().as_bytes() => {
                    return Err(Refused::WrongTenant);
                }
                record::SCHEMA_VERSION_HEADER if value != record::SCHEMA_VERSION.as_bytes() => {
                    return Err(Refused::UnknownSchemaVersion);
                }
                record::CONTENT_TYPE if value != record::NDJSON.as_bytes() => {
                    return Err(Refused::WrongContentType);
                }
                record::TENANT => has_tenant = true,
                record::SCHEMA_VERSION_HEADER => has_version = true,
                record::CONTENT_TYPE => has_content_type = true,
                _another => {}
            }
        }
        if has_tenant && has_version && has_content_type { Ok(()) } else { Err(Refused::ForeignRecord) }
    }

    /// Hands each line of a record of ours to `take`.
    ///
    /// # Errors
    /// When the record is refused as a whole; then nothing was taken.
    pub(crate) fn parse(
        &mut self,
        record: &Record<'_>,
        mut take: impl FnMut(Parsed<'_>),
    ) -> Result<(), Refused> {
        if matches!(record.payload, b"" | b"\n") {
            return Err(Refused::EmptyRecord);
        }
        // One line has no line feed.
        let feeds = memchr::memchr_iter(b'\n', without_last_feed(record.payload)).count();
        if feeds >= MAX_EVENTS_PER_REQUEST {
            return Err(Refused::TooManyEvents);
        }
        for (index, line) in (0_u16..).zip(lines(record.payload)) {
            let position =
                Position { topic: self.topic, partition: record.partition, offset: record.offset, index };
            match self.row(line, position) {
                Ok(row) => take(Parsed::Row(row)),
                Err(refused) => take(Parsed::Reject { index, line, refused }),
            }
        }
        Ok(())
    }

    fn row<'a>(&'a mut self, line: &'a [u8], position: Position) -> Result<Row<'a>, Refused> {
        if line.len() > MAX_LINE_BYTES {
            return Err(Refused::EventTooLarge);
        }
        let text = std::str::from_utf8(line).map_err(|_| Refused::InvalidUtf8)?;
        match own_form::read(text, &mut self.properties) {
            Some(event) => Row::without_nul(event, &self.properties, position),
            None => self.row_of_any_form(text, position),
        }
    }

    fn row_of_any_form<'a>(&'a mut self, text: &'a str, position: Position) -> Result<Row<'a>, Refused> {
        let event: Event<'a> = serde_json::from_str(text).map_err(|_| Refused::Malformed)?;
        self.properties.shred(event.properties.get())?;
        Row::of(event, &self.properties, position)
    }
}

/// The lines of a record, in the order of their indexes.
pub(crate) fn lines(payload: &[u8]) -> impl Iterator<Item = &[u8]> {
    let payload = without_last_feed(payload);
    let ends = memchr::memchr_iter(b'\n', payload).chain([payload.len()]);
    ends.scan(0, |start, end| Some(&payload[std::mem::replace(start, end + 1)..end]))
}

fn without_last_feed(payload: &[u8]) -> &[u8] {
    payload.strip_suffix(b"\n").unwrap_or(payload)
}

#[cfg(test)]
pub(crate) mod tests;
