use crds::AnalyticsTenant;
use proptest::prelude::*;
use schema::api_key::is_well_formed;

use super::{super::super::validate::validate, *};

fn validated(keys: &str, known: &[&str]) -> ValidatedTenant {
    let manifest = format!(
        "{{apiVersion: analytics.millrace.dev/v1alpha1, kind: AnalyticsTenant, \
         metadata: {{name: acme, namespace: team, uid: u1}}, spec: {{apiKeys: {keys}}}}}"
    );
    let tenant: AnalyticsTenant = serde_saphyr::from_str(&manifest).unwrap();
    let mut validated = validate(&tenant, &[]).unwrap();
    validated.known_keys = known.iter().map(|name| (*name).to_owned()).collect();
    validated
}

fn entry(keys: &ApiKeys, name: &str) -> String {
    String::from_utf8(keys.secret.data.as_ref().unwrap()[name].0.clone()).unwrap()
}

fn names(keys: &ApiKeys) -> Vec<&str> {
    keys.secret.data.as_ref().unwrap().keys().map(String::as_str).collect()
}

const WEB: &str = "[{name: web, scopes: [Ingest]}]";
const WEB_READS: &str = "[{name: web, scopes: [Ingest, Query]}]";

#[test]
fn the_secret_holds_a_key_for_each_entry() {
    let tenant = validated("[{name: web, scopes: [Ingest]}, {name: bi, scopes: [Query]}]", &[]);
    let keys = api_keys(&tenant, None, || [7; ENTROPY_BYTES]);
    insta::assert_yaml_snapshot!(keys.secret);
    insta::assert_yaml_snapshot!(keys.status);
    assert!(keys.replaced.is_empty());
}

#[test]
fn an_existing_key_is_kept() {
    let first = api_keys(&validated(WEB, &[]), None, || [1; ENTROPY_BYTES]);
    let second = api_keys(&validated(WEB, &["web"]), Some(&first.secret), || [2; ENTROPY_BYTES]);
    assert_eq!(entry(&first, "web"), entry(&second, "web"));
    assert!(second.replaced.is_empty());
}

#[test]
fn the_key_of_a_removed_entry_is_left_out() {
    let both = validated("[{name: web, scopes: [Ingest]}, {name: old, scopes: [Ingest]}]", &[]);
    let first = api_keys(&both, None, || [1; ENTROPY_BYTES]);
    let second = api_keys(&validated(WEB, &["web", "old"]), Some(&first.secret), || [2; ENTROPY_BYTES]);
    assert_eq!(names(&second), ["web"]);
}

#[test]
fn a_lost_key_is_made_anew_and_told() {
    let keys = api_keys(&validated(WEB, &["web"]), None, || [1; ENTROPY_BYTES]);
    assert_eq!(keys.replaced, ["web"]);
}

#[test]
fn a_text_that_is_no_key_is_replaced() {
    let mut broken = api_keys(&validated(WEB, &[]), None, || [1; ENTROPY_BYTES]).secret;
    broken.data.as_mut().unwrap().insert("web".to_owned(), ByteString(b"hunter2".to_vec()));
    let keys = api_keys(&validated(WEB, &["web"]), Some(&broken), || [2; ENTROPY_BYTES]);
    assert!(is_well_formed(&entry(&keys, "web")));
    assert_eq!(keys.replaced, ["web"]);
}

#[test]
fn a_write_key_is_replaced_before_it_may_read() {
    let write = api_keys(&validated(WEB, &[]), None, || [1; ENTROPY_BYTES]);
    let reads = api_keys(&validated(WEB_READS, &["web"]), Some(&write.secret), || [2; ENTROPY_BYTES]);
    assert!(entry(&write, "web").starts_with("mrw_") && entry(&reads, "web").starts_with("mrq_"));
    assert_eq!(reads.replaced, ["web"]);
}

#[test]
fn no_key_shows_in_debug() {
    let keys = api_keys(&validated(WEB, &[]), None, || [1; ENTROPY_BYTES]);
    assert!(!format!("{keys:?}").contains(&entry(&keys, "web")));
}

proptest! {
    #[test]
    fn what_was_built_once_stays(entropy: [u8; ENTROPY_BYTES], other: [u8; ENTROPY_BYTES]) {
        for spec in [WEB, WEB_READS] {
            let first = api_keys(&validated(spec, &[]), None, || entropy);
            let second = api_keys(&validated(spec, &["web"]), Some(&first.secret), || other);
            prop_assert_eq!(&first.secret, &second.secret);
        }
    }
}
