//! The AnalyticsTenant controller against a world in memory: the order of changes, and what failures leave behind.

use crds::Reason;
use jiff::Timestamp;

use super::{
    Error,
    apply::{ManagedPipeline, Outcome},
    next,
    validate::Invalid,
};
use crate::{
    attempt::Interruption,
    failure::Failure,
    progress::{Problem as _, Progress},
    retries::Pace,
    testing::{ACME, ACME_DEFAULT, ACME_KEYS, FLEETING_TENANT, TENANT, World},
};

mod database;
mod finalizer;
mod hanging;
mod keys;
mod protection;
mod rivals;
mod shared_again;
mod two_operators;
mod users;

const RIVAL: &str = "
apiVersion: analytics.millrace.dev/v1alpha1
kind: AnalyticsTenant
metadata: {name: rival, namespace: other}
spec: {tenantId: team-acme}
";

fn with_tenant(manifest: &str) -> World {
    let world = World::default();
    world.apply(manifest);
    world
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
    let mut validated = super::validate::validate(&crate::plans::tests::plain(), &tenant).unwrap();
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
async fn of_two_tenants_with_one_id_the_older_has_it() {
    let world = with_tenant(TENANT);
    world.apply(RIVAL);
    world.settle().await;
    assert_eq!(world.reason(ACME, "Ready").as_deref(), Some("Ready"));
    assert_eq!(world.reason("analyticstenants/other/rival", "Stalled").as_deref(), Some("NameConflict"));
    assert!(world.object("secrets/other/rival-api-keys").is_none());
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
    world.state().refusals = vec![("MERGE analyticstenants".to_owned(), 403)];
    world.reconcile_tenants().await;
    assert_eq!(
        world.take_log(),
        ["MERGE analyticstenants/team/acme", "APPLY analyticstenants/team/acme status"]
    );
    assert_eq!(world.reason(ACME, "Ready").as_deref(), Some("KubernetesPermissionDenied"));
}

/// Whoever changed it is served by the next look, a second later; nobody is woken for that second.
#[tokio::test]
async fn an_ordinary_conflict_is_not_told() {
    let world = with_tenant(TENANT);
    world.state().refusals = vec![("MERGE analyticstenants".to_owned(), 409)];
    let failures = world.reconcile_tenants().await;
    assert_eq!(failures[0].failure(), Failure::Transient);
    assert_eq!(world.take_log(), ["MERGE analyticstenants/team/acme"]);
    world.state().failures_before = 3;
    world.reconcile_tenants().await;
    assert_eq!(world.reason(ACME, "Ready").as_deref(), Some("KubernetesChanged"), "it lasts");
}

#[tokio::test]
async fn a_conflict_over_a_child_is_told_when_it_lasts() {
    let world = with_tenant(TENANT);
    world.settle().await;
    world.edit(ACME_KEYS, |secret| secret["metadata"]["labels"] = serde_json::json!({}));
    world.state().refusals = vec![("APPLY secrets".to_owned(), 409)];
    for (failures_before, expected) in [(0, "Ready"), (2, "Ready"), (3, "KubernetesChanged")] {
        world.state().failures_before = failures_before;
        world.reconcile_tenants().await;
        assert_eq!(world.reason(ACME, "Ready").as_deref(), Some(expected), "{failures_before}");
    }
}

#[tokio::test]
async fn rule_19_a_managed_pipeline_that_is_no_longer_wanted_keeps_its_topics() {
    let world = with_tenant(FLEETING_TENANT);
    world.settle().await;
    world.edit(ACME, |tenant| tenant["spec"]["defaultPipeline"] = "None".into());
    world.settle().await;
    assert!(world.object(ACME_DEFAULT).is_none());
    assert_eq!(world.state().topics.len(), 2);
    assert_eq!(world.reason(ACME, "Ready").as_deref(), Some("Ready"));
    let told = world.message(ACME, "Ready").unwrap_or_default();
    assert!(told.contains("no Pipeline is managed"), "{told}");
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

fn interrupted(interruption: Interruption) -> Progress<ManagedPipeline, Error> {
    Progress::Failed(Error::Interrupted(interruption))
}

#[test]
fn a_failure_that_waiting_mends_decides_when_to_try_again() {
    let outcome =
        Outcome { pipeline: interrupted(Interruption::Deadline), ..Outcome::refused(Invalid::RetentionUnit) };
    let tenant = serde_saphyr::from_str(TENANT).unwrap();
    let next = next(outcome, Pace::default(), (&tenant, Timestamp::UNIX_EPOCH));
    assert_eq!(next.unwrap_err().failure(), Failure::Transient);
}
