//! Nothing that lives is destroyed: data only with its resource, by its policy, and as the incarnation that is known.

use schema::{access::Kind, names::UserName, tenant_id::TenantId};
use serde_json::Value;

use super::State;
use crate::{labels::ALLOW_RETENTION_HOURS, tables::DatabaseComment};

/// What speaks against a change that is about to be made.
pub(super) fn objection(state: &State, line: &str) -> Option<String> {
    let (verb, name) = line.rsplit_once(' ')?;
    let may = match verb {
        "DROP DATABASE" => may_drop(state, name) && !has_users(state, name),
        "RELEASE" => owner_of(state, name).is_none_or(is_going) && !has_users(state, name),
        "DROP USER" => may_drop_user(state, name),
        "DELETE TOPIC" => may_delete_topic(state, name),
        "DELETE" => may_delete(state, name),
        _ => true,
    };
    (!may).then(|| format!("{line}, which lives"))
}

/// What speaks against keeping data for less time: that nobody consented to it.
pub(super) fn objection_to_less(state: &State, name: &str, has_hours: i64) -> Option<String> {
    let is_consent = |object: &Value| {
        let consent = object["metadata"]["annotations"][ALLOW_RETENTION_HOURS].as_str();
        consent.is_some_and(|consent| consent.starts_with(&format!("{has_hours}-to-")))
    };
    let is_allowed = state.objects.values().any(is_consent);
    (!is_allowed).then(|| format!("{name} is kept for less than {has_hours} hours, unasked"))
}

/// Whether its deletion was asked for and may go on.
fn is_going(object: &Value) -> bool {
    object["metadata"]["deletionTimestamp"].is_string() && object["spec"]["deletionProtection"] != true
}

fn of_kind<'a>(state: &'a State, start: &'a str) -> impl Iterator<Item = &'a Value> {
    state.objects.iter().filter(move |(key, _)| key.starts_with(start)).map(|(_, object)| object)
}

/// The tenant that a database belongs to, if the tenant is there.
fn owner_of<'a>(state: &'a State, database: &str) -> Option<&'a Value> {
    let DatabaseComment::Owned(owner) = &state.databases.get(database)?.comment else { return None };
    of_kind(state, "analyticstenants/").find(|tenant| tenant["metadata"]["uid"] == owner.uid)
}

/// Whether the owner of a database still has users, who would see what becomes of it.
fn has_users(state: &State, database: &str) -> bool {
    let Some(owner) = owner_of(state, database).and_then(|owner| owner["metadata"]["uid"].as_str()) else {
        return false;
    };
    state.facts.iter().any(|fact| fact.kind == Kind::User && is_user_of(&fact.name, database, owner))
}

/// A user goes with its tenant, or when the database turns out to be somebody else's.
fn may_drop_user(state: &State, name: &str) -> bool {
    let is_lost = |database: &str| {
        let owner = owner_of(state, database);
        owner.is_none_or(|owner| {
            is_going(owner) || !is_user_of(name, database, &text(&owner["metadata"]["uid"]))
        })
    };
    state
        .databases
        .keys()
        .filter(|database| name.starts_with(database.as_str()))
        .all(|database| is_lost(database))
}

fn is_user_of(name: &str, database: &str, owner_uid: &str) -> bool {
    let id = database.trim_start_matches("t_").replace('_', "-");
    let Ok(tenant) = TenantId::parse(&id) else { return false };
    [UserName::writer(&tenant, owner_uid), UserName::reader(&tenant, owner_uid)]
        .iter()
        .any(|user| user.as_str() == name)
}

fn may_drop(state: &State, database: &str) -> bool {
    !state.databases.contains_key(database)
        || owner_of(state, database).is_some_and(|tenant| {
            is_going(tenant) && tenant["spec"]["deletionPolicy"]["clickhouse"] == "Delete"
        })
}

fn may_delete_topic(state: &State, name: &str) -> bool {
    let Some(topic) = state.topics.get(name) else { return true };
    let tells_of = |status: &Value| {
        status["name"] == name && [topic.id.to_string(), String::new()].contains(&text(&status["id"]))
    };
    of_kind(state, "pipelines/").any(|pipeline| {
        let status = &pipeline["status"];
        let has_it = (tells_of(&status["topic"]) && pipeline["spec"]["source"]["kafka"].is_null())
            || tells_of(&status["deadLetterTopic"]);
        let is_protected =
            tenant_of(state, pipeline).is_some_and(|tenant| tenant["spec"]["deletionProtection"] == true);
        has_it && is_going(pipeline) && !is_protected && policy(state, pipeline) == "Delete"
    })
}

/// What is to become of the topics of a Pipeline: its own word, else its tenant's.
fn policy(state: &State, pipeline: &Value) -> String {
    let own = text(&pipeline["spec"]["deletionPolicy"]["kafka"]);
    if !own.is_empty() {
        return own;
    }
    tenant_of(state, pipeline)
        .map(|tenant| text(&tenant["spec"]["deletionPolicy"]["kafka"]))
        .unwrap_or_default()
}

fn tenant_of<'a>(state: &'a State, pipeline: &Value) -> Option<&'a Value> {
    let namespace = text(&pipeline["metadata"]["namespace"]);
    let tenant = format!("analyticstenants/{namespace}/{}", text(&pipeline["spec"]["tenantRef"]["name"]));
    state.objects.get(&tenant)
}

/// Whether a Pipeline is stopped, or its tenant suspended.
fn takes_nothing(state: &State, pipeline: &Value) -> bool {
    let is_suspended =
        |tenant: &Value| ["Ingest", "All"].contains(&text(&tenant["spec"]["suspend"]).as_str());
    pipeline["spec"]["state"] == "Stopped" || tenant_of(state, pipeline).is_some_and(is_suspended)
}

/// A managed Pipeline goes with its tenant or by its spec, pods with their Pipeline, and an ingester also when nothing
/// more is to be taken.
fn may_delete(state: &State, key: &str) -> bool {
    let Some(object) = state.objects.get(key) else { return true };
    let uid = &object["metadata"]["ownerReferences"][0]["uid"];
    let owner = state.objects.values().find(|owner| owner["metadata"]["uid"] == *uid);
    let plural = key.split('/').next().unwrap_or_default();
    match (plural, owner) {
        ("pipelines", Some(tenant)) => is_going(tenant) || tenant["spec"]["defaultPipeline"] == "None",
        ("deployments", Some(pipeline)) => {
            is_going(pipeline) || (key.ends_with("-ingester") && takes_nothing(state, pipeline))
        }
        ("ingresses" | "networkpolicies" | "poddisruptionbudgets", Some(_)) => true,
        (_, _) => false,
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn what_lives_or_is_to_be_kept_may_not_be_destroyed() {
    use super::{ACME, ACME_DEFAULT, FLEETING_TENANT, TENANT, World};

    const CHANGES: [&str; 3] = [
        "DROP DATABASE t_team_acme",
        "DELETE TOPIC millrace.team-acme.acme-default",
        "DELETE deployments/team/acme-default-consumer",
    ];
    let objections = |world: &World| CHANGES.map(|line| objection(&world.state(), line).is_some());
    for (manifest, of_the_going) in [(TENANT, [true, true, false]), (FLEETING_TENANT, [false, false, false])]
    {
        let world = World::default();
        world.apply(manifest);
        world.settle().await;
        assert_eq!(objections(&world), [true; 3]);
        world.delete(ACME);
        world.delete(ACME_DEFAULT);
        assert_eq!(objections(&world), of_the_going, "{manifest}");
    }
}
