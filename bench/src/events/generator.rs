//! The events of a round: about 222 bytes each, five flat properties. Pure.

use std::fmt::Write as _;

use bytes::Bytes;
use jiff::Timestamp;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Different users of a round.
pub(crate) const USERS: u32 = 100_000;

pub(crate) const NAMES: [&str; 5] = ["page_view", "page_view", "page_view", "search", "purchase"];

pub(crate) const REFERRERS: [&str; 4] = ["ads", "seo", "mail", "none"];

/// Makes request bodies of `POST /ingest` until all events are made.
pub(crate) struct Generator {
    random: StdRng,
    now_millis: i64,
    left: u64,
    batch: u64,
}

impl Generator {
    /// The same seed and time give the same events. Their times lie within the hour before `now`.
    pub(crate) fn new(seed: u64, now: Timestamp, events: u64, batch: u64) -> Self {
        Self { random: StdRng::seed_from_u64(seed), now_millis: now.as_millisecond(), left: events, batch }
    }

    fn write_event(&mut self, body: &mut String) {
        let id = uuid::Builder::from_random_bytes(self.random.random()).into_uuid();
        let name = NAMES[self.random.random_range(0..NAMES.len())];
        let user = self.random.random_range(0..USERS);
        let millis = self.now_millis - self.random.random_range(0..3_600_000);
        let at = Timestamp::from_millisecond(millis).expect("an hour before now is a time");
        let path = self.random.random_range(0..1_000);
        let price = self.random.random_range(100..10_000);
        let quantity = self.random.random_range(1..10);
        let referrer = REFERRERS[self.random.random_range(0..REFERRERS.len())];
        let is_new = self.random.random_bool(0.5);
        // Writing into a String cannot fail.
        let _ = write!(
            body,
            r#"{{"id":"{id}","type":"custom","event_name":"{name}","user_id":"user-{user:05}","timestamp":"{at:.3}","properties":{{"path":"/p/{path}","price":{}.{:02},"qty":{quantity},"ref":"{referrer}","new":{is_new}}}}}"#,
            price / 100,
            price % 100,
        );
    }
}

/// A request body and how many events it has.
pub(crate) struct Body {
    pub(crate) events: u64,
    pub(crate) bytes: Bytes,
}

impl Iterator for Generator {
    type Item = Body;

    fn next(&mut self) -> Option<Body> {
        let events = self.left.min(self.batch);
        if events == 0 {
            return None;
        }
        self.left -= events;
        let mut body = String::with_capacity(240 * events as usize + 16);
        body.push_str(r#"{"events":["#);
        for index in 0..events {
            if index > 0 {
                body.push(',');
            }
            self.write_event(&mut body);
        }
        body.push_str("]}");
        Some(Body { events, bytes: body.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::constant(1_800_000_000, 0);

    #[test]
    fn the_last_request_has_the_rest() {
        let sizes: Vec<u64> = Generator::new(1, NOW, 250, 100).map(|body| body.events).collect();
        assert_eq!(sizes, [100, 100, 50]);
    }

    #[test]
    fn an_event_has_about_222_bytes() {
        let bodies: Vec<Body> = Generator::new(1, NOW, 10_000, 100).collect();
        let bytes: usize = bodies.iter().map(|body| body.bytes.len()).sum();
        let average = bytes / 10_000;
        assert!((217..=227).contains(&average), "{average} bytes");
    }

    #[test]
    fn a_body_is_a_batch_of_events_with_five_properties() {
        let body = Generator::new(1, NOW, 2, 2).next().unwrap();
        let value: serde_json::Value = serde_json::from_slice(&body.bytes).unwrap();
        let events = value["events"].as_array().unwrap();
        assert_eq!(events.len(), 2);
        for event in events {
            assert_eq!(event["properties"].as_object().unwrap().len(), 5);
            assert!(event["timestamp"].as_str().unwrap().parse::<Timestamp>().unwrap() <= NOW);
        }
    }
}
