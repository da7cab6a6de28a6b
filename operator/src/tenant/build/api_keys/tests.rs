use crds::AnalyticsTenant;
use proptest::prelude::*;
use schema::api_key::is_well_formed;

use super::{super::super::validate::wanted_keys, *};

fn wanted(keys: &str, known: &[&str]) -> WantedKeys {
    let manifest = format!(
        "{{apiVersion: analytics.millrace.dev/v1alpha1, kind: AnalyticsTenant, \
         metadata: {{name: acme, namespace: team, uid: u1}}, spec: {{apiKeys: {keys}}}}}"
    );
    let tenant: AnalyticsTenant = serde_saphyr::from_str(&manifest).unwrap();
    let known = known.iter().map(|name| ((*name).to_owned(), ApiKeyState::Active)).collect();
    WantedKeys { known, ..wanted_keys(&tenant) }
}

fn now() -> Timestamp {
    "2026-01-31T12:00:00Z".parse().unwrap()
}

/// With nothing brought along, at the time of these tests.
fn api_keys(tenant: &WantedKeys, found: &Secret, entropy: impl FnMut() -> [u8; ENTROPY_BYTES]) -> ApiKeys {
    super::api_keys(tenant, found, &Referenced::new(), now(), entropy)
}

fn entry(keys: &ApiKeys, name: &str) -> String {
    String::from_utf8(keys.secret.data.as_ref().unwrap()[name].0.clone()).unwrap()
}

fn names(keys: &ApiKeys) -> Vec<&str> {
    keys.secret.data.as_ref().unwrap().keys().map(String::as_str).collect()
}

/// The keys of a tenant that had none.
fn first(keys: &str, entropy: [u8; ENTROPY_BYTES]) -> ApiKeys {
    let tenant = wanted(keys, &[]);
    api_keys(&tenant, &empty(&tenant), || entropy)
}

const WEB: &str = "[{name: web, scopes: [Ingest]}]";
const WEB_READS: &str = "[{name: web, scopes: [Ingest, Query]}]";

#[test]
fn the_secret_holds_a_key_for_each_entry() {
    let tenant = wanted("[{name: web, scopes: [Ingest]}, {name: bi, scopes: [Query]}]", &[]);
    let keys = api_keys(&tenant, &empty(&tenant), || [7; ENTROPY_BYTES]);
    insta::assert_yaml_snapshot!(keys.secret);
    insta::assert_yaml_snapshot!(keys.status);
    assert!(keys.replaced.is_empty());
}

#[test]
fn an_existing_key_is_kept() {
    let first = first(WEB, [1; ENTROPY_BYTES]);
    let second = api_keys(&wanted(WEB, &["web"]), &first.secret, || [2; ENTROPY_BYTES]);
    assert_eq!(entry(&first, "web"), entry(&second, "web"));
    assert!(second.replaced.is_empty());
}

#[test]
fn the_key_of_a_removed_entry_is_left_out() {
    let both = wanted("[{name: web, scopes: [Ingest]}, {name: old, scopes: [Ingest]}]", &[]);
    let first = api_keys(&both, &empty(&both), || [1; ENTROPY_BYTES]);
    let second = api_keys(&wanted(WEB, &["web", "old"]), &first.secret, || [2; ENTROPY_BYTES]);
    assert_eq!(names(&second), ["web"]);
}

#[test]
fn a_lost_key_is_made_anew_and_told() {
    let tenant = wanted(WEB, &["web"]);
    let keys = api_keys(&tenant, &empty(&tenant), || [1; ENTROPY_BYTES]);
    assert_eq!(keys.replaced, ["web"]);
}

#[test]
fn a_text_that_is_no_key_is_replaced() {
    let mut broken = first(WEB, [1; ENTROPY_BYTES]).secret;
    broken.data.as_mut().unwrap().insert("web".to_owned(), ByteString(b"hunter2".to_vec()));
    let keys = api_keys(&wanted(WEB, &["web"]), &broken, || [2; ENTROPY_BYTES]);
    assert!(is_well_formed(&entry(&keys, "web")));
    assert_eq!(keys.replaced, ["web"]);
}

#[test]
fn a_write_key_is_replaced_before_it_may_read() {
    let write = first(WEB, [1; ENTROPY_BYTES]);
    let reads = api_keys(&wanted(WEB_READS, &["web"]), &write.secret, || [2; ENTROPY_BYTES]);
    assert!(entry(&write, "web").starts_with("mrw_") && entry(&reads, "web").starts_with("mrq_"));
    assert_eq!(reads.replaced, ["web"]);
}

#[test]
fn keys_are_for_the_version_that_they_were_read_from() {
    let tenant = wanted(WEB, &[]);
    let mut found = empty(&tenant);
    found.metadata.uid = Some("u5".to_owned());
    found.metadata.resource_version = Some("7".to_owned());
    let keys = api_keys(&tenant, &found, || [1; ENTROPY_BYTES]);
    let metadata = &keys.secret.metadata;
    assert_eq!((metadata.uid.as_deref(), metadata.resource_version.as_deref()), (Some("u5"), Some("7")));
    assert_eq!(empty(&tenant).data, None);
}

#[test]
fn a_key_that_ended_is_kept_and_told_once() {
    let spec = |end: &str| format!("[{{name: web, scopes: [Ingest], expiresAt: '{end}'}}]");
    let [later, past] = ["2026-01-31T12:00:01Z", "2026-01-31T12:00:00Z"].map(spec);
    let first = first(&later, [1; ENTROPY_BYTES]);
    assert_eq!((first.status[0].state, first.expired.len()), (ApiKeyState::Active, 0));
    let mut tenant = wanted(&past, &["web"]);
    let second = api_keys(&tenant, &first.secret, || [2; ENTROPY_BYTES]);
    assert_eq!(
        (second.status[0].state, &second.expired[..]),
        (ApiKeyState::Expired, &["web".to_owned()][..])
    );
    assert_eq!(first.secret, second.secret);
    tenant.known = [("web".to_owned(), ApiKeyState::Expired)].into();
    assert!(api_keys(&tenant, &first.secret, || [2; ENTROPY_BYTES]).expired.is_empty());
}

#[test]
fn no_key_shows_in_debug() {
    let keys = first(WEB, [1; ENTROPY_BYTES]);
    assert!(!format!("{keys:?}").contains(&entry(&keys, "web")));
}

proptest! {
    #[test]
    fn what_was_built_once_stays(entropy: [u8; ENTROPY_BYTES], other: [u8; ENTROPY_BYTES]) {
        for spec in [WEB, WEB_READS] {
            let first = first(spec, entropy);
            let second = api_keys(&wanted(spec, &["web"]), &first.secret, || other);
            prop_assert_eq!(&first.secret, &second.secret);
        }
    }
}
