//! The end of a Pipeline's work: its pods on their way out, and what they left behind.
//!
//! It reads Kubernetes and Kafka, and writes nothing.

use std::fmt;

use crds::{AnalyticsTenant, Pipeline, pipeline::TopicStatus};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::Deployment;
use kube::ResourceExt as _;
use schema::{
    names::{ConsumerGroup, PipelineName, TableGeneration, TopicName, TopicPrefix},
    tenant_id::TenantId,
};
use uuid::Uuid;

use super::{
    Error,
    validate::{self, Recorded},
};
use crate::{
    context::{Backends, Context},
    kubernetes::is_controlled_by,
    topics::{Topic, Topics as _, TopicsError},
};

/// Pods on a node that is gone never say that they ended; after this time they are not waited for any longer.
const LONGEST_STOP: SignedDuration = SignedDuration::from_secs(300);

/// The pods of one Deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pods {
    Running,
    /// None are asked for; the Deployment is there.
    Idle,
    /// The Deployment is being deleted.
    Stopping,
    Gone,
}

impl Pods {
    pub(crate) fn has_to_be_stopped(self) -> bool {
        match self {
            Self::Running | Self::Idle => true,
            Self::Stopping | Self::Gone => false,
        }
    }
}

/// Whether the consumer may go on storing what is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Time {
    Left,
    Over,
}

impl Time {
    /// What is left at `now` of the time that the Pipeline gives a drain which began at `start`.
    pub(crate) fn since(start: Timestamp, pipeline: &Pipeline, now: Timestamp) -> Self {
        let allowed = SignedDuration::from_secs(pipeline.spec.drain_timeout_seconds.into());
        if now.duration_since(start) >= allowed { Self::Over } else { Self::Left }
    }
}

/// Records of the Pipeline's own topic that are not stored. There is at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unstored {
    pub(crate) topic: Topic,
    pub(crate) records: u64,
}

/// What is not stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Left {
    Nothing,
    Records(Unstored),
    /// Kafka did not say.
    Unknown,
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("everything is stored"),
            Self::Records(unstored) => write!(f, "{} records are not stored yet", about(unstored.records)),
            Self::Unknown => f.write_str("Kafka does not say how many records are not stored yet"),
        }
    }
}

/// A number of which only the size changes, so that a long drain is not told of at every look.
fn about(records: u64) -> String {
    match records.checked_ilog10() {
        None | Some(0) => records.to_string(),
        Some(digits) => format!("at least {}", 10_u64.pow(digits)),
    }
}

/// The pods of one Deployment of the Pipeline.
pub(crate) async fn pods<B: Backends>(
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

/// What the status says of the Pipeline's own topic of events. With `source.kafka` it has none.
pub(crate) fn own_topic(pipeline: &Pipeline) -> Option<&TopicStatus> {
    let has_own = pipeline.spec.source.kafka.is_none();
    pipeline.status.as_ref().and_then(|status| status.topic.as_ref()).filter(|_| has_own)
}

/// What of the Pipeline's own topic is not stored; none if all is, or if there is no such topic.
pub(crate) async fn count<B: Backends>(
    ctx: &Context<B>,
    pipeline: &Pipeline,
    tenant: Option<&AnalyticsTenant>,
) -> Result<Option<Unstored>, Error> {
    let Some(topic) = living_topic(ctx, pipeline, tenant).await? else { return Ok(None) };
    let group = ConsumerGroup::of(&topic.name, topic.id, generation(pipeline, tenant));
    let records =
        ctx.topics.unstored(&topic, &group).await.map_err(|source| Error::CountUnstored { source })?;
    Ok((records > 0).then_some(Unstored { topic, records }))
}

/// The Pipeline's own topic as it is, if it is still the one that the status tells of.
async fn living_topic<B: Backends>(
    ctx: &Context<B>,
    pipeline: &Pipeline,
    tenant: Option<&AnalyticsTenant>,
) -> Result<Option<Topic>, Error> {
    let Some(status) = own_topic(pipeline) else { return Ok(None) };
    // Kafka has no topic of a name that it would refuse.
    let Ok(name) = TopicName::parse(&status.name) else { return Ok(None) };
    if !can_be_named(&ctx.installation.topic_prefix, pipeline, tenant, &name) {
        return Ok(None);
    }
    let found = topic(ctx, &name, status).await.map_err(|source| Error::DescribeTopic { source })?;
    Ok(found.filter(|found| is_ours(found, status)))
}

/// What bears a topic's name. Where it is not the recorded one that one is waited for: what depends on the answer is
/// decided once, and neither a broker that lags behind nor what an earlier look missed must decide it.
async fn topic<B: Backends>(
    ctx: &Context<B>,
    name: &TopicName,
    status: &TopicStatus,
) -> Result<Option<Topic>, TopicsError> {
    let found = ctx.topics.describe(name).await?;
    match validate::recorded(Some(status)) {
        Recorded::Incarnation(id) if found.as_ref().is_none_or(|found| found.id != id) => {
            ctx.topics.search(name, id).await
        }
        Recorded::Incarnation(_) | Recorded::Nothing | Recorded::Intended => Ok(found),
    }
}

/// The table that the consumer writes to. Where none was ever known, no group has stored anything, and one that never
/// was says so.
fn generation(pipeline: &Pipeline, tenant: Option<&AnalyticsTenant>) -> TableGeneration {
    let of_pipeline = pipeline.status.as_ref().and_then(|status| status.table.as_ref());
    let of_tenant = tenant.and_then(|tenant| tenant.status.as_ref()?.database.as_ref()?.table_uuid.as_ref());
    let known = of_pipeline.map(|table| &table.uuid).or(of_tenant);
    TableGeneration(known.and_then(|uuid| Uuid::try_parse(uuid).ok()).unwrap_or_default())
}

/// Whether a topic of this Pipeline can have this name. What the id of a tenant was that is gone, nobody knows.
pub(crate) fn can_be_named(
    prefix: &TopicPrefix,
    pipeline: &Pipeline,
    tenant: Option<&AnalyticsTenant>,
    name: &TopicName,
) -> bool {
    let tenant_id = tenant.and_then(|tenant| tenant.status.as_ref()?.tenant_id.as_deref());
    let tenant_id = tenant_id.and_then(|id| TenantId::parse(id).ok());
    let is_the_tenants = tenant_id.is_none_or(|id| name.is_of(prefix, &id));
    let is_its_own = match pipeline.spec.topic.name.as_deref().map(TopicName::parse_given) {
        Some(Ok(given)) => given.is_below(prefix) && (*name == given || *name == given.dead_letter()),
        Some(Err(_)) => false,
        None => {
            PipelineName::parse(&pipeline.name_any()).is_ok_and(|pipeline| name.belongs_to(prefix, &pipeline))
        }
    };
    is_the_tenants && is_its_own
}

/// Whether a topic is the one that the status tells of. Another of its name is none of ours to delete.
pub(crate) fn is_ours(found: &Topic, status: &TopicStatus) -> bool {
    match validate::recorded(Some(status)) {
        Recorded::Incarnation(id) => found.id == id,
        Recorded::Intended => true,
        Recorded::Nothing => false,
    }
}

#[cfg(test)]
mod tests;
