//! The Secrets of a tenant's users in ClickHouse, and how a password is replaced without a gap. Pure.
//!
//! ```text
//! next made  ->  ClickHouse takes current and next  ->  next is current, current is previous
//!            ->  all consumers have the current one  ->  previous goes  ->  ClickHouse takes current alone
//! ```
//!
//! A password is written down before ClickHouse hears of it and becomes the current one after that, so the current one
//! always works. Which ones ClickHouse has to take is told by the Secret alone: a crash at any point goes on from there.
//! A password is random, so of two operators that make it at once only one may succeed: the Secret is made without one,
//! and each manifest names the version that it was made from.

use std::collections::BTreeMap;

use k8s_openapi::{ByteString, api::core::v1::Secret as SecretObject};
use kube::{ResourceExt as _, api::ObjectMeta};
use schema::{
    access::{Account, PasswordHash, Role},
    names::UserName,
    secret::Secret,
    tenant_id::TenantId,
};

use super::super::validate::ValidatedTenant;
use crate::labels;

/// Random bytes of a password, which is written in hexadecimal digits.
pub(crate) const ENTROPY_BYTES: usize = 20;

/// The entries of the Secret.
pub(crate) const USERNAME: &str = "username";
pub(crate) const PASSWORD: &str = "password";
const URL: &str = "url";
const DATABASE: &str = "database";
const NEXT: &str = "next-password";
const PREVIOUS: &str = "previous-password";

/// Whether the consumers of all Pipelines have the writer's current password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Consumers {
    AllHaveIt,
    /// Those of the Pipelines of these names may have another one.
    Waiting(Vec<String>),
}

/// What a user's Secret holds.
#[derive(Clone, PartialEq, Eq, Default)]
pub(crate) struct Passwords {
    pub(crate) current: Option<Secret>,
    /// The one that becomes the current one as soon as ClickHouse takes it.
    next: Option<Secret>,
    /// The one that some consumers may still have.
    previous: Option<Secret>,
    /// The request that was served last.
    pub(crate) served: Option<String>,
}

impl std::fmt::Debug for Passwords {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let is_there = |password: &Option<Secret>| password.is_some();
        f.debug_struct("Passwords")
            .field("current", &is_there(&self.current))
            .field("next", &is_there(&self.next))
            .field("previous", &is_there(&self.previous))
            .field("served", &self.served)
            .finish()
    }
}

impl Passwords {
    /// What a Secret says. A text that somebody put there is a password as well, as long as it is one.
    pub(crate) fn of(secret: &SecretObject) -> Self {
        let entry = |name: &str| {
            let bytes = &secret.data.as_ref()?.get(name)?.0;
            let text = str::from_utf8(bytes).ok().filter(|text| !text.is_empty())?;
            Some(Secret::new(text.to_owned()))
        };
        Self {
            current: entry(PASSWORD),
            next: entry(NEXT),
            previous: entry(PREVIOUS),
            served: secret.annotations().get(labels::ROTATED_FOR).cloned(),
        }
    }

    /// Whether nothing is being replaced.
    pub(crate) fn are_settled(&self) -> bool {
        self.next.is_none() && self.previous.is_none()
    }

    /// Whether nobody knows a password any more that ClickHouse took.
    pub(crate) fn are_lost(&self) -> bool {
        self.current.is_none() && self.next.is_none()
    }

    /// Whether an old password is there of which somebody has to say that it is not used any more.
    pub(crate) fn have_previous(&self) -> bool {
        self.previous.is_some()
    }

    /// What has to be written down before ClickHouse is told anything: a new password where there is none or where one
    /// is asked for, and no old one that nobody uses.
    pub(crate) fn prepared(
        mut self,
        request: Option<&str>,
        consumers: &Consumers,
        entropy: impl FnOnce() -> [u8; ENTROPY_BYTES],
    ) -> Self {
        if *consumers == Consumers::AllHaveIt && self.next.is_none() {
            self.previous = None;
        }
        let is_asked_for = request.is_some() && self.served.as_deref() != request;
        if self.are_lost() || (is_asked_for && self.are_settled()) {
            self.next = Some(password(entropy()));
            self.served = request.map(str::to_owned);
        }
        if request.is_none() && self.are_settled() {
            self.served = None;
        }
        self
    }

    /// What may be written down once ClickHouse takes all that it has to.
    pub(crate) fn promoted(self) -> Self {
        match self.next {
            Some(next) => Self {
                previous: self.current.or(self.previous),
                current: Some(next),
                next: None,
                served: self.served,
            },
            None => self,
        }
    }

    /// The passwords that ClickHouse has to take.
    fn accepted(&self) -> Vec<PasswordHash> {
        [&self.current, &self.next, &self.previous].into_iter().flatten().map(PasswordHash::of).collect()
    }
}

fn password(entropy: [u8; ENTROPY_BYTES]) -> Secret {
    Secret::new(entropy.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The name of the Secret of a tenant's user. That of people has the plainer one.
pub(crate) fn name(tenant: &str, role: Role) -> String {
    match role {
        Role::Reader => format!("{tenant}-clickhouse"),
        Role::Writer => format!("{tenant}-clickhouse-writer"),
    }
}

/// The names of a tenant's users.
pub(crate) fn user_names(tenant: &TenantId, owner_uid: &str) -> [UserName; 2] {
    [UserName::writer(tenant, owner_uid), UserName::reader(tenant, owner_uid)]
}

/// The user as ClickHouse has to have it.
pub(crate) fn account(tenant: &ValidatedTenant, role: Role, passwords: &Passwords) -> Account {
    Account::new(role, &tenant.id, &tenant.owner.uid, passwords.accepted())
}

/// The Secret before it has a password.
pub(crate) fn empty(tenant: &ValidatedTenant, role: Role) -> SecretObject {
    SecretObject {
        metadata: ObjectMeta {
            name: Some(name(&tenant.name, role)),
            namespace: Some(tenant.namespace.clone()),
            labels: Some(labels::of_tenant(&tenant.name)),
            owner_references: Some(vec![tenant.owner_reference.clone()]),
            ..ObjectMeta::default()
        },
        type_: Some("Opaque".to_owned()),
        ..SecretObject::default()
    }
}

/// The Secret with passwords, as a change of the version that was found. What a password is used with stands beside a
/// current one alone: a Secret with all entries works.
pub(crate) fn secret(
    tenant: &ValidatedTenant,
    role: Role,
    url: &str,
    found: &SecretObject,
    passwords: &Passwords,
) -> SecretObject {
    let empty = empty(tenant, role);
    let plain = |text: String| Secret::new(text);
    let used_with = passwords.current.as_ref().map(|_| {
        [
            (URL, plain(url.to_owned())),
            (USERNAME, plain(account(tenant, role, passwords).name.to_string())),
            (DATABASE, plain(tenant.database.to_string())),
        ]
    });
    let known = [(PASSWORD, &passwords.current), (NEXT, &passwords.next), (PREVIOUS, &passwords.previous)];
    let known = known.into_iter().filter_map(|(entry, password)| Some((entry, password.clone()?)));
    let entries = used_with.into_iter().flatten().chain(known);
    let data: BTreeMap<String, ByteString> = entries
        .map(|(entry, text)| (entry.to_owned(), ByteString(text.expose().as_bytes().to_vec())))
        .collect();
    SecretObject {
        metadata: ObjectMeta {
            uid: found.metadata.uid.clone(),
            resource_version: found.metadata.resource_version.clone(),
            annotations: passwords
                .served
                .clone()
                .map(|served| [(labels::ROTATED_FOR.to_owned(), served)].into()),
            ..empty.metadata
        },
        data: Some(data),
        ..empty
    }
}

#[cfg(test)]
mod tests;
