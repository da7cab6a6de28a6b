//! The users of ClickHouse: a writer and a reader for each tenant, each with its profile, and the reader's quota.
//!
//! ```text
//! ensure:  observe* -> plan -> change*... -> observe*        remove:  observe* -> plan -> drop*...
//! ```
//!
//! Invariants:
//! - Only users whose name carries the hash of the tenant's UID are touched.
//! - Every statement says all of what it is about, and what comes next is decided from what the server shows: a run
//!   after a crash between any two statements goes on where it stopped, and what somebody changed is put right.
//! - A user that is as it should be is only looked at.
//! - No password is sent, only its hash, and no error repeats the hash.

mod error;
mod plan;

use std::{collections::BTreeSet, future::Future};

use clickhouse::Row;
use schema::{
    access::{Account, Fact, Kind, Policy, observation},
    names::{DatabaseName, UserName},
    secret::Secret,
};
use serde::Deserialize;

use crate::clickhouse::{Connection, QueryError};
pub(crate) use error::UsersError;
#[cfg(test)]
pub(crate) use plan::About;
pub(crate) use plan::{Change, changes, removal};

/// What a user may see that is none of its business.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exposure {
    /// Nothing.
    None,
    /// The server lets every user read tables of `system`, which show the queries and names of other tenants.
    SystemTables,
    /// Nobody knows, as where users may not come from where the operator is.
    Unknown,
}

/// What the controllers ask of ClickHouse about users. A trait, so that their tests can answer instead.
pub(crate) trait Users: Send + Sync {
    /// Brings users with their profiles, rights and quotas to what they should be.
    fn ensure(
        &self,
        database: &DatabaseName,
        accounts: &[Account],
        policy: &Policy,
    ) -> impl Future<Output = Result<(), UsersError>> + Send;

    /// Takes users away with their profiles and quotas. Those that are absent are gone.
    fn remove(
        &self,
        database: &DatabaseName,
        names: &[UserName],
    ) -> impl Future<Output = Result<(), UsersError>> + Send;

    /// What a user with this password may see.
    fn exposure(
        &self,
        database: &DatabaseName,
        user: &UserName,
        password: &Secret,
    ) -> impl Future<Output = Exposure> + Send;
}

/// The users of a real server.
#[derive(Clone)]
pub(crate) struct ClickHouseUsers {
    connection: Connection,
}

#[derive(Row, Deserialize)]
struct FactRow {
    kind: String,
    name: String,
    fact: String,
}

/// A table that shows a user its own queries, where it may be read at all: reading it needs a right that no tenant has.
const PROBE: &str = "SELECT 1 AS one FROM system.processes LIMIT 0";

#[derive(Row, Deserialize)]
struct ProbeRow {
    #[allow(dead_code, reason = "the answer has no rows")]
    one: u8,
}

const ACCESS_DENIED: u32 = 497;

impl ClickHouseUsers {
    /// The users behind a connection.
    pub(crate) fn new(connection: Connection) -> Self {
        Self { connection }
    }

    async fn observe(
        &self,
        database: &DatabaseName,
        names: &[UserName],
    ) -> Result<BTreeSet<Fact>, UsersError> {
        let rows: Vec<FactRow> = self
            .connection
            .read(database, &observation(names))
            .await
            .map_err(|source| UsersError::Observe { database: database.clone(), source })?;
        // The query has no other kinds.
        let fact =
            |row: FactRow| Some(Fact { kind: Kind::parse(&row.kind)?, name: row.name, text: row.fact });
        Ok(rows.into_iter().filter_map(fact).collect())
    }

    async fn change(&self, database: &DatabaseName, change: &Change) -> Result<(), UsersError> {
        let (about, name) = (change.about, &change.name);
        tracing::info!(user = %name, "bringing about {about} `{name}` in ClickHouse");
        self.connection
            .change(database, &change.statement)
            .await
            .map_err(|source| UsersError::of_change(about, name.clone(), source))
    }
}

impl Users for ClickHouseUsers {
    async fn ensure(
        &self,
        database: &DatabaseName,
        accounts: &[Account],
        policy: &Policy,
    ) -> Result<(), UsersError> {
        let names: Vec<UserName> = accounts.iter().map(|account| account.name.clone()).collect();
        let wanted = changes(accounts, policy, &self.observe(database, &names).await?);
        if wanted.is_empty() {
            return Ok(());
        }
        for change in &wanted {
            self.change(database, change).await?;
        }
        // A server that spells what it was told in other words would be told again at each look.
        match changes(accounts, policy, &self.observe(database, &names).await?).first() {
            None => Ok(()),
            Some(change) => Err(UsersError::Unchanged { about: change.about, name: change.name.clone() }),
        }
    }

    async fn remove(&self, database: &DatabaseName, names: &[UserName]) -> Result<(), UsersError> {
        for change in removal(names, &self.observe(database, names).await?) {
            self.change(database, &change).await?;
        }
        Ok(())
    }

    async fn exposure(&self, database: &DatabaseName, user: &UserName, password: &Secret) -> Exposure {
        exposure(self.connection.read_as::<ProbeRow>((user, password), database, PROBE).await.map(|_| ()))
    }
}

/// What the answer to the probe says.
fn exposure(answer: Result<(), QueryError>) -> Exposure {
    match answer {
        Ok(()) => Exposure::SystemTables,
        Err(QueryError::Exception { code: ACCESS_DENIED, .. }) => Exposure::None,
        Err(
            QueryError::Exception { .. }
            | QueryError::Deadline { .. }
            | QueryError::Busy { .. }
            | QueryError::Client { .. },
        ) => Exposure::Unknown,
    }
}

#[cfg(test)]
mod tests;
