//! The tenant's users in ClickHouse: made before pods need them, replaced without a gap, gone before the database.

use schema::{
    access::{Kind, Policy},
    names::UserName,
    tenant_id::TenantId,
};
use serde_json::json;

use super::*;
use crate::labels;

const WRITER: &str = "secrets/team/acme-clickhouse-writer";
const READER: &str = "secrets/team/acme-clickhouse";
const SETTINGS: &str = "secrets/team/acme-default-settings";

fn world() -> World {
    let world = World::default();
    world.state().access = Some(Policy::default());
    world.apply(TENANT);
    world
}

fn entry(world: &World, secret: &str, entry: &str) -> Option<String> {
    let value = world.object(secret)?["data"][entry].clone();
    let bytes: k8s_openapi::ByteString = serde_json::from_value(value).ok()?;
    Some(String::from_utf8(bytes.0).unwrap())
}

/// As whom the consumer comes to ClickHouse: the user and the password.
fn consumer(world: &World) -> (String, String) {
    let settings: serde_json::Value =
        serde_json::from_str(&entry(world, SETTINGS, "consumer.json").unwrap()).unwrap();
    let text = |field: &str| settings["clickhouse"][field].as_str().unwrap().to_owned();
    (text("user"), text("password"))
}

fn users(world: &World) -> Vec<String> {
    let uid = world.object(ACME).unwrap()["metadata"]["uid"].as_str().unwrap().to_owned();
    let tenant = TenantId::parse("team-acme").unwrap();
    vec![UserName::writer(&tenant, &uid).to_string(), UserName::reader(&tenant, &uid).to_string()]
}

/// How many passwords each user has.
fn passwords(world: &World) -> Vec<usize> {
    let state = world.state();
    let users = state.facts.iter().filter(|fact| fact.kind == Kind::User);
    users.map(|fact| fact.text.matches("sha256_password").count()).collect()
}

fn rotate(world: &World, request: &str) {
    world.edit(ACME, |tenant| {
        tenant["metadata"]["annotations"] = json!({ labels::ROTATE_CREDENTIALS: request });
    });
}

#[tokio::test]
async fn users_come_before_the_pods_that_need_them() {
    let world = world();
    assert!(world.reconcile_tenants().await.is_empty());
    insta::assert_yaml_snapshot!(world.take_log());
}

#[tokio::test]
async fn the_consumer_is_the_writer_and_people_are_the_reader() {
    let world = world();
    world.settle().await;
    let names = users(&world);
    let written = (entry(&world, WRITER, "username").unwrap(), entry(&world, WRITER, "password").unwrap());
    assert_eq!(consumer(&world), written);
    assert_eq!(written.0, names[0]);
    assert_eq!(entry(&world, READER, "username").as_ref(), Some(&names[1]));
    assert_eq!(entry(&world, READER, "database").as_deref(), Some("t_team_acme"));
    assert_eq!(entry(&world, READER, "url").as_deref(), Some("http://clickhouse:8123"));
    assert_eq!(world.reason(ACME, "CredentialsReady").as_deref(), Some("Ready"));
    assert_eq!(world.reason(ACME, "Ready").as_deref(), Some("Ready"));
    let status = &world.object(ACME).unwrap()["status"]["clickhouseUsers"];
    let expected = json!({"writer": names[0], "reader": names[1], "readerSecretName": "acme-clickhouse"});
    assert_eq!(*status, expected);
}

#[tokio::test]
async fn at_rest_users_are_only_looked_at() {
    let world = world();
    world.settle().await;
    world.take_log();
    world.settle().await;
    assert_eq!(world.take_log(), Vec::<String>::new());
}

#[tokio::test]
async fn no_pod_is_made_before_clickhouse_takes_the_password() {
    let world = world();
    world.state().refusals = vec![("CREATE USER".to_owned(), 500)];
    let failures = world.reconcile_tenants().await;
    assert_eq!(failures[0].reason(), Reason::ClickHouseUnreachable);
    world.reconcile_pipelines().await;
    assert_eq!(world.reason(ACME_DEFAULT, "TableReady").as_deref(), Some("TenantNotReady"));
    assert!(world.object(SETTINGS).is_none());
    assert_eq!(world.reason(ACME, "CredentialsReady").as_deref(), Some("ClickHouseUnreachable"));
    let next = entry(&world, WRITER, "next-password").unwrap();
    world.state().refusals.clear();
    world.settle().await;
    assert_eq!(consumer(&world).1, next, "the same password, though the operator tried twice");
}

#[tokio::test]
async fn passwords_are_replaced_once_for_each_request() {
    let world = world();
    world.settle().await;
    let before = (consumer(&world).1, entry(&world, READER, "password").unwrap());
    rotate(&world, "monday");
    world.settle().await;
    let after = (consumer(&world).1, entry(&world, READER, "password").unwrap());
    assert!(before.0 != after.0 && before.1 != after.1);
    assert_eq!(passwords(&world), [1, 1], "the old ones ended");
    assert_eq!(world.object(ACME).unwrap()["status"]["usedRotation"], "monday");
    assert_eq!(
        world.told("CredentialsRotated"),
        ["the passwords in `acme-clickhouse-writer` and `acme-clickhouse` are new, and the old ones end"]
    );
    world.settle().await;
    assert_eq!(consumer(&world).1, after.0);
    rotate(&world, "tuesday");
    world.settle().await;
    assert_ne!(consumer(&world).1, after.0);
}

/// In the middle of a rotation there are most of them.
#[tokio::test]
async fn rule_39_no_password_stands_outside_of_its_secrets() {
    let world = world();
    world.settle().await;
    world.state().are_pods_stuck = true;
    rotate(&world, "monday");
    for _ in 0..3 {
        world.reconcile_tenants().await;
        world.reconcile_pipelines().await;
    }
    let of =
        |secret| ["password", "next-password", "previous-password"].map(|name| entry(&world, secret, name));
    let passwords: Vec<String> = [WRITER, READER].into_iter().flat_map(of).flatten().collect();
    let passwords: Vec<String> = passwords.into_iter().filter(|password| !password.is_empty()).collect();
    assert_eq!(passwords.len(), 4, "those of now and of before");
    let state = world.state();
    let outside = state.objects.iter().filter(|(key, _)| ![WRITER, READER, SETTINGS].contains(&key.as_str()));
    let told = outside
        .map(|(key, object)| (key.as_str(), object))
        .chain(state.events.iter().map(|event| ("event", event)));
    for (place, object) in told {
        let text = object.to_string();
        for password in &passwords {
            let encoded =
                serde_json::to_value(k8s_openapi::ByteString(password.clone().into_bytes())).unwrap();
            let encoded = encoded.as_str().unwrap().to_owned();
            assert!(!text.contains(password) && !text.contains(&encoded), "{place}");
        }
    }
}

#[tokio::test]
async fn an_old_password_works_until_the_last_consumer_has_the_new_one() {
    let world = world();
    world.settle().await;
    world.state().are_pods_stuck = true;
    rotate(&world, "monday");
    for _ in 0..5 {
        world.reconcile_tenants().await;
        world.reconcile_pipelines().await;
    }
    assert_eq!(passwords(&world), [2, 2]);
    assert_eq!(world.reason(ACME, "CredentialsReady").as_deref(), Some("RotationInProgress"));
    assert!(world.message(ACME, "CredentialsReady").unwrap().contains("Pipelines acme-default"));
    assert!(world.object(ACME).unwrap()["status"]["usedRotation"].is_null());
    world.state().are_pods_stuck = false;
    world.edit("deployments/team/acme-default-consumer", |deployment| {
        deployment["spec"]["replicas"] = json!(0); // the operator puts it right, and this time the pods come
    });
    world.settle().await;
    assert_eq!(passwords(&world), [1, 1]);
    assert_eq!(world.reason(ACME, "CredentialsReady").as_deref(), Some("Ready"));
}

#[tokio::test]
async fn a_lost_password_is_made_anew_and_told() {
    let world = world();
    world.settle().await;
    let before = consumer(&world).1;
    world.delete(WRITER);
    world.settle().await;
    assert_ne!(consumer(&world).1, before);
    assert_eq!(passwords(&world), [1, 1]);
    assert_eq!(
        world.told("CredentialsReplaced"),
        ["the passwords in `acme-clickhouse-writer` were missing and were made anew"]
    );
}

#[tokio::test]
async fn what_somebody_changes_of_users_is_put_right() {
    let world = world();
    world.settle().await;
    let wanted = world.state().facts.clone();
    for kind in [Kind::Profile, Kind::ProfileSetting, Kind::User, Kind::UserSetting, Kind::Grant, Kind::Quota]
    {
        world.state().facts.retain(|fact| fact.kind != kind);
        world.settle().await;
        assert_eq!(world.state().facts, wanted, "{kind:?}");
    }
    let name = users(&world)[1].clone();
    for (kind, text) in [
        (Kind::Grant, "('SELECT','t_other','events',NULL,0,0)"),
        (Kind::Role, "it's `somebody`"),
        (Kind::UserSetting, "('readonly','0',NULL,NULL,NULL,NULL)"),
        (Kind::QuotaLimit, "(60,1,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL)"),
    ] {
        world.state().facts.insert(schema::access::Fact { kind, name: name.clone(), text: text.to_owned() });
        world.settle().await;
        assert_eq!(world.state().facts, wanted, "{kind:?}");
    }
}

#[tokio::test]
async fn rule_20_users_go_before_the_database_whatever_becomes_of_it() {
    for (manifest, what) in [(TENANT, "RELEASE"), (FLEETING_TENANT, "DROP DATABASE")] {
        let world = World::default();
        world.state().access = Some(Policy::default());
        world.apply(manifest);
        world.settle().await;
        world.take_log();
        world.delete(ACME);
        world.settle().await;
        let log = world.take_log();
        let first_words = log.iter().map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" "));
        let dropped: Vec<String> = first_words.filter(|words| words.starts_with("DROP ")).collect();
        let users = ["DROP USER", "DROP SETTINGS", "DROP QUOTA", "DROP USER", "DROP SETTINGS"];
        assert_eq!(dropped[..5], users);
        let last = log.iter().rposition(|line| line.starts_with("DROP SETTINGS")).unwrap();
        assert!(last < log.iter().position(|line| line.starts_with(what)).unwrap(), "{log:#?}");
        assert!(world.state().facts.is_empty());
        assert!(world.object(ACME).is_none());
    }
}

#[tokio::test]
async fn users_that_cannot_be_removed_hold_the_deletion() {
    let world = world();
    world.settle().await;
    world.state().refusals = vec![("DROP USER".to_owned(), 500)];
    world.delete(ACME);
    for _ in 0..6 {
        world.reconcile_pipelines().await;
        world.reconcile_tenants().await;
    }
    assert_eq!(world.reason(ACME, "DeletionBlocked").as_deref(), Some("ClickHouseUnreachable"));
    assert_eq!(world.stored().1, 1);
    world.state().refusals.clear();
    world.settle().await;
    assert!(world.object(ACME).is_none());
}

#[tokio::test]
async fn a_server_that_shows_too_much_is_told_once_and_holds_nothing_up() {
    let world = world();
    world.state().are_system_tables_open = true;
    world.settle().await;
    assert_eq!(world.reason(ACME, "CredentialsReady").as_deref(), Some("ServerSettingsUnsafe"));
    assert_eq!(world.reason(ACME, "Ready").as_deref(), Some("Ready"));
    world.settle().await;
    assert_eq!(world.told("SystemTablesExposed").len(), 1);
    world.state().are_system_tables_open = false;
    world.settle().await;
    assert_eq!(world.reason(ACME, "CredentialsReady").as_deref(), Some("Ready"));
}

/// The database turns out to be another tenant's: whoever has the passwords must see nothing there.
#[tokio::test]
async fn users_lose_a_database_that_is_somebody_elses() {
    let world = world();
    world.settle().await;
    let theirs = crate::tables::DatabaseOwner {
        uid: "another".to_owned(),
        namespace: "other".to_owned(),
        name: "rival".to_owned(),
    };
    let comment = crate::tables::DatabaseComment::Owned(theirs);
    world.state().databases.get_mut("t_team_acme").unwrap().comment = comment;
    world.settle().await;
    assert!(world.state().facts.is_empty());
    assert_eq!(world.reason(ACME, "DatabaseReady").as_deref(), Some("NameConflict"));
}

#[tokio::test]
async fn a_tenant_that_shared_a_credential_gets_users_of_its_own() {
    let world = with_tenant(TENANT);
    world.settle().await;
    assert_eq!(consumer(&world).0, "millrace");
    world.state().access = Some(Policy::default());
    world.settle().await;
    assert_eq!(consumer(&world).0, users(&world)[0]);
    assert_eq!(world.reason(ACME, "Ready").as_deref(), Some("Ready"));
}

/// Else a password would be made with each turn of the garbage collector, and end the one before.
#[tokio::test]
async fn a_secret_that_kubernetes_takes_from_a_protected_tenant_is_not_made_anew() {
    let world = world();
    world.edit(ACME, |tenant| tenant["spec"]["deletionProtection"] = json!(true));
    world.settle().await;
    world.delete(ACME);
    world.settle().await;
    assert_eq!(world.reason(ACME, "DeletionBlocked").as_deref(), Some("ProtectionEnabled"));
    world.delete(READER);
    world.take_log();
    world.settle().await;
    assert!(world.object(READER).is_none());
    let changes = world.take_log();
    assert!(changes.iter().all(|line| line.ends_with(" status")), "{changes:?}");
}

#[tokio::test]
async fn users_that_are_left_behind_are_named() {
    let world = world();
    world.settle().await;
    let names = users(&world);
    world.edit(ACME, |tenant| {
        tenant["metadata"]["annotations"] = json!({ labels::ABANDON_EXTERNAL: "true" });
    });
    world.state().is_clickhouse_away = true;
    world.delete(ACME);
    world.settle().await;
    let told = world.told("ExternalResourcesAbandoned");
    let expected =
        format!(" and the users `{}` and `{}` behind, as the annotation asks: ", names[0], names[1]);
    assert!(told.iter().any(|note| note.contains(&expected)), "{told:?}");
}
