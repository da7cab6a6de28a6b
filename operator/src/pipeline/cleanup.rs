//! The cleanup step of the Pipeline controller: its ingester, what is not stored yet, its consumer, then its topics,
//! then the finalizer.
//!
//! Every part can be run again, and what is absent is done. It creates nothing and reads no Secret, since the
//! namespace may be going away.

mod observe;
mod plan;
mod topics;

use crds::{AnalyticsTenant, Pipeline, Reason};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use kube::{ResourceExt as _, runtime::controller::Action};
use tracing::info;

use super::{
    Error,
    build::{consumer, ingester},
    drain, fetch, status,
};
use crate::{
    conditions,
    context::{Backends, Context},
    kubernetes::{is_controlled_by, is_held},
    progress::Problem as _,
    protection::{self, Life},
};
use plan::{Drain, External, Observed, Stake, Step, Stop};

pub(crate) async fn clean_up<B: Backends>(ctx: &Context<B>, pipeline: &Pipeline) -> Result<Action, Error> {
    if !is_held(pipeline) {
        return Ok(Action::await_change());
    }
    let tenant = fetch::tenant(ctx, pipeline).await?;
    if let Some(tenant) = tenant.as_ref().filter(|tenant| is_held_back(ctx, tenant)) {
        status::report_blocked(ctx, pipeline, protection::blocked_with(tenant)).await?;
        return Ok(Action::requeue(ctx.retries.pace.recheck()));
    }
    let now = Timestamp::now();
    let observed = observe::observe(ctx, pipeline, tenant.as_ref(), now).await?;
    let begun = begin_drain(ctx, pipeline, &observed, now).await?;
    let (pipeline, observed) = match &begun {
        Some(begun) => (begun, Observed { time: observe::time(begun, now), ..observed }),
        None => (pipeline, observed),
    };
    match plan::next(&observed) {
        Step::Stop(which) => stop_pods(ctx, pipeline, which).await,
        Step::AwaitPods => await_pods(ctx, pipeline).await,
        Step::Drain => drain(ctx, pipeline, tenant.as_ref(), &observed).await,
        Step::SettleTopics => settle_topics(ctx, pipeline, tenant.as_ref(), &observed).await,
    }
}

/// Whether the tenant is to be deleted and is protected. Then it is with the tenant that the Pipeline is deleted: by
/// Kubernetes in the foreground, or with their namespace.
fn is_held_back<B: Backends>(ctx: &Context<B>, tenant: &AnalyticsTenant) -> bool {
    match protection::life(&ctx.installation.plans, tenant) {
        Life::Held => true,
        Life::Lives | Life::Goes => false,
    }
}

/// Notes when the time of a drain begins: with the first look that may go on, however long ago the deletion was asked
/// for. Gives the Pipeline as it is then, if that changed it.
async fn begin_drain<B: Backends>(
    ctx: &Context<B>,
    pipeline: &Pipeline,
    observed: &Observed,
    now: Timestamp,
) -> Result<Option<Pipeline>, Error> {
    let is_begun = pipeline.status.as_ref().is_some_and(|status| status.drain.is_some());
    if is_begun || !observed.can_drain() {
        return Ok(None);
    }
    status::begin_drain(ctx, pipeline, now).await.map(|(begun, _)| Some(begun))
}

async fn stop_pods<B: Backends>(ctx: &Context<B>, pipeline: &Pipeline, which: Stop) -> Result<Action, Error> {
    let (ingester, consumer) = (ingester::name(&pipeline.name_any()), consumer::name(&pipeline.name_any()));
    let deployments = match which {
        Stop::Ingester => vec![ingester],
        Stop::Consumer => vec![consumer],
        Stop::Both => vec![ingester, consumer],
    };
    let failed = |source| Error::StopPods { source };
    let namespace = pipeline.namespace().unwrap_or_default();
    for deployment in deployments {
        let found =
            ctx.kubernetes.get_metadata::<Deployment>(&namespace, &deployment).await.map_err(failed)?;
        let ours = found.filter(|found| is_controlled_by(found, &pipeline.uid().unwrap_or_default()));
        if let Some(found) = ours.filter(|found| found.deletion_timestamp.is_none()) {
            ctx.kubernetes.delete::<Deployment>(&found).await.map_err(failed)?;
        }
    }
    await_pods(ctx, pipeline).await
}

async fn await_pods<B: Backends>(ctx: &Context<B>, pipeline: &Pipeline) -> Result<Action, Error> {
    status::report_going(ctx, pipeline, "being deleted: the pods are stopping".to_owned()).await?;
    Ok(Action::requeue(ctx.retries.pace.soon()))
}

/// Lets the consumer store what is left, and stops it when it has, or may not go on.
async fn drain<B: Backends>(
    ctx: &Context<B>,
    pipeline: &Pipeline,
    tenant: Option<&AnalyticsTenant>,
    observed: &Observed,
) -> Result<Action, Error> {
    match plan::drain(observed, drain::count(ctx, pipeline, tenant).await) {
        Drain::IsOver => stop_pods(ctx, pipeline, Stop::Consumer).await,
        Drain::GoesOn(left) => {
            status::report_going(ctx, pipeline, format!("being deleted: {left}")).await?;
            Ok(Action::requeue(ctx.retries.pace.draining()))
        }
        Drain::Blocked(error) => Err(blocked(ctx, pipeline, error).await?),
    }
}

/// Settles the topics and removes the finalizer, once no pod is left.
async fn settle_topics<B: Backends>(
    ctx: &Context<B>,
    pipeline: &Pipeline,
    tenant: Option<&AnalyticsTenant>,
    observed: &Observed,
) -> Result<Action, Error> {
    let counted = match observed.stake {
        Stake::Records => Some(drain::count(ctx, pipeline, tenant).await),
        Stake::Nothing => None,
    };
    let fate = plan::fate(observed.policy, counted);
    let settled = match (topics::settle(ctx, pipeline, tenant, fate).await, observed.external) {
        (Err(error), External::Abandoned) if error.is_of_kafka() => {
            topics::abandon(ctx, pipeline, tenant, &error).await
        }
        (settled, External::Abandoned | External::WaitedFor) => settled,
    };
    if let Err(error) = settled {
        return Err(blocked(ctx, pipeline, error).await?);
    }
    ctx.kubernetes.remove_finalizer(pipeline).await.map_err(|source| Error::LetGo { source })?;
    ctx.retries.forget(&pipeline.uid().unwrap_or_default());
    info!(pipeline.name = pipeline.name_any(), "pipeline `{}` is gone", pipeline.name_any());
    Ok(Action::await_change())
}

/// The failure that holds the deletion, after it was told. What changed since it was read is read again at the next look,
/// and holds nothing.
async fn blocked<B: Backends>(ctx: &Context<B>, pipeline: &Pipeline, error: Error) -> Result<Error, Error> {
    if error.reason() != Reason::KubernetesChanged {
        status::report_blocked(ctx, pipeline, conditions::Observed::blocked(&error)).await?;
    }
    Ok(error)
}

#[cfg(test)]
mod tests;
