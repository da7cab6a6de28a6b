//! The AnalyticsTenant controller against a world in memory: the order of changes, and what failures leave behind.

use crds::Reason;

use super::{
    Error,
    apply::{ManagedPipeline, Outcome},
    next,
    validate::Invalid,
};
use crate::{
    attempt::Interruption,
    failure::Failure,
    labels,
    progress::{Problem as _, Progress},
    tables::DatabaseComment,
    testing::{ACME, ACME_DEFAULT, ACME_KEYS, FLEETING_TENANT, TENANT, World},
};

const RIVAL: &str = "
apiVersion: analytics.millrace.dev/v1alpha1
kind: AnalyticsTenant
metadata: {name: rival, namespace: other}
spec: {tenantId: team-acme}
";

const DATABASE: &str = "t_team_acme";

fn with_tenant(manifest: &str) -> World {
    let world = World::default();
    world.apply(manifest);
    world
}

fn comment(world: &World) -> Option<DatabaseComment> {
    world.state().databases.get(DATABASE).map(|database| database.comment.clone())
}

#[tokio::test]
async fn the_finalizer_and_the_conditions_come_before_anything_else() {
    let world = with_tenant(TENANT);
    let failures = world.reconcile_tenants().await;
    assert!(failures.is_empty(), "{failures:?}");
    insta::assert_yaml_snapshot!(world.take_log());
}

#[tokio::test]
async fn a_tenant_becomes_ready_with_its_pipeline() {
    let world = with_tenant(TENANT);
    world.reconcile_tenants().await;
    assert_eq!(world.reason(ACME, "Ready").as_deref(), Some("PipelineNotReady"));
    world.settle().await;
    assert_eq!(world.reason(ACME, "Ready").as_deref(), Some("Ready"));
    let endpoint = world.object(ACME).unwrap()["status"]["endpoints"]["ingest"].clone();
    assert_eq!(endpoint, "http://acme-default-ingester.team.svc:8080");
}

#[tokio::test]
async fn at_rest_nothing_is_written() {
    let world = with_tenant(TENANT);
    world.settle().await;
    world.take_log();
    world.reconcile_tenants().await;
    world.reconcile_pipelines().await;
    assert!(world.state().log.is_empty(), "{:?}", world.state().log);
}

/// The Pipeline goes between the look at it and the change.
#[tokio::test]
async fn a_managed_pipeline_that_is_gone_does_not_come_back() {
    let world = with_tenant(TENANT);
    world.settle().await;
    let found = serde_json::from_value(world.object(ACME_DEFAULT).unwrap()).unwrap();
    let tenant: crds::AnalyticsTenant = serde_json::from_value(world.object(ACME).unwrap()).unwrap();
    let mut validated = super::validate::validate(&tenant, &[]).unwrap();
    validated.default_pipeline = crds::analytics_tenant::DefaultPipeline::None;
    let super::build::default_pipeline::Plan::Remove { keep_topics, .. } =
        super::build::default_pipeline::plan(&validated, Some(found))
    else {
        panic!("not removed")
    };
    world.state().objects.remove(ACME_DEFAULT);
    let kubernetes = crate::kubernetes::Kubernetes::new(world.client(), super::MANAGER);
    let refused = kubernetes.apply::<crds::Pipeline>(&keep_topics).await.unwrap_err();
    assert_eq!(refused.reason(), Reason::KubernetesChanged);
    assert!(world.object(ACME_DEFAULT).is_none());
}

#[tokio::test]
async fn keys_survive_a_reconcile() {
    let world = with_tenant(TENANT);
    world.settle().await;
    let keys = world.object(ACME_KEYS).unwrap()["data"].clone();
    world.reconcile_tenants().await;
    assert_eq!(world.object(ACME_KEYS).unwrap()["data"], keys);
}

#[tokio::test]
async fn clickhouse_away_holds_up_the_database_alone() {
    let world = with_tenant(TENANT);
    world.state().is_clickhouse_away = true;
    let failures = world.reconcile_tenants().await;
    assert_eq!(failures[0].failure(), Failure::Transient);
    assert!(world.object(ACME_KEYS).is_some() && world.object(ACME_DEFAULT).is_some());
    assert_eq!(world.reason(ACME, "CredentialsReady").as_deref(), Some("AccessManagementDisabled"));
    assert_eq!(world.reason(ACME, "SchemaInSync").as_deref(), Some("Pending"));

    world.state().is_clickhouse_away = false;
    world.settle().await;
    assert_eq!(world.reason(ACME, "Ready").as_deref(), Some("Ready"));
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
async fn of_two_tenants_with_one_id_the_older_has_it() {
    let world = with_tenant(TENANT);
    world.apply(RIVAL);
    world.settle().await;
    assert_eq!(world.reason(ACME, "Ready").as_deref(), Some("Ready"));
    assert_eq!(world.reason("analyticstenants/other/rival", "Stalled").as_deref(), Some("NameConflict"));
    assert!(world.object("secrets/other/rival-api-keys").is_none());
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

#[tokio::test]
async fn a_secret_of_somebody_else_is_not_touched() {
    let world = with_tenant(TENANT);
    world.state().objects.insert(
        ACME_KEYS.to_owned(),
        serde_json::json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "acme-api-keys", "namespace": "team"}}),
    );
    world.reconcile_tenants().await;
    assert_eq!(world.reason(ACME, "CredentialsReady").as_deref(), Some("ChildConflict"));
    assert!(world.object(ACME_KEYS).unwrap()["data"].is_null());
}

#[tokio::test]
async fn a_refused_secret_is_tried_again_later() {
    let world = with_tenant(TENANT);
    for (code, failure) in [(409, Failure::Transient), (403, Failure::Permission), (422, Failure::Refused)] {
        world.state().refusals = vec![("APPLY secrets".to_owned(), code)];
        let failures = world.reconcile_tenants().await;
        assert_eq!(failures[0].failure(), failure, "{code}");
    }
    world.state().refusals.clear();
    world.settle().await;
    assert_eq!(world.reason(ACME, "Ready").as_deref(), Some("Ready"));
}

#[tokio::test]
async fn without_a_finalizer_nothing_is_made() {
    let world = with_tenant(TENANT);
    world.state().refusals = vec![("MERGE analyticstenants".to_owned(), 409)];
    world.reconcile_tenants().await;
    assert_eq!(
        world.take_log(),
        ["MERGE analyticstenants/team/acme", "APPLY analyticstenants/team/acme status"]
    );
    assert_eq!(world.reason(ACME, "Ready").as_deref(), Some("KubernetesChanged"));
}

#[tokio::test]
async fn a_managed_pipeline_that_is_no_longer_wanted_keeps_its_topics() {
    let world = with_tenant(FLEETING_TENANT);
    world.settle().await;
    world.edit(ACME, |tenant| tenant["spec"]["defaultPipeline"] = "None".into());
    world.settle().await;
    assert!(world.object(ACME_DEFAULT).is_none());
    assert_eq!(world.state().topics.len(), 2);
    assert_eq!(world.reason(ACME, "Ready").as_deref(), Some("Ready"));
}

/// The status of `Ready`.
fn ready(world: &World) -> String {
    let conditions = world.object(ACME).unwrap()["status"]["conditions"].clone();
    conditions[0]["status"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_failure_before_any_outcome_does_not_leave_an_old_ready() {
    let accidents: [(&str, &str); 2] = [("GET secrets", "KubernetesPermissionDenied"), ("", "InternalError")];
    for (refused, reason) in accidents {
        let world = with_tenant(TENANT);
        world.settle().await;
        assert_eq!(ready(&world), "True");
        if refused.is_empty() {
            world.state().is_buggy = true;
        } else {
            world.state().refusals = vec![(refused.to_owned(), 403)];
        }
        let failures = world.reconcile_tenants().await;
        assert_eq!(failures[0].reason().as_str(), reason);
        assert_eq!(
            (ready(&world).as_str(), world.reason(ACME, "Ready").as_deref()),
            ("Unknown", Some(reason))
        );
        world.take_log();
        world.reconcile_tenants().await;
        assert!(world.take_log().is_empty(), "the same failure is written once");

        world.state().refusals.clear();
        world.state().is_buggy = false;
        world.settle().await;
        assert_eq!(ready(&world), "True");
    }
}

#[tokio::test]
async fn a_deletion_that_fails_early_says_what_blocks_it() {
    let world = with_tenant(TENANT);
    world.settle().await;
    world.delete(ACME);
    world.state().refusals = vec![("GET pipelines/team/".to_owned(), 403)];
    world.reconcile_tenants().await;
    assert_eq!(world.reason(ACME, "DeletionBlocked").as_deref(), Some("KubernetesPermissionDenied"));
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
async fn a_shorter_retention_waits_for_consent_and_holds_nothing_else_up() {
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

fn interrupted(interruption: Interruption) -> Progress<ManagedPipeline, Error> {
    Progress::Failed(Error::Interrupted(interruption))
}

#[test]
fn a_failure_that_waiting_mends_decides_when_to_try_again() {
    let outcome =
        Outcome { pipeline: interrupted(Interruption::Deadline), ..Outcome::refused(Invalid::RetentionUnit) };
    assert_eq!(next(outcome).unwrap_err().failure(), Failure::Transient);
}
