//! The authenticate step: the headers of a request become the route of its key. Pure.
//!
//! Invariant: a missing, malformed, unknown, expired, revoked or foreign key, and one without the scope, get one and the
//! same refusal, after the same work.

use std::{
    borrow::Cow,
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use axum::http::{HeaderMap, HeaderName, header::AUTHORIZATION};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use schema::{
    api_key::{KeyDigest, Scope},
    settings::IngesterPipeline,
    timestamp::Timestamp,
};
use subtle::ConstantTimeEq as _;

use crate::route::Route;

/// The keys that are valid now.
#[derive(Debug, Default)]
pub(crate) struct KeyRing {
    entries: HashMap<KeyDigest, Entry>,
}

#[derive(Debug)]
struct Entry {
    digest: KeyDigest,
    may_ingest: bool,
    expires_at: Option<Timestamp>,
    route: Arc<Route>,
}

/// The one refusal of every key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a valid key is required")]
pub(crate) struct Unauthorized;

impl KeyRing {
    /// The keys of these pipelines. Of a key that two pipelines claim, the first one has it.
    pub(crate) fn of(pipelines: &[IngesterPipeline]) -> Self {
        let mut entries = HashMap::new();
        for pipeline in pipelines {
            let route = Arc::new(Route {
                tenant_id: pipeline.tenant_id.clone(),
                pipeline: pipeline.name.clone(),
                topic: pipeline.topic.clone(),
            });
            for key in &pipeline.keys {
                let may_ingest = key.scopes.contains(&Scope::Ingest);
                let entry = Entry {
                    digest: key.sha256,
                    may_ingest,
                    expires_at: key.expires_at,
                    route: Arc::clone(&route),
                };
                entries.entry(key.sha256).or_insert(entry);
            }
        }
        Self { entries }
    }

    /// The topics of the keys' routes, each once.
    pub(crate) fn topics(&self) -> Vec<String> {
        let topics: BTreeSet<_> = self.entries.values().map(|entry| entry.route.topic.as_str()).collect();
        topics.into_iter().map(str::to_owned).collect()
    }

    /// How many keys there are.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }
}

/// Finds the route of the key in the headers. A key ends by the clock of this process, whether or not anybody changes
/// the settings.
///
/// # Errors
/// When there is no key that may send events now.
pub(crate) fn authenticate(
    keys: &KeyRing,
    headers: &HeaderMap,
    now: Timestamp,
) -> Result<Arc<Route>, Unauthorized> {
    let presented = presented(headers);
    let (tenant, key) = presented.as_ref().map_or((None, ""), |key| (key.tenant.as_deref(), &key.key));
    let digest = KeyDigest::of(key);
    let entry = keys.entries.get(&digest).ok_or(Unauthorized)?;
    let is_equal = bool::from(entry.digest.as_bytes().ct_eq(digest.as_bytes()));
    let is_own_tenant = tenant.is_none_or(|tenant| tenant == entry.route.tenant_id.as_str());
    let is_in_time = entry.expires_at.is_none_or(|end| now < end);
    if is_equal && entry.may_ingest && is_own_tenant && is_in_time && !key.is_empty() {
        Ok(Arc::clone(&entry.route))
    } else {
        Err(Unauthorized)
    }
}

/// A key as the client sent it, with the tenant it claims.
struct Presented<'a> {
    tenant: Option<Cow<'a, str>>,
    key: Cow<'a, str>,
}

const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// The first key in the order: `Bearer <tenant>:<key>` or `Bearer <key>`, `Basic base64(<key>:)`, `X-API-Key`.
fn presented(headers: &HeaderMap) -> Option<Presented<'_>> {
    let authorization = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let credentials = authorization.and_then(|text| text.split_once(' '));
    if let Some((scheme, rest)) = credentials {
        if scheme.eq_ignore_ascii_case("bearer") {
            return Some(bearer(rest.trim()));
        }
        if scheme.eq_ignore_ascii_case("basic") {
            return basic(rest.trim());
        }
    }
    let key = headers.get(X_API_KEY)?.to_str().ok()?;
    Some(Presented { tenant: None, key: Cow::Borrowed(key) })
}

fn bearer(text: &str) -> Presented<'_> {
    match text.split_once(':') {
        Some((tenant, key)) => Presented { tenant: Some(Cow::Borrowed(tenant)), key: Cow::Borrowed(key) },
        None => Presented { tenant: None, key: Cow::Borrowed(text) },
    }
}

/// The user name is the key; the colon and the password may be missing.
fn basic(text: &str) -> Option<Presented<'_>> {
    let mut user = String::from_utf8(STANDARD.decode(text).ok()?).ok()?;
    if let Some(colon) = user.find(':') {
        user.truncate(colon);
    }
    Some(Presented { tenant: None, key: Cow::Owned(user) })
}

#[cfg(test)]
mod tests;
