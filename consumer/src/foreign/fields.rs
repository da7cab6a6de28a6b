//! The mapped members of a JSON object, as slices of its text. Pure; nothing of it allocates but a text with escapes.

use std::{borrow::Cow, fmt};

use schema::{field_map::FieldMap, timestamp::Timestamp};
use serde::{
    Deserializer,
    de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::refused::Refused;

/// Numbers of a time from here on are milliseconds: as seconds they would be in the year 5138, as milliseconds the
/// numbers below are before 1973.
const FIRST_MILLIS: i64 = 100_000_000_000;

/// A column that a member may become, in the order of the slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    Id,
    EventName,
    Kind,
    UserId,
    AnonymousId,
    SessionId,
    AppId,
    Timestamp,
    Properties,
}

const FIELDS: usize = 9;

/// The name of each column's member.
#[derive(Debug)]
pub(super) struct Fields([Option<Box<str>>; FIELDS]);

/// The members of one object that become columns.
#[derive(Debug, Default)]
pub(super) struct Members<'a>([Option<&'a RawValue>; FIELDS]);

impl<'a> Members<'a> {
    /// The member that becomes this column; none if it is not there, or `null`.
    pub(super) fn get(&self, field: Field) -> Option<&'a RawValue> {
        self.0[field as usize].filter(|value| value.get() != "null")
    }
}

impl Fields {
    pub(super) fn of(map: &FieldMap) -> Self {
        let always = |name: &String| Some(name.clone());
        let names = [
            map.id.clone(),
            always(&map.event_name),
            map.kind.clone(),
            always(&map.user_id),
            map.anonymous_id.clone(),
            map.session_id.clone(),
            always(&map.app_id),
            always(&map.timestamp),
            always(&map.properties),
        ];
        Self(names.map(|name| name.map(String::into_boxed_str)))
    }

    /// The mapped members of the object that the text is.
    pub(super) fn read<'a>(&self, json: &'a str) -> Result<Members<'a>, Refused> {
        let mut deserializer = serde_json::Deserializer::from_str(json);
        let members = Object(self).deserialize(&mut deserializer).map_err(|_| Refused::Malformed)?;
        deserializer.end().map_err(|_| Refused::Malformed)?;
        Ok(members)
    }

    fn has(&self, name: &str) -> impl Iterator<Item = usize> {
        let is_it = move |slot: &usize| self.0[*slot].as_deref() == Some(name);
        (0..FIELDS).filter(is_it)
    }
}

/// Reads an object into its mapped members.
struct Object<'f>(&'f Fields);

impl<'de> DeserializeSeed<'de> for Object<'_> {
    type Value = Members<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Members<'de>, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Object<'_> {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
        let mut members = Members::default();
        while let Some(slots) = map.next_key_seed(Name(self.0))? {
            if slots == Slots(0) {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let value = map.next_value()?;
            for slot in slots.iter() {
                if members.0[slot].replace(value).is_some() {
                    // Of two, no reader could tell which one is meant.
                    return Err(A::Error::custom("a member stands there twice"));
                }
            }
        }
        Ok(members)
    }
}

/// A set of slots, a bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Slots(u16);

impl Slots {
    fn iter(self) -> impl Iterator<Item = usize> {
        (0..FIELDS).filter(move |slot| self.0 >> slot & 1 == 1)
    }
}

/// Reads the name of a member into the slots that it fills.
struct Name<'f>(&'f Fields);

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = Slots;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Slots, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = Slots;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a member")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Slots, E> {
        Ok(Slots(self.0.has(name).fold(0, |slots, slot| slots | 1 << slot)))
    }
}

/// The text that a value stands for.
pub(super) fn text(value: &RawValue) -> Result<Cow<'_, str>, Refused> {
    let json = value.get();
    match json.as_bytes().first() {
        Some(b'"') => string(json),
        Some(b'-' | b'0'..=b'9') => Ok(Cow::Borrowed(json)),
        Some(_) | None => Err(Refused::WrongType),
    }
}

fn string(json: &str) -> Result<Cow<'_, str>, Refused> {
    let inside = &json[1..json.len() - 1];
    if inside.contains('\\') {
        return serde_json::from_str(json).map(Cow::Owned).map_err(|_| Refused::Malformed);
    }
    Ok(Cow::Borrowed(inside))
}

/// The time that a value stands for.
pub(super) fn time(value: &RawValue) -> Result<Timestamp, Refused> {
    let is_text = value.get().starts_with('"');
    let text = text(value)?;
    if is_text { Timestamp::parse(&text).ok() } else { time_of_number(&text) }.ok_or(Refused::UnreadableTime)
}

/// Whole seconds with decimals, or milliseconds; a time before 1970 is refused one way or the other.
fn time_of_number(digits: &str) -> Option<Timestamp> {
    let (whole, decimals) = digits.split_once('.').unwrap_or((digits, ""));
    let number: i64 = whole.parse().ok()?;
    if !decimals.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    if !(0..FIRST_MILLIS).contains(&number) {
        return Some(Timestamp::from_millis(number));
    }
    let place = |(decimal, place): (u8, i64)| i64::from(decimal - b'0') * place;
    let millis: i64 = decimals.bytes().zip([100, 10, 1]).map(place).sum();
    Some(Timestamp::from_millis(number * 1_000 + millis))
}
