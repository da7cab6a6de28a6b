//! `POST /ingest`: the body is a batch, `{events: [{id, tenant_id, session_id, timestamp, type, ...}]}`.
//!
//! The event's name is its `event_name`, else its `type`; an event of type `custom` has to have a name.
//! Fields other than those of [`Fields`] become properties, before those inside an object `properties`.
//! The batch may carry `sent_at`, the client's clock when it sent the request.

use std::{borrow::Cow, fmt};

use schema::{limits::MAX_EVENTS_PER_REQUEST, timestamp::Timestamp};
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{Decoded, Error, RawEvent, Text, body_error, check_event, properties, text};
use crate::refusal::Refusal;

/// The type whose events name themselves.
const CUSTOM: &str = "custom";
const TYPES: [&str; 5] = ["pageview", "click", "scroll", "performance", CUSTOM];

#[derive(Deserialize)]
struct Batch<'a> {
    #[serde(borrow)]
    events: Events<'a>,
    #[serde(borrow)]
    sent_at: Option<Text<'a>>,
}

pub(super) fn decode(body: &str) -> Result<Decoded<'_>, Error> {
    let batch: Batch<'_> = serde_json::from_str(body).map_err(|error| body_error(&error))?;
    if batch.events.count > MAX_EVENTS_PER_REQUEST {
        return Err(Error::TooManyEvents);
    }
    if batch.events.count == 0 {
        return Err(Error::EmptyBatch);
    }
    let sent_at = batch.sent_at.map(|sent_at| Timestamp::parse(&sent_at.0)).transpose();
    let sent_at = sent_at.map_err(|_| Error::WrongShape)?;
    Ok(Decoded { events: batch.events.first.iter().map(|event| read(event.get(), sent_at)).collect() })
}

fn read(json: &str, sent_at: Option<Timestamp>) -> Result<RawEvent<'_>, Refusal> {
    check_event(json)?;
    let fields: Fields<'_> = serde_json::from_str(json).map_err(|_| Refusal::WrongType)?;
    let kind = text(fields.kind);
    if !TYPES.contains(&kind.as_ref()) {
        return Err(Refusal::UnknownType);
    }
    let named = text(fields.event_name);
    let event_name = if named.is_empty() && kind != CUSTOM { kind.clone() } else { named };
    Ok(RawEvent {
        size: json.len(),
        id: text(fields.id),
        tenant_id: text(fields.tenant_id),
        event_name,
        kind,
        user_id: text(fields.user_id),
        anonymous_id: text(fields.anonymous_id),
        session_id: text(fields.session_id),
        app_id: text(fields.app_id),
        library: text(fields.library),
        timestamp: text(fields.timestamp),
        sent_at,
        properties: properties::from_fields(&fields.others, fields.properties)?,
    })
}

/// The events of a batch, held no further than the most that are allowed: ten megabytes of `0,0,0` are five
/// million of them.
struct Events<'a> {
    first: Vec<&'a RawValue>,
    count: usize,
}

impl<'de: 'a, 'a> Deserialize<'de> for Events<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Events<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of events")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Events<'de>, A::Error> {
                let mut events = Events { first: Vec::new(), count: 0 };
                while events.count < MAX_EVENTS_PER_REQUEST {
                    let Some(event) = seq.next_element()? else { return Ok(events) };
                    events.first.push(event);
                    events.count += 1;
                }
                while seq.next_element::<IgnoredAny>()?.is_some() {
                    events.count += 1;
                }
                Ok(events)
            }
        }
        deserializer.deserialize_seq(Reader)
    }
}

/// One event of a batch.
#[derive(Default)]
struct Fields<'a> {
    id: Option<Text<'a>>,
    tenant_id: Option<Text<'a>>,
    event_name: Option<Text<'a>>,
    kind: Option<Text<'a>>,
    user_id: Option<Text<'a>>,
    anonymous_id: Option<Text<'a>>,
    session_id: Option<Text<'a>>,
    app_id: Option<Text<'a>>,
    library: Option<Text<'a>>,
    timestamp: Option<Text<'a>>,
    properties: Option<&'a RawValue>,
    others: Vec<(Cow<'a, str>, &'a RawValue)>,
}

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an event")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                let mut fields = Fields::default();
                while let Some(Text(name)) = map.next_key::<Text<'de>>()? {
                    match name.as_ref() {
                        "id" => once(&mut fields.id, &mut map)?,
                        "tenant_id" => once(&mut fields.tenant_id, &mut map)?,
                        "event_name" => once(&mut fields.event_name, &mut map)?,
                        "type" => once(&mut fields.kind, &mut map)?,
                        "user_id" => once(&mut fields.user_id, &mut map)?,
                        "anonymous_id" => once(&mut fields.anonymous_id, &mut map)?,
                        "session_id" => once(&mut fields.session_id, &mut map)?,
                        "app_id" => once(&mut fields.app_id, &mut map)?,
                        "library" => once(&mut fields.library, &mut map)?,
                        "timestamp" => once(&mut fields.timestamp, &mut map)?,
                        "properties" => once(&mut fields.properties, &mut map)?,
                        _ => fields.others.push((name, map.next_value()?)),
                    }
                }
                Ok(fields)
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

/// Reads a field that may stand there once: of two, no reader could tell which one routes the event.
fn once<'de, T: Deserialize<'de>, A: MapAccess<'de>>(
    field: &mut Option<T>,
    map: &mut A,
) -> Result<(), A::Error> {
    if field.is_some() {
        return Err(A::Error::custom("a field stands there twice"));
    }
    *field = map.next_value()?;
    Ok(())
}
