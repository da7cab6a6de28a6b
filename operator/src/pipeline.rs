//! The Pipeline controller: the topics, the settings, the ingester and the consumer.
//!
//! ```text
//! reconcile:  fetch* -> keys* -> validate -> build -> apply* -> status*        deletion:  cleanup*
//! ```

mod apply;
mod build;
mod claims;
mod cleanup;
mod drain;
mod error;
mod fetch;
mod status;
mod stop;
mod validate;

use std::sync::Arc;

use crds::Pipeline;
use jiff::Timestamp;
use kube::{Resource as _, ResourceExt as _, runtime::controller::Action};

use crate::{
    attempt::{self, Subject},
    context::{Backends, Context},
    expiry,
    kubernetes::Guarded,
    retries::Pace,
};

pub(crate) use error::Error;

/// The field manager of what this controller applies, and the name under which its Events appear.
pub(crate) const MANAGER: &str = "millrace-operator-pipeline";

pub(crate) async fn reconcile<B: Backends>(
    pipeline: Arc<Pipeline>,
    ctx: Arc<Context<B>>,
) -> Result<Action, Error> {
    let subject = subject(&pipeline);
    // On the heap: the future holds every manifest, and would go over the stack at each hand.
    let work = Box::pin(bring_about(&ctx, &pipeline));
    let outcome = attempt::run(&subject, &ctx.retries, work, Error::Interrupted).await;
    if let Err(error) = &outcome
        && !error.is_told()
    {
        status::report_failure(&ctx, &pipeline, error).await; // what the status says may not be true any longer
    }
    outcome
}

pub(crate) fn error_policy<B: Backends>(
    pipeline: Arc<Pipeline>,
    error: &Error,
    ctx: Arc<Context<B>>,
) -> Action {
    Action::requeue(attempt::after_failure(&subject(&pipeline), error, &ctx.retries))
}

async fn bring_about<B: Backends>(ctx: &Context<B>, cached: &Pipeline) -> Result<Action, Error> {
    let Some(pipeline) = fetch::pipeline(ctx, cached).await? else {
        return Ok(Action::await_change());
    };
    if pipeline.meta().deletion_timestamp.is_some() {
        return cleanup::clean_up(ctx, &pipeline).await;
    }
    let pipeline = apply::hold(ctx, pipeline).await?; // the finalizer, before anything outside is touched
    let pipeline = status::announce(ctx, pipeline).await?; // conditions, before anything is known
    let fetched = fetch::fetch(ctx, &pipeline).await?;
    // Before anything that can fail: a key that was revoked dies, though Kafka is away or the spec is refused.
    let keys = apply::apply_keys(ctx, build::keys(&pipeline, &fetched)).await;
    let outcome = match validate::validate(&ctx.installation, &pipeline, &fetched) {
        Ok(validated) => {
            let existing = fetch::optional(ctx, &pipeline).await?;
            let tenant = fetched.tenant.as_ref();
            let (wish, begun) = stop::wish(ctx, &pipeline, tenant, Timestamp::now()).await?;
            let pipeline = begun.as_ref().unwrap_or(&pipeline);
            let plans = build::topics(&validated, fetch::topics(ctx, pipeline, &validated).await?);
            let topics = apply::apply_topics(ctx, pipeline, plans).await.noted_after(begun.as_ref());
            let pods = build::wanted_pods(topics.runnable, &wish);
            let desired = build::build(&ctx.installation, &validated, topics.known, pods);
            let work = apply::Work { validated: &validated, desired, existing: &existing, wish: &wish };
            apply::apply(ctx, pipeline, topics, work).await
        }
        Err(obstacle) => {
            apply::stop(ctx, &pipeline, obstacle, stop::suspended(fetched.tenant.as_ref())).await
        }
    };
    let outcome = outcome.with_keys(keys);
    status::report(ctx, &pipeline, &outcome).await?;
    next(outcome, ctx.retries.pace, &fetched)
}

/// When to look again: no later than the next key ends. A failure is the attempt's failure; the aspects beside it were
/// brought about all the same.
fn next(outcome: apply::Outcome, pace: Pace, fetched: &fetch::Fetched) -> Result<Action, Error> {
    let delay = match (outcome.is_draining() || outcome.awaits_a_topic(), outcome.is_complete()) {
        (true, _) => pace.draining(),
        (false, true) => pace.recheck(),
        (false, false) => pace.soon(),
    };
    match outcome.into_failure() {
        Some(failure) => Err(failure),
        None => Ok(Action::requeue(expiry::not_after(fetched.tenant.as_ref(), fetched.at, delay))),
    }
}

/// The name of the tenant that a Pipeline names, also where the rest of it cannot be read.
pub(crate) fn tenant_name(pipeline: &Guarded<Pipeline>) -> Option<&str> {
    match &pipeline.0 {
        Ok(pipeline) => Some(&pipeline.spec.tenant_ref.name),
        Err(unreadable) => unreadable.text("/spec/tenantRef/name"),
    }
}

fn subject(pipeline: &Pipeline) -> Subject {
    Subject {
        controller: "pipeline",
        uid: pipeline.uid().unwrap_or_default(),
        namespace: pipeline.namespace().unwrap_or_default(),
        name: pipeline.name_any(),
    }
}

#[cfg(test)]
mod tests;
