//! The Secret of a tenant's API keys: one entry a key, made once and kept.
//!
//! A key is random, so of two operators that make it at once only one may succeed: the Secret is made without keys, and
//! the manifest with keys names the version that they were read from.

use std::collections::BTreeMap;

use crds::analytics_tenant::{ApiKeyState, ApiKeyStatus};
use jiff::Timestamp;
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::api::ObjectMeta;
use schema::api_key::{self, ENTROPY_BYTES, KeyKind};

use super::{
    super::validate::{WantedKey, WantedKeys},
    brought_keys::{self, Referenced, Unusable},
};
use crate::{conditions, expiry, labels};

/// Characters of a key that may be shown: its kind and six more.
const SHOWN_CHARACTERS: usize = 10;

/// The keys as they have to be.
#[derive(Clone)]
pub(crate) struct ApiKeys {
    pub(crate) secret: Secret,
    pub(crate) status: Vec<ApiKeyStatus>,
    /// Keys of the spec that are not there, because what was brought along cannot be used.
    pub(crate) unusable: Vec<Unusable>,
    /// Keys that were there before and had to be made anew: whoever used them is locked out.
    pub(crate) replaced: Vec<String>,
    /// Keys that ended since the last look.
    pub(crate) expired: Vec<String>,
}

impl std::fmt::Debug for ApiKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiKeys")
            .field("status", &self.status)
            .field("unusable", &self.unusable)
            .field("replaced", &self.replaced)
            .field("expired", &self.expired)
            .finish_non_exhaustive()
    }
}

/// The name of a tenant's Secret.
pub(crate) fn name(tenant: &str) -> String {
    format!("{tenant}-api-keys")
}

/// The Secret before it has keys.
pub(crate) fn empty(wanted: &WantedKeys) -> Secret {
    Secret {
        metadata: ObjectMeta {
            name: Some(name(&wanted.tenant)),
            namespace: Some(wanted.namespace.clone()),
            labels: Some(labels::of_tenant(&wanted.tenant)),
            owner_references: Some(vec![wanted.owner_reference.clone()]),
            ..ObjectMeta::default()
        },
        type_: Some("Opaque".to_owned()),
        ..Secret::default()
    }
}

/// Keeps the keys that are there, makes those that are missing, copies those that are brought along, and leaves out those
/// of removed entries: server-side apply removes what we applied before and no longer send. A key that ended is kept, so
/// that a later end makes the same one work again.
pub(crate) fn api_keys(
    all: &WantedKeys,
    found: &Secret,
    referenced: &Referenced,
    now: Timestamp,
    mut entropy: impl FnMut() -> [u8; ENTROPY_BYTES],
) -> ApiKeys {
    let (mut data, mut status) = (BTreeMap::new(), Vec::new());
    let (mut replaced, mut unusable) = (Vec::new(), Vec::new());
    for wanted in &all.keys {
        let key = match &wanted.secret_ref {
            Some(reference) => brought_keys::brought(wanted, reference, referenced),
            None => Ok(existing(wanted, found).unwrap_or_else(|| {
                if all.known.contains_key(&wanted.name) {
                    replaced.push(wanted.name.clone());
                }
                api_key::generate(KeyKind::for_scopes(&wanted.scopes), entropy()).expose().to_owned()
            })),
        };
        let key = match key {
            Ok(key) => key,
            Err(reason) => {
                unusable.push(reason);
                continue;
            }
        };
        status.push(ApiKeyStatus {
            name: wanted.name.clone(),
            prefix: key.chars().take(SHOWN_CHARACTERS).collect(),
            secret_name: name(&all.tenant),
            expires_at: wanted.expires_at.as_ref().map(|end| conditions::seconds(end.0)),
            state: state(wanted, now),
        });
        data.insert(wanted.name.clone(), ByteString(key.into_bytes()));
    }
    let expired = newly_expired(all, &status);
    ApiKeys { secret: filled(all, found, data), status, unusable, replaced, expired }
}

fn state(wanted: &WantedKey, now: Timestamp) -> ApiKeyState {
    if expiry::is_past(wanted.expires_at.as_ref(), now) { ApiKeyState::Expired } else { ApiKeyState::Active }
}

fn newly_expired(all: &WantedKeys, keys: &[ApiKeyStatus]) -> Vec<String> {
    let is_new = |key: &&ApiKeyStatus| match (key.state, all.known.get(&key.name)) {
        (ApiKeyState::Expired, Some(ApiKeyState::Active) | None) => true,
        (ApiKeyState::Expired, Some(ApiKeyState::Expired)) | (ApiKeyState::Active, _) => false,
    };
    keys.iter().filter(is_new).map(|key| key.name.clone()).collect()
}

/// The key that is there, if it is one and may have the scopes: a write key may sit in a browser, so it never reads.
fn existing(wanted: &WantedKey, found: &Secret) -> Option<String> {
    let entry = found.data.as_ref()?.get(&wanted.name)?;
    let key = String::from_utf8(entry.0.clone()).ok()?;
    (api_key::is_well_formed(&key) && is_of_kind(wanted, &key)).then_some(key)
}

/// Whether a key may have the scopes that are wanted.
pub(super) fn is_of_kind(wanted: &WantedKey, key: &str) -> bool {
    match KeyKind::for_scopes(&wanted.scopes) {
        KeyKind::Write => true,
        KeyKind::Query => key.starts_with("mrq_"),
    }
}

/// The Secret with keys, as a change of the version that was found.
fn filled(all: &WantedKeys, found: &Secret, data: BTreeMap<String, ByteString>) -> Secret {
    let empty = empty(all);
    Secret {
        metadata: ObjectMeta {
            uid: found.metadata.uid.clone(),
            resource_version: found.metadata.resource_version.clone(),
            ..empty.metadata
        },
        data: Some(data),
        ..empty
    }
}

#[cfg(test)]
mod tests;
