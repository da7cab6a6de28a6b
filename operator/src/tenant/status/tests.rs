use schema::{retention::Retention, tenant_id::TenantId};

use super::*;
use crate::{attempt::Interruption, progress::Waiting};
use crds::analytics_tenant::DatabaseStatus;

fn tenant() -> AnalyticsTenant {
    let manifest = "{apiVersion: analytics.millrace.dev/v1alpha1, kind: AnalyticsTenant, \
                    metadata: {name: acme, namespace: team, uid: u1, generation: 4}, spec: {}}";
    serde_saphyr::from_str(manifest).unwrap()
}

fn done() -> Outcome {
    Outcome {
        spec: Progress::Done(TenantId::parse("acme").unwrap()),
        credentials: Progress::Done(Credentials::default()),
        database: Progress::Done(database()),
        users: Progress::Done(Access::Shared),
        schema: Progress::Done(Retention::DEFAULT),
        pipeline: Progress::Done(ManagedPipeline::AsWanted),
        endpoint: Some("http://acme".to_owned()),
        noted: None,
    }
}

fn database() -> DatabaseStatus {
    DatabaseStatus { name: "t_acme".to_owned(), uuid: "1".to_owned(), table_uuid: Some("2".to_owned()) }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn ready(status: &AnalyticsTenantStatus) -> (String, String) {
    let ready = conditions::find(&status.conditions, ConditionType::Ready).unwrap();
    (format!("{:?}", ready.status), ready.reason.clone())
}

#[test]
fn a_tenant_with_everything_is_ready() {
    insta::assert_yaml_snapshot!(describe(&tenant(), &done(), (Life::Lives, Changes::Last), at(0)));
}

#[test]
fn without_a_managed_pipeline_nothing_is_said_to_flow() {
    let outcome = Outcome { pipeline: Progress::Done(ManagedPipeline::None), endpoint: None, ..done() };
    let status = describe(&tenant(), &outcome, (Life::Lives, Changes::Last), at(0));
    let ready = conditions::find(&status.conditions, ConditionType::Ready).unwrap();
    assert_eq!((ready.reason.as_str(), ready.message.as_str()), ("Ready", NO_PIPELINE));
}

#[test]
fn a_second_look_changes_nothing() {
    let mut tenant = tenant();
    let first = describe(&tenant, &done(), (Life::Lives, Changes::Last), at(1));
    tenant.status = Some(first.clone());
    assert_eq!(describe(&tenant, &done(), (Life::Lives, Changes::Last), at(2)), first);
}

#[test]
fn missing_users_of_clickhouse_hold_nothing_up() {
    let status = describe(&tenant(), &done(), (Life::Lives, Changes::Last), at(0));
    let credentials = conditions::find(&status.conditions, ConditionType::CredentialsReady).unwrap();
    assert_eq!(credentials.reason, "AccessManagementDisabled");
    assert_eq!(ready(&status), ("True".to_owned(), "Ready".to_owned()));
}

#[test]
fn a_pipeline_that_is_not_ready_holds_its_tenant_up() {
    let waiting = Waiting { reason: Reason::PipelineNotReady, message: "soon".to_owned() };
    let outcome = Outcome { pipeline: Progress::Waiting(waiting), ..done() };
    assert_eq!(
        ready(&describe(&tenant(), &outcome, (Life::Lives, Changes::Last), at(0))),
        ("False".to_owned(), "PipelineNotReady".to_owned())
    );
}

#[test]
fn what_could_not_be_looked_at_stays_as_it_was_known() {
    let mut tenant = tenant();
    tenant.status = Some(describe(&tenant, &done(), (Life::Lives, Changes::Last), at(0)));
    let outcome = Outcome {
        database: Progress::Failed(Error::Interrupted(Interruption::Deadline)),
        schema: Progress::Untried,
        ..done()
    };
    assert_eq!(describe(&tenant, &outcome, (Life::Lives, Changes::Last), at(0)).database, Some(database()));
}

#[test]
fn a_lost_name_takes_the_tables_away_and_remembers_the_database() {
    let mut tenant = tenant();
    tenant.status = Some(describe(&tenant, &done(), (Life::Lives, Changes::Last), at(0)));
    let conflict = Invalid::NameConflict {
        id: TenantId::parse("acme").unwrap(),
        namespace: "other".to_owned(),
        name: "rival".to_owned(),
    };
    let status = describe(&tenant, &Outcome::refused(conflict), (Life::Lives, Changes::Last), at(0));
    assert_eq!(status.database, Some(DatabaseStatus { table_uuid: None, ..database() }));
    assert!(conditions::find(&status.conditions, ConditionType::Stalled).is_some());
}
