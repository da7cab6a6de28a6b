//! The status step of the AnalyticsTenant controller: a pure description of the outcome, written when it differs.

use crds::{
    AnalyticsTenant, AnalyticsTenantStatus, Condition, Reason,
    analytics_tenant::{ApiKeyState, ClickHouseUsersStatus, DatabaseStatus, EndpointsStatus, Suspend},
    condition::ConditionType,
};
use jiff::Timestamp;
use kube::{Resource as _, ResourceExt as _};
use tracing::{info, warn};

use super::{
    Error,
    apply::{Access, Credentials, ManagedPipeline, Outcome, OwnUsers, Rotation, exposed, request},
    fetch,
    validate::Invalid,
};
use crate::{
    conditions::{self, Changes, Observed},
    context::{Backends, Context},
    metrics,
    progress::{Problem as _, Progress, told},
    protection::{self, Life},
    retention::{self, Brought, Kept},
};

/// The aspects of a tenant, in the order in which `Ready` looks for an obstacle.
const ASPECTS: [ConditionType; 4] = [
    ConditionType::SpecValid,
    ConditionType::CredentialsReady,
    ConditionType::DatabaseReady,
    ConditionType::SchemaInSync,
];

/// What is true of a tenant that has everything but a Pipeline of the operator's.
const NO_PIPELINE: &str =
    "keys, database and tables are there; no Pipeline is managed (`defaultPipeline: None`)";

/// Writes every condition as Unknown before anything is known, so that nobody takes a new tenant for a ready one.
pub(crate) async fn announce<B: Backends>(
    ctx: &Context<B>,
    tenant: AnalyticsTenant,
) -> Result<AnalyticsTenant, Error> {
    let mut status = tenant.status.clone().unwrap_or_default();
    if !status.conditions.is_empty() {
        return Ok(tenant);
    }
    status.conditions = conditions::initial(&ASPECTS, generation(&tenant), Timestamp::now());
    write(ctx, &tenant, status).await
}

/// Writes what came of a reconcile.
pub(crate) async fn report<B: Backends>(
    ctx: &Context<B>,
    tenant: &AnalyticsTenant,
    outcome: &Outcome,
    life: Life,
) -> Result<(), Error> {
    // What is written is compared with what is there now, and over that version.
    let tenant = outcome.noted.as_deref().unwrap_or(tenant);
    let changes = ctx.retries.changes(&tenant.uid().unwrap_or_default());
    let status = describe(tenant, outcome, (life, changes), Timestamp::now());
    report_status(ctx, tenant, status).await
}

/// Writes what holds the deletion of a tenant, or that nothing does.
pub(crate) async fn report_deletion<B: Backends>(
    ctx: &Context<B>,
    tenant: &AnalyticsTenant,
    blocked: Option<Observed>,
) -> Result<(), Error> {
    let mut status = tenant.status.clone().unwrap_or_default();
    status.conditions =
        conditions::of_deletion(&status.conditions, blocked, generation(tenant), Timestamp::now());
    status.observed_generation = Some(generation(tenant));
    report_status(ctx, tenant, status).await
}

/// Writes that an attempt failed before it had an outcome. If that fails as well, the log has to do.
pub(crate) async fn report_failure<B: Backends>(ctx: &Context<B>, cached: &AnalyticsTenant, error: &Error) {
    if let Err(failure) = try_to_report_failure(ctx, cached, error).await {
        warn!(
            tenant.name = cached.name_any(),
            error = %told(&failure),
            "failed to tell how tenant `{}` is", cached.name_any()
        );
    }
}

async fn try_to_report_failure<B: Backends>(
    ctx: &Context<B>,
    cached: &AnalyticsTenant,
    error: &Error,
) -> Result<(), Error> {
    if error.reason() == Reason::KubernetesChanged
        && ctx.retries.changes(&cached.uid().unwrap_or_default()) == Changes::Pass
    {
        return Ok(()); // The next look goes on from what is there by then.
    }
    let Some(tenant) = fetch::tenant(ctx, cached).await? else { return Ok(()) };
    match protection::life(&ctx.installation.plans, &tenant) {
        Life::Lives | Life::Held => {}
        Life::Goes => return report_deletion(ctx, &tenant, Some(Observed::blocked(error))).await,
    }
    let (generation, now) = (generation(&tenant), Timestamp::now());
    let mut status = tenant.status.clone().unwrap_or_default();
    if status.conditions.is_empty() {
        status.conditions = conditions::initial(&ASPECTS, generation, now);
    }
    status.conditions = conditions::of_failure(&status.conditions, error, generation, now);
    report_status(ctx, &tenant, status).await
}

async fn report_status<B: Backends>(
    ctx: &Context<B>,
    tenant: &AnalyticsTenant,
    status: AnalyticsTenantStatus,
) -> Result<(), Error> {
    let before = tenant.status.as_ref();
    if before.map(applied) == Some(applied(&status)) {
        return Ok(());
    }
    let known = before.map_or(&[][..], |status| &status.conditions);
    let state = conditions::new_state(known, &status.conditions);
    let obstacle = conditions::new_obstacle(known, &status.conditions);
    if let Some(obstacle) = obstacle {
        ctx.events.tell_of(tenant.object_ref(&()), obstacle).await;
    }
    write(ctx, tenant, status).await?;
    if let Some(state) = state {
        info!(tenant.name = tenant.name_any(), "tenant `{}` is {state}", tenant.name_any());
    }
    Ok(())
}

/// Writes the status of the version that was read: an operator that is late, or that was slow while the spec or the
/// managed Pipeline changed, must not write over what is true by now.
async fn write<B: Backends>(
    ctx: &Context<B>,
    tenant: &AnalyticsTenant,
    status: AnalyticsTenantStatus,
) -> Result<AnalyticsTenant, Error> {
    metrics::status_written("tenant");
    ctx.kubernetes.write_status(tenant, &applied(&status)).await.map_err(|source| Error::Report { source })
}

/// The fields that are applied. The retained topics are merged in by themselves, so they are left out here.
fn applied(status: &AnalyticsTenantStatus) -> AnalyticsTenantStatus {
    AnalyticsTenantStatus { retained_topics: Vec::new(), ..status.clone() }
}

/// The status that an outcome amounts to. What could not be looked at stays as it was known.
fn describe(
    tenant: &AnalyticsTenant,
    outcome: &Outcome,
    (life, changes): (Life, Changes),
    now: Timestamp,
) -> AnalyticsTenantStatus {
    let before = tenant.status.clone().unwrap_or_default();
    let over = |aspects| conditions::over_changes(aspects, &before.conditions, generation(tenant), changes);
    let aspects = over(aspects(outcome));
    // Pods use the shared credential, which holds nothing up.
    let counting = aspects.iter().filter(|aspect| aspect.reason != Reason::AccessManagementDisabled);
    let pipeline = Observed::of(ConditionType::Ready, &outcome.pipeline, |_| {
        Observed::holds(ConditionType::Ready, Reason::Ready, String::new())
    });
    let (reason, message) = match (tenant.spec.suspend, outcome.pipeline.done()) {
        (Suspend::Ingest, _) => (Reason::Suspended, "suspended: no events are taken"),
        (Suspend::All, _) => (Reason::Suspended, "suspended: events are neither taken nor stored"),
        (Suspend::None, Some(ManagedPipeline::Idle { reason, message })) => (*reason, message.as_str()),
        (Suspend::None, Some(ManagedPipeline::None)) => (Reason::Ready, NO_PIPELINE),
        (Suspend::None, Some(ManagedPipeline::AsWanted) | None) => {
            (Reason::Ready, "events are taken and stored")
        }
    };
    let pipeline = over(vec![pipeline]);
    let ready = conditions::ready(counting.chain(&pipeline), reason, message);
    let blocked = match life {
        Life::Held => Some(protection::blocked()),
        Life::Lives | Life::Goes => None,
    };
    // It holds nothing up but the deletion.
    let aspects = aspects.into_iter().chain(blocked).collect();
    AnalyticsTenantStatus {
        observed_generation: Some(generation(tenant)),
        conditions: conditions::conditions(&before.conditions, aspects, ready, generation(tenant), now),
        tenant_id: outcome.spec.done().map(ToString::to_string).or(before.tenant_id),
        database: if has_lost_the_name(outcome) {
            before.database.map(|database| DatabaseStatus { table_uuid: None, ..database })
        } else {
            outcome.database.done().cloned().or(before.database)
        },
        retention_hours: retention_hours(outcome, before.retention_hours),
        endpoints: endpoints(outcome, before.endpoints),
        active_keys: outcome.credentials.done().map_or(before.active_keys, |known| Some(active(known))),
        api_keys: outcome.credentials.done().map_or(before.api_keys, |known| known.keys.clone()),
        retained_topics: before.retained_topics,
        used_retention_consent: used_consent(tenant, outcome, before.used_retention_consent),
        clickhouse_users: users(outcome, before.clickhouse_users),
        used_rotation: used_rotation(tenant, outcome, before.used_rotation),
    }
}

fn used_consent(tenant: &AnalyticsTenant, outcome: &Outcome, before: Option<String>) -> Option<String> {
    match outcome.schema.done() {
        Some(kept) => retention::used(tenant, kept.hours().into(), Brought::About, before),
        None => retention::used(tenant, 0, Brought::NotYet, before),
    }
}

/// How long events are kept, as far as the tables tell.
fn retention_hours(outcome: &Outcome, before: Option<i32>) -> Option<i32> {
    match (outcome.schema.done(), outcome.schema.failed()) {
        (Some(kept), _) => i32::try_from(kept.hours()).ok(),
        (None, Some(Error::RetentionHeld { kept: Kept::Hours(hours), .. })) => i32::try_from(*hours).ok(),
        (None, Some(Error::RetentionHeld { kept: Kept::Otherwise, .. })) => None,
        (None, Some(_) | None) => before,
    }
}

fn aspects(outcome: &Outcome) -> Vec<Observed> {
    vec![
        Observed::of(ConditionType::SpecValid, &outcome.spec, |id| {
            Observed::holds(ConditionType::SpecValid, Reason::Valid, format!("the tenant id is `{id}`"))
        }),
        credentials(outcome),
        Observed::of(ConditionType::DatabaseReady, &outcome.database, |database| {
            let message = format!("database `{}` is there and belongs to this tenant", database.name);
            Observed::holds(ConditionType::DatabaseReady, Reason::Ready, message)
        }),
        Observed::of(ConditionType::SchemaInSync, &outcome.schema, |_| {
            Observed::holds(
                ConditionType::SchemaInSync,
                Reason::InSync,
                "tables and views are of this version".to_owned(),
            )
        }),
    ]
}

/// The keys, and the users in ClickHouse. What keeps one key from being taken comes before what everybody waits for.
fn credentials(outcome: &Outcome) -> Observed {
    let kind = ConditionType::CredentialsReady;
    Observed::of(kind, &outcome.credentials, |keys| match keys.obstacle() {
        Some(obstacle) => Observed::waits(kind, &obstacle),
        None => Observed::of(kind, &outcome.users, |access| of_access(keys, access)),
    })
}

/// What is there and as it should be. A key that ended is as its spec asks, so it is told of and holds nothing up.
fn of_access(credentials: &Credentials, access: &Access) -> Observed {
    let kind = ConditionType::CredentialsReady;
    let keys = credentials.keys.iter();
    let expired: Vec<&str> =
        keys.filter(|key| key.state == ApiKeyState::Expired).map(|key| key.name.as_str()).collect();
    let users = match access {
        Access::Shared => "no user is made in ClickHouse, pods use the installation's credential".to_owned(),
        Access::Own(OwnUsers { users, .. }) => {
            format!("users `{}` and `{}` are in ClickHouse", users.writer, users.reader)
        }
    };
    if let Some((reason, more)) = of_interest(access) {
        return Observed::holds(kind, reason, format!("API keys are there; {users}; {more}"));
    }
    if !expired.is_empty() {
        let message = format!("keys {} are past their end and are refused; {users}", expired.join(", "));
        return Observed::holds(kind, Reason::KeyExpired, message);
    }
    let message = format!("API keys are there; {users}");
    match access {
        Access::Shared => Observed::fails(kind, Reason::AccessManagementDisabled, message),
        Access::Own(_) => Observed::holds(kind, Reason::Ready, message),
    }
}

/// What of the users an administrator may want to know.
fn of_interest(access: &Access) -> Option<(Reason, String)> {
    let own = match access {
        Access::Shared => return None,
        Access::Own(own) => own,
    };
    let whom = match &own.rotation {
        Rotation::Done => {
            return exposed(own.exposure).map(|told| (Reason::ServerSettingsUnsafe, told.to_owned()));
        }
        Rotation::WaitsFor(pipelines) if pipelines.is_empty() => "the consumers".to_owned(),
        Rotation::WaitsFor(pipelines) => format!("the consumers of the Pipelines {}", pipelines.join(", ")),
    };
    Some((Reason::RotationInProgress, format!("their old passwords end when {whom} have the new one")))
}

fn users(outcome: &Outcome, before: Option<ClickHouseUsersStatus>) -> Option<ClickHouseUsersStatus> {
    match outcome.users.done() {
        Some(Access::Own(own)) => Some(own.users.clone()),
        // Those that were made before are there until the tenant goes, and are found again by this.
        Some(Access::Shared) | None => before,
    }
}

/// The request that is served, until the annotation is another or none.
fn used_rotation(tenant: &AnalyticsTenant, outcome: &Outcome, before: Option<String>) -> Option<String> {
    let request = request(tenant)?;
    let served = match outcome.users.done() {
        Some(Access::Own(own)) if own.rotation == Rotation::Done => own.served.clone(),
        Some(Access::Own(_)) | None => before,
        Some(Access::Shared) => None,
    };
    served.filter(|served| served == request)
}

/// How many keys are taken.
fn active(credentials: &Credentials) -> i32 {
    let active = credentials.keys.iter().filter(|key| key.state == ApiKeyState::Active).count();
    i32::try_from(active).unwrap_or(i32::MAX)
}

/// Whether the id or the database turned out to be somebody else's: nobody may write there in our name. Which one was
/// ours is not forgotten, so that another is not taken for it later.
fn has_lost_the_name(outcome: &Outcome) -> bool {
    let is_rival = match &outcome.spec {
        Progress::Failed(Error::Invalid(invalid)) => match invalid {
            Invalid::NameConflict { .. } => true,
            Invalid::Id { .. }
            | Invalid::Retention { .. }
            | Invalid::RetentionUnit
            | Invalid::RetentionUnset
            | Invalid::RetentionAbovePlan { .. } => false,
        },
        Progress::Failed(_) | Progress::Done(_) | Progress::Waiting(_) | Progress::Untried => false,
    };
    is_rival || matches!(outcome.database.failed(), Some(Error::Unclaimable(_)))
}

/// Whether a tenant says of itself that its id or its database is somebody else's.
pub(crate) fn is_disowned(tenant: &AnalyticsTenant) -> bool {
    let conditions = tenant.status.as_ref().map_or(&[][..], |status| &status.conditions);
    [ConditionType::SpecValid, ConditionType::DatabaseReady]
        .into_iter()
        .filter_map(|kind| conditions::find(conditions, kind))
        .any(|condition| condition.reason == Reason::NameConflict.as_str())
}

/// What a tenant says of itself while its database or its table of events is not there to be written to.
pub(crate) fn loss(tenant: &AnalyticsTenant) -> Option<&Condition> {
    let conditions = tenant.status.as_ref().map_or(&[][..], |status| &status.conditions);
    let is_loss = |condition: &&Condition| {
        [Reason::DatabaseLost, Reason::StorageTableMissing]
            .map(Reason::as_str)
            .contains(&condition.reason.as_str())
    };
    [ConditionType::DatabaseReady, ConditionType::SchemaInSync]
        .into_iter()
        .filter_map(|kind| conditions::find(conditions, kind))
        .find(is_loss)
}

fn endpoints(outcome: &Outcome, before: Option<EndpointsStatus>) -> Option<EndpointsStatus> {
    match &outcome.endpoint {
        Some(ingest) => Some(EndpointsStatus { ingest: Some(ingest.clone()) }),
        None if outcome.pipeline.done().is_some() => None,
        None => before,
    }
}

fn generation(tenant: &AnalyticsTenant) -> i64 {
    tenant.meta().generation.unwrap_or_default()
}

#[cfg(test)]
mod tests;
