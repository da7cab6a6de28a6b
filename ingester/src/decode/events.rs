//! `POST /events`: the body is one event, `{event_name, user_id, session_id, properties}`.
//!
//! Beside these: `id`, `anonymous_id`, `app_id`, `library`, `timestamp` and `sent_at`. Other fields are ignored.

use schema::timestamp::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Decoded, Error, RawEvent, Text, body_error, check_event, properties, text};
use crate::refusal::Refusal;

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    tenant_id: Option<Text<'a>>,
    #[serde(borrow)]
    event_name: Option<Text<'a>>,
    #[serde(borrow)]
    user_id: Option<Text<'a>>,
    #[serde(borrow)]
    anonymous_id: Option<Text<'a>>,
    #[serde(borrow)]
    session_id: Option<Text<'a>>,
    #[serde(borrow)]
    app_id: Option<Text<'a>>,
    #[serde(borrow)]
    library: Option<Text<'a>>,
    #[serde(borrow)]
    timestamp: Option<Text<'a>>,
    #[serde(borrow)]
    sent_at: Option<Text<'a>>,
    #[serde(borrow)]
    properties: Option<&'a RawValue>,
}

pub(super) fn decode(body: &str) -> Result<Decoded<'_>, Error> {
    let event: &RawValue = serde_json::from_str(body).map_err(|error| body_error(&error))?;
    if !event.get().starts_with('{') {
        return Err(Error::WrongShape);
    }
    Ok(Decoded { events: vec![read(event.get())] })
}

fn read(json: &str) -> Result<RawEvent<'_>, Refusal> {
    check_event(json)?;
    let wire: Wire<'_> = serde_json::from_str(json).map_err(|_| Refusal::WrongType)?;
    let sent_at = wire.sent_at.map(|sent_at| Timestamp::parse(&sent_at.0)).transpose();
    Ok(RawEvent {
        size: json.len(),
        id: text(wire.id),
        tenant_id: text(wire.tenant_id),
        event_name: text(wire.event_name),
        kind: text(None),
        user_id: text(wire.user_id),
        anonymous_id: text(wire.anonymous_id),
        session_id: text(wire.session_id),
        app_id: text(wire.app_id),
        library: text(wire.library),
        timestamp: text(wire.timestamp),
        sent_at: sent_at.map_err(|_| Refusal::TimeUnreadable)?,
        properties: properties::from_object(wire.properties)?,
    })
}
