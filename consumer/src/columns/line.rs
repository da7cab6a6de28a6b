//! Rows written as the lines they came from, for dead letters whose records are gone. Pure.

use std::{array, borrow::Cow};

use schema::{event::Event, timestamp::Timestamp};
use serde::{Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};
use uuid::Uuid;

use super::{Columns, ID, LAYOUT, Shape, eight};
use crate::native::end_of_text;

const EVENT_NAME: usize = 1;
const KIND: usize = 2;
const USER_ID: usize = 3;
const ANONYMOUS_ID: usize = 4;
const DISTINCT_ID: usize = 5;
const SESSION_ID: usize = 6;
const APP_ID: usize = 7;
const TIMESTAMP: usize = 8;
const CORRECTED_AT: usize = 9;
const SENT_AT: usize = 10;
const RECEIVED_AT: usize = 11;
const PROPERTIES: usize = 12;
const IP_ADDRESS: usize = 13;
const USER_AGENT: usize = 14;
const LIBRARY: usize = 15;
const PROTOCOL: usize = 16;

/// The lines of some columns. It knows where the texts of each row begin, as they can only be found one after the
/// other.
pub(crate) struct Lines<'c> {
    columns: &'c Columns,
    /// By column; nothing of those that hold no texts.
    texts: [Vec<usize>; LAYOUT.len()],
    property_keys: Vec<usize>,
    property_values: Vec<usize>,
}

impl<'c> Lines<'c> {
    pub(crate) fn of(columns: &'c Columns) -> Self {
        let texts = array::from_fn(|number| match LAYOUT[number].shape {
            Shape::Texts => starts(&columns.values[number]),
            Shape::Fixed(_) | Shape::Ends => Vec::new(),
        });
        let ends = &columns.values[PROPERTIES];
        Self {
            columns,
            texts,
            property_keys: starts_of_entries(&columns.property_keys, ends),
            property_values: starts_of_entries(&columns.property_values, ends),
        }
    }

    /// A row as one line in the form of our own records: a record of it becomes the same row at its own place. The
    /// properties are texts, as they are in the row.
    pub(crate) fn line(&self, row: usize) -> Vec<u8> {
        let (timestamp, received_at) = (self.time(TIMESTAMP, row), self.time(RECEIVED_AT, row));
        let unless = |usual: Timestamp, time: Timestamp| (time != usual).then_some(time);
        let event = Event {
            id: self.id(row),
            event_name: self.text(EVENT_NAME, row),
            kind: self.text(KIND, row),
            user_id: self.text(USER_ID, row),
            anonymous_id: self.text(ANONYMOUS_ID, row),
            distinct_id: self.text(DISTINCT_ID, row),
            session_id: self.text(SESSION_ID, row),
            app_id: self.text(APP_ID, row),
            timestamp,
            corrected_at: unless(timestamp, self.time(CORRECTED_AT, row)),
            sent_at: unless(received_at, self.time(SENT_AT, row)),
            received_at,
            properties: &self.properties(row),
            ip_address: self.text(IP_ADDRESS, row),
            user_agent: self.text(USER_AGENT, row),
            library: self.text(LIBRARY, row),
            protocol: self.text(PROTOCOL, row),
        };
        serde_json::to_vec(&event).expect("texts, times and an id are written without an error")
    }

    fn id(&self, row: usize) -> Uuid {
        let half = |half| u64::from_le_bytes(eight(&self.columns.values[ID], 2 * row + half));
        Uuid::from_u64_pair(half(0), half(1))
    }

    fn time(&self, column: usize, row: usize) -> Timestamp {
        Timestamp::from_millis(i64::from_le_bytes(eight(&self.columns.values[column], row)))
    }

    fn text(&self, column: usize, row: usize) -> Cow<'c, str> {
        text_at(&self.columns.values[column], self.texts[column][row]).0
    }

    fn properties(&self, row: usize) -> Box<RawValue> {
        let end_of = |row: usize| u64::from_le_bytes(eight(&self.columns.values[PROPERTIES], row));
        let before = row.checked_sub(1).map_or(0, end_of);
        let (mut key_at, mut value_at) = (self.property_keys[row], self.property_values[row]);
        let mut entries = Vec::new();
        for _ in before..end_of(row) {
            let (key, after_key) = text_at(&self.columns.property_keys, key_at);
            let (value, after_value) = text_at(&self.columns.property_values, value_at);
            entries.push((key, value));
            (key_at, value_at) = (after_key, after_value);
        }
        to_raw_value(&Object(entries)).expect("texts are written without an error")
    }
}

/// A JSON object with its members in order.
struct Object<'c>(Vec<(Cow<'c, str>, Cow<'c, str>)>);

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

/// Where each text of a column begins.
fn starts(column: &[u8]) -> Vec<usize> {
    let mut starts = Vec::new();
    let mut at = 0;
    while at < column.len() {
        starts.push(at);
        at = end_of_text(column, at);
    }
    starts
}

/// Where the entries of each row begin. `ends` are the numbers of entries up to and with each row.
fn starts_of_entries(column: &[u8], ends: &[u8]) -> Vec<usize> {
    let (mut at, mut passed) = (0, 0);
    let start_of = |end: &[u8; 8]| {
        let start = at;
        while passed < u64::from_le_bytes(*end) {
            at = end_of_text(column, at);
            passed += 1;
        }
        start
    };
    ends.as_chunks::<8>().0.iter().map(start_of).collect()
}

/// The text that begins at a place with its length, and where it ends.
fn text_at(column: &[u8], at: usize) -> (Cow<'_, str>, usize) {
    let end = end_of_text(column, at);
    let is_more_of_length = |byte: &&u8| **byte >= 0x80;
    let start = at + column[at..end].iter().take_while(is_more_of_length).count() + 1;
    (String::from_utf8_lossy(&column[start..end]), end)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use schema::{names::TopicId, tenant_id::TenantId};

    use super::*;
    use crate::{
        columns::{block, tests::columns_of},
        parse::{Parsed, Parser, Record},
    };

    fn columns_from<'l>(lines: impl Iterator<Item = &'l [u8]>) -> Columns {
        let mut columns = Columns::default();
        let mut parser = Parser::new(TenantId::parse("acme").unwrap(), TopicId(Uuid::from_u128(9)));
        for (offset, line) in (0..).zip(lines) {
            let take = |parsed: Parsed<'_>| match parsed {
                Parsed::Row(row) => columns.push(&row),
                Parsed::Reject { refused, .. } => panic!("{refused}"),
            };
            parser.parse(&Record { partition: 5, offset, payload: line }, take).unwrap();
        }
        columns
    }

    fn lines(columns: &Columns) -> Vec<Vec<u8>> {
        let lines = Lines::of(columns);
        (0..columns.rows()).map(|row| lines.line(row)).collect()
    }

    fn wire(columns: Columns) -> Vec<u8> {
        let rows = 0..columns.rows();
        block(&Arc::new(columns), rows).into_chunks().flatten().collect()
    }

    #[test]
    fn a_line_becomes_the_row_that_it_was_written_from() {
        let examples = [
            include_bytes!("../../../schema/events/events.json").as_slice(),
            include_bytes!("../../../schema/events/hostile.json"),
            include_bytes!("../../../schema/events/ingest.json"),
            include_bytes!("../../../schema/events/skewed.json"),
            include_bytes!("../../../schema/events/smallest.json"),
        ];
        for columns in [columns_from(examples.into_iter()), columns_of(&[0, 1, 2, 3, 127, 128, 199, 7])] {
            let written = lines(&columns);
            assert_eq!(wire(columns_from(written.iter().map(Vec::as_slice))), wire(columns));
        }
    }

    #[test]
    fn a_line_has_the_names_of_our_own_records_and_nothing_that_says_nothing() {
        let smallest = include_str!("../../../schema/events/smallest.json").trim_end();
        let written = lines(&columns_from([smallest.as_bytes()].into_iter()));
        assert_eq!(String::from_utf8_lossy(&written[0]), smallest);
    }
}
