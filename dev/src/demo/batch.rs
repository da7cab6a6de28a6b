//! The bodies of the requests: events in the words of the ingester's two paths. Pure.

use bytes::Bytes;
use serde::Serialize;

use super::event::Event;
use super::send::Batch;

/// An event of a batch; events that name themselves are of the type `custom`.
#[derive(Serialize)]
struct Custom<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(flatten)]
    event: &'a Event,
}

#[derive(Serialize)]
struct Body<'a> {
    events: Vec<Custom<'a>>,
}

/// `POST /events`: one event.
pub(crate) fn single(event: &Event) -> Batch {
    Batch { path: "/events", ids: vec![event.id], body: json(event) }
}

/// `POST /ingest`: many events.
pub(crate) fn many(events: &[Event]) -> Batch {
    let custom = |event| Custom { kind: "custom", event };
    Batch {
        path: "/ingest",
        ids: events.iter().map(|event| event.id).collect(),
        body: json(&Body { events: events.iter().map(custom).collect() }),
    }
}

fn json(value: &impl Serialize) -> Bytes {
    serde_json::to_vec(value).expect("events hold texts, times and JSON, and no map with other keys").into()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use uuid::Uuid;

    use super::*;

    fn event() -> Event {
        Event {
            id: Uuid::from_u128(1),
            name: "page_view".to_owned(),
            user: Some("ada".to_owned()),
            session: None,
            at: Timestamp::constant(1_800_000_000, 250_000_000),
            properties: serde_json::from_str(r#"{"path": "/", "n": 1.0}"#).unwrap(),
        }
    }

    fn text(batch: &Batch) -> &str {
        std::str::from_utf8(&batch.body).unwrap()
    }

    #[test]
    fn a_single_event_is_the_body() {
        insta::assert_snapshot!(text(&single(&event())));
    }

    #[test]
    fn many_events_are_a_batch_of_custom_ones() {
        insta::assert_snapshot!(text(&many(&[event(), event()])));
    }
}
