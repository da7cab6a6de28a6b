//! What a deletion looks at: Kubernetes first, and Kafka where the plan needs the number of records.

use crds::{AnalyticsTenant, Pipeline, analytics_tenant::DeletionPolicy};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::Deployment;
use kube::{Resource as _, ResourceExt as _};
use schema::names::{ConsumerGroup, TableGeneration, TopicName};
use uuid::Uuid;

use super::{
    super::{
        Error,
        build::{consumer, ingester},
        fetch, validate,
    },
    plan::{External, Observed, Pods, Stake, Time, Unstored},
    topics::{can_be_named, is_ours},
};
use crate::{
    context::{Backends, Context},
    kubernetes::is_controlled_by,
    labels,
    topics::{Topic, Topics as _},
};

/// Pods on a node that is gone never say that they ended; after this time they are not waited for any longer.
const LONGEST_STOP: SignedDuration = SignedDuration::from_secs(300);

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
        policy: policy(pipeline, tenant),
        external: external(pipeline),
    })
}

async fn pods<B: Backends>(
    ctx: &Context<B>,
    pipeline: &Pipeline,
    deployment: &str,
    now: Timestamp,
) -> Result<Pods, Error> {
    let namespace = pipeline.namespace().unwrap_or_default();
    let found = ctx
        .kubernetes
        .get::<Deployment>(&namespace, deployment)
        .await
        .map_err(|source| Error::StopPods { source })?;
    let is_ours = |found: &Deployment| is_controlled_by(&found.metadata, &pipeline.uid().unwrap_or_default());
    Ok(found.filter(is_ours).map_or(Pods::Gone, |found| pods_of(&found, now)))
}

/// A Deployment that is deleted in the foreground stays until its pods are gone.
fn pods_of(deployment: &Deployment, now: Timestamp) -> Pods {
    let replicas = deployment.spec.as_ref().and_then(|spec| spec.replicas);
    match &deployment.metadata.deletion_timestamp {
        Some(deleted) if now.duration_since(deleted.0) > LONGEST_STOP => Pods::Gone,
        Some(_) => Pods::Stopping,
        None if replicas == Some(0) => Pods::Idle,
        None => Pods::Running,
    }
}

fn stake(pipeline: &Pipeline, tenant: Option<&AnalyticsTenant>) -> Stake {
    let has_topic = own_topic(pipeline).is_some();
    let do_tables_go = tenant.is_some_and(|tenant| {
        let policy = tenant.spec.deletion_policy.clickhouse;
        tenant.meta().deletion_timestamp.is_some() && policy == DeletionPolicy::Delete
    });
    if has_topic && !do_tables_go { Stake::Records } else { Stake::Nothing }
}

/// What the status says of the Pipeline's own topic of events. With `source.kafka` it has none.
pub(super) fn own_topic(pipeline: &Pipeline) -> Option<&crds::pipeline::TopicStatus> {
    let has_own = pipeline.spec.source.kafka.is_none();
    pipeline.status.as_ref().and_then(|status| status.topic.as_ref()).filter(|_| has_own)
}

fn time(pipeline: &Pipeline, now: Timestamp) -> Time {
    let allowed = SignedDuration::from_secs(pipeline.spec.drain_timeout_seconds.into());
    let deleted = pipeline.meta().deletion_timestamp.as_ref();
    if deleted.is_some_and(|deleted| now.duration_since(deleted.0) >= allowed) {
        Time::Over
    } else {
        Time::Left
    }
}

/// The Pipeline's own word, else the tenant's, else the safe one.
fn policy(pipeline: &Pipeline, tenant: Option<&AnalyticsTenant>) -> DeletionPolicy {
    let own = pipeline.spec.deletion_policy.as_ref().map(|policy| policy.kafka);
    own.or_else(|| tenant.map(|tenant| tenant.spec.deletion_policy.kafka)).unwrap_or_default()
}

fn external(pipeline: &Pipeline) -> External {
    let is_abandoned =
        pipeline.annotations().get(labels::ABANDON_EXTERNAL).is_some_and(|value| value == "true");
    if is_abandoned { External::Abandoned } else { External::WaitedFor }
}

/// What of the Pipeline's own topic is not stored; none if all is, or if there is no such topic.
pub(super) async fn count<B: Backends>(
    ctx: &Context<B>,
    pipeline: &Pipeline,
    tenant: Option<&AnalyticsTenant>,
) -> Result<Option<Unstored>, Error> {
    let Some(topic) = living_topic(ctx, pipeline).await? else { return Ok(None) };
    let group = ConsumerGroup::of(&topic.name, topic.id, generation(pipeline, tenant));
    let records =
        ctx.topics.unstored(&topic, &group).await.map_err(|source| Error::CountUnstored { source })?;
    Ok((records > 0).then_some(Unstored { topic, records }))
}

/// The Pipeline's own topic as it is, if it is still the one that the status tells of.
async fn living_topic<B: Backends>(ctx: &Context<B>, pipeline: &Pipeline) -> Result<Option<Topic>, Error> {
    let Some(status) = own_topic(pipeline) else { return Ok(None) };
    // Kafka has no topic of a name that it would refuse.
    let Ok(name) = TopicName::parse(&status.name) else { return Ok(None) };
    if !can_be_named(&ctx.installation.topic_prefix, pipeline, &name) {
        return Ok(None);
    }
    let found = fetch::topic(ctx, &name, validate::recorded(Some(status)))
        .await
        .map_err(|source| Error::DescribeTopic { source })?;
    Ok(found.filter(|found| is_ours(found, status)))
}

/// The table that the consumer writes to. Where none was ever known, no group has stored anything, and one that never
/// was says so.
fn generation(pipeline: &Pipeline, tenant: Option<&AnalyticsTenant>) -> TableGeneration {
    let of_pipeline = pipeline.status.as_ref().and_then(|status| status.table.as_ref());
    let of_tenant = tenant.and_then(|tenant| tenant.status.as_ref()?.database.as_ref()?.table_uuid.as_ref());
    let known = of_pipeline.map(|table| &table.uuid).or(of_tenant);
    TableGeneration(known.and_then(|uuid| Uuid::try_parse(uuid).ok()).unwrap_or_default())
}

#[cfg(test)]
mod tests;
