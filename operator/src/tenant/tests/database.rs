//! The database of a tenant: whose it is, what becomes of a lost one, and how long it keeps events.

use super::*;
use crate::{
    labels,
    tables::{DatabaseComment, Difference},
};

const DATABASE: &str = "t_team_acme";

fn comment(world: &World) -> Option<DatabaseComment> {
    world.state().databases.get(DATABASE).map(|database| database.comment.clone())
}

#[tokio::test]
async fn an_outage_of_clickhouse_does_not_forget_the_database() {
    let world = with_tenant(TENANT);
    world.settle().await;
    let before = world.object(ACME).unwrap()["status"]["database"].clone();
    world.state().is_clickhouse_away = true;
    world.reconcile_tenants().await;
    assert_eq!(world.object(ACME).unwrap()["status"]["database"], before);
}

#[tokio::test]
async fn a_database_of_somebody_else_is_not_touched() {
    let world = with_tenant(TENANT);
    world.settle().await;
    let foreign = DatabaseComment::Foreign("mine".to_owned());
    world.state().databases.get_mut(DATABASE).unwrap().comment = foreign.clone();
    world.take_log();
    let failures = world.reconcile_tenants().await;
    assert_eq!(failures[0].failure(), Failure::Conflict);
    assert_eq!(comment(&world), Some(foreign));
    assert!(world.object(ACME).unwrap()["status"]["database"]["tableUuid"].is_null());
}

fn recorded_database(world: &World) -> String {
    world.object(ACME).unwrap()["status"]["database"]["uuid"].as_str().unwrap().to_owned()
}

fn give_up(world: &World, uuid: &str) {
    world.edit(ACME, |tenant| {
        tenant["metadata"]["annotations"][labels::RECREATE_DATABASE] = uuid.into();
    });
}

#[tokio::test]
async fn a_lost_database_is_made_anew_only_with_consent() {
    let world = with_tenant(TENANT);
    world.settle().await;
    let lost = recorded_database(&world);
    world.state().databases.clear();
    let failures = world.reconcile_tenants().await;
    assert_eq!((failures[0].failure(), failures[0].reason()), (Failure::Refused, Reason::DatabaseLost));
    assert_eq!(world.reason(ACME, "DatabaseReady").as_deref(), Some("DatabaseLost"));
    world.reconcile_pipelines().await;
    assert_eq!(world.reason(ACME_DEFAULT, "TableReady").as_deref(), Some("TenantNotReady"));
    let message = world.message(ACME_DEFAULT, "Ready").unwrap();
    assert!(message.contains("wait in Kafka: DatabaseLost: "), "{message}");
    let consumer = world.object("deployments/team/acme-default-consumer").unwrap();
    assert_eq!(consumer["spec"]["replicas"], 1, "the pods go on");
    let annotation = format!("`analytics.millrace.dev/recreate-database: \"{lost}\"`");
    assert!(world.message(ACME, "Ready").unwrap().contains(&annotation));
    give_up(&world, "6d2a1f5e-0c3b-4a58-9d2c-3c1f6a7b8c9d");
    world.settle().await;
    assert!(world.state().databases.is_empty(), "the consent to another loss is none");

    give_up(&world, &lost);
    world.settle().await;
    assert_eq!(world.reason(ACME, "Ready").as_deref(), Some("Ready"));
    assert_ne!(recorded_database(&world), lost);

    world.state().databases.clear();
    world.settle().await;
    assert_eq!(world.reason(ACME, "DatabaseReady").as_deref(), Some("DatabaseLost"), "it was for one time");
}

/// Its pods write to the table that is lost until it has looked.
#[tokio::test]
async fn a_tenant_is_not_ready_while_its_pipeline_knows_only_the_table_of_before() {
    let world = with_tenant(TENANT);
    world.settle().await;
    let lost = recorded_database(&world);
    world.state().databases.clear();
    give_up(&world, &lost);
    world.reconcile_tenants().await;
    assert_ne!(recorded_database(&world), lost);
    assert_eq!(world.reason(ACME_DEFAULT, "Ready").as_deref(), Some("Ready"), "it was not looked at");
    assert_eq!(world.reason(ACME, "Ready").as_deref(), Some("PipelineNotReady"));
    world.settle().await;
    assert_eq!(world.reason(ACME, "Ready").as_deref(), Some("Ready"));
}

#[tokio::test]
async fn another_database_with_our_comment_is_not_taken_for_ours() {
    let world = with_tenant(TENANT);
    world.settle().await;
    let known = recorded_database(&world);
    let restored = uuid::Uuid::from_u128(77);
    world.state().databases.get_mut(DATABASE).unwrap().uuid = restored;
    world.settle().await;
    assert_eq!(world.reason(ACME, "DatabaseReady").as_deref(), Some("DatabaseLost"));
    assert_eq!(recorded_database(&world), known);
    give_up(&world, &known);
    world.settle().await;
    assert_eq!(world.reason(ACME, "Ready").as_deref(), Some("Ready"));
    assert_eq!(recorded_database(&world), restored.to_string());
}

#[tokio::test]
async fn a_database_that_was_a_strangers_for_a_while_is_still_known() {
    let world = with_tenant(TENANT);
    world.settle().await;
    world.state().databases.get_mut(DATABASE).unwrap().comment = DatabaseComment::Foreign("mine".to_owned());
    world.reconcile_tenants().await;
    world.state().databases.clear();
    world.settle().await;
    assert_eq!(world.reason(ACME, "DatabaseReady").as_deref(), Some("DatabaseLost"));
}

fn keeps(world: &World, hours: u32) {
    let retention = world.state().retentions[DATABASE];
    assert_eq!(retention.hours(), hours);
}

fn allow(world: &World, key: &str, hours: &str) {
    world.edit(key, |resource| {
        resource["metadata"]["annotations"][labels::ALLOW_RETENTION_HOURS] = hours.into();
    });
}

#[tokio::test]
async fn rule_34_a_shorter_retention_waits_for_consent_and_holds_nothing_else_up() {
    let world = with_tenant(TENANT);
    world.settle().await;
    world.edit(ACME, |tenant| {
        tenant["spec"]["retention"] = serde_json::json!({"days": 1});
        tenant["spec"]["apiKeys"] = serde_json::json!([{"name": "second", "scopes": ["Ingest"]}]);
    });
    let failures = world.reconcile_tenants().await;
    assert_eq!(
        (failures[0].failure(), failures[0].reason()),
        (Failure::Refused, Reason::RetentionReductionHeld)
    );
    keeps(&world, 90 * 24);
    assert_eq!(world.reason(ACME, "SchemaInSync").as_deref(), Some("RetentionReductionHeld"));
    let message = world.message(ACME, "Ready").unwrap();
    assert!(message.contains("`analytics.millrace.dev/allow-retention-hours: \"2160-to-24\"`"), "{message}");
    assert!(!world.object(ACME_KEYS).unwrap()["data"]["second"].is_null(), "the keys went on");
    assert_eq!(world.reason(ACME_DEFAULT, "Ready").as_deref(), Some("Ready"));

    for other in ["24", "2160-to-48", "48-to-24"] {
        allow(&world, ACME, other);
        world.settle().await;
        keeps(&world, 90 * 24);
    }
    allow(&world, ACME, "2160-to-24");
    world.settle().await;
    keeps(&world, 24);
    assert_eq!(world.reason(ACME, "Ready").as_deref(), Some("Ready"));
}

#[tokio::test]
async fn a_smaller_tier_waits_for_consent_as_any_shorter_retention() {
    let world = with_tenant(TENANT);
    let hours = || world.object(ACME).unwrap()["status"]["retentionHours"].clone();
    world.settle().await;
    assert_eq!(hours(), 2160);
    world.edit(ACME, |tenant| tenant["spec"]["tier"] = "Free".into());
    world.settle().await;
    assert_eq!(world.reason(ACME, "Stalled").as_deref(), Some("RetentionReductionHeld"));
    assert_eq!(hours(), 2160);
    keeps(&world, 2160);
    allow(&world, ACME, "2160-to-24");
    world.settle().await;
    keeps(&world, 24);
    assert_eq!(hours(), 24);
    assert_eq!(world.reason(ACME, "Ready").as_deref(), Some("Ready"));
}

#[tokio::test]
async fn a_retention_above_the_plan_stalls_and_changes_nothing() {
    let world = with_tenant(TENANT);
    world.settle().await;
    world.edit(ACME, |tenant| {
        tenant["spec"]["tier"] = "Paid".into();
        tenant["spec"]["retention"] = serde_json::json!({"days": 91});
    });
    world.settle().await;
    for kind in ["SpecValid", "Stalled", "Ready"] {
        assert_eq!(world.reason(ACME, kind).as_deref(), Some("RetentionAbovePlan"), "{kind}");
    }
    keeps(&world, 2160);
    assert_eq!(world.reason(ACME_DEFAULT, "Ready").as_deref(), Some("Ready"), "events flow all the same");
}

#[tokio::test]
async fn the_same_consent_twice_is_none() {
    let world = with_tenant(TENANT);
    let ask = |days: u32| {
        world.edit(ACME, |tenant| tenant["spec"]["retention"] = serde_json::json!({"days": days}));
    };
    world.settle().await;
    allow(&world, ACME, "2160-to-24");
    world.settle().await;
    ask(1);
    world.settle().await;
    keeps(&world, 24);
    for days in [90, 1] {
        ask(days);
        world.settle().await;
        keeps(&world, 90 * 24);
    }
    assert_eq!(world.reason(ACME, "SchemaInSync").as_deref(), Some("RetentionReductionHeld"));

    world.edit(ACME, |tenant| tenant["metadata"]["annotations"] = serde_json::json!({}));
    world.settle().await;
    keeps(&world, 90 * 24);
    allow(&world, ACME, "2160-to-24");
    world.settle().await;
    keeps(&world, 24);
}

#[tokio::test]
async fn a_database_taken_over_keeps_its_longer_retention() {
    let world = with_tenant(TENANT);
    world.edit(ACME, |tenant| tenant["spec"]["retention"] = serde_json::json!({"days": 365}));
    world.settle().await;
    world.delete(ACME);
    world.settle().await;
    world.apply(TENANT);
    world.settle().await;
    keeps(&world, 365 * 24);
    assert_eq!(world.reason(ACME, "SchemaInSync").as_deref(), Some("RetentionReductionHeld"));
    assert_eq!(world.reason(ACME_DEFAULT, "Ready").as_deref(), Some("Ready"), "events flow all the same");
}

#[tokio::test]
async fn a_table_that_differs_is_told_of_and_its_pods_go_on() {
    let world = World::default();
    world.apply(TENANT);
    world.settle().await;
    let table = |world: &World| world.object(ACME).unwrap()["status"]["database"]["tableUuid"].clone();
    let before = table(&world);
    let differences = vec![Difference::Missing { column: "id" }];
    world.state().differences.insert("t_team_acme".to_owned(), differences);
    world.settle().await;
    for kind in ["SchemaInSync", "Ready", "Stalled"] {
        assert_eq!(world.reason(ACME, kind).as_deref(), Some("TableDiffers"), "{kind}");
    }
    let message = world.message(ACME, "SchemaInSync").unwrap();
    assert!(
        message.starts_with("table `t_team_acme.events_raw` is not as it was made: column `id` is missing;")
    );
    assert_eq!(table(&world), before);
    assert_eq!(
        world.reason(ACME_DEFAULT, "Ready").as_deref(),
        Some("Ready"),
        "its consumer says what it cannot store"
    );

    world.state().differences.clear();
    world.settle().await;
    assert_eq!(world.reason(ACME, "Ready").as_deref(), Some("Ready"));
}

#[tokio::test]
async fn a_database_taken_over_is_told_of() {
    let world = with_tenant(TENANT);
    world.settle().await;
    world.delete(ACME);
    world.settle().await;
    assert!(world.object(ACME).is_none() && world.told("DatabaseAdopted").is_empty());
    world.apply(TENANT);
    world.settle().await;
    assert_eq!(
        world.told("DatabaseAdopted"),
        ["took over database `t_team_acme` with the events of the tenant before"]
    );
}
