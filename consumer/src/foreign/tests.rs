use proptest::prelude::*;

use super::*;
use crate::parse::tests::text_of;

const SMALLEST: &str = include_str!("../../../schema/events/foreign/smallest.json");
const COMPLETE: &str = include_str!("../../../schema/events/foreign/complete.json");

fn mapped() -> FieldMap {
    serde_json::from_str(
        r#"{"id":"msg_id","event_name":"action","type":"category","user_id":"account","anonymous_id":"device",
            "session_id":"visit","app_id":"service","timestamp":"ts","properties":"body"}"#,
    )
    .unwrap()
}

/// The event's id alone comes with it.
fn with_id() -> FieldMap {
    FieldMap { id: Some("id".to_owned()), ..FieldMap::default() }
}

fn parsed<T>(
    map: &FieldMap,
    payload: &[u8],
    receipt: Receipt,
    see: impl Fn(&Row<'_>) -> T,
) -> Result<T, Refused> {
    let pipeline = PipelineName::parse("web").unwrap();
    let mut parser = ForeignParser::new(pipeline, TopicId(Uuid::from_u128(7)), map);
    parser.parse(&Record { partition: 3, offset: 42, payload }, receipt).map(|row| see(&row))
}

fn received() -> Receipt {
    Receipt { received_at: Some(Timestamp::parse("2026-02-02T12:00:00.500Z").unwrap()), first: None }
}

fn parse(map: &FieldMap, payload: &[u8]) -> Result<String, Refused> {
    parsed(map, payload, received(), text_of)
}

#[test]
fn the_frozen_examples_become_their_rows() {
    for (name, map, record) in [
        ("complete", FieldMap::default(), COMPLETE),
        ("smallest", FieldMap::default(), SMALLEST),
        ("pretty", FieldMap::default(), include_str!("../../../schema/events/foreign/pretty.json")),
        ("mapped", mapped(), include_str!("../../../schema/events/foreign/mapped.json")),
    ] {
        insta::assert_snapshot!(name, parse(&map, record.as_bytes()).unwrap());
    }
}

#[test]
fn every_frozen_example_has_a_snapshot() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../schema/events/foreign");
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), 4, "add the new example above");
}

#[track_caller]
fn check(map: &FieldMap, record: &[u8], reason: &str) {
    let refused = parse(map, record).expect_err("it is refused");
    assert_eq!(refused.reason(), reason, "{:?}", String::from_utf8_lossy(&record[..record.len().min(100)]));
}

#[test]
fn bad_records_have_their_reasons() {
    let name = |value: &str| format!(r#"{{"event_name":{value}}}"#);
    let with = |member: &str| format!(r#"{{"event_name":"x",{member}}}"#);
    for (record, reason) in [
        (String::new(), "empty_record"),
        ("not json".to_owned(), "malformed"),
        ("[]".to_owned(), "malformed"),
        ("\"text\"".to_owned(), "malformed"),
        ("null".to_owned(), "malformed"),
        (SMALLEST.trim_end().repeat(2), "malformed"),
        (format!("{SMALLEST}{SMALLEST}"), "malformed"),
        (r#"{"event_name":"x""#.to_owned(), "malformed"),
        (r#"{"event_name":"x","event_name":"y"}"#.to_owned(), "malformed"),
        (r#"{"event_name":"x","event\u005fname":"y"}"#.to_owned(), "malformed"),
        (format!("{}{}", "[".repeat(100_000), "]".repeat(100_000)), "malformed"),
        (name(r#""\ud800""#), "malformed"),
        ("{}".to_owned(), "no_name"),
        (name("null"), "no_name"),
        (name("\"\""), "no_name"),
        (name("true"), "wrong_type"),
        (name("{}"), "wrong_type"),
        (name("[\"x\"]"), "wrong_type"),
        (name(r#""\u0000""#), "nul"),
        (name(&format!("\"{}\"", "ü".repeat(MAX_NAME_CHARS + 1))), "name_too_long"),
        (with(r#""user_id":false"#), "wrong_type"),
        (with(r#""id":{}"#), "wrong_type"),
        (with(r#""id":"a\u0000""#), "nul"),
        (with(&format!(r#""id":"{}""#, "i".repeat(MAX_NAME_CHARS + 1))), "name_too_long"),
        (with(r#""timestamp":"yesterday""#), "unreadable_time"),
        (with(r#""timestamp":"""#), "unreadable_time"),
        (with(r#""timestamp":1e9"#), "unreadable_time"),
        (with(r#""timestamp":1.5e9"#), "unreadable_time"),
        (with(r#""timestamp":99999999999999999999"#), "unreadable_time"),
        (with(r#""timestamp":true"#), "wrong_type"),
        (with(r#""timestamp":-1"#), "timestamp_too_old"),
        (with(r#""timestamp":"1970-01-01T00:00:00Z""#), "timestamp_too_old"),
        (with(r#""timestamp":"2026-02-04T12:00:00Z""#), "timestamp_too_new"),
        (with(r#""properties":[]"#), "properties_not_object"),
        (with(r#""properties":"{}""#), "properties_not_object"),
        (with(r#""properties":{"a":"\u0000"}"#), "nul"),
        (with(&format!(r#""properties":{{"a":{}{}}}"#, "[".repeat(64), "]".repeat(64))), "too_deep"),
        (with(&format!(r#""a":"{}""#, "x".repeat(MAX_EVENT_BYTES))), "event_too_large"),
    ] {
        check(&with_id(), record.as_bytes(), reason);
    }
    check(&with_id(), b"{\"a\":\"\xff\"}", "invalid_utf8");
}

#[test]
fn a_record_without_a_time_of_its_own_in_kafka_is_refused() {
    let unknown = Receipt { received_at: None, first: None };
    let refused = parsed(&FieldMap::default(), SMALLEST.as_bytes(), unknown, text_of);
    assert_eq!(refused, Err(Refused::ReceivedOutOfRange));
}

fn time_of(value: &str) -> String {
    let record = format!(r#"{{"event_name":"x","timestamp":{value}}}"#);
    let time = |row: &Row<'_>| row.event.timestamp.to_string();
    parsed(&FieldMap::default(), record.as_bytes(), received(), time).unwrap()
}

#[test]
fn a_time_is_iso_8601_or_a_number_of_seconds_or_milliseconds() {
    for (value, expected) in [
        (r#""2026-02-02T13:00:00+01:00""#, "2026-02-02T12:00:00.000Z"),
        (r#""2026-02-02T12:00:00.0009""#, "2026-02-02T12:00:00.000Z"),
        (r#""2026\u002d02-02T12:00:00Z""#, "2026-02-02T12:00:00.000Z"),
        ("1770033600", "2026-02-02T12:00:00.000Z"),
        ("1770033600.25", "2026-02-02T12:00:00.250Z"),
        ("1770033600.0019", "2026-02-02T12:00:00.001Z"),
        ("1770033600250", "2026-02-02T12:00:00.250Z"),
        ("1770033600250.9", "2026-02-02T12:00:00.250Z"),
        ("null", "2026-02-02T12:00:00.500Z"),
    ] {
        assert_eq!(time_of(value), expected, "{value}");
    }
}

fn id_of_record(record: &str, receipt: Receipt) -> String {
    parsed(&with_id(), record.as_bytes(), receipt, |row| row.event.id.to_string()).unwrap()
}

// Golden vectors: a change of any of them doubles events that are read again across an upgrade.
#[test]
fn an_id_is_the_members_or_comes_from_where_the_record_lies() {
    let of = |member: &str| id_of_record(&format!(r#"{{"event_name":"x"{member}}}"#), received());
    assert_eq!(of(r#","id":"550E8400-E29B-41D4-A716-446655440000""#), "550e8400-e29b-41d4-a716-446655440000");
    assert_eq!(of(r#","id":"order-1""#), "8be76627-8d44-58cc-8cc6-81366955ee63", "as the ingester has it");
    assert_eq!(of(r#","id":"17""#), of(r#","id":17"#));
    let by_position = of("");
    assert_eq!(by_position, "5af079bb-0609-5cfe-95f9-309bed2a4e6c");
    assert_eq!(of(r#","id":null"#), by_position);
    assert_eq!(of(r#","id":"""#), by_position);
}

#[test]
fn the_first_position_names_a_letter_that_is_sent_again_unless_it_has_an_id() {
    let first = Position { topic: TopicId(Uuid::from_u128(7)), partition: 3, offset: 42, index: 1 };
    let receipt = Receipt { first: Some(first), ..received() };
    assert_eq!(id_of_record(SMALLEST, receipt), "689cacde-053b-5a41-bf93-4579079ca0f9");
    let record = r#"{"event_name":"x","id":"order-1"}"#;
    assert_eq!(id_of_record(record, receipt), "8be76627-8d44-58cc-8cc6-81366955ee63");
}

#[test]
fn without_a_time_that_of_the_id_counts() {
    let record = r#"{"event_name":"x","id":"017f22e2-79b0-7cc3-98c4-dc0c0c07398f"}"#;
    let time = parsed(&with_id(), record.as_bytes(), received(), |row| row.event.timestamp.to_string());
    assert_eq!(time.unwrap(), "2022-02-22T19:22:22.000Z");
}

#[test]
fn one_member_may_be_several_columns() {
    let map = FieldMap { session_id: Some("user_id".to_owned()), ..FieldMap::default() };
    let see = |row: &Row<'_>| (row.event.user_id.to_string(), row.event.session_id.to_string());
    let seen = parsed(&map, br#"{"event_name":"x","user_id":"u"}"#, received(), see).unwrap();
    assert_eq!(seen, ("u".to_owned(), "u".to_owned()));
}

#[test]
fn texts_without_escapes_are_borrowed() {
    let is_borrowed = |text: &Cow<'_, str>| matches!(text, Cow::Borrowed(_));
    let see = |row: &Row<'_>| is_borrowed(&row.event.event_name) && is_borrowed(&row.event.distinct_id);
    assert!(parsed(&FieldMap::default(), COMPLETE.as_bytes(), received(), see).unwrap());
}

proptest! {
    #[test]
    fn parsing_never_panics(payload in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = parse(&with_id(), &payload);
    }

    #[test]
    fn parsing_nearly_good_records_never_panics(at in 0..COMPLETE.len(), byte in any::<u8>(), cut in any::<bool>()) {
        let mut record = COMPLETE.as_bytes().to_vec();
        record[at] = byte;
        if cut {
            record.truncate(at + 1);
        }
        let _ = parse(&with_id(), &record);
    }

    /// serde_json's own value tree is the witness.
    #[test]
    fn texts_and_numbers_are_those_of_a_value_tree(
        name in "[^\0]{1,40}", user in any::<i64>(), other in "[^\0]{0,9}"
    ) {
        prop_assume!(!["event_name", "user_id", "app_id", "timestamp", "properties", "id"].contains(&other.as_str()));
        let value = serde_json::json!({"event_name": name, "user_id": user, other: {"event_name": [1, "x"]}});
        let see = |row: &Row<'_>| (row.event.event_name.to_string(), row.event.user_id.to_string());
        let record = serde_json::to_string_pretty(&value).unwrap();
        let seen = parsed(&with_id(), record.as_bytes(), received(), see).unwrap();
        prop_assert_eq!(seen, (name, user.to_string()));
    }
}
