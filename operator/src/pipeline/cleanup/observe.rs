//! What a deletion looks at before Kafka.

use crds::{AnalyticsTenant, Pipeline, analytics_tenant::DeletionPolicy};
use jiff::Timestamp;
use kube::{Resource as _, ResourceExt as _};

use super::{
    super::{
        Error,
        build::{consumer, ingester},
        drain::{Time, own_topic, pods},
    },
    plan::{External, Observed, Policy, Stake},
};
use crate::{
    context::{Backends, Context},
    labels,
    plans::{Deletion, Plans},
    protection,
};

pub(super) async fn observe<B: Backends>(
    ctx: &Context<B>,
    pipeline: &Pipeline,
    tenant: Option<&AnalyticsTenant>,
    now: Timestamp,
) -> Result<Observed, Error> {
    let name = pipeline.name_any();
    Ok(Observed {
        ingester: pods(ctx, pipeline, &ingester::name(&name), now).await?,
        consumer: pods(ctx, pipeline, &consumer::name(&name), now).await?,
        stake: stake(pipeline, tenant),
        time: time(pipeline, now),
        policy: policy(&ctx.installation.plans, pipeline, tenant),
        external: external(pipeline),
    })
}

fn stake(pipeline: &Pipeline, tenant: Option<&AnalyticsTenant>) -> Stake {
    let has_topic = own_topic(pipeline).is_some();
    let do_tables_go = tenant.is_some_and(|tenant| {
        let policy = tenant.spec.deletion_policy.clickhouse;
        tenant.meta().deletion_timestamp.is_some() && policy == DeletionPolicy::Delete
    });
    if has_topic && !do_tables_go { Stake::Records } else { Stake::Nothing }
}

/// What is left of the time of the drain, all of it before the drain begins.
pub(super) fn time(pipeline: &Pipeline, now: Timestamp) -> Time {
    let drain = pipeline.status.as_ref().and_then(|status| status.drain.as_ref());
    drain.map_or(Time::Left, |drain| Time::since(drain.started_at.0, pipeline, now))
}

/// The Pipeline's own word, else the tenant's, else the safe one; and the tenant's protection above all.
fn policy(plans: &Plans, pipeline: &Pipeline, tenant: Option<&AnalyticsTenant>) -> Policy {
    let own = pipeline.spec.deletion_policy.as_ref().and_then(|policy| policy.kafka);
    let asked = own.or_else(|| tenant.map(|tenant| tenant.spec.deletion_policy.kafka)).unwrap_or_default();
    Policy::of(asked, tenant.map_or(Deletion::Allowed, |tenant| protection::deletion(plans, tenant)))
}

fn external(pipeline: &Pipeline) -> External {
    let is_abandoned =
        pipeline.annotations().get(labels::ABANDON_EXTERNAL).is_some_and(|value| value == "true");
    if is_abandoned { External::Abandoned } else { External::WaitedFor }
}

#[cfg(test)]
mod tests;
