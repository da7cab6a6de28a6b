use clickhouse::test::{Mock, handlers};
use crds::Reason;
use schema::{
    access::{PasswordHash, Role, facts},
    tenant_id::TenantId,
};
use serde::Serialize;

use super::*;
use crate::{clickhouse::Server, failure::Failure};

#[derive(Row, Serialize)]
struct FactAnswer {
    kind: String,
    name: String,
    fact: String,
}

fn account() -> Account {
    let hash = PasswordHash::of(&Secret::new("hunter2".to_owned()));
    Account::new(Role::Writer, &TenantId::parse("acme").unwrap(), "u1", vec![hash])
}

fn database() -> DatabaseName {
    DatabaseName::of(&TenantId::parse("acme").unwrap())
}

fn users(mock: &Mock) -> ClickHouseUsers {
    let server = Server {
        url: mock.url().to_owned(),
        user: "millrace".to_owned(),
        password: Secret::new("pw".to_owned()),
        ca_pem: None,
    };
    ClickHouseUsers::new(Connection::new(&server).unwrap())
}

/// The server's next answer: all that is wanted, without what this takes away.
fn shown(mock: &Mock, keep: impl Fn(&Fact) -> bool) {
    let kind = |kind: Kind| match kind {
        Kind::Profile => "profile",
        Kind::ProfileSetting => "profile setting",
        Kind::User => "user",
        Kind::UserSetting => "user setting",
        Kind::Grant => "grant",
        Kind::Role => "role",
        Kind::Quota => "quota",
        Kind::QuotaLimit => "quota limit",
    };
    let facts = facts(&account(), &Policy::default()).into_iter().filter(keep);
    let rows =
        facts.map(|fact| FactAnswer { kind: kind(fact.kind).to_owned(), name: fact.name, fact: fact.text });
    mock.add(handlers::provide(rows.collect::<Vec<_>>()));
}

async fn ensure(mock: &Mock) -> Result<(), UsersError> {
    users(mock).ensure(&database(), &[account()], &Policy::default()).await
}

/// The mock answers no second request.
#[tokio::test]
async fn users_that_are_as_they_should_be_are_only_looked_at() {
    let mock = Mock::new();
    shown(&mock, |_| true);
    ensure(&mock).await.unwrap();
}

#[tokio::test]
async fn what_is_missing_is_made_and_looked_at_again() {
    let mock = Mock::new();
    shown(&mock, |fact| fact.kind != Kind::Grant);
    let granted = mock.add(handlers::record_ddl());
    shown(&mock, |_| true);
    ensure(&mock).await.unwrap();
    assert_eq!(granted.query().await, schema::access::grant(&account()));
}

#[tokio::test]
async fn a_server_that_shows_something_else_is_not_told_again_and_again() {
    let mock = Mock::new();
    shown(&mock, |fact| fact.kind != Kind::Grant);
    mock.add(handlers::record_ddl());
    shown(&mock, |fact| fact.kind != Kind::Grant);
    let error = ensure(&mock).await.unwrap_err();
    assert_eq!(error.reason(), Reason::ClickHouseUsersDiffer);
    assert!(error.to_string().contains("the rights of `t_acme_bb82030d_writer`"), "{error}");
}

#[tokio::test]
async fn a_missing_right_of_the_operator_needs_an_administrator() {
    let mock = Mock::new();
    mock.add(handlers::exception(164));
    let error = ensure(&mock).await.unwrap_err();
    assert_eq!((error.failure(), error.reason()), (Failure::Permission, Reason::ClickHousePermissionDenied));
}

#[tokio::test]
async fn what_is_absent_is_gone() {
    let mock = Mock::new();
    shown(&mock, |fact| fact.kind == Kind::User);
    let dropped = mock.add(handlers::record_ddl());
    users(&mock).remove(&database(), &[account().name]).await.unwrap();
    assert_eq!(dropped.query().await, "DROP USER IF EXISTS t_acme_bb82030d_writer");
    shown(&mock, |_| false);
    users(&mock).remove(&database(), &[account().name]).await.unwrap();
}

#[test]
fn only_a_refusal_says_that_system_tables_are_closed() {
    let refused = |code| Err(QueryError::Exception { code, text: String::new() });
    assert_eq!(exposure(refused(497)), Exposure::None);
    for code in [516, 60, 164] {
        assert_eq!(exposure(refused(code)), Exposure::Unknown, "{code}");
    }
    assert_eq!(exposure(Err(QueryError::Deadline { seconds: 1 })), Exposure::Unknown);
    assert_eq!(exposure(Ok(())), Exposure::SystemTables);
}
