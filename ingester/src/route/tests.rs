use schema::limits;

use super::*;
use crate::{
    decode::decode,
    testing::{receipt, route},
    validate::validate,
};

const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// The records of a batch of `POST /ingest`.
fn records_of(events: &[String], traceparent: Option<&str>) -> Vec<Record> {
    let body = format!(r#"{{"events":[{}]}}"#, events.join(","));
    let decoded = decode(Protocol::Ingest, body.as_bytes()).unwrap();
    let (receipt, route) = (receipt(Protocol::Ingest), Arc::new(route()));
    let events: Vec<_> = decoded
        .events
        .iter()
        .map(|event| validate(event.as_ref().unwrap(), &receipt, &route).unwrap())
        .collect();
    records(&route, Origin { protocol: Protocol::Ingest, traceparent }, &events)
}

fn click(user: &str) -> String {
    format!(r#"{{"type":"click","user_id":"{user}"}}"#)
}

#[test]
fn a_request_becomes_one_record_with_headers() {
    let records = records_of(&[click("u-1"), click("u-2")], Some(TRACEPARENT));
    assert_eq!(records.len(), 1);
    insta::assert_yaml_snapshot!(records[0].headers);
    insta::assert_snapshot!(String::from_utf8(records[0].payload.clone()).unwrap());
}

#[test]
fn the_key_is_the_distinct_id_that_all_events_have() {
    for (users, key) in [
        (vec!["u-1", "u-1"], Some("u-1")),
        (vec!["u-1", "u-2"], None),
        (vec!["u-1", ""], None),
        (vec!["", ""], None),
    ] {
        let events: Vec<_> = users.iter().map(|user| click(user)).collect();
        assert_eq!(records_of(&events, None)[0].key.as_deref(), key, "{users:?}");
    }
}

#[test]
fn a_large_request_is_split_below_the_limit_and_keeps_its_order() {
    let text = "a".repeat(limits::MAX_EVENT_BYTES - 2_000);
    let events: Vec<_> =
        (0..8).map(|n| format!(r#"{{"type":"click","user_id":"u","n":{n},"text":"{text}"}}"#)).collect();
    let records = records_of(&events, None);
    assert!(records.len() > 2);
    let mut seen = Vec::new();
    for record in &records {
        assert!(record.payload.len() < record::MAX_RECORD_BYTES, "{}", record.payload.len());
        assert_eq!(record.key.as_deref(), Some("u"));
        let lines: Vec<_> = record.payload.split(|byte| *byte == b'\n').collect();
        let count = &record.headers.iter().find(|(name, _)| *name == record::COUNT).unwrap().1;
        assert_eq!(count, &lines.len().to_string());
        for line in lines {
            let event: Event<'_> = serde_json::from_slice(line).unwrap();
            let properties: serde_json::Value = serde_json::from_str(event.properties.get()).unwrap();
            seen.push(properties["n"].as_u64().unwrap());
        }
    }
    assert_eq!(seen, [0, 1, 2, 3, 4, 5, 6, 7]);
}

#[test]
fn no_events_are_no_records() {
    assert_eq!(
        records(&Arc::new(route()), Origin { protocol: Protocol::Events, traceparent: None }, &[]),
        []
    );
}
