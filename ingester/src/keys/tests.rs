use axum::http::HeaderMap;
use schema::api_key::Scope;

use super::*;
use crate::{
    authenticate::authenticate,
    testing::{ACME_KEY, KEY, now, pipeline, settings},
};

fn is_valid(keys: &Keys, key: &str) -> bool {
    let headers =
        HeaderMap::from_iter([(axum::http::header::AUTHORIZATION, format!("Bearer {key}").parse().unwrap())]);
    authenticate(&keys.borrow(), &headers, now()).is_ok()
}

fn bad() -> Error {
    Error::TooSlow { path: "settings.json".to_owned() }
}

#[test]
fn new_keys_are_taken_over_and_missing_ones_are_revoked() {
    let (mut current, keys) = Current::new(settings("unused"));
    assert!(is_valid(&keys, KEY) && is_valid(&keys, ACME_KEY));
    let mut changed = settings("unused");
    changed.pipelines[0] = pipeline("acme", &[("new-secret", Scope::Ingest)]);
    current.take(Ok(changed));
    assert!(is_valid(&keys, "new-secret"));
    assert!(!is_valid(&keys, KEY));
}

#[test]
fn a_bad_file_keeps_the_last_good_keys() {
    let (mut current, keys) = Current::new(settings("unused"));
    current.take(Err(bad()));
    current.take(Err(bad()));
    assert!(is_valid(&keys, KEY) && !is_valid(&keys, "new-secret"));
    current.take(Ok(IngesterSettings { pipelines: Vec::new(), ..settings("unused") }));
    assert!(!is_valid(&keys, KEY));
}

#[tokio::test]
async fn what_is_no_settings_file_is_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("settings.json");
    assert_eq!(read(&path).await.unwrap_err().reason(), "unreadable");
    std::fs::write(&path, "{").unwrap();
    assert_eq!(read(&path).await.unwrap_err().reason(), "not_settings");
    // serde_json itself would quote the password here.
    std::fs::write(&path, r#"{"kafka":"hunter2"}"#).unwrap();
    let error = read(&path).await.unwrap_err();
    assert!(!format!("{error:?} {error}").contains("hunter2"), "{error}");
    std::fs::write(&path, serde_json::to_vec(&settings("kafka:9092")).unwrap()).unwrap();
    assert_eq!(read(&path).await.unwrap(), settings("kafka:9092"));
}

#[tokio::test]
async fn the_file_is_followed_until_the_shutdown() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("settings.json");
    std::fs::write(&path, serde_json::to_vec(&settings("unused")).unwrap()).unwrap();
    let (current, mut keys) = Current::new(IngesterSettings { pipelines: Vec::new(), ..settings("unused") });
    let shutdown = CancellationToken::new();
    let following = follow(current, Arc::from(path.as_path()), Duration::from_millis(1), shutdown.clone());
    let seen = async {
        keys.changed().await.unwrap();
        shutdown.cancel();
    };
    let (ended, ()) = tokio::join!(following, seen);
    ended.unwrap();
    assert!(is_valid(&keys, KEY));
}
