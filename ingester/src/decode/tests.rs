use proptest::prelude::*;

use super::*;

const BOTH: [Protocol; 2] = [Protocol::Events, Protocol::Ingest];

#[track_caller]
fn check_body(protocol: Protocol, body: &[u8], expected: Error) {
    assert_eq!(decode(protocol, body).err(), Some(expected), "{}", String::from_utf8_lossy(body));
}

#[test]
fn a_body_that_is_not_json_is_refused_whole() {
    for protocol in BOTH {
        for body in ["", "{", "event", "{\"events\":[}", "{\"events\":[1]} {}", "{\"event_name\":\"a\u{1}\"}"]
        {
            check_body(protocol, body.as_bytes(), Error::NotJson);
        }
        check_body(protocol, b"{\"event_name\":\"\xff\"}", Error::NotUtf8);
    }
    check_body(Protocol::Ingest, br#"{"events":[{"id":1},{"id":]}"#, Error::NotJson);
}

#[test]
fn a_body_of_another_shape_is_refused_whole() {
    for body in ["[]", "1", "null", "\"event\"", "[{\"event_name\":\"a\"}]"] {
        check_body(Protocol::Events, body.as_bytes(), Error::WrongShape);
    }
    for body in ["1", "{}", r#"{"events":{}}"#, r#"{"events":null}"#, r#"{"events":[{}],"sent_at":"soon"}"#] {
        check_body(Protocol::Ingest, body.as_bytes(), Error::WrongShape);
    }
    check_body(Protocol::Ingest, br#"{"events":[]}"#, Error::EmptyBatch);
}

#[test]
fn a_batch_has_at_most_2500_events() {
    let batch = |events: usize| format!(r#"{{"events":[{}]}}"#, vec!["0"; events].join(","));
    assert_eq!(decode(Protocol::Ingest, batch(2_500).as_bytes()).unwrap().events.len(), 2_500);
    check_body(Protocol::Ingest, batch(2_501).as_bytes(), Error::TooManyEvents);
}

/// The outcome of the only event of a request that is fine otherwise.
fn refusal(protocol: Protocol, event: &str) -> Option<Refusal> {
    let body = match protocol {
        Protocol::Events => event.to_owned(),
        Protocol::Ingest => format!(r#"{{"events":[{event}]}}"#),
    };
    let decoded = decode(protocol, body.as_bytes()).unwrap();
    assert_eq!(decoded.events.len(), 1);
    decoded.events.into_iter().next().unwrap().err()
}

#[test]
fn a_bad_event_is_refused_alone() {
    let deep = format!(r#"{{"type":"click","properties":{{"a":{}1{}}}}}"#, "[".repeat(63), "]".repeat(63));
    for protocol in BOTH {
        for (event, expected) in [
            (r#"{"type":"click","properties":[]}"#, Refusal::PropertiesNotAnObject),
            (r#"{"type":"click","event_name":1}"#, Refusal::WrongType),
            (r#"{"type":"click","id":"a","id":"b"}"#, Refusal::WrongType),
            (r#"{"type":"click","timestamp":1704067200}"#, Refusal::WrongType),
            (r#"{"type":"click","properties":{"a":"\u0000"}}"#, Refusal::Nul),
            (r#"{"type":"click","properties":{"a":"\ud800"}}"#, Refusal::LoneSurrogate),
            (deep.as_str(), Refusal::TooDeep),
        ] {
            assert_eq!(refusal(protocol, event), Some(expected), "{} {event}", protocol.as_str());
        }
        let large = format!(r#"{{"type":"click","properties":{{"a":"{}"}}}}"#, "a".repeat(256 * 1024));
        assert_eq!(refusal(protocol, &large), Some(Refusal::TooLarge));
    }
    for event in ["1", "null", "[]", "\"a\""] {
        assert_eq!(refusal(Protocol::Ingest, event), Some(Refusal::NotAnObject), "{event}");
    }
    for event in ["{}", r#"{"type":"purchase"}"#, r#"{"type":null}"#, r#"{"type":""}"#] {
        assert_eq!(refusal(Protocol::Ingest, event), Some(Refusal::UnknownType), "{event}");
    }
    assert_eq!(refusal(Protocol::Events, r#"{"sent_at":"soon"}"#), Some(Refusal::TimeUnreadable));
}

#[test]
fn good_neighbours_of_a_bad_event_are_kept() {
    let body = r#"{"events":[{"type":"click"},{"type":1},7,{"type":"scroll"}]}"#;
    let events = decode(Protocol::Ingest, body.as_bytes()).unwrap().events;
    let kinds: Vec<_> = events.iter().map(|event| event.as_ref().map(|event| event.kind.as_ref())).collect();
    assert_eq!(kinds, [Ok("click"), Err(&Refusal::WrongType), Err(&Refusal::NotAnObject), Ok("scroll")]);
}

#[test]
fn a_million_levels_cost_no_stack() {
    let deep = "[".repeat(1_000_000) + &"]".repeat(1_000_000);
    check_body(Protocol::Events, deep.as_bytes(), Error::WrongShape);
    for body in [format!(r#"{{"events":[{deep}]}}"#), format!(r#"{{"events":[1],"more":{deep}}}"#)] {
        let events = decode(Protocol::Ingest, body.as_bytes()).unwrap().events;
        assert!(events[0].is_err());
    }
}

#[test]
fn the_name_of_an_ingested_event_is_its_own_or_its_type() {
    for (event, name) in [
        (r#"{"type":"click"}"#, "click"),
        (r#"{"type":"click","event_name":"buy"}"#, "buy"),
        (r#"{"type":"custom","event_name":"signup"}"#, "signup"),
        (r#"{"type":"custom"}"#, ""),
    ] {
        let body = format!(r#"{{"events":[{event}]}}"#);
        let events = decode(Protocol::Ingest, body.as_bytes()).unwrap().events;
        assert_eq!(events[0].as_ref().unwrap().event_name, name, "{event}");
    }
}

#[test]
fn texts_without_escapes_and_properties_on_one_line_are_borrowed() {
    let body = r#"{"event_name":"a","user_id":"\u00e9","session_id":null,"properties":{"b":"c"}}"#;
    let events = decode(Protocol::Events, body.as_bytes()).unwrap().events;
    let event = events[0].as_ref().unwrap();
    assert!(matches!(event.event_name, Cow::Borrowed("a")));
    assert_eq!((event.user_id.as_ref(), event.session_id.as_ref()), ("é", ""));
    assert!(matches!(event.properties, Cow::Borrowed(_)));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        for protocol in BOTH {
            let _ = decode(protocol, &bytes);
        }
    }

    #[test]
    fn no_json_makes_it_panic(
        words in proptest::collection::vec(
            prop_oneof![
                Just("{"), Just("}"), Just("["), Just("]"), Just(","), Just(":"), Just("\"events\""),
                Just("\"type\""), Just("\"click\""), Just("\"properties\""), Just("\"\\ud800\""), Just("1e999"),
                Just("null"), Just("\"id\""), Just(" "), Just("\n"), Just("\"\\"),
            ],
            0..40,
        ),
    ) {
        for protocol in BOTH {
            let body = words.concat();
            let _ = decode(protocol, body.as_bytes());
            let _ = decode(protocol, format!("{{\"events\":[{{{body}}}]}}").as_bytes());
        }
    }

    /// Whatever is accepted is one line of JSON no deeper than a record allows.
    #[test]
    fn accepted_properties_are_one_line(value in r#"[ \n]{0,2}(\{"a b":[ \n]{0,2}[0-9]{1,3}\}|"[a-z \\n]{0,4}"|\[1,[ \t]2\])"#) {
        let body = format!(r#"{{"events":[{{"type":"click","x":{value},"properties":{{"y": {value} }}}}]}}"#);
        if let Ok(decoded) = decode(Protocol::Ingest, body.as_bytes())
            && let Ok(event) = &decoded.events[0]
        {
            let line = event.properties.get();
            prop_assert!(!line.contains('\n'));
            let read: serde_json::Value = serde_json::from_str(line).unwrap();
            prop_assert_eq!(&read["x"], &read["y"]);
        }
    }
}
