//! The validate step: a raw event becomes an event of the record, or a refusal. Pure.
//!
//! Invariant: the answer depends on the event and the time of receipt alone, so that a retry gets the same one.
//! Everything the server says itself (times of receipt, address, tenant) overwrites what a client may claim.

use std::borrow::Cow;

use schema::{event::Event, identity, limits, timestamp::Timestamp};
use uuid::Uuid;

use crate::{decode::Protocol, decode::RawEvent, refusal::Refusal, route::Route};

/// What the request says of all its events.
#[derive(Debug)]
pub(crate) struct Receipt {
    pub(crate) protocol: Protocol,
    pub(crate) received_at: Timestamp,
    pub(crate) ip_address: String,
    pub(crate) user_agent: String,
    /// Makes the id of an event that came without one.
    pub(crate) fresh_id: fn(Timestamp) -> Uuid,
}

/// What the names, times and addresses in a record's line add to the client's text at the most: 200 characters
/// of the distinct id and as many of the name and the `User-Agent`, up to six bytes each, and four times.
const MAX_ADDED_BYTES: usize = 4_096;

/// Judges one event.
///
/// # Errors
/// When the event is refused.
pub(crate) fn validate<'e>(
    raw: &'e RawEvent<'e>,
    receipt: &'e Receipt,
    route: &Route,
) -> Result<Event<'e>, Refusal> {
    check_tenant(raw, route)?;
    check_texts(raw)?;
    let id = if raw.id.is_empty() {
        (receipt.fresh_id)(receipt.received_at)
    } else {
        identity::id_from_text(&route.pipeline, &raw.id)
    };
    let times = times(raw, id, receipt.received_at)?;
    let distinct_id = if raw.user_id.is_empty() { &raw.anonymous_id } else { &raw.user_id };
    let event = Event {
        id,
        event_name: Cow::Borrowed(&raw.event_name),
        kind: Cow::Borrowed(&raw.kind),
        user_id: Cow::Borrowed(&raw.user_id),
        anonymous_id: Cow::Borrowed(&raw.anonymous_id),
        distinct_id: Cow::Borrowed(distinct_id),
        session_id: Cow::Borrowed(&raw.session_id),
        app_id: Cow::Borrowed(&raw.app_id),
        timestamp: times.timestamp,
        corrected_at: times.corrected_at,
        sent_at: times.sent_at,
        received_at: receipt.received_at,
        properties: &raw.properties,
        ip_address: Cow::Borrowed(&receipt.ip_address),
        user_agent: Cow::Borrowed(&receipt.user_agent),
        library: Cow::Borrowed(&raw.library),
        protocol: Cow::Borrowed(receipt.protocol.as_str()),
    };
    check_line(raw, &event)?;
    Ok(event)
}

/// A key names one tenant; an event that claims another is refused, never re-routed.
fn check_tenant(raw: &RawEvent<'_>, route: &Route) -> Result<(), Refusal> {
    if raw.tenant_id.is_empty() || raw.tenant_id == route.tenant_id.as_str() {
        Ok(())
    } else {
        Err(Refusal::ForeignTenant)
    }
}

fn check_texts(raw: &RawEvent<'_>) -> Result<(), Refusal> {
    if raw.event_name.is_empty() {
        return Err(Refusal::NameMissing);
    }
    let texts = [
        ("event_name", &raw.event_name),
        ("id", &raw.id),
        ("user_id", &raw.user_id),
        ("anonymous_id", &raw.anonymous_id),
        ("session_id", &raw.session_id),
        ("app_id", &raw.app_id),
        ("library", &raw.library),
    ];
    for (field, text) in texts {
        // A text has no more characters than bytes, so most need no count.
        if text.len() > limits::MAX_NAME_CHARS && text.chars().count() > limits::MAX_NAME_CHARS {
            return Err(Refusal::TextTooLong { field });
        }
    }
    Ok(())
}

struct Times {
    timestamp: Timestamp,
    corrected_at: Option<Timestamp>,
    sent_at: Option<Timestamp>,
}

fn times(raw: &RawEvent<'_>, id: Uuid, received_at: Timestamp) -> Result<Times, Refusal> {
    let client_time = if raw.timestamp.is_empty() {
        None
    } else {
        Some(Timestamp::parse(&raw.timestamp).map_err(|_| Refusal::TimeUnreadable)?)
    };
    let time_of_id = || if raw.id.is_empty() { None } else { identity::time_of_id(id) };
    let timestamp = client_time.or_else(time_of_id).unwrap_or(received_at);
    timestamp.check(received_at).map_err(Refusal::Time)?;
    // A sending time that no event may have comes from an unset clock, whose skew means nothing.
    let sent_at = raw.sent_at.filter(|sent_at| sent_at.check(received_at).is_ok());
    let corrected_at = match (client_time, sent_at) {
        (Some(time), Some(sent_at)) => {
            let skew_ms = received_at.millis() - sent_at.millis();
            Some(Timestamp::from_millis(time.millis() + skew_ms))
        }
        (None, _) | (_, None) => None,
    };
    Ok(Times { timestamp, corrected_at, sent_at })
}

/// The consumer measures the line of the record, so an event that is only just small enough is measured as one.
fn check_line(raw: &RawEvent<'_>, event: &Event<'_>) -> Result<(), Refusal> {
    if raw.size + MAX_ADDED_BYTES <= limits::MAX_EVENT_BYTES {
        return Ok(());
    }
    match serde_json::to_vec(event) {
        Ok(line) if line.len() <= limits::MAX_EVENT_BYTES => Ok(()),
        Ok(_) | Err(_) => Err(Refusal::TooLarge),
    }
}

#[cfg(test)]
mod tests;
