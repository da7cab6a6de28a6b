use proptest::prelude::*;
use schema::{names::TopicId, tenant_id::TenantId};
use serde_json::{Value, json};

use super::*;
use crate::parse::{Parser, tests::text_of};
use crate::row::Position;

/// The row or the reason, by the general way and, if the line has our form, by this one.
fn both(line: &str) -> (String, Option<String>) {
    let position = || Position { topic: TopicId(Uuid::nil()), partition: 1, offset: 2, index: 3 };
    let parser = || Parser::new(TenantId::parse("acme").unwrap(), TopicId(Uuid::nil()));
    let shown = |row: Result<crate::row::Row<'_>, crate::refused::Refused>| match row {
        Ok(row) => text_of(&row),
        Err(refused) => refused.reason().to_owned(),
    };
    let general = shown(parser().row_of_any_form(line, position()));
    let mut properties = Properties::default();
    let own = read(line, &mut properties);
    (general, own.map(|event| shown(crate::row::Row::without_nul(event, &properties, position()))))
}

#[track_caller]
fn is_of_own_form(line: &str) -> bool {
    let (general, own) = both(line);
    own.is_some_and(|own| {
        assert_eq!(own, general, "{line}");
        true
    })
}

fn line(properties: &str) -> String {
    format!(
        r#"{{"id":"01938f6e-5c00-7cc3-98c4-dc0c0c07398f","event_name":"a","timestamp":"2026-01-31T12:00:00.000Z","received_at":"2026-01-31T12:00:00.000Z","properties":{properties}}}"#
    )
}

#[test]
fn what_the_ingester_writes_has_the_form() {
    for example in [
        include_str!("../../../../schema/events/events.json"),
        include_str!("../../../../schema/events/ingest.json"),
        include_str!("../../../../schema/events/skewed.json"),
        include_str!("../../../../schema/events/smallest.json"),
    ] {
        assert!(is_of_own_form(example.trim_end()), "{example}");
    }
}

#[test]
fn other_lines_are_left_to_the_general_way() {
    let good = line("{}");
    for (other, why) in [
        (good.replace("\"a\"", r#""\u0061""#), "an escape"),
        (good.replace("\"a\"", "\"a\tb\""), "a control character"),
        (good.replace(":\"a\"", ": \"a\""), "white space"),
        (good.replace("\"a\"", "\"a\",\"geo\":1"), "a name that is not known"),
        (good.replace("\"a\"", "\"a\",\"event_name\":\"b\""), "a name that comes twice"),
        (good.replace("\"a\"", "null"), "a null"),
        (
            good.replace("01938f6e-5c00-7cc3-98c4-dc0c0c07398f", "01938f6e5c007cc398c4dc0c0c07398f"),
            "another id",
        ),
        (good.replace(",\"properties\":{}", ""), "no properties"),
        (format!("{good} "), "something behind"),
        (good[..good.len() - 1].to_owned(), "no end"),
        (line("null"), "properties that are none"),
        (include_str!("../../../../schema/events/hostile.json").trim_end().to_owned(), "escapes"),
        (line(r#"{"a":"\n"}"#), "an escape in a property"),
        (line(r#"{"a":01}"#), "no number"),
        (line(r#"{"a":1,}"#), "a comma too much"),
        (line(r#"{,"a":1}"#), "a comma too much"),
    ] {
        assert_ne!(other, good, "{why}");
        assert!(!is_of_own_form(&other), "{why}");
    }
}

#[test]
fn numbers_are_those_of_json() {
    for number in
        ["0", "-0", "10", "1.50", "-1.5e10", "1E+2", "1e-2", "0.0", "123456789012345678901234567890"]
    {
        assert!(is_of_own_form(&line(&format!("{{\"a\":{number}}}"))), "{number}");
    }
    for other in ["00", "-", "1.", ".5", "+1", "1e", "1e+", "0x1", "NaN", "tru", "nul", "truee", "1 "] {
        let other = line(&format!("{{\"a\":{other}}}"));
        assert!(!is_of_own_form(&other), "{other}");
    }
}

#[test]
fn nested_properties_are_checked_as_they_are_passed() {
    for nested in ["[]", "{}", "[[],{}]", r#"{"b":[1,{"c":null}],"d":"e"}"#, r#"[1,"x",true,-0.5e3]"#] {
        assert!(is_of_own_form(&line(&format!("{{\"a\":{nested},\"z\":1}}"))), "{nested}");
    }
    assert!(is_of_own_form(&line(&format!(r#"{{"a":{}{}}}"#, "[".repeat(63), "]".repeat(63)))));
    for other in
        ["[", "]", "[}", "{]", "[1,]", "[,1]", "[1 ]", "{1}", r#"{"b"}"#, r#"{"b":}"#, r#"{"b":1,}"#, "[1]]"]
    {
        let other = line(&format!("{{\"a\":{other}}}"));
        assert!(!is_of_own_form(&other), "{other}");
    }
}

#[test]
fn equal_keys_fold_as_in_the_general_way() {
    assert!(is_of_own_form(&line(r#"{"a":1,"b":2,"a":3,"":null,"":"x","c":true}"#)));
    let many: Vec<String> = (0..1_001).map(|n| format!("\"k{}\":{n}", n % 900)).collect();
    assert!(is_of_own_form(&line(&format!("{{{}}}", many[..1_000].join(",")))));
    assert!(!is_of_own_form(&line(&format!("{{{}}}", many.join(",")))));
}

fn any_property() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-zé\"\\\\ ]{0,12}".prop_map(Value::from),
        Just(json!({"nested": [1, {}, {"b": [], "c": "d"}], "e": null})),
    ]
}

proptest! {
    #[test]
    fn both_ways_agree(
        members in prop::collection::vec(("[a-c]{0,2}", any_property()), 0..6),
        name in "\\PC{0,12}",
        mutation in prop::option::of((any::<prop::sample::Index>(), any::<u8>())),
    ) {
        let members: Vec<String> = members.iter().map(|(key, value)| format!("{}:{value}", json!(key))).collect();
        let good = line(&format!("{{{}}}", members.join(","))).replace("\"a\"", &json!(name).to_string());
        let mut bytes = good.into_bytes();
        if let Some((at, byte)) = mutation {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(text) = String::from_utf8(bytes) {
            is_of_own_form(&text);
        }
    }

    #[test]
    fn plain_bytes_end_where_a_search_byte_by_byte_ends(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        let expected = bytes.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20)).unwrap_or(bytes.len());
        prop_assert_eq!(plain_length(&bytes), expected);
    }
}
