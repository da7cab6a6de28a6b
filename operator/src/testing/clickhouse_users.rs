//! The users of ClickHouse: what is there of them, changed as the real plan says.

use schema::{
    access::{Account, Fact, PasswordHash, Policy, facts},
    names::{DatabaseName, UserName},
    secret::Secret,
};
use serde_json::Value;

use super::{State, World};
use crate::users::{About, Change, Exposure, Users, UsersError, changes, removal};

pub(crate) struct FakeUsers(pub(super) World);

fn away(database: &DatabaseName) -> UsersError {
    UsersError::lost_answer(database.clone())
}

/// The next statement that has to be made, made. None when all is as it should be.
fn step(
    state: &mut State,
    database: &DatabaseName,
    accounts: &[Account],
    policy: &Policy,
) -> Result<Option<()>, UsersError> {
    let Some(change) = changes(accounts, policy, &state.facts).into_iter().next() else { return Ok(None) };
    begin(state, database, &change)?;
    lock_nobody_out(state, &change, accounts);
    let wanted = accounts.iter().flat_map(|account| facts(account, policy));
    let decided: Vec<Fact> = wanted.filter(|fact| decides(&change, fact)).collect();
    state.facts.retain(|fact| !decides(&change, fact));
    state.facts.extend(decided);
    state.end().map_err(|_| away(database)).map(Some)
}

/// The first two words of the statement, which may be about a user, and whom.
fn begin(state: &mut State, database: &DatabaseName, change: &Change) -> Result<(), UsersError> {
    let verb: Vec<&str> = change.statement.split(' ').take(2).collect();
    state.begin(format!("{} {}", verb.join(" "), change.name)).map_err(|_| away(database))
}

fn decides(change: &Change, fact: &Fact) -> bool {
    fact.name == change.name.as_str() && change.about.kinds().contains(&fact.kind)
}

/// Notes where consumers have a password that stops working, unless it is known to nobody any more.
fn lock_nobody_out(state: &mut State, change: &Change, accounts: &[Account]) {
    if change.about != About::User {
        return;
    }
    let Some(account) = accounts.iter().find(|account| account.name == change.name) else { return };
    let is_taken = |password: &str| {
        let hash = PasswordHash::of(&Secret::new(password.to_owned()));
        account.passwords.contains(&hash)
    };
    let of_pods = state.objects.iter().filter(|(key, _)| key.ends_with("-settings"));
    let locked_out: Vec<String> = of_pods
        .filter_map(|(key, secret)| Some((key, consumer(secret)?)))
        .filter(|(_, settings)| settings["clickhouse"]["user"] == change.name.as_str())
        .filter(|(_, settings)| !is_taken(settings["clickhouse"]["password"].as_str().unwrap()))
        .map(|(key, _)| format!("ALTER USER {}, and {key} has another password", change.name))
        .collect();
    // One that was lost with its Secret is replaced at once.
    let is_known = state
        .objects
        .iter()
        .any(|(key, secret)| key.ends_with("-clickhouse-writer") && secret["data"]["password"].is_string());
    if is_known {
        state.violations.extend(locked_out);
    }
}

fn consumer(secret: &Value) -> Option<Value> {
    let entry: k8s_openapi::ByteString =
        serde_json::from_value(secret["data"]["consumer.json"].clone()).ok()?;
    serde_json::from_slice(&entry.0).ok()
}

fn remove(state: &mut State, database: &DatabaseName, names: &[UserName]) -> Result<Option<()>, UsersError> {
    let Some(change) = removal(names, &state.facts).into_iter().next() else { return Ok(None) };
    begin(state, database, &change)?;
    // With a user go its rights.
    let goes = |fact: &Fact| {
        decides(&change, fact)
            || (change.about == About::User
                && fact.name == change.name.as_str()
                && About::Grants.kinds().contains(&fact.kind))
    };
    state.facts.retain(|fact| !goes(fact));
    state.end().map_err(|_| away(database)).map(Some)
}

impl Users for FakeUsers {
    async fn ensure(
        &self,
        database: &DatabaseName,
        accounts: &[Account],
        policy: &Policy,
    ) -> Result<(), UsersError> {
        self.look(database).await?;
        while self.0.change(|state| step(state, database, accounts, policy)).await?.is_some() {}
        Ok(())
    }

    async fn remove(&self, database: &DatabaseName, names: &[UserName]) -> Result<(), UsersError> {
        self.look(database).await?;
        while self.0.change(|state| remove(state, database, names)).await?.is_some() {}
        Ok(())
    }

    async fn exposure(&self, database: &DatabaseName, _: &UserName, _: &Secret) -> Exposure {
        if self.look(database).await.is_err() {
            return Exposure::Unknown;
        }
        if self.0.state().are_system_tables_open { Exposure::SystemTables } else { Exposure::None }
    }
}

impl FakeUsers {
    async fn look(&self, database: &DatabaseName) -> Result<(), UsersError> {
        self.0.hang_if_asked(database).await;
        let state = self.0.state();
        if state.is_clickhouse_away || state.faults.has_crashed() {
            return Err(away(database));
        }
        Ok(())
    }
}
