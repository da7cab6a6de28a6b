//! Real events: the webhook deliveries of GitHub that the npm package `@octokit/webhooks-examples` collects.
//!
//! Its file is a list of hooks, each with a name and its example payloads:
//! `[{"name": "issues", "examples": [{"action": "opened", "sender": {"login": ".."}, ..}]}]`.
//! Pure. The same package gives the same events, so a second demo sends the first one's again.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::event::Event;

/// The namespace of the ids of these events.
const NAMESPACE: Uuid = Uuid::from_u128(0x0d3a_6a51_7f44_4a0c_9b7e_64ab_57a1_1f02);

/// 2019-05-15T15:20:00Z: when most of the deliveries were recorded, for those that name no time themselves.
const RECORDED_SECONDS: i64 = 1_557_933_600;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("failed to read the list of webhook deliveries")]
    Parse {
        #[source]
        source: serde_json::Error,
    },
    #[error("failed to read example {index} of the hook `{hook}`")]
    ParseExample {
        hook: String,
        index: usize,
        #[source]
        source: serde_json::Error,
    },
}

#[derive(Deserialize)]
struct Hook {
    name: String,
    examples: Vec<Box<RawValue>>,
}

/// The events of the package's `index.json`.
pub(crate) fn events(index: &str) -> Result<Vec<Event>, Error> {
    let hooks: Vec<Hook> = serde_json::from_str(index).map_err(|source| Error::Parse { source })?;
    let mut events = Vec::new();
    for hook in hooks {
        for (index, payload) in hook.examples.into_iter().enumerate() {
            let event = event(&hook.name, index, payload).map_err(|source| Error::ParseExample {
                hook: hook.name.clone(),
                index,
                source,
            })?;
            events.push(event);
        }
    }
    Ok(events)
}

/// A delivery as an event; its properties are the payload as it stands in the package, nested as it is.
fn event(hook: &str, index: usize, payload: Box<RawValue>) -> Result<Event, serde_json::Error> {
    let value: Value = serde_json::from_str(payload.get())?;
    Ok(Event {
        // Some payloads are in the package twice, and were two deliveries: the position tells them apart.
        id: Uuid::new_v5(&NAMESPACE, format!("{hook}\0{index}\0{}", payload.get()).as_bytes()),
        name: value["action"].as_str().map_or_else(|| hook.to_owned(), |action| format!("{hook}.{action}")),
        user: who(&value).map(str::to_owned),
        session: None,
        at: newest_time(&value).unwrap_or_else(recorded),
        properties: payload,
    })
}

/// Whose delivery it is; those of security advisories name neither a sender nor a repository.
fn who(payload: &Value) -> Option<&str> {
    payload["sender"]["login"].as_str().or_else(|| payload["repository"]["full_name"].as_str())
}

/// The newest time that the payload names, at any depth: the delivery came soon after it.
fn newest_time(value: &Value) -> Option<Timestamp> {
    match value {
        Value::String(text) => text.parse().ok(),
        Value::Array(values) => values.iter().filter_map(newest_time).max(),
        Value::Object(fields) => fields.values().filter_map(newest_time).max(),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

fn recorded() -> Timestamp {
    Timestamp::from_second(RECORDED_SECONDS).expect("the constant lies within jiff's range of years")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(index: &str) -> Event {
        let mut events = events(index).unwrap();
        assert_eq!(events.len(), 1);
        events.remove(0)
    }

    #[test]
    fn hook_and_action_name_the_event() {
        let event = only(r#"[{"name":"issues","examples":[{"action":"opened"}]}]"#);
        assert_eq!(event.name, "issues.opened");
    }

    #[test]
    fn a_hook_without_an_action_names_the_event_alone() {
        assert_eq!(only(r#"[{"name":"push","examples":[{"ref":"main"}]}]"#).name, "push");
    }

    #[test]
    fn the_sender_is_the_user_else_the_repository() {
        for (payload, user) in [
            (r#"{"sender":{"login":"ada"},"repository":{"full_name":"o/r"}}"#, Some("ada")),
            (r#"{"repository":{"full_name":"o/r"}}"#, Some("o/r")),
            (r#"{"security_advisory":{}}"#, None),
        ] {
            let index = format!(r#"[{{"name":"h","examples":[{payload}]}}]"#);
            assert_eq!(only(&index).user.as_deref(), user, "{payload}");
        }
    }

    #[test]
    fn the_newest_time_of_the_payload_is_the_event_s() {
        let event = only(
            r#"[{"name":"h","examples":[{"a":[{"t":"2021-03-01T00:00:00Z"}],"b":"2020-01-01T00:00:00Z","c":"v1.0"}]}]"#,
        );
        assert_eq!(event.at.to_string(), "2021-03-01T00:00:00Z");
    }

    #[test]
    fn a_payload_without_a_time_has_that_of_the_recording() {
        assert_eq!(only(r#"[{"name":"h","examples":[{}]}]"#).at.to_string(), "2019-05-15T15:20:00Z");
    }

    #[test]
    fn equal_payloads_are_two_events_with_the_same_ids_each_time() {
        let index = r#"[{"name":"h","examples":[{"a": 1},{"a": 1}]}]"#;
        let ids = || events(index).unwrap().iter().map(|event| event.id).collect::<Vec<_>>();
        assert_eq!(ids(), ids());
        assert_ne!(ids()[0], ids()[1]);
    }

    #[test]
    fn the_payload_is_sent_as_it_is() {
        let event = only(r#"[{"name":"h","examples":[{"n": 1.0, "b": [ ]}]}]"#);
        assert_eq!(event.properties.get(), r#"{"n": 1.0, "b": [ ]}"#);
    }
}
