use super::*;
use crate::testing::{ACME_KEY, KEY, QUERY_KEY, TENANT, now, settings};

/// The tenant that the headers let in.
#[track_caller]
fn check(headers: &[(&'static str, String)], expected: Option<&str>) {
    let keys = KeyRing::of(&settings("unused").pipelines);
    let map = headers
        .iter()
        .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
        .collect::<HeaderMap>();
    let route = authenticate(&keys, &map, now());
    assert_eq!(route.as_ref().ok().map(|route| route.tenant_id.as_str()), expected, "{headers:?}");
}

fn authorization(value: &str) -> Vec<(&'static str, String)> {
    vec![("authorization", value.to_owned())]
}

fn basic_header(credentials: &str) -> Vec<(&'static str, String)> {
    authorization(&format!("Basic {}", STANDARD.encode(credentials)))
}

#[test]
fn a_key_is_found_in_every_place() {
    check(&authorization(&format!("Bearer {TENANT}:{KEY}")), Some(TENANT));
    check(&authorization(&format!("Bearer {KEY}")), Some(TENANT));
    check(&authorization(&format!("bearer   {KEY}")), Some(TENANT));
    check(&basic_header(&format!("{KEY}:")), Some(TENANT));
    check(&basic_header(KEY), Some(TENANT));
    check(&[("x-api-key", KEY.to_owned())], Some(TENANT));
    check(&authorization(&format!("Bearer acme:{ACME_KEY}")), Some("acme"));
}

#[test]
fn the_first_place_wins() {
    let both = |first: &str| vec![("authorization", first.to_owned()), ("x-api-key", ACME_KEY.to_owned())];
    check(&both(&format!("Bearer {KEY}")), Some(TENANT));
    check(&both("Bearer unknown"), None);
    check(&both("Digest of-something-else"), Some("acme"));
}

#[test]
fn every_other_key_is_refused() {
    check(&[], None);
    for value in ["Bearer", "Bearer ", "Bearer :", "Bearer unknown", "Basic ???", "Basic", ""] {
        check(&authorization(value), None);
    }
    check(&authorization(&format!("Bearer acme:{KEY}")), None);
    check(&authorization(&format!("Bearer :{KEY}")), None);
    check(&authorization(&format!("Bearer {QUERY_KEY}")), None);
    check(&authorization(&format!("Bearer {TENANT}:{QUERY_KEY}")), None);
    check(&[("x-api-key", String::new())], None);
}

#[test]
fn an_empty_key_is_refused_even_if_somebody_configured_it() {
    let mut settings = settings("unused");
    settings.pipelines[0].keys[0].sha256 = KeyDigest::of("");
    let keys = KeyRing::of(&settings.pipelines);
    assert_eq!(authenticate(&keys, &HeaderMap::new(), now()), Err(Unauthorized));
}

#[test]
fn a_key_is_refused_from_its_end_on() {
    let mut settings = settings("unused");
    let end = now();
    settings.pipelines[0].keys[0].expires_at = Some(end);
    let keys = KeyRing::of(&settings.pipelines);
    let bearer =
        |key: &str| HeaderMap::from_iter([(AUTHORIZATION, format!("Bearer {key}").parse().unwrap())]);
    let is_taken = |key: &str, millis| {
        authenticate(&keys, &bearer(key), Timestamp::from_millis(end.millis() + millis)).is_ok()
    };
    assert!(is_taken(KEY, -1) && !is_taken(KEY, 0) && !is_taken(KEY, 86_400_000));
    assert!(is_taken(ACME_KEY, 86_400_000), "the others go on");
}

#[test]
fn topics_are_told_once() {
    let keys = KeyRing::of(&settings("unused").pipelines);
    assert_eq!(keys.topics(), [format!("millrace.{TENANT}.web"), "millrace.acme.web".to_owned()]);
    assert_eq!(keys.len(), 4);
}
