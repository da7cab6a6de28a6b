//! Who may do what in a tenant's database: a writer for its consumers, and a reader for its people.
//!
//! Each is a user of ClickHouse with a settings profile, and the reader has a quota. What they should be is told twice:
//! as the statements that make it so, and as the lines of `system` tables that show that it is so.
//!
//! Access rights: <https://clickhouse.com/docs/operations/access-rights>.

mod fact;
mod limit;
mod network;
mod password;
mod statement;

pub use {
    fact::{Fact, Kind, facts, observation, period},
    limit::{Limits, Policy},
    network::{Network, NetworkError},
    password::PasswordHash,
    statement::{
        alter_profile, alter_quota, alter_user, create_profile, create_quota, create_user, drop_profile,
        drop_quota, drop_user, grant, revoke,
    },
};

use crate::{
    names::{DatabaseName, EVENTS_VIEW, HOURLY_VIEW, STORAGE_TABLE, UserName},
    tenant_id::TenantId,
};

/// What a user is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The tenant's consumers: they insert, and their audit looks up what they inserted.
    Writer,
    /// The tenant's people and their tools: they read what is published.
    Reader,
}

/// A user as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    pub role: Role,
    pub tenant: TenantId,
    pub name: UserName,
    /// The passwords it may log in with: one, and while one is replaced two.
    pub passwords: Vec<PasswordHash>,
}

impl Account {
    /// The user of a tenant.
    #[must_use]
    pub fn new(role: Role, tenant: &TenantId, owner_uid: &str, passwords: Vec<PasswordHash>) -> Self {
        let name = match role {
            Role::Writer => UserName::writer(tenant, owner_uid),
            Role::Reader => UserName::reader(tenant, owner_uid),
        };
        Self { role, tenant: tenant.clone(), name, passwords }
    }

    fn database(&self) -> DatabaseName {
        DatabaseName::of(&self.tenant)
    }

    /// What marks the user, and in the server's log its queries: whose they are, and which passwords it has. The server
    /// shows no hash of a password to anybody, and a user has no comment.
    fn mark(&self) -> String {
        let mut passwords: Vec<String> = self.passwords.iter().map(PasswordHash::fingerprint).collect();
        passwords.sort();
        format!("millrace {} {}", self.tenant, passwords.join(" "))
    }

    /// What the user may do with which of the tenant's tables. Both read the storage table, since the views are read in
    /// the name of whoever asks. `system` tables show a user the rows of what it may read, and need no grant.
    fn grants(&self) -> &'static [(Privilege, &'static str)] {
        match self.role {
            Role::Writer => &[
                (Privilege::Insert, STORAGE_TABLE),
                (Privilege::Select, STORAGE_TABLE),
                (Privilege::Select, EVENTS_VIEW),
            ],
            Role::Reader => &[
                (Privilege::Select, EVENTS_VIEW),
                (Privilege::Select, HOURLY_VIEW),
                (Privilege::Select, STORAGE_TABLE),
            ],
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Privilege {
    Select,
    Insert,
}

impl Privilege {
    fn as_str(self) -> &'static str {
        match self {
            Self::Select => "SELECT",
            Self::Insert => "INSERT",
        }
    }
}

#[cfg(test)]
mod tests;
