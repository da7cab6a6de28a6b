//! The AnalyticsTenant controller: keys, a database with its tables, and the managed Pipeline.
//!
//! ```text
//! reconcile:  fetch* -> keys* -> validate -> database* -> build -> apply* -> status*        deletion:  cleanup*
//! ```

mod apply;
mod build;
mod cleanup;
mod error;
mod fetch;
mod rivals;
mod status;
mod validate;

use std::{sync::Arc, time::Duration};

use crds::AnalyticsTenant;
use jiff::Timestamp;
use kube::{ResourceExt as _, runtime::controller::Action};
use tracing::debug;

use crate::{
    attempt::{self, Subject},
    context::{Backends, Context},
    expiry,
    kubernetes::is_held,
    progress::told,
    protection::{self, Life},
    retries::Pace,
};

use apply::Credentials;
use fetch::Fetched;
use rivals::{Rival, Standing};
use validate::Invalid;

pub(crate) use {
    build::api_keys::name as keys_secret,
    build::credentials,
    error::Error,
    fetch::referenced_names,
    status::{is_disowned, loss},
    validate::scope,
};

/// The field manager of what this controller applies, and the name under which its Events appear.
pub(crate) const MANAGER: &str = "millrace-operator-tenant";

pub(crate) async fn reconcile<B: Backends>(
    tenant: Arc<AnalyticsTenant>,
    ctx: Arc<Context<B>>,
) -> Result<Action, Error> {
    let subject = subject(&tenant);
    // On the heap: the future holds every manifest, and would go over the stack at each hand.
    let work = Box::pin(bring_about(&ctx, &tenant));
    let outcome = attempt::run(&subject, &ctx.retries, work, Error::Interrupted).await;
    if let Err(error) = &outcome
        && !error.is_told()
    {
        status::report_failure(&ctx, &tenant, error).await; // what the status says may not be true any longer
    }
    outcome
}

pub(crate) fn error_policy<B: Backends>(
    tenant: Arc<AnalyticsTenant>,
    error: &Error,
    ctx: Arc<Context<B>>,
) -> Action {
    let delay = attempt::after_failure(&subject(&tenant), error, &ctx.retries);
    after(&tenant, Timestamp::now(), delay)
}

async fn bring_about<B: Backends>(ctx: &Context<B>, cached: &AnalyticsTenant) -> Result<Action, Error> {
    let Some(tenant) = fetch::tenant(ctx, cached).await? else {
        return Ok(Action::await_change());
    };
    match protection::life(&ctx.installation.plans, &tenant) {
        Life::Lives => {
            let tenant = apply::hold(ctx, tenant).await?; // the finalizer, before anything outside is touched
            let tenant = status::announce(ctx, tenant).await?; // conditions, before anything is known
            let fetched = fetch::fetch(ctx, &tenant).await?;
            live(ctx, &tenant, fetched, Life::Lives).await
        }
        Life::Held => live_on(ctx, &tenant).await,
        Life::Goes => cleanup::clean_up(ctx, &tenant).await,
    }
}

/// A protected tenant works as before. One that lost something to Kubernetes, which deletes it already, is left alone.
async fn live_on<B: Backends>(ctx: &Context<B>, tenant: &AnalyticsTenant) -> Result<Action, Error> {
    if !is_held(tenant) {
        return Ok(Action::await_change());
    }
    let fetched = fetch::fetch(ctx, tenant).await?;
    if protection::is_whole(tenant, &fetched.children(&ctx.installation.clickhouse.management)) {
        return live(ctx, tenant, fetched, Life::Held).await;
    }
    status::report_deletion(ctx, tenant, Some(protection::blocked())).await?;
    Ok(Action::requeue(ctx.retries.pace.recheck()))
}

/// Brings about what the spec asks for.
async fn live<B: Backends>(
    ctx: &Context<B>,
    tenant: &AnalyticsTenant,
    fetched: Fetched,
    life: Life,
) -> Result<Action, Error> {
    let looked_at = fetched.at;
    let outcome = match conflict(ctx, tenant, &fetched.rivals).await {
        // Nothing is made for an id that is somebody else's.
        Some(conflict) => apply::Outcome::refused(conflict),
        None => aspects(ctx, tenant, fetched).await,
    };
    status::report(ctx, tenant, &outcome, life).await?;
    next(outcome, ctx.retries.pace, (tenant, looked_at))
}

/// That the id belongs to another tenant, if it does. Where one seems to have it, the comment of the database decides,
/// and if ClickHouse does not answer, what is known.
async fn conflict<B: Backends>(
    ctx: &Context<B>,
    tenant: &AnalyticsTenant,
    rivals: &[Rival],
) -> Option<Invalid> {
    let Rival { namespace, name, .. } = rivals::preceding(tenant, rivals)?.clone();
    let id = validate::id(tenant).ok()?;
    let is_ours = match fetch::database_of(ctx, &id).await {
        Ok(found) => found.is_some_and(|found| rivals::is_named(&found.comment, &validate::owner(tenant))),
        Err(error) => {
            debug!(tenant.name = tenant.name_any(), error = %told(&error), "whose the id is cannot be looked up");
            rivals::standing(tenant) == Standing::HasDatabase
        }
    };
    (!is_ours).then_some(Invalid::NameConflict { id, namespace, name })
}

/// Each aspect of a tenant whose id is its own.
async fn aspects<B: Backends>(
    ctx: &Context<B>,
    tenant: &AnalyticsTenant,
    fetched: Fetched,
) -> apply::Outcome {
    // Before the rest of the spec, which may be refused, and before ClickHouse is asked, which may take long: a key that
    // was revoked dies, and a new one is there.
    let credentials = bring_about_keys(ctx, tenant, &fetched).await;
    let outcome = match validate::validate(&ctx.installation.plans, tenant) {
        Ok(validated) => {
            let desired = build::build(&validated, fetch::database(ctx, &validated).await, fetched.pipeline);
            apply::apply(ctx, tenant, &validated, desired, fetched.users).await
        }
        Err(invalid) => apply::Outcome::refused(invalid),
    };
    outcome.with_credentials(credentials)
}

async fn bring_about_keys<B: Backends>(
    ctx: &Context<B>,
    tenant: &AnalyticsTenant,
    fetched: &Fetched,
) -> Result<Credentials, Error> {
    let (wanted, found) = (validate::wanted_keys(tenant), fetched.keys.clone());
    let secret = apply::hold_keys(ctx, &wanted, found).await?; // a version to fill, so that one operator alone does
    let keys = build::api_keys::api_keys(&wanted, &secret, &fetched.referenced, fetched.at, rand::random);
    apply::apply_keys(ctx, tenant, keys).await
}

/// When to look again. A failure is the attempt's failure; the aspects beside it were
/// brought about all the same.
fn next(
    outcome: apply::Outcome,
    pace: Pace,
    (tenant, looked_at): (&AnalyticsTenant, Timestamp),
) -> Result<Action, Error> {
    let delay = if outcome.is_complete() { pace.recheck() } else { pace.soon() };
    match outcome.into_failure() {
        Some(failure) => Err(failure),
        None => Ok(after(tenant, looked_at, delay)),
    }
}

/// After the delay, or when the next key ends: its end is told whatever else fails.
fn after(tenant: &AnalyticsTenant, looked_at: Timestamp, delay: Duration) -> Action {
    Action::requeue(expiry::not_after(Some(tenant), looked_at, delay))
}

fn subject(tenant: &AnalyticsTenant) -> Subject {
    Subject {
        controller: "tenant",
        uid: tenant.uid().unwrap_or_default(),
        namespace: tenant.namespace().unwrap_or_default(),
        name: tenant.name_any(),
    }
}

#[cfg(test)]
mod tests;
