//! The columns of `events_raw`, in the table's order, kept as they go over the wire.
//!
//! `event_name` is LowCardinality in the table and String here: the server converts it on insert
//! (`input_format_native_allow_types_conversion`), which measured the same CPU as a dictionary made here. Pure.

mod gather;
mod line;

use std::{fmt, ops::Range, sync::Arc};

use bytes::Bytes;
use serde::Deserialize;
use uuid::Uuid;

pub(crate) use self::line::Lines;

use self::gather::Gather;
use crate::{
    native::{Block, push_text, span_of_texts},
    order::Order,
    properties::Properties,
    row::Row,
};

/// The values of some rows, one buffer per column, in the order of [`Columns::push`] until they are sorted.
#[derive(Default)]
pub(crate) struct Columns {
    rows: usize,
    values: [Vec<u8>; LAYOUT.len()],
    property_keys: Vec<u8>,
    property_values: Vec<u8>,
    properties: u64,
    order: Order,
    gather: Gather,
}

/// How the values of a column lie in its buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// So many bytes a row.
    Fixed(usize),
    /// A length and a text a row.
    Texts,
    /// Eight bytes a row: the number of properties up to and with this row.
    Ends,
}

struct Column {
    name: &'static str,
    kind: &'static str,
    shape: Shape,
}

const fn column(name: &'static str, kind: &'static str, shape: Shape) -> Column {
    Column { name, kind, shape }
}

const MILLIS: &str = "DateTime64(3, 'UTC')";

/// The order of the table, which is also the order in which [`Columns::push`] writes.
const LAYOUT: [Column; 24] = [
    column("id", "UUID", Shape::Fixed(16)),
    column("event_name", "String", Shape::Texts),
    column("type", "String", Shape::Texts),
    column("user_id", "String", Shape::Texts),
    column("anonymous_id", "String", Shape::Texts),
    column("distinct_id", "String", Shape::Texts),
    column("session_id", "String", Shape::Texts),
    column("app_id", "String", Shape::Texts),
    column("timestamp", MILLIS, Shape::Fixed(8)),
    column("corrected_at", MILLIS, Shape::Fixed(8)),
    column("sent_at", MILLIS, Shape::Fixed(8)),
    column("received_at", MILLIS, Shape::Fixed(8)),
    column("properties", "Map(String, String)", Shape::Ends),
    column("ip_address", "String", Shape::Texts),
    column("user_agent", "String", Shape::Texts),
    column("library", "String", Shape::Texts),
    column("protocol", "String", Shape::Texts),
    column("day", "Date", Shape::Fixed(2)),
    column("_version", "UInt64", Shape::Fixed(8)),
    column("_deleted", "UInt8", Shape::Fixed(1)),
    column("_inc", "UUID", Shape::Fixed(16)),
    column("_kp", "UInt16", Shape::Fixed(2)),
    column("_ko", "UInt64", Shape::Fixed(8)),
    column("_ki", "UInt16", Shape::Fixed(2)),
];

const ID: usize = 0;
#[cfg(test)]
const DAY: usize = 17;
const PARTITION: usize = 21;
const OFFSET: usize = 22;
const INDEX: usize = 23;

/// Where a row came from, read back from its columns. They are ordered as Kafka is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Origin {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) index: u16,
}

/// The names of the columns as an INSERT lists them.
pub(crate) fn names() -> String {
    LAYOUT.map(|column| column.name).join(", ")
}

/// How a table differs from the one that rows are made for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Difference {
    /// A column is absent or of another type: then it is the table that refuses rows, whatever the code says, since
    /// a text may become a number or not.
    Lacks(&'static str),
    /// Somebody added a column, a constraint or a materialized view, which may refuse rows of its own.
    Added(String),
}

/// The statement that describes a table: a line of JSON for each column, and one for what else may refuse rows.
/// Constraints are in `create_table_query`, materialized views in `dependencies_table`
/// (<https://clickhouse.com/docs/operations/system-tables/tables>).
pub(crate) fn description(database: &str, table: &str) -> String {
    let tables = format!("FROM system.tables WHERE database = '{database}' AND name = '{table}'");
    format!(
        "SELECT name, type FROM system.columns WHERE database = '{database}' AND table = '{table}' \
         UNION ALL SELECT 'a constraint', '' {tables} AND position(create_table_query, ' CONSTRAINT ') > 0 \
         UNION ALL SELECT concat('the view ', arrayStringConcat(dependencies_table, ', ')), '' {tables} \
         AND notEmpty(dependencies_table) FORMAT JSONEachRow"
    )
}

/// What differs in a table that is described so, the worst first.
pub(crate) fn difference(table: &[u8]) -> Option<Difference> {
    let theirs: Vec<Described> =
        table.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
    let is_there = |ours: &Column| {
        theirs.iter().any(|theirs| theirs.name == ours.name && plain(&theirs.kind) == ours.kind)
    };
    if let Some(lacking) = LAYOUT.iter().find(|column| !is_there(column)) {
        return Some(Difference::Lacks(lacking.name));
    }
    let is_ours = |theirs: &Described| LAYOUT.iter().any(|ours| ours.name == theirs.name);
    theirs.into_iter().find(|theirs| !is_ours(theirs)).map(|theirs| Difference::Added(theirs.name))
}

/// A column as the server describes it.
#[derive(Deserialize)]
struct Described {
    name: String,
    #[serde(rename = "type")]
    kind: String,
}

/// The type of the values.
fn plain(kind: &str) -> &str {
    kind.strip_prefix("LowCardinality(").and_then(|inner| inner.strip_suffix(')')).unwrap_or(kind)
}

impl Columns {
    /// Appends a row.
    pub(crate) fn push(&mut self, row: &Row<'_>) {
        let event = &row.event;
        let [
            id,
            event_name,
            kind,
            user_id,
            anonymous_id,
            distinct_id,
            session_id,
            app_id,
            timestamp,
            corrected_at,
            sent_at,
            received_at,
            properties,
            ip_address,
            user_agent,
            library,
            protocol,
            day,
            version,
            deleted,
            incarnation,
            partition,
            offset,
            index,
        ] = &mut self.values;
        id.extend_from_slice(&uuid_bytes(event.id));
        for (column, text) in [
            (event_name, &event.event_name),
            (kind, &event.kind),
            (user_id, &event.user_id),
            (anonymous_id, &event.anonymous_id),
            (distinct_id, &event.distinct_id),
            (session_id, &event.session_id),
            (app_id, &event.app_id),
            (ip_address, &event.ip_address),
            (user_agent, &event.user_agent),
            (library, &event.library),
            (protocol, &event.protocol),
        ] {
            push_text(column, text.as_bytes());
        }
        timestamp.extend_from_slice(&event.timestamp.millis().to_le_bytes());
        corrected_at.extend_from_slice(&row.corrected_at.millis().to_le_bytes());
        sent_at.extend_from_slice(&row.sent_at.millis().to_le_bytes());
        received_at.extend_from_slice(&event.received_at.millis().to_le_bytes());
        day.extend_from_slice(&row.day.to_le_bytes());
        version.extend_from_slice(&row.version.to_le_bytes());
        deleted.push(0);
        incarnation.extend_from_slice(&uuid_bytes(row.position.topic.0));
        // Kafka counts partitions in 32 bits; nobody has more than 65,535 of one topic.
        let narrow = u16::try_from(row.position.partition).unwrap_or(u16::MAX);
        partition.extend_from_slice(&narrow.to_le_bytes());
        offset.extend_from_slice(&row.position.offset.to_le_bytes());
        index.extend_from_slice(&row.position.index.to_le_bytes());
        self.properties += row.properties.iter().len() as u64;
        properties.extend_from_slice(&self.properties.to_le_bytes());
        push_properties(&mut self.property_keys, &mut self.property_values, row.properties);
        self.order.push(&event.event_name, row.day, &event.distinct_id);
        self.rows += 1;
    }

    /// The number of rows.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// The bytes that the values take.
    pub(crate) fn bytes(&self) -> usize {
        let values: usize = self.values.iter().map(Vec::len).sum();
        values + self.property_keys.len() + self.property_values.len()
    }

    /// The bytes that are held for values, filled or not.
    pub(crate) fn capacity(&self) -> usize {
        let values: usize = self.values.iter().map(Vec::capacity).sum();
        let held_for_order = self.order.capacity() + self.gather.capacity();
        values + self.property_keys.capacity() + self.property_values.capacity() + held_for_order
    }

    /// Brings the rows into the table's order, once.
    pub(crate) fn sort(&mut self) {
        if self.order.rows() != self.rows {
            return;
        }
        let ids = &self.values[ID];
        // ClickHouse compares the second half of a UUID first.
        let id = |row: u32| {
            let half = |half| u128::from(u64::from_le_bytes(eight(ids, 2 * row as usize + half)));
            half(1) << 64 | half(0)
        };
        if !self.order.sort(id, &mut self.gather.rows) {
            return;
        }
        for (values, column) in self.values.iter_mut().zip(&LAYOUT) {
            match column.shape {
                Shape::Fixed(width) => self.gather.fixed(values, width),
                Shape::Texts => self.gather.texts(values),
                Shape::Ends => {
                    self.gather.entries(&mut self.property_keys, values);
                    self.gather.entries(&mut self.property_values, values);
                    self.gather.ends(values);
                }
            }
        }
    }

    /// Forgets the rows and keeps the buffers.
    pub(crate) fn clear(&mut self) {
        self.rows = 0;
        self.properties = 0;
        self.values.iter_mut().for_each(Vec::clear);
        self.property_keys.clear();
        self.property_values.clear();
        self.order.clear();
    }

    /// The day of a row.
    #[cfg(test)]
    pub(crate) fn day(&self, row: usize) -> u16 {
        let values = &self.values[DAY];
        u16::from_le_bytes([values[2 * row], values[2 * row + 1]])
    }

    /// Where a row came from.
    pub(crate) fn origin(&self, row: usize) -> Origin {
        let two = |column: usize| [self.values[column][2 * row], self.values[column][2 * row + 1]];
        Origin {
            partition: i32::from(u16::from_le_bytes(two(PARTITION))),
            offset: i64::from_le_bytes(eight(&self.values[OFFSET], row)),
            index: u16::from_le_bytes(two(INDEX)),
        }
    }
}

impl fmt::Debug for Columns {
    /// Shows nothing of the values, which are users' data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Columns").field("rows", &self.rows).field("bytes", &self.bytes()).finish()
    }
}

/// The rows of a range as a block. It shares the columns, so that no value is copied but the ends of a cut map.
pub(crate) fn block(columns: &Arc<Columns>, rows: Range<usize>) -> Block {
    let mut block = Block::new(LAYOUT.len(), rows.len());
    let is_whole = rows == (0..columns.rows);
    for (number, Column { name, kind, shape }) in LAYOUT.iter().enumerate() {
        block.push_head(name, kind);
        let values = &columns.values[number];
        match shape {
            Shape::Fixed(width) => {
                push_shared(
                    &mut block,
                    columns,
                    Buffer::Column(number),
                    rows.start * width..rows.end * width,
                );
            }
            Shape::Texts => {
                let span = if is_whole { 0..values.len() } else { span_of_texts(values, rows.clone()) };
                push_shared(&mut block, columns, Buffer::Column(number), span);
            }
            Shape::Ends => push_map(&mut block, columns, number, rows.clone()),
        }
    }
    block
}

fn push_map(block: &mut Block, columns: &Arc<Columns>, number: usize, rows: Range<usize>) {
    let ends = &columns.values[number];
    if rows == (0..columns.rows) {
        push_shared(block, columns, Buffer::Column(number), 0..ends.len());
        push_shared(block, columns, Buffer::PropertyKeys, 0..columns.property_keys.len());
        push_shared(block, columns, Buffer::PropertyValues, 0..columns.property_values.len());
        return;
    }
    let end_of = |row: usize| u64::from_le_bytes(eight(ends, row));
    let before = if rows.start == 0 { 0 } else { end_of(rows.start - 1) };
    let after = if rows.end == 0 { 0 } else { end_of(rows.end - 1) };
    let rebased: Vec<u8> = rows.flat_map(|row| (end_of(row) - before).to_le_bytes()).collect();
    block.push_values(Bytes::from(rebased));
    let properties = before as usize..after as usize;
    let keys = span_of_texts(&columns.property_keys, properties.clone());
    push_shared(block, columns, Buffer::PropertyKeys, keys);
    let values = span_of_texts(&columns.property_values, properties);
    push_shared(block, columns, Buffer::PropertyValues, values);
}

fn push_shared(block: &mut Block, columns: &Arc<Columns>, buffer: Buffer, span: Range<usize>) {
    block.push_values(Bytes::from_owner(Shared { columns: Arc::clone(columns), buffer, span }));
}

/// A part of a buffer of columns that others hold too.
struct Shared {
    columns: Arc<Columns>,
    buffer: Buffer,
    span: Range<usize>,
}

enum Buffer {
    Column(usize),
    PropertyKeys,
    PropertyValues,
}

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        let values = match self.buffer {
            Buffer::Column(number) => &self.columns.values[number],
            Buffer::PropertyKeys => &self.columns.property_keys,
            Buffer::PropertyValues => &self.columns.property_values,
        };
        &values[self.span.clone()]
    }
}

fn push_properties(keys: &mut Vec<u8>, values: &mut Vec<u8>, properties: &Properties) {
    for (key, value) in properties.iter() {
        push_text(keys, key.as_bytes());
        push_text(values, value.as_bytes());
    }
}

/// ClickHouse keeps a UUID as two little-endian halves, the high one first.
pub(crate) fn uuid_bytes(id: Uuid) -> [u8; 16] {
    let (high, low) = id.as_u64_pair();
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&high.to_le_bytes());
    bytes[8..].copy_from_slice(&low.to_le_bytes());
    bytes
}

fn eight(column: &[u8], row: usize) -> [u8; 8] {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&column[8 * row..8 * row + 8]);
    bytes
}

#[cfg(test)]
pub(crate) mod tests;
