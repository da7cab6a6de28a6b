//! Requests against the routes, with a producer that records or fails.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use axum::{
    body::{Body, Bytes, to_bytes},
    extract::ConnectInfo,
    http::{Method, StatusCode},
};
use futures::{StreamExt as _, stream};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::*;
use crate::{
    publish,
    receive::InFlight,
    testing::{ACME_KEY, ENDED_KEY, KEY, QUERY_KEY, Recorder, Silent, TENANT, app},
};

/// The whole answer, as it is snapshotted.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Value,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    fn reason(&self) -> &str {
        self.body["reason"].as_str().unwrap_or_default()
    }
}

async fn send(app: App, request: Request) -> Answer {
    let response = router(app, Health::new()).oneshot(request).await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    let mut body: Value = serde_json::from_slice(&body).unwrap();
    if let Some(latency) = body.get_mut("ingest_latency_ms") {
        assert!(latency.is_u64());
        *latency = json!("some");
    }
    Answer { status, headers, body }
}

fn request(method: Method, path: &str, body: impl Into<Body>) -> Request {
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header("authorization", format!("Bearer {TENANT}:{KEY}"))
        .header("user-agent", "curl/8.5.0")
        .body(body.into())
        .unwrap();
    request.extensions_mut().insert(ConnectInfo(SocketAddr::from(([203, 0, 113, 7], 40_000))));
    request
}

fn post_to(path: &str, body: impl Into<Body>) -> Request {
    request(Method::POST, path, body)
}

const EVENT: &str = r#"{"event_name":"page_view","user_id":"user123","session_id":"session456","properties":{"page":"/dashboard"}}"#;

#[tokio::test]
async fn an_event_is_answered_after_its_record_was_acknowledged() {
    let recorder = Recorder::answering(Ok(()));
    let answer = send(app(recorder.clone()), post_to("/events", EVENT)).await;
    assert_eq!(answer.status, StatusCode::OK);
    insta::assert_json_snapshot!(answer.body);
    let records = recorder.records.lock().unwrap();
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].key.as_deref(), Some("user123"));
    insta::assert_snapshot!(String::from_utf8(records[0].payload.clone()).unwrap());
}

#[tokio::test]
async fn a_batch_with_bad_events_keeps_the_good_ones() {
    let recorder = Recorder::answering(Ok(()));
    let body = json!({ "events": [
        { "id": "550e8400-e29b-41d4-a716-446655440000", "tenant_id": TENANT, "type": "pageview", "path": "/" },
        { "type": "purchase" },
        { "type": "custom" },
        { "type": "click", "tenant_id": "acme" },
        { "type": "click", "timestamp": "1970-01-01T00:00:00Z" },
        { "type": "click", "timestamp": "2100-01-01T00:00:00Z" },
        "event",
        { "id": "order-1", "type": "custom", "event_name": "signup", "properties": { "plan": "pro" } },
    ]});
    let answer = send(app(recorder.clone()), post_to("/ingest", body.to_string())).await;
    assert_eq!(answer.status, StatusCode::OK);
    insta::assert_json_snapshot!(answer.body);
    let records = recorder.records.lock().unwrap();
    insta::assert_snapshot!(String::from_utf8(records[0].payload.clone()).unwrap());
}

#[tokio::test]
async fn the_batch_of_seed_001_is_answered_in_its_words() {
    let body = json!({ "events": [{
        "id": "550e8400-e29b-41d4-a716-446655440000",
        "tenant_id": TENANT,
        "session_id": "11111111-1111-1111-1111-111111111111",
        "timestamp": "2024-01-01T00:00:00Z",
        "type": "pageview",
        "title": "Home",
        "path": "/",
    }]});
    let answer = send(app(Recorder::answering(Ok(()))), post_to("/ingest", body.to_string())).await;
    insta::assert_json_snapshot!(answer.body);
}

#[tokio::test]
async fn a_request_of_which_nothing_can_be_stored_is_a_bad_request() {
    let recorder = Recorder::answering(Ok(()));
    let one = send(app(recorder.clone()), post_to("/events", r#"{"user_id":"u"}"#)).await;
    let batch =
        send(app(recorder.clone()), post_to("/ingest", r#"{"events":[{"type":"buy"},{"type":1}]}"#)).await;
    for answer in [&one, &batch] {
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    }
    insta::assert_json_snapshot!(one.body);
    insta::assert_json_snapshot!(batch.body);
    assert!(recorder.records.lock().unwrap().is_empty());
}

#[tokio::test]
async fn bodies_that_cannot_be_used_are_refused_without_repeating_them() {
    let marker = "<script>marker</script>";
    let deep = format!("{}\"{marker}\"{}", "[".repeat(100_000), "]".repeat(100_000));
    for (path, body, reason) in [
        ("/events", format!("{{{marker}"), "not_json"),
        ("/ingest", format!("{{{marker}"), "not_json"),
        ("/events", format!("[\"{marker}\"]"), "wrong_shape"),
        ("/ingest", format!("{{\"{marker}\":[]}}"), "wrong_shape"),
        ("/ingest", r#"{"events":[]}"#.to_owned(), "empty_batch"),
        ("/events", deep.clone(), "wrong_shape"),
        ("/events", format!(r#"{{"event_name":"a","properties":{{"a":{deep}}}}}"#), "nested_too_deep"),
        ("/ingest", format!(r#"{{"events":[{{"type":"click","a":{deep}}}]}}"#), "all_events_rejected"),
    ] {
        let answer = send(app(Recorder::answering(Ok(()))), post_to(path, body)).await;
        assert_eq!((answer.status, answer.reason()), (StatusCode::BAD_REQUEST, reason), "{path}");
        assert_eq!(answer.body["status"], "error");
        assert!(!answer.body.to_string().contains("marker"), "{}", answer.body);
    }
}

#[tokio::test]
async fn every_bad_key_gets_the_same_answer() {
    let mut bodies = Vec::new();
    for key in [
        "",
        "Bearer unknown",
        &format!("Bearer acme:{KEY}"),
        &format!("Bearer {QUERY_KEY}"),
        &format!("Bearer {ENDED_KEY}"),
        "Basic ?",
    ] {
        for path in ["/events", "/ingest"] {
            let mut request = post_to(path, EVENT);
            request.headers_mut().insert("authorization", key.parse().unwrap());
            let answer = send(app(Recorder::answering(Ok(()))), request).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{key}");
            bodies.push(answer.body);
        }
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1);
    insta::assert_json_snapshot!(bodies[0]);
}

#[tokio::test]
async fn the_key_and_not_the_body_names_the_tenant() {
    let recorder = Recorder::answering(Ok(()));
    let mut request = post_to("/events", EVENT);
    request.headers_mut().insert("authorization", format!("Bearer {ACME_KEY}").parse().unwrap());
    assert_eq!(send(app(recorder.clone()), request).await.status, StatusCode::OK);
    assert_eq!(recorder.records.lock().unwrap()[0].route.topic.as_str(), "millrace.acme.web");
}

#[tokio::test]
async fn nothing_of_a_strangers_body_is_kept() {
    let mut request = post_to("/events", EVENT);
    request.headers_mut().remove("authorization");
    // Nothing could be reserved in a house of no bytes.
    let app = App { in_flight: InFlight::new(0), ..app(Recorder::answering(Ok(()))) };
    assert_eq!(send(app, request).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn kafka_that_fails_is_the_clients_to_try_again() {
    for failure in [
        publish::Error::TimedOut,
        publish::Error::QueueFull,
        publish::Error::UnknownTopic,
        publish::Error::Fatal,
    ] {
        for (path, body) in [("/events", EVENT), ("/ingest", r#"{"events":[{"type":"click"}]}"#)] {
            let answer = send(app(Recorder::answering(Err(failure))), post_to(path, body)).await;
            assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
            assert_eq!((answer.header("retry-after"), answer.reason()), (Some("2"), "unavailable"));
        }
    }
}

#[tokio::test]
async fn what_kafka_will_never_take_is_not_the_clients_to_try_again() {
    for (path, body) in [("/events", EVENT), ("/ingest", r#"{"events":[{"type":"click"},{"type":"buy"}]}"#)] {
        let recorder = Recorder::settling(&[publish::Settlement::TooLarge]);
        let answer = send(app(recorder), post_to(path, body)).await;
        assert_eq!(
            (answer.status, answer.reason(), answer.header("retry-after")),
            (StatusCode::PAYLOAD_TOO_LARGE, "record_too_large", None),
            "{path}"
        );
    }
}

/// Five good events of nearly the largest size make two records, of four events and of one.
fn two_records_and_a_bad_event() -> String {
    let good = json!({ "type": "click", "properties": { "text": "x".repeat(200_000) } });
    let bad = json!({ "type": "buy" });
    json!({ "events": [good, bad, good, good, good, good] }).to_string()
}

#[tokio::test]
async fn a_record_that_is_too_large_refuses_its_own_events_alone() {
    use publish::Settlement::{Stored, TooLarge};
    let too_large = "record_too_large";
    let own: [([_; 2], [Option<&str>; 6]); 2] = [
        ([Stored, TooLarge], [None, Some("unknown_type"), None, None, None, Some(too_large)]),
        (
            [TooLarge, Stored],
            [Some(too_large), Some("unknown_type"), Some(too_large), Some(too_large), Some(too_large), None],
        ),
    ];
    for (outcomes, expected) in own {
        let recorder = Recorder::settling(&outcomes);
        let answer = send(app(recorder.clone()), post_to("/ingest", two_records_and_a_bad_event())).await;
        assert_eq!(recorder.records.lock().unwrap().len(), 2);
        assert_eq!((answer.status, &answer.body["status"]), (StatusCode::OK, &json!("partial")));
        let reasons: Vec<Option<&str>> = answer.body["results"]
            .as_array()
            .unwrap()
            .iter()
            .map(|result| result["reason"].as_str())
            .collect();
        assert_eq!(reasons, expected);
    }
}

#[tokio::test]
async fn a_record_that_may_yet_be_taken_makes_the_whole_request_one_to_try_again() {
    use publish::Settlement::{Failed, TooLarge};
    let recorder = Recorder::settling(&[TooLarge, Failed(publish::Error::TimedOut)]);
    let answer = send(app(recorder), post_to("/ingest", two_records_and_a_bad_event())).await;
    assert_eq!((answer.status, answer.reason()), (StatusCode::SERVICE_UNAVAILABLE, "unavailable"));
}

/// A connection that is closed while its client still sends is reset, and the refusal is never seen.
#[tokio::test]
async fn the_rest_of_a_refused_body_is_read_before_the_answer() {
    let usual = || app(Recorder::answering(Ok(())));
    let full_house = App { in_flight: InFlight::new(0), ..usual() };
    for (app, name, value, status) in [
        (usual(), "authorization", "Bearer unknown", 401),
        (usual(), "content-encoding", "gzip", 415),
        (usual(), "content-length", "99999999", 413),
        (full_house, "content-length", "12", 503),
    ] {
        let read = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&read);
        let chunks = stream::iter(0..3).map(move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
            Ok::<_, std::io::Error>(Bytes::from_static(b"body"))
        });
        let mut request = post_to("/events", Body::from_stream(chunks));
        request.headers_mut().insert(name, value.parse().unwrap());
        assert_eq!((send(app, request).await.status.as_u16(), read.load(Ordering::Relaxed)), (status, 3));
    }
}

#[tokio::test]
async fn a_request_ends_with_its_deadline() {
    let app = App { request_timeout: Duration::from_millis(20), ..app(Arc::new(Silent::default())) };
    let answer = send(app, post_to("/events", EVENT)).await;
    assert_eq!((answer.status, answer.reason()), (StatusCode::SERVICE_UNAVAILABLE, "deadline"));
    assert_eq!(answer.header("retry-after"), Some("2"));
}

#[tokio::test]
async fn the_bounds_of_a_body_have_their_own_status() {
    let with = |name: &'static str, value: &str| {
        let mut request = post_to("/events", EVENT);
        request.headers_mut().insert(name, value.parse().unwrap());
        request
    };
    let usual = || app(Recorder::answering(Ok(())));
    let large = send(usual(), with("content-length", "10485761")).await;
    assert_eq!((large.status.as_u16(), large.reason()), (413, "body_too_large"));
    let compressed = send(usual(), with("content-encoding", "gzip")).await;
    assert_eq!((compressed.status.as_u16(), compressed.reason()), (415, "unsupported_encoding"));
    let many = format!(r#"{{"events":[{}]}}"#, vec!["{}"; 2_501].join(","));
    let many = send(usual(), post_to("/ingest", many)).await;
    assert_eq!((many.status.as_u16(), many.reason()), (413, "too_many_events"));

    let never = stream::pending::<Result<Bytes, std::io::Error>>();
    let hasty = App { body_timeout: Duration::from_millis(20), ..usual() };
    let slow = send(hasty, post_to("/events", Body::from_stream(never))).await;
    assert_eq!((slow.status.as_u16(), slow.reason()), (408, "body_timeout"));

    let full = App { in_flight: InFlight::new(10), ..usual() };
    let shed = send(full, post_to("/events", EVENT)).await;
    assert_eq!((shed.status.as_u16(), shed.reason()), (503, "overloaded"));
    assert_eq!(shed.header("retry-after"), Some("2"));
}

#[tokio::test]
async fn other_paths_and_methods_are_refused_in_json() {
    for (method, path, status, reason) in [
        (Method::GET, "/", 404, "not_found"),
        (Method::POST, "/<script>", 404, "not_found"),
        (Method::GET, "/events", 405, "method_not_allowed"),
        (Method::DELETE, "/ingest", 405, "method_not_allowed"),
        (Method::POST, "/health", 405, "method_not_allowed"),
    ] {
        let request = request(method, &path.replace(['<', '>'], "_"), Body::empty());
        let answer = send(app(Recorder::answering(Ok(()))), request).await;
        assert_eq!((answer.status.as_u16(), answer.reason()), (status, reason), "{path}");
        assert_eq!(answer.header("allow").is_some(), status == 405, "{path}");
    }
}

#[tokio::test]
async fn a_harmless_request_id_is_echoed_and_others_are_replaced() {
    let ours = "01938f6e-5c00-7cc3-98c4-dc0c0c073990";
    let long = "a".repeat(129);
    for (given, expected) in [
        (None, ours),
        (Some("req-1.a_B"), "req-1.a_B"),
        (Some("<script>"), ours),
        (Some(""), ours),
        (Some(long.as_str()), ours),
    ] {
        let mut request = request(Method::GET, "/nowhere", Body::empty());
        if let Some(given) = given {
            request.headers_mut().insert("x-request-id", given.parse().unwrap());
        }
        let answer = send(app(Recorder::answering(Ok(()))), request).await;
        assert_eq!(answer.header("x-request-id"), Some(expected), "{given:?}");
    }
}

#[tokio::test]
async fn the_trace_context_is_passed_on_if_it_has_its_form() {
    let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    for (given, is_passed) in [(good, true), ("00-1-2-01", false), (&good.to_uppercase(), false), ("", false)]
    {
        let recorder = Recorder::answering(Ok(()));
        let mut request = post_to("/events", EVENT);
        request.headers_mut().insert("traceparent", given.parse().unwrap());
        send(app(recorder.clone()), request).await;
        let records = recorder.records.lock().unwrap();
        let passed = records[0].headers.iter().find(|(name, _)| *name == "traceparent");
        assert_eq!(passed.map(|(_, value)| value.as_str()), is_passed.then_some(given), "{given}");
    }
}

#[tokio::test]
async fn a_trusted_proxy_tells_the_clients_address() {
    let recorder = Recorder::answering(Ok(()));
    for trusted in [Vec::new(), vec!["203.0.113.0/24".parse().unwrap()]] {
        let mut request = post_to("/events", EVENT);
        request.headers_mut().insert("x-forwarded-for", "198.51.100.9".parse().unwrap());
        send(App { trusted_proxies: trusted, ..app(recorder.clone()) }, request).await;
    }
    let records = recorder.records.lock().unwrap();
    let addresses: Vec<Value> = records
        .iter()
        .map(|record| serde_json::from_slice::<Value>(&record.payload).unwrap()["ip_address"].clone())
        .collect();
    assert_eq!(addresses, ["203.0.113.7", "198.51.100.9"]);
}

#[tokio::test]
async fn the_health_paths_answer_on_the_public_port() {
    let kafka_is_away =
        send(app(Recorder::answering(Ok(()))), request(Method::GET, "/health", Body::empty())).await;
    assert_eq!(kafka_is_away.status, StatusCode::SERVICE_UNAVAILABLE);
    insta::assert_json_snapshot!(kafka_is_away.body);
    let well = app(Recorder::answering(Ok(())));
    well.services.kafka.set(true);
    let well = send(well, request(Method::GET, "/health", Body::empty())).await;
    assert_eq!(well.status, StatusCode::OK);
    for path in ["/health/live", "/health/ready"] {
        let answer = send(app(Recorder::answering(Ok(()))), request(Method::GET, path, Body::empty())).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
    }
}
