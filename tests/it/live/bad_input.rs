//! What bad input gets: a clear answer, and nothing of its neighbours is lost.

use std::time::Duration;

use harness::http::{Answer, Http};
use harness::line::{Ingester, Line};
use harness::shared;
use harness::wait::{Look, until, within};
use schema::api_key::{self, KeyKind};
use schema::record;
use serde_json::{Value, json};

const TEST: Duration = Duration::from_secs(120);
const STORED: Duration = Duration::from_secs(30);

/// A line on the shared stack with an ingester, and a client of it.
struct Site {
    line: Line,
    ingester: Ingester,
    http: Http,
}

impl Site {
    async fn make() -> anyhow::Result<Self> {
        let line = Line::make(&shared::kafka()?, &shared::clickhouse()?).await?;
        let ingester = line.ingester(&[]).await?;
        Ok(Self { line, ingester, http: Http::new(Duration::from_secs(30)) })
    }

    async fn post(
        &self,
        path: &str,
        authorization: &str,
        body: impl Into<Vec<u8>>,
    ) -> anyhow::Result<Answer> {
        let mut headers = vec![("Content-Type", "application/json")];
        if !authorization.is_empty() {
            headers.push(("Authorization", authorization));
        }
        let url = format!("{}{path}", self.ingester.url);
        self.http.post(&url, &headers, body.into()).await
    }

    /// Sends a good event to see that the process is unharmed.
    async fn assert_unharmed(&mut self) -> anyhow::Result<()> {
        let answer = self.post("/events", &self.line.bearer(), event("fine").to_string()).await?;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert!(self.ingester.program.is_running()?);
        Ok(())
    }

    /// The events in the topic, which is where an acknowledged event is.
    async fn published(&self) -> anyhow::Result<usize> {
        let records = self.line.kafka.read(self.line.topic.as_str()).await?;
        Ok(records
            .iter()
            .map(|record| record.value.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count())
            .sum())
    }
}

fn event(name: &str) -> Value {
    json!({"event_name": name, "user_id": "user123", "properties": {"page": "/dashboard"}})
}

#[tokio::test]
async fn a_key_that_is_missing_unknown_or_foreign_gets_the_same_401() -> anyhow::Result<()> {
    within(TEST, async {
        let mut site = Site::make().await?;
        let other = api_key::generate(KeyKind::Write, rand::random());
        let (key, tenant) = (site.line.key.expose().to_owned(), site.line.tenant.to_string());
        let cases = [
            ("missing", String::new()),
            ("unknown", format!("Bearer {tenant}:{}", other.expose())),
            ("unknown, without a tenant", format!("Bearer {}", other.expose())),
            ("of another tenant", format!("Bearer somebody-else:{key}")),
            ("of no form", "Bearer hunter2".to_owned()),
            ("with a typo", format!("Bearer {tenant}:{}x", &key[..key.len() - 1])),
            ("of another scheme", format!("Negotiate {key}")),
        ];
        let mut bodies = Vec::new();
        for (case, authorization) in cases {
            for path in ["/events", "/ingest"] {
                let body = json!({"events": [event("x")]}).to_string();
                let answer = site.post(path, &authorization, body).await?;
                assert_eq!(answer.status, 401, "a key that is {case} at {path}: {}", answer.text());
                bodies.push(answer.text());
            }
        }
        bodies.dedup();
        assert_eq!(bodies.len(), 1, "the answer tells nothing: {bodies:?}");
        assert!(!site.ingester.program.log().contains(&key), "the log holds no key");
        site.assert_unharmed().await?;
        assert_eq!(site.published().await?, 1);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_key_is_accepted_in_every_place_the_contracts_name() -> anyhow::Result<()> {
    within(TEST, async {
        use base64::Engine as _;
        let site = Site::make().await?;
        let (key, tenant) = (site.line.key.expose(), &site.line.tenant);
        let basic = base64::engine::general_purpose::STANDARD.encode(format!("{key}:"));
        let cases = [
            ("Authorization", format!("Bearer {tenant}:{key}")),
            ("Authorization", format!("Bearer {key}")),
            ("Authorization", format!("Basic {basic}")),
            ("X-API-Key", key.to_owned()),
        ];
        for (header, value) in &cases {
            let headers = [("Content-Type", "application/json"), (*header, value.as_str())];
            let url = format!("{}/events", site.ingester.url);
            let answer = site.http.post(&url, &headers, event("x").to_string()).await?;
            assert_eq!(answer.status, 200, "{header}: {}", answer.text());
        }
        assert_eq!(site.published().await?, cases.len());
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_revoked_key_is_refused_and_a_new_one_taken_without_a_restart() -> anyhow::Result<()> {
    within(TEST, async {
        let mut site = Site::make().await?;
        let fresh = api_key::generate(KeyKind::Write, rand::random());
        let old = site.line.bearer();
        let new = format!("Bearer {}:{}", site.line.tenant, fresh.expose());
        assert_eq!(site.post("/events", &new, event("x").to_string()).await?.status, 401);
        site.line.write_keys(&[fresh])?;
        until(Duration::from_secs(10), "new key", || async {
            let answer = site.post("/events", &new, event("x").to_string()).await?;
            Ok(Look::at(answer.status == 200, answer.status))
        })
        .await?;
        assert_eq!(site.post("/events", &old, event("x").to_string()).await?.status, 401);
        assert!(site.ingester.program.is_running()?);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_body_that_cannot_be_read_is_refused_with_its_reason() -> anyhow::Result<()> {
    within(TEST, async {
        let mut site = Site::make().await?;
        let deep =
            format!(r#"{{"event_name":"x","properties":{{"a":{}1{}}}}}"#, "[".repeat(70), "]".repeat(70));
        let huge = format!(r#"{{"event_name":"x","properties":{{"a":"{}"}}}}"#, "x".repeat(300 * 1024));
        let cases: [(&str, &str, Vec<u8>, u16, &str); 12] = [
            ("/events", "not JSON", b"{\"event_name\":".to_vec(), 400, "not_json"),
            ("/ingest", "not JSON", b"hello".to_vec(), 400, "not_json"),
            ("/events", "nothing", Vec::new(), 400, "not_json"),
            ("/events", "not UTF-8", b"{\"event_name\":\"\xff\"}".to_vec(), 400, "not_utf8"),
            ("/events", "an array", b"[]".to_vec(), 400, "wrong_shape"),
            ("/events", "a number", b"7".to_vec(), 400, "wrong_shape"),
            ("/ingest", "without events", b"{}".to_vec(), 400, "wrong_shape"),
            ("/ingest", "with no event", b"{\"events\":[]}".to_vec(), 400, "empty_batch"),
            ("/ingest", "of too many events", too_many(), 413, "too_many_events"),
            ("/events", "too large", vec![b' '; 10 * 1024 * 1024 + 1], 413, "body_too_large"),
            ("/events", "nested too deep", deep.into_bytes(), 400, "nested_too_deep"),
            ("/events", "one event too large", huge.into_bytes(), 400, "event_too_large"),
        ];
        for (path, case, body, status, reason) in cases {
            let answer = site.post(path, &site.line.bearer(), body).await?;
            assert_eq!(
                (answer.status.as_u16(), answer.json()["reason"].as_str()),
                (status, Some(reason)),
                "a body that is {case} at {path}: {}",
                answer.text()
            );
        }
        site.assert_unharmed().await?;
        assert_eq!(site.published().await?, 1);
        Ok(())
    })
    .await
}

fn too_many() -> Vec<u8> {
    let events = vec![json!({"type": "click"}); schema::limits::MAX_EVENTS_PER_REQUEST + 1];
    json!({"events": events}).to_string().into_bytes()
}

#[tokio::test]
async fn a_compressed_body_is_refused_instead_of_misread() -> anyhow::Result<()> {
    within(TEST, async {
        let site = Site::make().await?;
        let bearer = site.line.bearer();
        let headers = [("Authorization", bearer.as_str()), ("Content-Encoding", "gzip")];
        let url = format!("{}/events", site.ingester.url);
        let answer = site.http.post(&url, &headers, vec![0x1f, 0x8b, 8, 0]).await?;
        assert_eq!(answer.status, 415, "{}", answer.text());
        Ok(())
    })
    .await
}

#[tokio::test]
async fn an_event_that_cannot_be_stored_is_refused_with_its_reason() -> anyhow::Result<()> {
    within(TEST, async {
        let mut site = Site::make().await?;
        let cases = [
            ("without a name", json!({"user_id": "u"}), "event_name_missing"),
            ("with an empty name", json!({"event_name": ""}), "event_name_missing"),
            ("of 1970", json!({"event_name": "x", "timestamp": "1970-01-01T00:00:00Z"}), "timestamp_too_old"),
            ("of 2100", json!({"event_name": "x", "timestamp": "2100-01-01T00:00:00Z"}), "timestamp_too_new"),
            ("of no time", json!({"event_name": "x", "timestamp": "yesterday"}), "timestamp_unreadable"),
            ("with a NUL", json!({"event_name": "a\u{0}b"}), "nul_character"),
            ("with a long name", json!({"event_name": "x".repeat(201)}), "text_too_long"),
            (
                "with a list of properties",
                json!({"event_name": "x", "properties": [1]}),
                "properties_not_an_object",
            ),
        ];
        for (case, event, reason) in cases {
            let answer = site.post("/events", &site.line.bearer(), event.to_string()).await?;
            assert_eq!(answer.status, 400, "an event {case}: {}", answer.text());
            assert_eq!(answer.json()["reason"], reason, "an event {case}: {}", answer.text());
        }
        site.assert_unharmed().await?;
        assert_eq!(site.published().await?, 1);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn one_bad_event_of_a_batch_is_named_and_the_others_are_stored() -> anyhow::Result<()> {
    within(TEST, async {
        let site = Site::make().await?;
        let _consumer = site.line.consumer().await?;
        let good =
            |number: u32| json!({"id": format!("order-{number}"), "type": "pageview", "session_id": "s"});
        let batch = json!({"events": [
            good(1),
            {"type": "pageview", "timestamp": "1970-01-01T00:00:00Z"},
            good(2),
            {"type": "no such type"},
            {"type": "click", "tenant_id": "somebody-else"},
            good(3),
        ]});
        let answer = site.post("/ingest", &site.line.bearer(), batch.to_string()).await?;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let said = answer.json();
        assert_eq!((&said["events_accepted"], &said["events_rejected"]), (&json!(3), &json!(3)));
        let results: Vec<(&str, &str)> = said["results"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default()
            .iter()
            .map(|result| {
                (result["status"].as_str().unwrap_or("-"), result["reason"].as_str().unwrap_or("-"))
            })
            .collect();
        let accepted = ("accepted", "-");
        assert_eq!(
            results,
            [
                accepted,
                ("rejected", "timestamp_too_old"),
                accepted,
                ("rejected", "unknown_type"),
                ("rejected", "foreign_tenant"),
                accepted
            ]
        );
        site.line.wait_for_events(3, STORED).await
    })
    .await
}

#[tokio::test]
async fn a_foreign_record_becomes_a_dead_letter_with_its_bytes_and_reason() -> anyhow::Result<()> {
    within(TEST, async {
        let line = Line::make(&shared::kafka()?, &shared::clickhouse()?).await?;
        let foreign = br#"{"app_id":"shop","event_name":"bought"}"#;
        line.kafka.write(line.topic.as_str(), &[("traceparent", "00-1-2-03")], foreign).await?;
        let headers = line.record_headers();
        let ours: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let stranger: Vec<(&str, &str)> = ours
            .iter()
            .map(|(name, value)| (*name, if *name == record::TENANT { "somebody-else" } else { *value }))
            .collect();
        let good = include_str!("../../../schema/events/smallest.json").trim_end();
        line.kafka.write(line.topic.as_str(), &stranger, good.as_bytes()).await?;
        let lines = format!("{good}\nnot an event\n");
        line.kafka.write(line.topic.as_str(), &ours, lines.as_bytes()).await?;

        let _consumer = line.consumer().await?;
        line.wait_for_events(1, STORED).await?;
        let topic = line.topic.dead_letter();
        let letters = until(STORED, "three dead letters", || async {
            let letters = line.kafka.read(topic.as_str()).await?;
            Ok(if letters.len() == 3 { Look::There(letters) } else { Look::NotYet(format!("{letters:?}")) })
        })
        .await?;
        let letter = |value: &[u8]| letters.iter().find(|letter| letter.value == value);
        let whole = letter(foreign).expect("the foreign record's bytes are kept");
        assert_eq!(whole.headers["traceparent"], "00-1-2-03", "and its headers");
        assert_eq!(whole.headers[record::dead_letter::TOPIC], line.topic.as_str());
        for name in ["REASON", "PARTITION", "OFFSET"].iter().zip([
            record::dead_letter::REASON,
            record::dead_letter::PARTITION,
            record::dead_letter::OFFSET,
        ]) {
            assert!(
                !whole.headers.get(name.1).is_none_or(String::is_empty),
                "{}: {:?}",
                name.0,
                whole.headers
            );
        }
        assert!(letter(good.as_bytes()).is_some(), "a record of another tenant is not stored here");
        let bad_line = letter(b"not an event").expect("one bad line is a dead letter without its neighbours");
        assert_eq!(bad_line.headers[record::dead_letter::INDEX], "1");
        let reasons: std::collections::BTreeSet<&String> =
            letters.iter().map(|letter| &letter.headers[record::dead_letter::REASON]).collect();
        assert_eq!(reasons.len(), 3, "three faults, three reasons: {reasons:?}");
        line.wait_until_committed(STORED).await
    })
    .await
}
