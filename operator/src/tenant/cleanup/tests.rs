use schema::{names::DatabaseName, tenant_id::TenantId};
use uuid::Uuid;

use super::*;
use crate::{
    failure::Failure,
    progress::Problem as _,
    tables::DatabaseComment,
    testing::{ACME, ACME_DEFAULT, FLEETING_TENANT, Log, TENANT, World},
};

const BY_HAND: &str = "
apiVersion: analytics.millrace.dev/v1alpha1
kind: Pipeline
metadata: {name: web, namespace: team}
spec: {tenantRef: {name: acme}}
";

async fn settled(manifest: &str) -> World {
    let world = World::default();
    world.apply(manifest);
    world.settle().await;
    world.take_log();
    world
}

fn database(comment: DatabaseComment) -> Option<Database> {
    let name = DatabaseName::of(&TenantId::parse("acme").unwrap());
    Some(Database { name, uuid: Uuid::from_u128(1), comment })
}

#[test]
fn only_an_owned_database_is_released_or_dropped() {
    let owner = DatabaseOwner { uid: "1".to_owned(), namespace: "team".to_owned(), name: "acme".to_owned() };
    let other = DatabaseOwner { uid: "2".to_owned(), ..owner.clone() };
    let released = DatabaseComment::Released {
        namespace: "team".to_owned(),
        name: "acme".to_owned(),
        topics: Vec::new(),
    };
    for policy in [DeletionPolicy::Retain, DeletionPolicy::Delete] {
        for comment in [DatabaseComment::Owned(other.clone()), DatabaseComment::Foreign("x".to_owned())] {
            assert_eq!(plan(database(comment), &owner, None, policy), Plan::Nothing);
        }
        assert_eq!(plan(None, &owner, None, policy), Plan::Nothing);
    }
    let released = || database(released.clone());
    let plan = |found, policy| plan(found, &owner, Some(Uuid::from_u128(1)), policy);
    assert!(matches!(plan(released(), DeletionPolicy::Retain), Plan::Release(_)), "told again");
    let ours = || database(DatabaseComment::Owned(owner.clone()));
    assert!(matches!(plan(ours(), DeletionPolicy::Retain), Plan::Release(_)));
    assert!(matches!(plan(ours(), DeletionPolicy::Delete), Plan::Drop(_)));
}

#[test]
fn the_database_that_the_tenant_had_is_not_left_in_silence() {
    let owner = DatabaseOwner { uid: "1".to_owned(), namespace: "team".to_owned(), name: "acme".to_owned() };
    let (known, another) = (Some(Uuid::from_u128(1)), Some(Uuid::from_u128(2)));
    let foreign = || database(DatabaseComment::Foreign("x".to_owned()));
    assert!(matches!(plan(foreign(), &owner, known, DeletionPolicy::Retain), Plan::Leave(_)));
    assert!(matches!(plan(foreign(), &owner, known, DeletionPolicy::Delete), Plan::Refuse(_)));
    for policy in [DeletionPolicy::Retain, DeletionPolicy::Delete] {
        assert_eq!(plan(None, &owner, known, policy), Plan::Miss(Uuid::from_u128(1)));
        assert_eq!(plan(foreign(), &owner, another, policy), Plan::Miss(Uuid::from_u128(2)));
    }
}

#[tokio::test]
async fn a_database_that_the_tenant_never_accepted_is_neither_dropped_nor_released() {
    for (manifest, left) in [(FLEETING_TENANT, 0), (TENANT, 1)] {
        let world = settled(manifest).await;
        let known = world.object(ACME).unwrap()["status"]["database"]["uuid"].as_str().unwrap().to_owned();
        for database in world.state().databases.values_mut() {
            database.uuid = Uuid::from_u128(77);
        }
        let before = world.state().databases.clone();
        world.settle().await;
        let told = world.message(ACME, "DatabaseReady").unwrap();
        world.delete(ACME);
        world.settle().await;
        assert_eq!(world.reason(ACME, "DeletionBlocked").as_deref(), Some("DatabaseLost"), "{manifest}");
        assert_eq!(world.message(ACME, "DeletionBlocked").unwrap(), told);
        assert_eq!(world.state().databases, before);

        world.edit(ACME, |tenant| {
            tenant["metadata"]["annotations"][labels::RECREATE_DATABASE] = known.into();
        });
        world.settle().await;
        assert!(world.object(ACME).is_none(), "{manifest}");
        assert_eq!(world.stored().1, left, "{manifest}");
    }
}

/// It is gone as it should be.
#[tokio::test]
async fn a_lost_database_does_not_hold_a_deletion_up() {
    let world = settled(FLEETING_TENANT).await;
    world.state().databases.clear();
    world.delete(ACME);
    world.settle().await;
    assert!(world.object(ACME).is_none());
}

#[tokio::test]
async fn by_default_the_data_stays() {
    let world = settled(TENANT).await;
    world.delete(ACME);
    world.settle().await;
    insta::assert_yaml_snapshot!(world.take_log());
    assert!(world.object(ACME).is_none());
    assert_eq!(world.stored(), (2, 1));
    let state = world.state();
    let (database, topics) = (state.databases.values().next().unwrap(), state.topics.values());
    let mut ids: Vec<String> = topics.map(|topic| topic.id.to_string()).collect();
    ids.sort();
    let expected = format!(
        "kept database `t_team_acme` with the id {} and the topics with the ids {}",
        database.uuid,
        ids.join(", ")
    );
    drop(state);
    assert_eq!(world.told("DatabaseRetained"), [expected]);
}

#[tokio::test]
async fn with_delete_nothing_stays() {
    let world = settled(FLEETING_TENANT).await;
    world.delete(ACME);
    world.settle().await;
    insta::assert_yaml_snapshot!(world.take_log());
    assert!(world.state().objects.is_empty(), "{:?}", world.state().objects.keys());
    assert_eq!(world.stored(), (0, 0));
}

#[tokio::test]
async fn topics_that_outlive_a_dropped_database_are_named() {
    let world = settled(FLEETING_TENANT).await;
    let keeping = BY_HAND.replace("}}", "}, deletionPolicy: {kafka: Retain}}");
    world.apply(&keeping);
    world.settle().await;
    world.delete("pipelines/team/web");
    world.settle().await;
    assert!(world.told("TopicsLeftBehind").is_empty(), "the tenant still knows them");
    world.delete(ACME);
    world.settle().await;
    assert_eq!(world.stored(), (2, 0));
    let told = world.told("TopicsLeftBehind");
    let ids: Vec<String> = world.state().topics.values().map(|topic| topic.id.to_string()).collect();
    assert!(told.len() == 1 && ids.iter().all(|id| told[0].contains(id)), "{told:?} without one of {ids:?}");
}

#[tokio::test]
async fn kept_topics_that_went_in_the_end_are_not_left_behind() {
    let world = settled(FLEETING_TENANT).await;
    for policy in ["Retain", "Delete"] {
        world.apply(&BY_HAND.replace("}}", &format!("}}, deletionPolicy: {{kafka: {policy}}}}}")));
        world.settle().await;
        world.delete("pipelines/team/web");
        world.settle().await;
    }
    world.delete(ACME);
    world.settle().await;
    assert_eq!(world.stored(), (0, 0));
    assert!(world.told("TopicsLeftBehind").is_empty());
}

#[tokio::test]
async fn a_tenant_of_the_same_name_takes_the_data_over() {
    let world = settled(TENANT).await;
    let topic = |world: &World| world.object(ACME_DEFAULT).unwrap()["status"]["topic"]["id"].clone();
    let database = |world: &World| world.object(ACME).unwrap()["status"]["database"].clone();
    let before = (topic(&world), database(&world));
    world.delete(ACME);
    world.settle().await;
    world.apply(TENANT);
    world.settle().await;
    assert_eq!(world.reason(ACME, "Ready").as_deref(), Some("Ready"));
    assert_eq!((topic(&world), database(&world)), before);
}

#[tokio::test]
async fn a_tenant_of_another_name_does_not_get_the_data() {
    let world = settled(TENANT).await;
    world.delete(ACME);
    world.settle().await;
    let other = "
apiVersion: analytics.millrace.dev/v1alpha1
kind: AnalyticsTenant
metadata: {name: other, namespace: team}
spec: {tenantId: team-acme}
";
    world.apply(other);
    world.settle().await;
    assert_eq!(world.reason("analyticstenants/team/other", "DatabaseReady").as_deref(), Some("NameConflict"));
    assert!(world.object("deployments/team/other-default-consumer").is_none());
}

#[tokio::test]
async fn a_pipeline_made_by_hand_blocks_the_deletion_until_it_is_deleted() {
    let world = settled(TENANT).await;
    world.apply(BY_HAND);
    world.settle().await;
    world.delete(ACME);
    world.settle().await;
    assert_eq!(world.reason(ACME, "DeletionBlocked").as_deref(), Some("PipelinesExist"));
    assert!(world.object(ACME_DEFAULT).is_none(), "the managed one does not wait for the other");
    world.delete("pipelines/team/web");
    world.settle().await;
    assert!(world.object(ACME).is_none());
}

/// Nobody knows what it has, and so nothing goes.
#[tokio::test]
async fn a_pipeline_that_cannot_be_read_blocks_the_deletion_of_its_tenant() {
    let newer = BY_HAND.replace("}}", "}, topic: {partitions: many}}");
    let nobodys = BY_HAND.replace("{tenantRef: {name: acme}}", "{}");
    for manifest in [newer, nobodys] {
        let world = settled(FLEETING_TENANT).await;
        world.apply(&manifest);
        let (before, stored) = (world.object("pipelines/team/web"), world.state().databases.clone());
        world.delete(ACME);
        world.settle().await;
        assert_eq!(world.reason(ACME, "DeletionBlocked").as_deref(), Some("PipelinesExist"), "{manifest}");
        let message = world.message(ACME, "DeletionBlocked").unwrap();
        assert!(message.contains("`web` (at `spec") && !message.contains("many"), "{message}");
        assert_eq!(world.object("pipelines/team/web"), before);
        assert_eq!(world.state().databases, stored);
        world.delete("pipelines/team/web");
        world.settle().await;
        assert!(world.object(ACME).is_none(), "{manifest}");
    }
}

#[tokio::test]
async fn a_managed_pipeline_that_cannot_be_read_is_not_deleted_and_blocks_the_deletion_too() {
    let world = settled(FLEETING_TENANT).await;
    world.edit(ACME_DEFAULT, |pipeline| pipeline["spec"]["topic"]["partitions"] = "many".into());
    let before = world.object(ACME_DEFAULT);
    world.delete(ACME);
    world.settle().await;
    assert_eq!(world.reason(ACME, "DeletionBlocked").as_deref(), Some("PipelinesExist"));
    assert_eq!(world.object(ACME_DEFAULT), before);
    assert_eq!(world.stored(), (2, 1));
}

#[tokio::test]
async fn an_unreadable_pipeline_of_another_tenant_is_not_in_the_way() {
    let world = settled(FLEETING_TENANT).await;
    world.apply(&BY_HAND.replace("acme}}", "other}, topic: {partitions: many}}"));
    world.delete(ACME);
    world.settle().await;
    assert!(world.object(ACME).is_none());
}

#[tokio::test]
async fn clickhouse_away_blocks_the_deletion_until_it_is_back() {
    let world = settled(FLEETING_TENANT).await;
    world.delete(ACME);
    world.state().is_clickhouse_away = true;
    world.settle().await;
    let failures = world.reconcile_tenants().await;
    assert_eq!(failures[0].failure(), Failure::Transient);
    assert!(world.reason(ACME, "DeletionBlocked").is_some());
    world.state().is_clickhouse_away = false;
    world.settle().await;
    assert!(world.object(ACME).is_none() && world.state().databases.is_empty());
}

#[tokio::test]
async fn an_annotation_lets_a_tenant_go_without_clickhouse() {
    let world = settled(FLEETING_TENANT).await;
    world.delete(ACME);
    world.state().is_clickhouse_away = true;
    world.settle().await;
    world.edit(ACME, |tenant| {
        tenant["metadata"]["annotations"][labels::ABANDON_EXTERNAL] = "true".into();
    });
    // As a namespace that is being deleted does.
    world.state().refusals.push(("POST events".to_owned(), 403));
    let log = Log::begin();
    world.settle().await;
    assert!(world.object(ACME).is_none());
    let uuid = world.state().databases.values().next().unwrap().uuid;
    let expected = format!(
        "left database `t_team_acme` with the id {uuid} behind, as the annotation asks: failed to look at the database"
    );
    let warnings = log.warnings();
    assert_eq!(warnings.iter().filter(|line| line.starts_with(&expected)).count(), 1, "{warnings:?}");
}

#[tokio::test]
async fn an_event_names_what_is_left_behind_as_well() {
    let world = settled(FLEETING_TENANT).await;
    world.edit(ACME, |tenant| {
        tenant["metadata"]["annotations"][labels::ABANDON_EXTERNAL] = "true".into();
    });
    world.delete(ACME);
    world.state().is_clickhouse_away = true;
    world.settle().await;
    let uuid = world.state().databases.values().next().unwrap().uuid;
    let told = world.told("ExternalResourcesAbandoned");
    assert!(told.len() == 1 && told[0].contains(&format!("`t_team_acme` with the id {uuid}")), "{told:?}");
}

#[tokio::test]
async fn a_tenant_without_our_finalizer_is_left_alone() {
    let world = settled(TENANT).await;
    world.edit(ACME, |tenant| tenant["metadata"]["finalizers"] = serde_json::json!(["somebody.else/holds"]));
    world.delete(ACME);
    world.reconcile_tenants().await;
    assert!(world.take_log().is_empty());
}

fn change_comment(world: &World, text: &str) {
    for database in world.state().databases.values_mut() {
        database.comment = DatabaseComment::Foreign(text.to_owned());
    }
}

/// It has the tenant's events, and its owner asked for their end.
#[tokio::test]
async fn a_database_whose_comment_somebody_changed_is_not_left_in_silence() {
    let world = settled(FLEETING_TENANT).await;
    let comment = world.state().databases["t_team_acme"].comment.to_string();
    change_comment(&world, "hands off");
    world.delete(ACME);
    world.settle().await;
    assert_eq!(world.reason(ACME, "DeletionBlocked").as_deref(), Some("NameConflict"));
    let message = world.message(ACME, "DeletionBlocked").unwrap();
    assert!(message.contains("`t_team_acme`") && message.contains(&comment), "{message}");
    assert_eq!(world.stored().1, 1);

    world.edit(ACME, |tenant| {
        tenant["metadata"]["annotations"][labels::ABANDON_EXTERNAL] = "true".into();
    });
    world.settle().await;
    assert!(world.object(ACME).is_none());
    assert_eq!((world.stored().1, world.told("ExternalResourcesAbandoned").len()), (1, 1));
}

#[tokio::test]
async fn a_database_that_is_kept_is_told_of_whatever_its_comment_says() {
    let world = settled(TENANT).await;
    change_comment(&world, "hands off");
    world.delete(ACME);
    world.settle().await;
    assert!(world.object(ACME).is_none());
    let told = world.told("DatabaseRetained");
    assert!(told.len() == 1 && told[0].contains("so no tenant takes it over by itself"), "{told:?}");
}

/// Somebody took it away, or the operator does not see it: then it stays with its events.
#[tokio::test]
async fn a_database_that_is_not_found_is_told_of() {
    for manifest in [FLEETING_TENANT, TENANT] {
        let world = settled(manifest).await;
        let uuid = world.state().databases["t_team_acme"].uuid;
        world.state().databases.clear();
        world.delete(ACME);
        world.settle().await;
        assert!(world.object(ACME).is_none());
        let told = world.told("DatabaseNotFound");
        let named = format!("database `t_team_acme` with the id {uuid} was not found");
        assert!(told.len() == 1 && told[0].starts_with(&named), "{told:?}");
    }
}

#[tokio::test]
async fn a_tenant_that_never_had_a_database_misses_none() {
    let world = World::default();
    world.apply(FLEETING_TENANT);
    world.state().is_clickhouse_away = true;
    world.reconcile_tenants().await;
    world.delete(ACME);
    world.state().is_clickhouse_away = false;
    world.settle().await;
    assert!(world.object(ACME).is_none() && world.told("DatabaseNotFound").is_empty());
}
