use schema::timestamp::TimeRefused;
use serde_json::value::RawValue;

use super::*;
use crate::{
    decode::{Protocol, decode},
    testing::{TENANT, receipt, route},
};

fn raw<'a>() -> RawEvent<'a> {
    RawEvent {
        size: 100,
        id: Cow::Borrowed(""),
        tenant_id: Cow::Borrowed(""),
        event_name: Cow::Borrowed("page_view"),
        kind: Cow::Borrowed(""),
        user_id: Cow::Borrowed(""),
        anonymous_id: Cow::Borrowed(""),
        session_id: Cow::Borrowed(""),
        app_id: Cow::Borrowed(""),
        library: Cow::Borrowed(""),
        timestamp: Cow::Borrowed(""),
        sent_at: None,
        properties: Cow::Borrowed(serde_json::from_str("{}").unwrap()),
    }
}

fn time(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

#[track_caller]
fn check_refused(raw: &RawEvent<'_>, expected: Refusal) {
    assert_eq!(validate(raw, &receipt(Protocol::Ingest), &route()).err(), Some(expected), "{raw:?}");
}

#[test]
fn an_event_without_a_name_is_refused() {
    check_refused(&RawEvent { event_name: Cow::Borrowed(""), ..raw() }, Refusal::NameMissing);
}

#[test]
fn an_event_of_another_tenant_is_refused() {
    check_refused(&RawEvent { tenant_id: Cow::Borrowed("acme"), ..raw() }, Refusal::ForeignTenant);
    let own = RawEvent { tenant_id: Cow::Borrowed(TENANT), ..raw() };
    assert!(validate(&own, &receipt(Protocol::Ingest), &route()).is_ok());
}

#[test]
fn texts_have_200_characters_at_the_most() {
    let long = || Cow::Owned("é".repeat(201));
    for (raw, field) in [
        (RawEvent { event_name: long(), ..raw() }, "event_name"),
        (RawEvent { id: long(), ..raw() }, "id"),
        (RawEvent { user_id: long(), ..raw() }, "user_id"),
        (RawEvent { anonymous_id: long(), ..raw() }, "anonymous_id"),
        (RawEvent { session_id: long(), ..raw() }, "session_id"),
        (RawEvent { app_id: long(), ..raw() }, "app_id"),
        (RawEvent { library: long(), ..raw() }, "library"),
    ] {
        check_refused(&raw, Refusal::TextTooLong { field });
    }
    let longest = RawEvent { event_name: Cow::Owned("é".repeat(200)), ..raw() };
    assert!(validate(&longest, &receipt(Protocol::Ingest), &route()).is_ok());
}

#[test]
fn times_outside_the_window_are_refused() {
    for (text, refusal) in [
        ("1970-01-01T00:00:00Z", Refusal::Time(TimeRefused::TooOld)),
        ("2100-01-01T00:00:00Z", Refusal::Time(TimeRefused::TooNew)),
        ("yesterday", Refusal::TimeUnreadable),
        ("2026-01-31", Refusal::TimeUnreadable),
    ] {
        check_refused(&RawEvent { timestamp: Cow::Borrowed(text), ..raw() }, refusal);
    }
}

#[test]
fn an_event_without_a_time_has_that_of_its_id_or_of_its_receipt() {
    for (id, expected) in [
        ("017f22e2-79b0-7cc3-98c4-dc0c0c07398f", "2022-02-22T19:22:22.000Z"),
        ("550e8400-e29b-41d4-a716-446655440000", "2026-01-31T12:00:00.500Z"),
        ("order-1", "2026-01-31T12:00:00.500Z"),
        ("", "2026-01-31T12:00:00.500Z"),
    ] {
        let raw = RawEvent { id: Cow::Borrowed(id), ..raw() };
        let receipt = receipt(Protocol::Ingest);
        let event = validate(&raw, &receipt, &route()).unwrap();
        assert_eq!(event.timestamp.to_string(), expected, "{id}");
        assert_eq!(event.corrected_at, None);
    }
}

#[test]
fn a_client_clock_is_corrected_unless_it_was_never_set() {
    for (sent_at, expected) in [
        (None, None),
        (Some("2026-01-31T14:00:00.500Z"), Some("2026-01-31T11:30:00.000Z")),
        (Some("1970-01-01T00:00:07Z"), None),
    ] {
        let raw = RawEvent {
            timestamp: Cow::Borrowed("2026-01-31T13:30:00Z"),
            sent_at: sent_at.map(time),
            ..raw()
        };
        let receipt = receipt(Protocol::Ingest);
        let event = validate(&raw, &receipt, &route()).unwrap();
        assert_eq!(event.corrected_at.map(|time| time.to_string()).as_deref(), expected, "{sent_at:?}");
        assert_eq!(event.sent_at.is_some(), expected.is_some());
        assert_eq!(event.timestamp, time("2026-01-31T13:30:00Z"));
    }
}

#[test]
fn the_distinct_id_is_the_user_or_else_the_anonymous_id() {
    for (user, anonymous, expected) in [("u", "a", "u"), ("", "a", "a"), ("", "", "")] {
        let raw = RawEvent { user_id: Cow::Borrowed(user), anonymous_id: Cow::Borrowed(anonymous), ..raw() };
        let receipt = receipt(Protocol::Ingest);
        assert_eq!(validate(&raw, &receipt, &route()).unwrap().distinct_id, expected);
    }
}

/// The consumer refuses a line of more than 256 KiB, so the ingester must not acknowledge one.
#[test]
fn an_event_that_outgrows_its_line_is_refused() {
    let sized = |bytes: usize| {
        let json = format!(r#"{{"a":"{}"}}"#, "a".repeat(bytes));
        RawEvent { size: json.len(), properties: Cow::Owned(RawValue::from_string(json).unwrap()), ..raw() }
    };
    check_refused(&sized(limits::MAX_EVENT_BYTES - 100), Refusal::TooLarge);
    let fits = sized(limits::MAX_EVENT_BYTES - 1_000);
    let receipt = receipt(Protocol::Ingest);
    let line = serde_json::to_vec(&validate(&fits, &receipt, &route()).unwrap()).unwrap();
    assert!(line.len() <= limits::MAX_EVENT_BYTES);
}

/// The requests of the seeds give the frozen examples.
#[test]
fn the_requests_of_the_seeds_become_the_frozen_examples() {
    let events = r#"{
      "event_name": "page_view",
      "user_id": "user123",
      "session_id": "session456",
      "properties": {
        "page": "/dashboard",
        "referrer": "https://google.com"
      }
    }"#;
    let ingest = r#"{
      "events": [{
        "id": "550e8400-e29b-41d4-a716-446655440000",
        "tenant_id": "00000000-0000-0000-0000-000000000000",
        "session_id": "11111111-1111-1111-1111-111111111111",
        "timestamp": "2024-01-01T00:00:00Z",
        "type": "pageview",
        "title": "Home",
        "path": "/"
      }]
    }"#;
    let of_events = Receipt {
        received_at: time("2026-01-31T12:00:00.250Z"),
        ip_address: "203.0.113.7".to_owned(),
        user_agent: "curl/8.5.0".to_owned(),
        ..receipt(Protocol::Events)
    };
    for (body, receipt, example) in [
        (events, of_events, include_str!("../../../schema/events/events.json")),
        (ingest, receipt(Protocol::Ingest), include_str!("../../../schema/events/ingest.json")),
    ] {
        let decoded = decode(receipt.protocol, body.as_bytes()).unwrap();
        let event = validate(decoded.events[0].as_ref().unwrap(), &receipt, &route()).unwrap();
        assert_eq!(serde_json::to_string(&event).unwrap(), example.trim_end());
    }
}

#[test]
fn a_skewed_clock_becomes_the_frozen_example() {
    let example = include_str!("../../../schema/events/skewed.json").trim_end();
    let expected: Event<'_> = serde_json::from_str(example).unwrap();
    let id = expected.id.to_string();
    let raw = RawEvent {
        id: Cow::Borrowed(&id),
        event_name: expected.event_name.clone(),
        kind: expected.kind.clone(),
        user_id: expected.user_id.clone(),
        anonymous_id: expected.anonymous_id.clone(),
        session_id: expected.session_id.clone(),
        app_id: expected.app_id.clone(),
        library: expected.library.clone(),
        timestamp: Cow::Borrowed("2026-01-31T15:00:00+01:00"),
        sent_at: expected.sent_at,
        properties: Cow::Borrowed(expected.properties),
        ..raw()
    };
    let receipt = Receipt {
        received_at: expected.received_at,
        ip_address: expected.ip_address.to_string(),
        user_agent: expected.user_agent.to_string(),
        ..receipt(Protocol::Ingest)
    };
    let event = validate(&raw, &receipt, &route()).unwrap();
    assert_eq!(serde_json::to_string(&event).unwrap(), example);
}
