//! The properties of an event: borrowed as the client wrote them wherever they are one object on one line.

use std::borrow::Cow;

use schema::limits::{MAX_DEPTH, MAX_PROPERTIES};
use serde_json::value::RawValue;

use super::inspect::{Shape, compact, inspect};
use crate::refusal::Refusal;

/// The properties of an event that has them in one object, or none at all.
pub(super) fn from_object(object: Option<&RawValue>) -> Result<Cow<'_, RawValue>, Refusal> {
    let Some(object) = object else { return Ok(Cow::Borrowed(empty())) };
    let shape = check(object.get())?;
    if !shape.is_spaced {
        return Ok(Cow::Borrowed(object));
    }
    let mut line = String::with_capacity(object.get().len());
    compact(object.get(), &mut line);
    raw(line)
}

/// The properties of an event that has them beside its other fields, and perhaps an object of more.
pub(super) fn from_fields<'a>(
    fields: &[(Cow<'a, str>, &'a RawValue)],
    object: Option<&'a RawValue>,
) -> Result<Cow<'a, RawValue>, Refusal> {
    if fields.is_empty() {
        return from_object(object);
    }
    let mut line = String::from("{");
    for (name, value) in fields {
        if line.len() > 1 {
            line.push(',');
        }
        push_name(name, &mut line)?;
        line.push(':');
        compact(value.get(), &mut line);
    }
    if let Some(object) = object {
        check(object.get())?;
        let mut more = String::new();
        compact(object.get(), &mut more);
        let members = more.strip_prefix('{').unwrap_or(&more);
        if members != "}" {
            line.push(',');
        }
        line.push_str(members);
    } else {
        line.push('}');
    }
    check(&line)?;
    raw(line)
}

fn push_name(name: &str, line: &mut String) -> Result<(), Refusal> {
    let is_plain = name.bytes().all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\');
    if is_plain {
        line.extend(["\"", name, "\""]);
    } else {
        line.push_str(&serde_json::to_string(name).map_err(|_| Refusal::WrongType)?);
    }
    Ok(())
}

/// Refuses what is no object, has too many members, or is nested too deep once it stands inside an event.
fn check(json: &str) -> Result<Shape, Refusal> {
    if !json.starts_with('{') {
        return Err(Refusal::PropertiesNotAnObject);
    }
    let shape = inspect(json)?;
    if shape.members > MAX_PROPERTIES {
        return Err(Refusal::TooManyProperties);
    }
    if shape.depth + 1 > MAX_DEPTH {
        return Err(Refusal::TooDeep);
    }
    Ok(shape)
}

fn raw<'a>(line: String) -> Result<Cow<'a, RawValue>, Refusal> {
    RawValue::from_string(line).map(Cow::Owned).map_err(|_| Refusal::WrongType)
}

fn empty() -> &'static RawValue {
    serde_json::from_str("{}").expect("`{}` is JSON")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw_of(json: &str) -> &RawValue {
        serde_json::from_str(json).unwrap()
    }

    #[track_caller]
    fn check_fields(fields: &[(&'static str, &'static str)], object: Option<&'static str>, expected: &str) {
        let fields: Vec<_> = fields.iter().map(|(n, v)| (Cow::Borrowed(*n), raw_of(v))).collect();
        assert_eq!(from_fields(&fields, object.map(raw_of)).unwrap().get(), expected);
    }

    #[test]
    fn an_object_on_one_line_is_borrowed() {
        assert!(matches!(from_object(Some(raw_of(r#"{"a":1}"#))), Ok(Cow::Borrowed(_))));
        assert_eq!(from_object(Some(raw_of("{\n\"a\": 1 }"))).unwrap().get(), r#"{"a":1}"#);
        assert_eq!(from_object(None).unwrap().get(), "{}");
    }

    #[test]
    fn fields_come_first_and_the_object_after_them() {
        check_fields(&[("a", "1"), ("b\"", " [ 2 ]")], None, r#"{"a":1,"b\"":[2]}"#);
        check_fields(&[("a", "1")], Some(r#"{ "c": 3 }"#), r#"{"a":1,"c":3}"#);
        check_fields(&[("a", "1")], Some("{ }"), r#"{"a":1}"#);
        check_fields(&[("a", "1")], Some(r#"{"{":3}"#), r#"{"a":1,"{":3}"#);
        check_fields(&[], Some(r#"{"c":3}"#), r#"{"c":3}"#);
    }

    #[test]
    fn a_value_that_is_no_object_is_refused() {
        for json in ["[1]", "\"a\"", "1", "true"] {
            assert_eq!(from_object(Some(raw_of(json))).err(), Some(Refusal::PropertiesNotAnObject), "{json}");
        }
    }

    #[test]
    fn a_thousand_properties_are_the_most() {
        let object = |count: usize| {
            let members: Vec<_> = (0..count).map(|n| format!("\"p{n}\":{n}")).collect();
            format!("{{{}}}", members.join(","))
        };
        assert!(from_object(Some(raw_of(&object(1_000)))).is_ok());
        assert_eq!(from_object(Some(raw_of(&object(1_001)))).err(), Some(Refusal::TooManyProperties));
        let fields = [(Cow::Borrowed("a"), raw_of("1"))];
        let thousand = object(1_000);
        assert_eq!(from_fields(&fields, Some(raw_of(&thousand))).err(), Some(Refusal::TooManyProperties));
    }

    /// A field that stands beside the others moves one level down, so the limit holds for the record's line.
    #[test]
    fn the_depth_counts_inside_the_record() {
        let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        for (levels, expected) in [(62, None), (63, Some(Refusal::TooDeep))] {
            let value = nested(levels);
            let fields = [(Cow::Borrowed("a"), raw_of(&value))];
            assert_eq!(from_fields(&fields, None).err(), expected, "{levels} levels");
        }
    }
}
