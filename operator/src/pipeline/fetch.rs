//! The fetch step of the Pipeline controller. It reads Kubernetes, then Kafka, and writes nothing.

use crds::{AnalyticsTenant, Pipeline};
use jiff::Timestamp;
use k8s_openapi::api::{
    core::v1::Secret,
    networking::v1::{Ingress, NetworkPolicy},
    policy::v1::PodDisruptionBudget,
};
use kube::{ResourceExt as _, api::ObjectMeta};
use schema::{access::Role, names::TopicName};

use super::{
    Error,
    build::{consumer, ingester, settings, topics::sight::Moment},
    claims::{self, Wanted},
    validate::{Source, ValidatedPipeline},
};
use crate::{
    context::{Backends, Context},
    installation::AccessManagement,
    kubernetes, tenant,
    topics::{Topic, Topics as _, TopicsError},
};

/// What the Pipeline meets in the world.
#[derive(Debug)]
pub(crate) struct Fetched {
    /// When this was looked at.
    pub(crate) at: Timestamp,
    pub(crate) tenant: Option<AnalyticsTenant>,
    /// The Secret of the tenant's keys, if there is one.
    pub(crate) keys: Option<Secret>,
    /// The Secret of the tenant's writer in ClickHouse, where the installation makes one and it is there.
    pub(crate) writer: Option<Secret>,
    /// The Secret of the pods' settings, if there is one.
    pub(crate) settings: Option<Secret>,
}

/// Both topics, or why they could not be looked at. Kafka away holds up only what needs it.
#[derive(Debug)]
pub(crate) struct ObservedTopics {
    pub(crate) moment: Moment,
    /// The other Pipeline that their name belongs to, if it does.
    pub(crate) owner: Option<String>,
    pub(crate) topic: Result<Option<Topic>, TopicsError>,
    pub(crate) dead_letter: Result<Option<Topic>, TopicsError>,
}

/// The children that not every spec or installation asks for, as they are there now.
#[derive(Debug)]
pub(crate) struct Optional {
    pub(crate) ingress: Option<ObjectMeta>,
    pub(crate) ingester_budget: Option<ObjectMeta>,
    pub(crate) consumer_budget: Option<ObjectMeta>,
    pub(crate) ingester_policy: Option<ObjectMeta>,
    pub(crate) consumer_policy: Option<ObjectMeta>,
}

/// The Pipeline as the API server has it now: a cache may be older than our own last write.
/// None if it is gone, if another one bears its name by now, or if it cannot be read any longer.
pub(crate) async fn pipeline<B: Backends>(
    ctx: &Context<B>,
    cached: &Pipeline,
) -> Result<Option<Pipeline>, Error> {
    let namespace = cached.namespace().unwrap_or_default();
    let found: Option<Pipeline> = match ctx.kubernetes.get(&namespace, &cached.name_any()).await {
        Err(kubernetes::Error::Unreadable { .. }) => None,
        found => found.map_err(|source| Error::Fetch { source })?,
    };
    Ok(found.filter(|found| found.uid() == cached.uid()))
}

/// The tenant that a Pipeline names.
pub(crate) async fn tenant<B: Backends>(
    ctx: &Context<B>,
    pipeline: &Pipeline,
) -> Result<Option<AnalyticsTenant>, Error> {
    ctx.kubernetes
        .get(&pipeline.namespace().unwrap_or_default(), &pipeline.spec.tenant_ref.name)
        .await
        .map_err(|source| Error::Fetch { source })
}

pub(crate) async fn fetch<B: Backends>(ctx: &Context<B>, pipeline: &Pipeline) -> Result<Fetched, Error> {
    let tenant = tenant(ctx, pipeline).await?;
    Ok(Fetched {
        at: Timestamp::now(),
        keys: keys(ctx, tenant.as_ref()).await?,
        writer: writer(ctx, tenant.as_ref()).await?,
        settings: settings(ctx, pipeline).await?,
        tenant,
    })
}

async fn keys<B: Backends>(
    ctx: &Context<B>,
    tenant: Option<&AnalyticsTenant>,
) -> Result<Option<Secret>, Error> {
    let Some(tenant) = tenant else { return Ok(None) };
    ctx.kubernetes
        .get(&tenant.namespace().unwrap_or_default(), &tenant::keys_secret(&tenant.name_any()))
        .await
        .map_err(|source| Error::Fetch { source })
}

async fn writer<B: Backends>(
    ctx: &Context<B>,
    tenant: Option<&AnalyticsTenant>,
) -> Result<Option<Secret>, Error> {
    match (&ctx.installation.clickhouse.management, tenant) {
        (AccessManagement::Shared, _) | (AccessManagement::Sql(_), None) => Ok(None),
        (AccessManagement::Sql(_), Some(tenant)) => ctx
            .kubernetes
            .get(
                &tenant.namespace().unwrap_or_default(),
                &tenant::credentials::name(&tenant.name_any(), Role::Writer),
            )
            .await
            .map_err(|source| Error::Fetch { source }),
    }
}

async fn settings<B: Backends>(ctx: &Context<B>, pipeline: &Pipeline) -> Result<Option<Secret>, Error> {
    ctx.kubernetes
        .get(&pipeline.namespace().unwrap_or_default(), &settings::name(&pipeline.name_any()))
        .await
        .map_err(|source| Error::Fetch { source })
}

/// The topics of a valid Pipeline, each asked about once: whether one that is not shown is gone is for a later look to
/// say. Read last: while Kafka is away this takes long, and keys do not wait for it.
pub(crate) async fn topics<B: Backends>(
    ctx: &Context<B>,
    pipeline: &Pipeline,
    validated: &ValidatedPipeline,
) -> Result<ObservedTopics, Error> {
    let owner = match validated.unclaimed_name() {
        Some(name) => owner_of(ctx, pipeline, name).await.map_err(|source| Error::Fetch { source })?,
        None => None,
    };
    let name = match &validated.source {
        Source::Http(http) => &http.topic.spec.name,
        Source::Kafka(kafka) => &kafka.topic.name,
    };
    let dead_letter = &validated.dead_letter.spec.name;
    // One after the other: while Kafka is silent one call tries, and the next profits from its answer.
    let topic = ctx.topics.describe(name).await;
    let dead_letter = ctx.topics.describe(dead_letter).await;
    Ok(ObservedTopics { moment: moment(ctx), owner, topic, dead_letter })
}

/// The other Pipeline that a name belongs to, if it does. A cache may lack one that was just made.
pub(crate) async fn owner_of<B: Backends>(
    ctx: &Context<B>,
    pipeline: &Pipeline,
    name: &TopicName,
) -> Result<Option<String>, kubernetes::Error> {
    let all = ctx.kubernetes.list::<Pipeline>(&pipeline.namespace().unwrap_or_default()).await?;
    let wanted =
        Wanted { prefix: &ctx.installation.topic_prefix, tenant: &pipeline.spec.tenant_ref.name, name };
    Ok(claims::owner_of(wanted, pipeline, &all))
}

/// Now, and for how long a topic may not be shown before it is gone.
pub(crate) fn moment<B: Backends>(ctx: &Context<B>) -> Moment {
    Moment { at: Timestamp::now(), patience: ctx.retries.pace.gone }
}

/// The children that not every spec or installation asks for. Keys do not wait for these either.
pub(crate) async fn optional<B: Backends>(ctx: &Context<B>, pipeline: &Pipeline) -> Result<Optional, Error> {
    let (namespace, name) = (pipeline.namespace().unwrap_or_default(), pipeline.name_any());
    let failed = |source| Error::Fetch { source };
    let (ingester, consumer) = (ingester::name(&name), consumer::name(&name));
    Ok(Optional {
        ingress: ctx.kubernetes.get_metadata::<Ingress>(&namespace, &ingester).await.map_err(failed)?,
        ingester_budget: ctx
            .kubernetes
            .get_metadata::<PodDisruptionBudget>(&namespace, &ingester)
            .await
            .map_err(failed)?,
        consumer_budget: ctx
            .kubernetes
            .get_metadata::<PodDisruptionBudget>(&namespace, &consumer)
            .await
            .map_err(failed)?,
        ingester_policy: ctx
            .kubernetes
            .get_metadata::<NetworkPolicy>(&namespace, &ingester)
            .await
            .map_err(failed)?,
        consumer_policy: ctx
            .kubernetes
            .get_metadata::<NetworkPolicy>(&namespace, &consumer)
            .await
            .map_err(failed)?,
    })
}
