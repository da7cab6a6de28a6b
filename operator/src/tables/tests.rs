use clickhouse::test::{Mock, handlers};
use crds::Reason;
use schema::{migrations::MIGRATIONS, secret::Secret, tenant_id::TenantId};
use serde::Serialize;

use super::*;
use crate::{clickhouse::Server, failure::Failure};

mod hanging;

const UUID: &str = "6d2a1f5e-0c3b-4a58-9d2c-3c1f6a7b8c9d";
const STORAGE_UUID: &str = "7d2a1f5e-0c3b-4a58-9d2c-3c1f6a7b8c9d";

#[derive(Row, Serialize)]
struct DatabaseAnswer {
    uuid: &'static str,
    comment: String,
}

#[derive(Row, Serialize)]
struct MigrationAnswer {
    number: u32,
    checksum: String,
}

#[derive(Row, Serialize)]
struct TableAnswer {
    name: &'static str,
    uuid: &'static str,
    comment: String,
    definition: String,
    engine: String,
    partition_key: String,
    sorting_key: String,
}

#[derive(Row, Serialize)]
struct ColumnAnswer {
    name: &'static str,
    kind: &'static str,
}

fn name() -> DatabaseName {
    DatabaseName::of(&TenantId::parse("acme").unwrap())
}

fn acme() -> DatabaseOwner {
    DatabaseOwner { uid: "u1".to_owned(), namespace: "team".to_owned(), name: "acme".to_owned() }
}

fn successor() -> DatabaseOwner {
    DatabaseOwner { uid: "u2".to_owned(), ..acme() }
}

fn database() -> Database {
    Database {
        name: name(),
        uuid: UUID.parse().unwrap(),
        comment: DatabaseComment::Foreign("as seen before, not as it is".to_owned()),
    }
}

fn hours(hours: u64) -> Retention {
    Retention::from_hours(hours).unwrap()
}

fn allowed(has: u64, wanted: u64) -> WantedRetention {
    WantedRetention { retention: hours(wanted), shortening: Shortening::Allowed(Kept::Hours(has)) }
}

fn allowed_by_hand(wanted: u64) -> WantedRetention {
    WantedRetention { retention: hours(wanted), shortening: Shortening::Allowed(Kept::Otherwise) }
}

fn held(wanted: u64) -> WantedRetention {
    WantedRetention { retention: hours(wanted), shortening: Shortening::Held }
}

fn tables(mock: &Mock) -> ClickHouseTables {
    let server = Server {
        url: mock.url().to_owned(),
        user: "millrace".to_owned(),
        password: Secret::new("pw".to_owned()),
        ca_pem: None,
    };
    ClickHouseTables::new(Connection::new(&server).unwrap())
}

/// The server's next answer: a database with this comment.
fn found(mock: &Mock, comment: &DatabaseComment) {
    mock.add(handlers::provide([DatabaseAnswer { uuid: UUID, comment: comment.to_string() }]));
}

fn storage(retention: Retention) -> TableAnswer {
    TableAnswer {
        name: STORAGE_TABLE,
        uuid: STORAGE_UUID,
        comment: String::new(),
        definition: format!("CREATE TABLE .. {} SETTINGS ..", migrations::retention_clause(retention)),
        engine: engine(&storage::SETTINGS),
        partition_key: storage::PARTITION_KEY.to_owned(),
        sorting_key: storage::SORTING_KEY.to_owned(),
    }
}

fn engine(settings: &[storage::Named]) -> String {
    let settings: Vec<String> = settings.iter().map(|(name, value)| format!("{name} = {value}")).collect();
    format!(
        "ReplacingMergeTree(_version, _deleted) PARTITION BY toYYYYMM(day) .. SETTINGS {}",
        settings.join(", ")
    )
}

/// The table of the steps.
fn steps() -> TableAnswer {
    TableAnswer { name: MIGRATIONS_TABLE, ..of_no_storage(String::new(), String::new()) }
}

fn of_no_storage(comment: String, definition: String) -> TableAnswer {
    let nothing = String::new;
    TableAnswer {
        name: "",
        uuid: UUID,
        comment,
        definition,
        engine: nothing(),
        partition_key: nothing(),
        sorting_key: nothing(),
    }
}

fn view(view: &migrations::View) -> TableAnswer {
    let comment = view.statement.rsplit_once("COMMENT '").unwrap().1.trim_end().trim_end_matches('\'');
    TableAnswer { name: view.name, ..of_no_storage(comment.to_owned(), String::new()) }
}

/// The server's next answers to a look at a database whose steps are applied.
fn at_rest(mock: &Mock, tables: impl IntoIterator<Item = TableAnswer>) {
    mock.add(handlers::provide(std::iter::once(steps()).chain(tables)));
    all_applied(mock);
    columns(mock, &storage::COLUMNS);
}

fn columns(mock: &Mock, columns: &[storage::Named]) {
    mock.add(handlers::provide(columns.iter().map(|(name, kind)| ColumnAnswer { name, kind })));
}

fn all_applied(mock: &Mock) {
    mock.add(handlers::provide(
        MIGRATIONS.iter().map(|step| MigrationAnswer { number: step.number, checksum: step.checksum() }),
    ));
}

#[tokio::test]
async fn a_new_database_carries_its_owner_from_the_first_statement() {
    let mock = Mock::new();
    let created = mock.add(handlers::record_ddl());
    found(&mock, &DatabaseComment::Owned(acme()));
    let database = tables(&mock).create(&name(), &acme()).await.unwrap();
    assert_eq!(created.query().await, "CREATE DATABASE t_acme COMMENT 'owned team/acme uid=u1'");
    assert!(database.comment.is_owned_by(&acme()));
}

#[tokio::test]
async fn a_database_that_is_there_is_returned_with_its_own_comment() {
    let mock = Mock::new();
    mock.add(handlers::exception(82));
    found(&mock, &DatabaseComment::Owned(successor()));
    let database = tables(&mock).create(&name(), &acme()).await.unwrap();
    assert!(!database.comment.is_owned_by(&acme()));
}

#[tokio::test]
async fn a_database_that_our_user_may_not_see_is_not_taken() {
    let mock = Mock::new();
    mock.add(handlers::exception(82));
    mock.add(handlers::provide(Vec::<DatabaseAnswer>::new()));
    let error = tables(&mock).create(&name(), &acme()).await.unwrap_err();
    assert!(matches!(error, TablesError::Invisible { .. }), "{error:?}");
    assert_eq!(error.failure(), Failure::Permission);
}

#[tokio::test]
async fn a_released_database_is_taken_over_by_a_tenant_of_the_same_name() {
    let mock = Mock::new();
    found(&mock, &DatabaseComment::released_by(&acme(), &[]));
    let written = mock.add(handlers::record_ddl());
    tables(&mock).claim(&database(), &successor()).await.unwrap();
    assert_eq!(written.query().await, "ALTER DATABASE t_acme MODIFY COMMENT 'owned team/acme uid=u2'");
}

#[tokio::test]
async fn a_database_of_another_owner_is_neither_claimed_nor_released_nor_dropped() {
    let mock = Mock::new();
    for comment in [DatabaseComment::Owned(acme()), DatabaseComment::Foreign("finance".to_owned())] {
        let tables = tables(&mock);
        // Whatever the caller saw before: what the server says now counts, and no statement follows it.
        found(&mock, &comment);
        let claimed = tables.claim(&database(), &successor()).await.unwrap_err();
        found(&mock, &comment);
        let released = tables.release(&database(), &successor(), &[]).await.unwrap_err();
        found(&mock, &comment);
        let dropped = tables.drop(&database(), &successor()).await.unwrap_err();
        for error in [claimed, released, dropped] {
            assert!(matches!(error, TablesError::NotOurs { .. }), "{error:?}");
            assert_eq!((error.failure(), error.reason()), (Failure::Conflict, Reason::NameConflict));
        }
    }
}

#[tokio::test]
async fn a_released_database_is_not_dropped_by_its_former_owner() {
    let mock = Mock::new();
    found(&mock, &DatabaseComment::released_by(&acme(), &[]));
    let error = tables(&mock).drop(&database(), &acme()).await.unwrap_err();
    assert!(matches!(error, TablesError::NotOurs { .. }), "{error:?}");
}

#[tokio::test]
async fn rule_05_a_database_that_was_made_anew_is_not_dropped() {
    let mock = Mock::new();
    found(&mock, &DatabaseComment::Owned(acme()));
    let seen = Database { uuid: Uuid::from_u128(1), ..database() };
    let error = tables(&mock).drop(&seen, &acme()).await.unwrap_err();
    assert!(matches!(error, TablesError::Replaced { .. }), "{error:?}");
}

#[tokio::test]
async fn a_database_of_ours_is_dropped_and_an_absent_one_is_dropped_already() {
    let mock = Mock::new();
    found(&mock, &DatabaseComment::Owned(acme()));
    let dropped = mock.add(handlers::record_ddl());
    tables(&mock).drop(&database(), &acme()).await.unwrap();
    assert_eq!(dropped.query().await, "DROP DATABASE IF EXISTS t_acme SYNC");

    mock.add(handlers::provide(Vec::<DatabaseAnswer>::new()));
    tables(&mock).drop(&database(), &acme()).await.unwrap();
}

#[tokio::test]
async fn a_release_names_the_topics_and_is_not_repeated() {
    let mock = Mock::new();
    let topics = [TopicId(Uuid::from_u128(1))];
    found(&mock, &DatabaseComment::Owned(acme()));
    let written = mock.add(handlers::record_ddl());
    tables(&mock).release(&database(), &acme(), &topics).await.unwrap();
    assert_eq!(
        written.query().await,
        "ALTER DATABASE t_acme MODIFY COMMENT \
         'released team/acme topics=00000000-0000-0000-0000-000000000001'"
    );

    found(&mock, &DatabaseComment::released_by(&acme(), &topics));
    tables(&mock).release(&database(), &acme(), &topics).await.unwrap();
}

#[tokio::test]
async fn a_new_database_gets_its_steps_each_recorded_before_the_next() {
    let mock = Mock::new();
    mock.add(handlers::provide(Vec::<TableAnswer>::new()));
    let mut statements = vec![mock.add(handlers::record_ddl())];
    mock.add(handlers::provide(Vec::<MigrationAnswer>::new()));
    statements.extend(MIGRATIONS.iter().flat_map(|_| [(); 2]).map(|()| mock.add(handlers::record_ddl())));
    mock.add(handlers::provide([steps(), storage(hours(24))]));
    columns(&mock, &storage::COLUMNS);
    statements.extend(migrations::views(&name(), hours(24)).iter().map(|_| mock.add(handlers::record_ddl())));

    let migrated = tables(&mock).migrate(&name(), allowed(48, 24)).await.unwrap();

    assert_eq!(migrated.generation.to_string(), STORAGE_UUID);
    let mut firsts = Vec::new();
    for statement in statements {
        firsts.push(statement.query().await.lines().next().unwrap().to_owned());
    }
    insta::assert_snapshot!(firsts.join("\n"));
}

#[tokio::test]
async fn a_database_that_is_up_to_date_is_only_looked_at() {
    let mock = Mock::new();
    let views = migrations::views(&name(), hours(24));
    at_rest(&mock, std::iter::once(storage(hours(24))).chain(views.iter().map(view)));
    // The mock answers no fourth request, and reads alone were answered.
    tables(&mock).migrate(&name(), allowed(48, 24)).await.unwrap();
}

#[tokio::test]
async fn a_new_retention_redefines_the_view_that_filters_and_then_the_table() {
    let mock = Mock::new();
    let views = migrations::views(&name(), hours(48));
    at_rest(&mock, std::iter::once(storage(hours(48))).chain(views.iter().map(view)));
    let redefined = mock.add(handlers::record_ddl());
    let changed = mock.add(handlers::record_ddl());

    tables(&mock).migrate(&name(), allowed(48, 24)).await.unwrap();

    assert!(redefined.query().await.starts_with("CREATE OR REPLACE VIEW t_acme.events\n"));
    assert!(changed.query().await.starts_with("ALTER TABLE t_acme.events_raw\nMODIFY TTL"));
}

/// The mock answers no statement after the third: nothing is changed.
#[tokio::test]
async fn a_shorter_retention_changes_neither_table_nor_views_without_consent() {
    let mock = Mock::new();
    let views = migrations::views(&name(), hours(48));
    at_rest(&mock, std::iter::once(storage(hours(48))).chain(views.iter().map(view)));
    let migrated = tables(&mock).migrate(&name(), held(24)).await.unwrap();
    assert_eq!(migrated.generation.to_string(), STORAGE_UUID);
    assert_eq!(migrated.kept, Some(Kept::Hours(48)));
}

/// The mock answers no statement after the third: nothing is changed. The view shows what it showed.
#[tokio::test]
async fn a_ttl_set_by_hand_narrows_no_view_without_consent() {
    for definition in [
        "CREATE VIEW .. WHERE received_at > (now64(3) - toIntervalHour(48)) SETTINGS ..",
        "CREATE VIEW .. WHERE somebody = 'elses' ..",
    ] {
        let mock = Mock::new();
        let by_hand = "CREATE TABLE .. TTL toDateTime(received_at) + toIntervalYear(1)".to_owned();
        let storage = TableAnswer { definition: by_hand, ..storage(hours(48)) };
        let views = migrations::views(&name(), hours(48));
        let views =
            views.iter().map(|shown| TableAnswer { definition: definition.to_owned(), ..view(shown) });
        at_rest(&mock, std::iter::once(storage).chain(views));
        let migrated = tables(&mock).migrate(&name(), held(24)).await.unwrap();
        assert_eq!(migrated.kept, Some(Kept::Otherwise));
    }
}

/// What readers see stays, in the words of this version.
#[tokio::test]
async fn a_ttl_set_by_hand_does_not_hold_a_new_definition_up() {
    let mock = Mock::new();
    let by_hand = "CREATE TABLE .. TTL toDateTime(received_at) + toIntervalYear(1)".to_owned();
    let storage = TableAnswer { definition: by_hand, ..storage(hours(48)) };
    let mut views: Vec<TableAnswer> = migrations::views(&name(), hours(48)).iter().map(view).collect();
    views[0].definition = "CREATE VIEW .. WHERE received_at > (now64(3) - toIntervalHour(48)) ..".to_owned();
    views[0].comment = "of the version before".to_owned();
    at_rest(&mock, std::iter::once(storage).chain(views));
    let redefined = mock.add(handlers::record_ddl());
    tables(&mock).migrate(&name(), held(24)).await.unwrap();
    assert!(redefined.query().await.contains("INTERVAL 48 HOUR"));
}

#[test]
fn only_a_retention_that_deletes_needs_consent() {
    let has = |number| storage(hours(number)).definition;
    let by_hand = "CREATE TABLE .. TTL toDateTime(received_at) + toIntervalYear(1)";
    for (definition, wanted, expected) in [
        (has(24).as_str(), held(24), RetentionPlan::Nothing),
        (&has(24), held(48), RetentionPlan::Change),
        (&has(48), allowed(48, 24), RetentionPlan::Change),
        (&has(49), allowed(48, 24), RetentionPlan::Hold(hours(49))),
        (&has(48), held(24), RetentionPlan::Hold(hours(48))),
        (&has(240), held(24), RetentionPlan::Hold(hours(240))),
        (by_hand, held(24), RetentionPlan::HoldUnknown),
        (by_hand, allowed(48, 24), RetentionPlan::HoldUnknown),
        (by_hand, allowed_by_hand(24), RetentionPlan::Change),
        ("CREATE TABLE ..", held(24), RetentionPlan::HoldUnknown),
    ] {
        assert_eq!(plan(definition, wanted), expected, "{definition} {wanted:?}");
    }
}

#[tokio::test]
async fn a_step_whose_record_failed_is_named_and_comes_again() {
    let mock = Mock::new();
    mock.add(handlers::provide([steps()]));
    mock.add(handlers::provide(Vec::<MigrationAnswer>::new()));
    mock.add(handlers::record_ddl());
    mock.add(handlers::exception(241));
    let error = tables(&mock).migrate(&name(), allowed(48, 24)).await.unwrap_err();
    assert!(matches!(error, TablesError::Migrate { number: 1, .. }), "{error:?}");
    assert_eq!(error.failure(), Failure::Transient);
}

#[tokio::test]
async fn the_steps_of_a_newer_version_are_not_touched() {
    let mock = Mock::new();
    mock.add(handlers::provide([steps()]));
    mock.add(handlers::provide([MigrationAnswer { number: 99, checksum: String::new() }]));
    let error = tables(&mock).migrate(&name(), allowed(48, 24)).await.unwrap_err();
    assert!(matches!(error, TablesError::ContinueMigrations { .. }), "{error:?}");
    assert_eq!(error.failure(), Failure::Refused);
}

#[tokio::test]
async fn a_storage_table_that_somebody_dropped_is_not_made_anew() {
    let mock = Mock::new();
    mock.add(handlers::provide([steps()]));
    all_applied(&mock);
    let error = tables(&mock).migrate(&name(), allowed(48, 24)).await.unwrap_err();
    assert!(matches!(error, TablesError::StorageMissing { .. }), "{error:?}");
}

#[tokio::test]
async fn settings_that_somebody_changed_are_set_back() {
    let mock = Mock::new();
    let mut changed = storage::SETTINGS;
    changed[1].1 = "0";
    let changed = TableAnswer { engine: engine(&changed[..6]), ..storage(hours(24)) };
    let views = migrations::views(&name(), hours(24));
    mock.add(handlers::provide([steps(), changed].into_iter().chain(views.iter().map(view))));
    all_applied(&mock);
    let set_back = mock.add(handlers::record_ddl());
    columns(&mock, &storage::COLUMNS);
    let migrated = tables(&mock).migrate(&name(), allowed(48, 24)).await.unwrap();
    assert!(migrated.differences.is_empty());
    assert_eq!(
        set_back.query().await,
        "ALTER TABLE t_acme.events_raw MODIFY SETTING fsync_after_insert = 1, merge_selector_base = 12"
    );
}

/// The mock answers no statement after the reads: the retention stays as it is as well.
#[tokio::test]
async fn a_table_that_differs_is_told_of_and_not_changed() {
    let mock = Mock::new();
    let other = TableAnswer { sorting_key: "id".to_owned(), ..storage(hours(48)) };
    mock.add(handlers::provide([steps(), other]));
    all_applied(&mock);
    columns(&mock, &storage::COLUMNS[1..]);
    let migrated = tables(&mock).migrate(&name(), allowed(48, 24)).await.unwrap();
    assert_eq!(migrated.generation.to_string(), STORAGE_UUID);
    let told: Vec<String> = migrated.differences.iter().map(ToString::to_string).collect();
    assert!(told[0] == "column `id` is missing" && told[1].starts_with("ORDER BY is (id)"), "{told:?}");
}
