use std::collections::BTreeMap;

use proptest::prelude::*;
use schema::{names::TopicId, tenant_id::TenantId};

use super::*;
use crate::parse::{Parsed, Parser, Record};

/// An event by its number: some texts are long, some are empty, some have properties.
fn line(number: u64) -> String {
    let name = "n".repeat(1 + number as usize % 200);
    let properties: Vec<String> = (0..number % 4)
        .map(|n| format!("\"k{n}\":\"{}\"", "v".repeat((number * 7 % 300) as usize)))
        .collect();
    let id = Uuid::from_u128(u128::from(number));
    let day = 1 + number % 28;
    let event = format!(
        "{{\"id\":\"{id}\",\"event_name\":\"{name}\",\"timestamp\":\"2026-01-{day:02}T00:00:00.000Z\",\
         \"distinct_id\":\"{}\",\"received_at\":\"2026-02-01T00:00:00.000Z\",\"properties\":{{{}}}}}",
        "d".repeat(number as usize % 9),
        properties.join(",")
    );
    event
}

/// The table as the server describes it, with a column of somebody else.
pub(crate) fn table() -> String {
    let described = |column: &Column| match column.name {
        "event_name" => ("event_name", "LowCardinality(String)"),
        name => (name, column.kind),
    };
    let line = |(name, kind)| format!("{{\"name\":\"{name}\",\"type\":\"{kind}\"}}\n");
    LAYOUT.iter().map(described).map(line).collect()
}

#[test]
fn what_a_table_lacks_or_has_beyond_ours_is_named() {
    let lacks = |name| Some(Difference::Lacks(name));
    let added = |name: &str| Some(Difference::Added(name.to_owned()));
    let more = |name: &str| format!("{}{{\"name\":\"{name}\",\"type\":\"UInt8\"}}\n", table());
    for (described, expected) in [
        (table(), None),
        (String::new(), lacks("id")),
        (table().replace("\"session_id\"", "\"session\""), lacks("session_id")),
        (table().replace("\"_ki\",\"type\":\"UInt16\"", "\"_ki\",\"type\":\"UInt8\""), lacks("_ki")),
        (table().replace("LowCardinality(String)", "LowCardinality(UInt8)"), lacks("event_name")),
        (more("price"), added("price")),
        (more("a constraint"), added("a constraint")),
    ] {
        assert_eq!(difference(described.as_bytes()), expected, "{described}");
    }
}

/// The columns of the events of these numbers, at the offsets of their places.
pub(crate) fn columns_of(numbers: &[u64]) -> Columns {
    let mut columns = Columns::default();
    let mut parser = Parser::new(TenantId::parse("acme").unwrap(), TopicId(Uuid::from_u128(9)));
    for (offset, number) in (0..).zip(numbers) {
        let line = line(*number);
        let record = Record { partition: 5, offset, payload: line.as_bytes() };
        parser
            .parse(&record, |parsed| match parsed {
                Parsed::Row(row) => columns.push(&row),
                Parsed::Reject { refused, .. } => panic!("{refused}"),
            })
            .unwrap();
    }
    columns
}

fn wire(block: Block) -> Vec<u8> {
    block.into_chunks().flatten().collect()
}

/// Names and types of columns.
type Heads = Vec<(String, String)>;

/// Reads a block back: names and types, and per row the text of each column.
fn decode(bytes: &[u8]) -> (Heads, Vec<BTreeMap<String, String>>) {
    let mut at = 0;
    let (columns, rows) = (number(bytes, &mut at), number(bytes, &mut at) as usize);
    let mut heads = Vec::new();
    let mut decoded = vec![BTreeMap::new(); rows];
    for _ in 0..columns {
        let (name, kind) = (text(bytes, &mut at), text(bytes, &mut at));
        let values: Vec<String> = match kind.as_str() {
            "String" => (0..rows).map(|_| text(bytes, &mut at)).collect(),
            "Map(String, String)" => map(bytes, &mut at, rows),
            fixed => {
                let width = match fixed {
                    "UUID" => 16,
                    "UInt64" | MILLIS => 8,
                    "UInt16" | "Date" => 2,
                    "UInt8" => 1,
                    other => panic!("{other}"),
                };
                (0..rows).map(|_| format!("{:?}", take(bytes, &mut at, width))).collect()
            }
        };
        for (row, value) in decoded.iter_mut().zip(values) {
            row.insert(name.clone(), value);
        }
        heads.push((name, kind));
    }
    assert_eq!(at, bytes.len(), "bytes are left over");
    (heads, decoded)
}

fn take<'a>(bytes: &'a [u8], at: &mut usize, length: usize) -> &'a [u8] {
    *at += length;
    &bytes[*at - length..*at]
}

fn number(bytes: &[u8], at: &mut usize) -> u64 {
    let (mut number, mut shift) = (0, 0);
    loop {
        let byte = take(bytes, at, 1)[0];
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return number;
        }
        shift += 7;
    }
}

fn text(bytes: &[u8], at: &mut usize) -> String {
    let length = number(bytes, at) as usize;
    String::from_utf8(take(bytes, at, length).to_vec()).unwrap()
}

fn map(bytes: &[u8], at: &mut usize, rows: usize) -> Vec<String> {
    let ends: Vec<usize> =
        (0..rows).map(|_| u64::from_le_bytes(take(bytes, at, 8).try_into().unwrap()) as usize).collect();
    let count = ends.last().copied().unwrap_or(0);
    let keys: Vec<String> = (0..count).map(|_| text(bytes, at)).collect();
    let values: Vec<String> = (0..count).map(|_| text(bytes, at)).collect();
    let starts = [0].into_iter().chain(ends.iter().copied());
    let of = |from: usize, to: usize| {
        format!("{:?}", keys[from..to].iter().zip(&values[from..to]).collect::<Vec<_>>())
    };
    starts.zip(&ends).map(|(from, to)| of(from, *to)).collect()
}

#[test]
fn the_layout_is_the_table() {
    let ddl = include_str!("../../../schema/clickhouse/0001_events_raw.sql");
    let declared: Vec<(&str, String)> = ddl
        .lines()
        .map(|line| line.trim().trim_end_matches(','))
        .skip_while(|line| *line != "(")
        .skip(1)
        .take_while(|line| !line.starts_with("INDEX"))
        .filter_map(|line| line.split_once(' '))
        .map(|(name, kind)| {
            (name, kind.split(" CODEC").next().unwrap().replace("LowCardinality(String)", "String"))
        })
        .collect();
    let ours: Vec<(&str, String)> =
        LAYOUT.iter().map(|column| (column.name, column.kind.to_owned())).collect();
    assert_eq!(ours, declared);
}

#[test]
fn a_block_reads_back_as_its_rows() {
    let (heads, rows) = decode(&wire(block(&Arc::new(columns_of(&[1, 2, 7])), 0..3)));
    assert_eq!(heads.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", "), names());
    insta::assert_debug_snapshot!(rows);
}

#[test]
fn an_origin_is_read_back() {
    let columns = columns_of(&[1, 2, 3]);
    assert_eq!(columns.origin(2), Origin { partition: 5, offset: 2, index: 0 });
}

#[test]
fn cleared_columns_are_as_new() {
    let mut columns = columns_of(&[1, 2, 3]);
    columns.clear();
    assert_eq!((columns.rows(), columns.bytes()), (0, 0));
    assert!(columns.capacity() > 0);
    assert!(wire(block(&Arc::new(columns), 0..0)).starts_with(&[24, 0, 2, b'i', b'd']));
}

/// What the table sorts by, as it is told of a decoded row: texts and numbers in the order of their bytes.
fn key(row: &BTreeMap<String, String>) -> (String, u16, u64, [u64; 2]) {
    let bytes = |name: &str| -> Vec<u8> {
        row[name].trim_matches(['[', ']']).split(", ").map(|byte| byte.parse().unwrap()).collect()
    };
    let day = u16::from_le_bytes(bytes("day").try_into().unwrap());
    let half = |at: usize| u64::from_le_bytes(bytes("id")[at..at + 8].try_into().unwrap());
    let hash = crate::city_hash::city_hash_64(row["distinct_id"].as_bytes());
    (row["event_name"].clone(), day, hash, [half(8), half(0)])
}

#[test]
fn sorting_keeps_where_a_row_came_from() {
    let mut columns = columns_of(&[9, 1, 5]);
    columns.sort();
    let offsets: Vec<i64> = (0..3).map(|row| columns.origin(row).offset).collect();
    assert_eq!(offsets, [1, 2, 0]);
    // Sorting again changes nothing.
    columns.sort();
    assert_eq!(columns.origin(0).offset, 1);
}

proptest! {
    #[test]
    fn sorted_rows_are_the_same_rows_in_the_order_of_the_table(
        numbers in prop::collection::vec(prop_oneof![0_u64..4, 0_u64..1_000], 0..40),
    ) {
        let mut columns = columns_of(&numbers);
        let (_, mut expected) = decode(&wire(block(&Arc::new(columns_of(&numbers)), 0..numbers.len())));
        columns.sort();
        let (_, sorted) = decode(&wire(block(&Arc::new(columns), 0..numbers.len())));
        prop_assert!(sorted.iter().map(key).is_sorted());
        expected.sort_by_key(|row| (key(row), row["_ko"].clone()));
        let mut those = sorted;
        those.sort_by_key(|row| (key(row), row["_ko"].clone()));
        prop_assert_eq!(those, expected);
    }

    #[test]
    fn a_cut_block_is_what_its_rows_alone_encode_to(
        numbers in prop::collection::vec(0_u64..1_000, 0..12),
        cut in any::<(prop::sample::Index, prop::sample::Index)>(),
    ) {
        let (a, b) = (cut.0.index(numbers.len() + 1), cut.1.index(numbers.len() + 1));
        let rows = a.min(b)..a.max(b);
        let whole = Arc::new(columns_of(&numbers));
        let cut = block(&whole, rows.clone());
        prop_assert_eq!(cut.rows(), rows.len());
        let bytes = cut.bytes();
        let sent = wire(cut);
        prop_assert_eq!(sent.len() as u64, bytes);
        let (_, all) = decode(&wire(block(&whole, 0..numbers.len())));
        prop_assert_eq!(decode(&sent).1, &all[rows]);
    }
}
