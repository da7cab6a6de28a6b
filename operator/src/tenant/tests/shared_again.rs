//! An installation that made users, and then shares its own credential.

use schema::access::Policy;

use super::*;
use crate::tables::{DatabaseComment, DatabaseOwner};

/// A tenant with users that are there from before.
async fn with_users_from_before(manifest: &str) -> World {
    let world = World::default();
    world.state().access = Some(Policy::default());
    world.apply(manifest);
    world.settle().await;
    world.state().access = None;
    world.settle().await;
    assert_eq!(world.reason(ACME, "CredentialsReady").as_deref(), Some("AccessManagementDisabled"));
    world
}

#[tokio::test]
async fn users_from_before_are_told_of_and_go_with_the_tenant() {
    for manifest in [TENANT, FLEETING_TENANT] {
        let world = with_users_from_before(manifest).await;
        let users = world.object(ACME).unwrap()["status"]["clickhouseUsers"].clone();
        assert!(users["reader"].as_str().is_some_and(|reader| reader.ends_with("_reader")), "{users}");
        assert!(!world.state().facts.is_empty());
        world.delete(ACME);
        world.settle().await;
        assert!(world.object(ACME).is_none() && world.state().facts.is_empty(), "{manifest}");
    }
}

#[tokio::test]
async fn users_from_before_that_cannot_be_removed_hold_the_deletion_and_are_named_when_left() {
    let world = with_users_from_before(TENANT).await;
    let reader = world.object(ACME).unwrap()["status"]["clickhouseUsers"]["reader"].clone();
    world.state().refusals = vec![("DROP USER".to_owned(), 500)];
    world.delete(ACME);
    world.settle().await;
    assert_eq!(world.reason(ACME, "DeletionBlocked").as_deref(), Some("ClickHouseUnreachable"));
    world.edit(ACME, |tenant| {
        tenant["metadata"]["annotations"][crate::labels::ABANDON_EXTERNAL] = "true".into();
    });
    world.settle().await;
    assert!(world.object(ACME).is_none());
    let told = world.told("ExternalResourcesAbandoned");
    assert!(told.iter().any(|note| note.contains(reader.as_str().unwrap())), "{told:?}");
}

#[tokio::test]
async fn users_from_before_lose_a_database_that_is_somebody_elses() {
    let world = with_users_from_before(TENANT).await;
    let theirs =
        DatabaseOwner { uid: "another".to_owned(), namespace: "other".to_owned(), name: "rival".to_owned() };
    world.state().databases.get_mut("t_team_acme").unwrap().comment = DatabaseComment::Owned(theirs);
    world.settle().await;
    assert!(world.state().facts.is_empty());
    assert_eq!(world.reason(ACME, "DatabaseReady").as_deref(), Some("NameConflict"));
}

/// What was never made is not looked for.
#[tokio::test]
async fn a_tenant_without_users_goes_without_a_look_at_them() {
    let world = with_tenant(TENANT);
    world.settle().await;
    world.state().refusals = vec![("DROP USER".to_owned(), 500)];
    world.delete(ACME);
    world.settle().await;
    assert!(world.object(ACME).is_none());
}
