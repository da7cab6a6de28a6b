//! The cleanup step of the AnalyticsTenant controller: its Pipelines, then its database, then the finalizer.
//!
//! Every part can be run again, and what is absent is done. It creates nothing and reads no Secret, since the
//! namespace may be going away. What stays is named in an Event and in the log, since such a namespace refuses Events.

use crds::{
    AnalyticsTenant, Pipeline, Reason, analytics_tenant::DeletionPolicy, condition::ConditionType,
    event::EventReason,
};
use kube::{Resource as _, ResourceExt as _, runtime::controller::Action};
use schema::{names::DatabaseName, tenant_id::TenantId};
use tracing::{info, warn};
use uuid::Uuid;

use super::{Error, apply, build::database::Loss, fetch, status, validate};
use crate::{
    conditions::Observed,
    context::{Backends, Context},
    installation::AccessManagement,
    kubernetes::{Guarded, is_controlled_by, is_held},
    labels, pipeline,
    progress::told,
    retained,
    tables::{Database, DatabaseComment, DatabaseOwner, Tables},
    topics::Topics as _,
};

pub(crate) async fn clean_up<B: Backends>(
    ctx: &Context<B>,
    tenant: &AnalyticsTenant,
) -> Result<Action, Error> {
    if !is_held(tenant) {
        return Ok(Action::await_change());
    }
    let pipelines = pipelines(ctx, tenant).await?;
    delete_managed(ctx, tenant, &pipelines).await?;
    let blocked = match remaining(&pipelines, tenant) {
        Remaining::Nothing => return let_go(ctx, tenant).await,
        Remaining::Going => None,
        Remaining::InTheWay(blocked) => Some(blocked),
    };
    status::report_deletion(ctx, tenant, blocked).await?;
    Ok(Action::requeue(ctx.retries.pace.soon()))
}

/// Settles the database and removes the finalizer, once no Pipeline is left.
async fn let_go<B: Backends>(ctx: &Context<B>, tenant: &AnalyticsTenant) -> Result<Action, Error> {
    // The last Pipeline noted its topics in the status just before it went.
    let Some(tenant) = &fetch::tenant(ctx, tenant).await? else { return Ok(Action::await_change()) };
    if let Err(error) = settle(ctx, tenant).await {
        if !is_abandoned(tenant) {
            let blocked = Observed::blocked(&error);
            status::report_deletion(ctx, tenant, Some(blocked)).await?;
            return Err(error);
        }
        let left = known(tenant) + &users(&ctx.installation.clickhouse.management, tenant);
        let text = format!("left {left} behind, as the annotation asks: {}", told(&error));
        warn!(tenant.namespace = tenant.namespace(), tenant.name = tenant.name_any(), "{text}");
        ctx.events.tell(tenant.object_ref(&()), EventReason::ExternalResourcesAbandoned, text).await;
    }
    ctx.kubernetes.remove_finalizer(tenant).await.map_err(|source| Error::LetGo { source })?;
    ctx.retries.forget(&tenant.uid().unwrap_or_default());
    info!(tenant.name = tenant.name_any(), "tenant `{}` is gone", tenant.name_any());
    Ok(Action::await_change())
}

/// The tenant's Pipelines, as the API server has them now. One that does not even say whose it is may be among them.
async fn pipelines<B: Backends>(
    ctx: &Context<B>,
    tenant: &AnalyticsTenant,
) -> Result<Vec<Guarded<Pipeline>>, Error> {
    let mut pipelines = ctx
        .kubernetes
        .list(&tenant.namespace().unwrap_or_default())
        .await
        .map_err(|source| Error::Fetch { source })?;
    pipelines.retain(|pipeline| pipeline::tenant_name(pipeline).is_none_or(|name| name == tenant.name_any()));
    Ok(pipelines)
}

fn is_managed(pipeline: &Pipeline, tenant: &AnalyticsTenant) -> bool {
    is_controlled_by(pipeline.meta(), &tenant.uid().unwrap_or_default())
}

async fn delete_managed<B: Backends>(
    ctx: &Context<B>,
    tenant: &AnalyticsTenant,
    pipelines: &[Guarded<Pipeline>],
) -> Result<(), Error> {
    let readable = pipelines.iter().filter_map(|pipeline| pipeline.0.as_ref().ok());
    let alive = |pipeline: &&Pipeline| pipeline.meta().deletion_timestamp.is_none();
    for pipeline in readable.filter(|pipeline| is_managed(pipeline, tenant)).filter(alive) {
        ctx.kubernetes
            .delete::<Pipeline>(pipeline.meta())
            .await
            .map_err(|source| Error::DeletePipeline { source })?;
    }
    Ok(())
}

/// What is left of a tenant's Pipelines.
#[derive(Debug, PartialEq, Eq)]
enum Remaining {
    Nothing,
    /// They are on their way.
    Going,
    /// Somebody made them by hand and has to delete them, or they cannot be read and so are not dealt with.
    InTheWay(Observed),
}

fn remaining(pipelines: &[Guarded<Pipeline>], tenant: &AnalyticsTenant) -> Remaining {
    let (mut by_hand, mut unreadable) = (Vec::new(), Vec::new());
    for pipeline in pipelines {
        let name = pipeline.name_any();
        match &pipeline.0 {
            Ok(pipeline) if is_managed(pipeline, tenant) || pipeline.meta().deletion_timestamp.is_some() => {}
            Ok(_) => by_hand.push(format!("`{name}`")),
            Err(cause) => unreadable.push(format!("`{name}` (at `{}`)", cause.field)),
        }
    }
    let mut obstacles = Vec::new();
    if !by_hand.is_empty() {
        obstacles.push(format!("delete the Pipelines {} first", by_hand.join(", ")));
    }
    if !unreadable.is_empty() {
        let names = unreadable.join(", ");
        obstacles.push(format!(
            "this version of the operator cannot read the Pipelines {names}, which may be the tenant's: correct them, or run a newer version"
        ));
    }
    if !obstacles.is_empty() {
        let message = obstacles.join("; ");
        let blocked = Observed::holds(ConditionType::DeletionBlocked, Reason::PipelinesExist, message);
        return Remaining::InTheWay(blocked);
    }
    if pipelines.is_empty() { Remaining::Nothing } else { Remaining::Going }
}

/// Takes the users away and then settles the database: nobody reads or writes what is released or dropped.
async fn settle<B: Backends>(ctx: &Context<B>, tenant: &AnalyticsTenant) -> Result<(), Error> {
    // A tenant without a valid id never had either.
    let Ok(id) = validate::id(tenant) else { return Ok(()) };
    let names = apply::users_of(&ctx.installation.clickhouse.management, tenant, &id);
    apply::remove_users(ctx, &names, &DatabaseName::of(&id)).await?;
    settle_database(ctx, tenant, &id).await
}

/// Releases or drops the database, if it is this tenant's.
async fn settle_database<B: Backends>(
    ctx: &Context<B>,
    tenant: &AnalyticsTenant,
    id: &TenantId,
) -> Result<(), Error> {
    let owner = validate::owner(tenant);
    let found = ctx
        .tables
        .describe(&DatabaseName::of(id))
        .await
        .map_err(|source| Error::DescribeDatabase { source })?;
    let known = validate::known_database(tenant);
    let found = found.map(|found| accepted(found, &owner, known)).transpose()?;
    match plan(found, &owner, known, tenant.spec.deletion_policy.clickhouse) {
        Plan::Nothing => Ok(()),
        Plan::Miss(known) => {
            tell_missing(ctx, tenant, &DatabaseName::of(id), known).await;
            Ok(())
        }
        Plan::Leave(database) => {
            tell_kept(ctx, tenant, &database, NOT_NAMED).await;
            Ok(())
        }
        Plan::Refuse(database) => Err(Error::DisownedDatabase {
            comment: DatabaseComment::Owned(owner),
            database: database.name,
            uuid: database.uuid,
        }),
        Plan::Release(database) => {
            ctx.tables
                .release(&database, &owner, &retained::topics(tenant))
                .await
                .map_err(|source| Error::ReleaseDatabase { source })?;
            tell_kept(ctx, tenant, &database, "").await;
            Ok(())
        }
        Plan::Drop(database) => {
            Tables::drop(ctx.tables.as_ref(), &database, &owner)
                .await
                .map_err(|source| Error::DropDatabase { source })?;
            tell_left_behind(ctx, tenant, &database).await;
            Ok(())
        }
    }
}

/// What is wrong with a database that stays, at the end of a sentence.
const NOT_NAMED: &str =
    "; the comment of the database does not name this tenant, so no tenant takes it over by itself";

async fn tell_kept<B: Backends>(ctx: &Context<B>, tenant: &AnalyticsTenant, database: &Database, flaw: &str) {
    let (name, uuid, topics) = (&database.name, database.uuid, retained_topics(tenant));
    let text = format!("kept database `{name}` with the id {uuid}{topics}{flaw}");
    info!(tenant.namespace = tenant.namespace(), tenant.name = tenant.name_any(), "{text}");
    ctx.events.tell(tenant.object_ref(&()), EventReason::DatabaseRetained, text).await;
}

async fn tell_missing<B: Backends>(
    ctx: &Context<B>,
    tenant: &AnalyticsTenant,
    database: &DatabaseName,
    known: Uuid,
) {
    let text = format!(
        "database `{database}` with the id {known} was not found, and is neither dropped nor released{}",
        retained_topics(tenant)
    );
    warn!(tenant.namespace = tenant.namespace(), tenant.name = tenant.name_any(), "{text}");
    ctx.events.tell(tenant.object_ref(&()), EventReason::DatabaseNotFound, text).await;
}

/// Topics of Pipelines that went before, which only the tenant still knew. Those that Kafka does not show are gone.
async fn tell_left_behind<B: Backends>(ctx: &Context<B>, tenant: &AnalyticsTenant, database: &Database) {
    let mut left = retained::topics(tenant);
    if left.is_empty() {
        return;
    }
    if let Ok(shown) = ctx.topics.ids().await {
        left.retain(|id| shown.contains(id));
    }
    if left.is_empty() {
        return;
    }
    let ids: Vec<String> = left.iter().map(ToString::to_string).collect();
    let (name, ids) = (&database.name, ids.join(", "));
    let text = format!(
        "dropped database `{name}`; Kafka may still have the topics with the ids {ids}, which its Pipelines kept"
    );
    warn!(tenant.namespace = tenant.namespace(), tenant.name = tenant.name_any(), "{text}");
    ctx.events.tell(tenant.object_ref(&()), EventReason::TopicsLeftBehind, text).await;
}

/// The database as far as the tenant knows it, and the topics beside it.
fn known(tenant: &AnalyticsTenant) -> String {
    let database = match tenant.status.as_ref().and_then(|status| status.database.as_ref()) {
        Some(database) => format!("database `{}` with the id {}", database.name, database.uuid),
        None => "no database that is known".to_owned(),
    };
    database + &retained_topics(tenant)
}

/// The users that the operator made for the tenant, at the end of a sentence. Some may be gone already.
fn users(management: &AccessManagement, tenant: &AnalyticsTenant) -> String {
    let Ok(id) = validate::id(tenant) else { return String::new() };
    let names: Vec<String> =
        apply::users_of(management, tenant, &id).iter().map(|name| format!("`{name}`")).collect();
    if names.is_empty() { String::new() } else { format!(" and the users {}", names.join(" and ")) }
}

/// The topics that the tenant's Pipelines kept, at the end of a sentence.
fn retained_topics(tenant: &AnalyticsTenant) -> String {
    let ids: Vec<String> = retained::topics(tenant).iter().map(ToString::to_string).collect();
    if ids.is_empty() { String::new() } else { format!(" and the topics with the ids {}", ids.join(", ")) }
}

/// A database that bears our comment and another id than the known one may be somebody's restored copy: the tenant did
/// not go on with it, so it does not end it either.
fn accepted(found: Database, owner: &DatabaseOwner, known: Option<Uuid>) -> Result<Database, Error> {
    match known {
        Some(known) if found.uuid != known && found.comment.is_owned_by(owner) => {
            let (database, found) = (found.name, found.uuid);
            Err(Error::DatabaseLost(Loss::Replaced { database, known, found }))
        }
        Some(_) | None => Ok(found),
    }
}

/// What to do about the database of a tenant that goes.
#[derive(Debug, PartialEq, Eq)]
enum Plan {
    /// The tenant never had a database.
    Nothing,
    Release(Database),
    Drop(Database),
    /// The one that the tenant had is not there, or not to be seen.
    Miss(Uuid),
    /// It is the one that the tenant had, and its comment names the tenant no longer. It was to stay.
    Leave(Database),
    /// The same, and it was to be dropped.
    Refuse(Database),
}

/// A database that names another owner is none of ours to touch, and with the tenant's events in it is not left in
/// silence either. One that was released by us already is released again, which changes nothing, since an operator that
/// died after it told nobody.
fn plan(found: Option<Database>, owner: &DatabaseOwner, known: Option<Uuid>, policy: DeletionPolicy) -> Plan {
    match (found, policy) {
        (Some(database), DeletionPolicy::Retain)
            if database.comment.is_owned_by(owner) || database.comment.is_released_to(owner) =>
        {
            Plan::Release(database)
        }
        (Some(database), DeletionPolicy::Delete) if database.comment.is_owned_by(owner) => {
            Plan::Drop(database)
        }
        (Some(database), policy) if known == Some(database.uuid) => match policy {
            DeletionPolicy::Retain => Plan::Leave(database),
            DeletionPolicy::Delete => Plan::Refuse(database),
        },
        (Some(_) | None, DeletionPolicy::Retain | DeletionPolicy::Delete) => {
            known.map_or(Plan::Nothing, Plan::Miss)
        }
    }
}

fn is_abandoned(tenant: &AnalyticsTenant) -> bool {
    tenant.annotations().get(labels::ABANDON_EXTERNAL).is_some_and(|value| value == "true")
}

#[cfg(test)]
mod tests;
