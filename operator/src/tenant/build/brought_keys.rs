//! Keys that a tenant brings along in a Secret of its own. Pure.
//!
//! A Secret is used only where its label says that it holds keys: whoever may write an AnalyticsTenant may not, for that
//! alone, copy out of the other Secrets beside it, or learn what entries they have.

use std::collections::BTreeMap;

use crds::{Reason, analytics_tenant::SecretKeyReference};
use k8s_openapi::api::core::v1::Secret;
use kube::api::ObjectMeta;
use schema::api_key;

use super::{super::validate::WantedKey, api_keys::is_of_kind};
use crate::labels;

/// The Secrets that keys refer to, by name; without those that are not there.
pub(crate) type Referenced = BTreeMap<String, Secret>;

/// Why a key that is brought along cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unusable {
    #[error("key `{name}`: there is no Secret `{secret}` in the namespace")]
    NotFound { name: String, secret: String },
    #[error("key `{name}`: Secret `{secret}` has no label `{}: \"true\"`", labels::API_KEY)]
    NotLabelled { name: String, secret: String },
    #[error("key `{name}`: Secret `{secret}` has no entry `{entry}`")]
    NoEntry { name: String, secret: String, entry: String },
    #[error(
        "key `{name}`: the entry `{entry}` of Secret `{secret}` is no key of Millrace that may have the scopes"
    )]
    NoKey { name: String, secret: String, entry: String },
}

impl Unusable {
    pub(crate) fn reason(&self) -> Reason {
        match self {
            Self::NotFound { .. } => Reason::SecretNotFound,
            Self::NotLabelled { .. } => Reason::SecretNotLabelled,
            Self::NoEntry { .. } => Reason::SecretKeyMissing,
            Self::NoKey { .. } => Reason::SecretKeyUnusable,
        }
    }
}

/// Whether a Secret says by its label that tenants may take keys from it.
pub(crate) fn holds_keys(secret: &ObjectMeta) -> bool {
    let labels = secret.labels.as_ref();
    labels.and_then(|labels| labels.get(labels::API_KEY)).is_some_and(|value| value == "true")
}

/// The key that is brought along.
pub(crate) fn brought(
    wanted: &WantedKey,
    reference: &SecretKeyReference,
    referenced: &Referenced,
) -> Result<String, Unusable> {
    let (name, secret, entry) = (wanted.name.clone(), reference.name.clone(), reference.key.clone());
    let Some(found) = referenced.get(&reference.name) else {
        return Err(Unusable::NotFound { name, secret });
    };
    if !holds_keys(&found.metadata) {
        return Err(Unusable::NotLabelled { name, secret });
    }
    let Some(value) = found.data.as_ref().and_then(|data| data.get(&reference.key)) else {
        return Err(Unusable::NoEntry { name, secret, entry });
    };
    // Editors and shells put a line end after the last line.
    let key = str::from_utf8(&value.0).map(|text| text.trim_end_matches(['\r', '\n']));
    match key {
        Ok(key) if api_key::is_well_formed(key) && is_of_kind(wanted, key) => Ok(key.to_owned()),
        Ok(_) | Err(_) => Err(Unusable::NoKey { name, secret, entry }),
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::ByteString;
    use schema::api_key::{ENTROPY_BYTES, KeyKind, Scope, generate};

    use super::*;

    fn secret(label: Option<&str>, value: &str) -> Referenced {
        let mut secret = Secret {
            data: Some([("token".to_owned(), ByteString(value.as_bytes().to_vec()))].into()),
            ..Secret::default()
        };
        secret.metadata.labels = label.map(|label| [(labels::API_KEY.to_owned(), label.to_owned())].into());
        [("own".to_owned(), secret)].into()
    }

    fn reason(scope: Scope, entry: &str, referenced: &Referenced) -> Option<Reason> {
        let wanted =
            WantedKey { name: "web".to_owned(), scopes: vec![scope], expires_at: None, secret_ref: None };
        let reference = SecretKeyReference { name: "own".to_owned(), key: entry.to_owned() };
        brought(&wanted, &reference, referenced).err().map(|unusable| unusable.reason())
    }

    #[test]
    fn only_a_labelled_secret_with_a_key_is_used() {
        let write = generate(KeyKind::Write, [1; ENTROPY_BYTES]).expose().to_owned();
        let query = generate(KeyKind::Query, [1; ENTROPY_BYTES]).expose().to_owned();
        let with_line_end = format!("{write}\n");
        for (scope, entry, referenced, expected) in [
            (Scope::Ingest, "token", secret(Some("true"), &write), None),
            (Scope::Ingest, "token", secret(Some("true"), &with_line_end), None),
            (Scope::Ingest, "token", secret(Some("true"), &query), None),
            (Scope::Query, "token", secret(Some("true"), &query), None),
            (Scope::Query, "token", secret(Some("true"), &write), Some(Reason::SecretKeyUnusable)),
            (Scope::Ingest, "token", secret(Some("true"), "hunter2"), Some(Reason::SecretKeyUnusable)),
            (Scope::Ingest, "other", secret(Some("true"), &write), Some(Reason::SecretKeyMissing)),
            (Scope::Ingest, "token", secret(Some("false"), &write), Some(Reason::SecretNotLabelled)),
            (Scope::Ingest, "other", secret(None, &write), Some(Reason::SecretNotLabelled)),
            (Scope::Ingest, "token", Referenced::new(), Some(Reason::SecretNotFound)),
        ] {
            assert_eq!(reason(scope, entry, &referenced), expected, "{scope:?} {entry}");
        }
    }

    #[test]
    fn what_is_no_key_is_not_told() {
        let wanted = WantedKey {
            name: "web".to_owned(),
            scopes: vec![Scope::Ingest],
            expires_at: None,
            secret_ref: None,
        };
        let reference = SecretKeyReference { name: "own".to_owned(), key: "token".to_owned() };
        let unusable = brought(&wanted, &reference, &secret(Some("true"), "hunter2")).unwrap_err();
        assert!(!format!("{unusable} {unusable:?}").contains("hunter2"));
    }
}
