use std::fmt::Write as _;

use proptest::prelude::*;
use schema::limits::MAX_NAME_CHARS;
use uuid::Uuid;

use super::*;

const SMALLEST: &str = include_str!("../../../schema/events/smallest.json");

fn parser() -> Parser {
    Parser::new(TenantId::parse("acme").unwrap(), TopicId(Uuid::from_u128(7)))
}

/// Each line as its row, column by column, or as the reason of its refusal.
fn parse(payload: &[u8]) -> Result<Vec<String>, Refused> {
    let mut lines = Vec::new();
    parser().parse(&Record { partition: 3, offset: 42, payload }, |parsed| {
        lines.push(match parsed {
            Parsed::Row(row) => text_of(&row),
            Parsed::Reject { index, line, refused } => {
                format!("{index}: {} of {} bytes", refused.reason(), line.len())
            }
        });
    })?;
    Ok(lines)
}

/// A row, column by column.
pub(crate) fn text_of(row: &Row<'_>) -> String {
    let event = &row.event;
    let mut text = String::new();
    for (name, value) in [
        ("id", event.id.to_string().as_str()),
        ("event_name", &event.event_name),
        ("type", &event.kind),
        ("user_id", &event.user_id),
        ("anonymous_id", &event.anonymous_id),
        ("distinct_id", &event.distinct_id),
        ("session_id", &event.session_id),
        ("app_id", &event.app_id),
        ("timestamp", &event.timestamp.to_string()),
        ("corrected_at", &row.corrected_at.to_string()),
        ("sent_at", &row.sent_at.to_string()),
        ("received_at", &event.received_at.to_string()),
        ("ip_address", &event.ip_address),
        ("user_agent", &event.user_agent),
        ("library", &event.library),
        ("protocol", &event.protocol),
        ("day", &row.day.to_string()),
        ("version", &row.version.to_string()),
        ("position", &format!("{:?}", row.position)),
    ] {
        writeln!(text, "{name}: {value:?}").unwrap();
    }
    for (key, value) in row.properties.iter() {
        writeln!(text, "  {key:?} = {value:?}").unwrap();
    }
    text
}

#[test]
fn the_frozen_examples_become_their_rows() {
    for (name, line) in [
        ("events", include_str!("../../../schema/events/events.json")),
        ("hostile", include_str!("../../../schema/events/hostile.json")),
        ("ingest", include_str!("../../../schema/events/ingest.json")),
        ("skewed", include_str!("../../../schema/events/skewed.json")),
        ("smallest", SMALLEST),
    ] {
        let rows = parse(line.as_bytes()).unwrap();
        assert_eq!(rows.len(), 1, "{name}");
        insta::assert_snapshot!(name, rows[0]);
    }
}

#[test]
fn every_frozen_example_has_a_snapshot() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../schema/events");
    let files = std::fs::read_dir(folder).unwrap().filter(|entry| entry.as_ref().unwrap().path().is_file());
    assert_eq!(files.count(), 5, "add the new example above");
}

#[test]
fn a_bad_line_among_good_ones_is_refused_alone() {
    let good = SMALLEST.trim_end();
    let lines = parse(format!("{good}\n{{\"id\":1\n{good}\n").as_bytes()).unwrap();
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[1], "1: malformed of 7 bytes");
    assert!(lines[0].contains("index: 0") && lines[2].contains("index: 2"));
}

/// The smallest event with one text replaced.
fn altered(from: &str, to: &str) -> String {
    assert!(SMALLEST.contains(from), "{from}");
    SMALLEST.trim_end().replace(from, to)
}

#[track_caller]
fn check(line: &[u8], reason: &str) {
    let lines = parse(line).unwrap();
    assert_eq!(lines, [format!("0: {reason} of {} bytes", line.len())]);
}

#[test]
fn bad_events_have_their_reasons() {
    let name = |name: &str| altered("page_view", name);
    let properties = |text: &str| altered("\"properties\":{}", &format!("\"properties\":{text}"));
    let time = |time: &str| {
        altered("\"timestamp\":\"2026-01-31T12:00:00.000Z\"", &format!("\"timestamp\":\"{time}\""))
    };
    let nested = format!("{{\"a\":{}{}}}", "[".repeat(64), "]".repeat(64));
    let deepest = format!("{{\"a\":{}{}}}", "[".repeat(250_000), "]".repeat(0));
    for (line, reason) in [
        ("not json".to_owned(), "malformed"),
        ("[]".to_owned(), "malformed"),
        ("{}".to_owned(), "malformed"),
        (deepest, "malformed"),
        (SMALLEST.trim_end().repeat(2), "malformed"),
        (altered("\"id\":", "\"id\":\"01938f6e-5c00-7cc3-98c4-dc0c0c07398f\",\"id\":"), "malformed"),
        (altered("01938f6e-5c00-7cc3-98c4-dc0c0c07398f", "order-1"), "malformed"),
        (name("\\u0000"), "nul"),
        (name("\\ud800"), "malformed"),
        (name(""), "no_name"),
        (name(&"ü".repeat(MAX_NAME_CHARS + 1)), "name_too_long"),
        (properties("[]"), "properties_not_object"),
        (properties("null"), "properties_not_object"),
        (properties("{\"a\":\"\\u0000\"}"), "nul"),
        (properties(&nested), "too_deep"),
        (properties(&format!("{{\"a\":\"{}\"}}", "x".repeat(MAX_LINE_BYTES))), "event_too_large"),
        (time("1970-01-01T00:00:00.000Z"), "timestamp_too_old"),
        (time("2100-01-01T00:00:00.000Z"), "timestamp_too_new"),
        (altered("2026-01-31T12:00:00.000Z", "2200-01-01T00:00:00.000Z"), "received_out_of_range"),
        (altered("2026-01-31T12:00:00.000Z", "1970-01-01T00:00:00.000Z"), "received_out_of_range"),
        (time("yesterday"), "malformed"),
    ] {
        check(line.as_bytes(), reason);
    }
    check(b"{\"a\":\"\xff\"}", "invalid_utf8");
}

#[test]
fn a_name_of_the_longest_length_is_stored() {
    assert!(
        parse(altered("page_view", &"ü".repeat(MAX_NAME_CHARS)).as_bytes()).unwrap()[0].starts_with("id")
    );
}

#[test]
fn a_field_of_a_newer_ingester_is_ignored() {
    assert!(
        parse(altered("\"properties\"", "\"geo\":{\"a\":[1]},\"properties\"").as_bytes()).unwrap()[0]
            .starts_with("id")
    );
}

#[test]
fn a_record_without_a_line_or_with_too_many_is_refused_as_a_whole() {
    assert_eq!(parse(b""), Err(Refused::EmptyRecord));
    assert_eq!(parse(b"\n"), Err(Refused::EmptyRecord));
    assert_eq!(parse("x\n".repeat(MAX_EVENTS_PER_REQUEST).as_bytes()).unwrap().len(), MAX_EVENTS_PER_REQUEST);
    assert_eq!(parse("x\n".repeat(MAX_EVENTS_PER_REQUEST + 1).as_bytes()), Err(Refused::TooManyEvents));
}

#[test]
fn headers_say_whose_record_it_is() {
    let tenant = ("tenant", "acme");
    let version = ("schema-version", "1");
    let content_type = ("content-type", "application/x-ndjson");
    let other = ("traceparent", "00-1-1-01");
    let check = |headers: &[(&str, &str)], expected| {
        let headers = headers.iter().map(|(key, value)| (*key, value.as_bytes()));
        assert_eq!(parser().check_headers(headers), expected);
    };
    check(&[tenant, other, version, content_type], Ok(()));
    check(&[], Err(Refused::ForeignRecord));
    check(&[tenant, version], Err(Refused::ForeignRecord));
    check(&[tenant, content_type], Err(Refused::ForeignRecord));
    check(&[version, content_type], Err(Refused::ForeignRecord));
    check(&[("tenant", "globex"), version, content_type], Err(Refused::WrongTenant));
    check(&[tenant, version, content_type, ("tenant", "globex")], Err(Refused::WrongTenant));
    check(&[tenant, ("schema-version", "2"), content_type], Err(Refused::UnknownSchemaVersion));
    check(&[tenant, version, ("content-type", "application/json")], Err(Refused::WrongContentType));
}

proptest! {
    #[test]
    fn parsing_never_panics(payload in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = parse(&payload);
    }

    #[test]
    fn parsing_nearly_good_lines_never_panics(at in 0..SMALLEST.len(), byte in any::<u8>(), cut in any::<bool>()) {
        let mut line = SMALLEST.as_bytes().to_vec();
        line[at] = byte;
        if cut {
            line.truncate(at + 1);
        }
        let _ = parse(&line);
    }
}
