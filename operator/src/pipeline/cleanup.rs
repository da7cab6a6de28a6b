//! The cleanup step of the Pipeline controller: its pods, then its topics, then the finalizer.
//!
//! Every part can be run again, and what is absent is done. It creates nothing and reads no Secret, since the
//! namespace may be going away.

use crds::{
    AnalyticsTenant, Pipeline, analytics_tenant::DeletionPolicy, event::EventReason, pipeline::TopicStatus,
};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::Deployment;
use kube::{Resource as _, ResourceExt as _, runtime::controller::Action};
use schema::names::{PipelineName, TopicId, TopicName, TopicPrefix};
use tracing::info;

use super::{
    Error,
    build::{consumer, ingester},
    fetch, status,
    validate::{self, Recorded},
};
use crate::{
    conditions::Observed,
    context::{Backends, Context},
    kubernetes::{is_controlled_by, is_held},
    labels,
    progress::told,
    retained,
    topics::{Topic, Topics as _},
};

/// Pods on a node that is gone never say that they ended; after this time they are not waited for any longer.
const LONGEST_STOP: SignedDuration = SignedDuration::from_secs(300);

pub(crate) async fn clean_up<B: Backends>(ctx: &Context<B>, pipeline: &Pipeline) -> Result<Action, Error> {
    if !is_held(pipeline) {
        return Ok(Action::await_change());
    }
    let pods = stop_pods(ctx, pipeline).await?;
    if pods == Pods::Stopping && !is_overdue(pipeline, Timestamp::now()) {
        status::report_deletion(ctx, pipeline, None).await?;
        return Ok(Action::requeue(ctx.retries.pace.soon()));
    }
    if let Err(error) = settle_topics(ctx, pipeline).await {
        if !is_abandoned(pipeline) {
            status::report_deletion(ctx, pipeline, Some(Observed::blocked(&error))).await?;
            return Err(error);
        }
        let note = format!("the topics were left as they are, as the annotation asks: {}", told(&error));
        ctx.events.tell(pipeline.object_ref(&()), EventReason::ExternalResourcesAbandoned, note).await;
    }
    ctx.kubernetes.remove_finalizer(pipeline).await.map_err(|source| Error::LetGo { source })?;
    ctx.retries.forget(&pipeline.uid().unwrap_or_default());
    info!(pipeline.name = pipeline.name_any(), "pipeline `{}` is gone", pipeline.name_any());
    Ok(Action::await_change())
}

/// Whether pods are left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pods {
    Stopping,
    Gone,
}

/// Stops the ingester, so that nothing more is acknowledged, and the consumer. A Deployment that is deleted in the
/// foreground stays until its pods are gone.
async fn stop_pods<B: Backends>(ctx: &Context<B>, pipeline: &Pipeline) -> Result<Pods, Error> {
    let failed = |source| Error::StopPods { source };
    let (namespace, name) = (pipeline.namespace().unwrap_or_default(), pipeline.name_any());
    let mut pods = Pods::Gone;
    for deployment in [ingester::name(&name), consumer::name(&name)] {
        let found =
            ctx.kubernetes.get_metadata::<Deployment>(&namespace, &deployment).await.map_err(failed)?;
        let ours = found.filter(|found| is_controlled_by(found, &pipeline.uid().unwrap_or_default()));
        let Some(found) = ours else { continue };
        pods = Pods::Stopping;
        if found.deletion_timestamp.is_none() {
            ctx.kubernetes.delete::<Deployment>(&found).await.map_err(failed)?;
        }
    }
    Ok(pods)
}

fn is_overdue(pipeline: &Pipeline, now: Timestamp) -> bool {
    let deleted = pipeline.meta().deletion_timestamp.as_ref();
    deleted.is_some_and(|deleted| now.duration_since(deleted.0) > LONGEST_STOP)
}

/// Keeps or deletes the topics.
async fn settle_topics<B: Backends>(ctx: &Context<B>, pipeline: &Pipeline) -> Result<(), Error> {
    let tenant = fetch::tenant(ctx, pipeline).await?;
    match policy(pipeline, tenant.as_ref()) {
        DeletionPolicy::Retain => keep(ctx, pipeline, tenant.as_ref()).await,
        DeletionPolicy::Delete => delete(ctx, pipeline).await,
    }
}

/// The Pipeline's own word, else the tenant's, else the safe one.
fn policy(pipeline: &Pipeline, tenant: Option<&AnalyticsTenant>) -> DeletionPolicy {
    let own = pipeline.spec.deletion_policy.as_ref().map(|policy| policy.kafka);
    own.or_else(|| tenant.map(|tenant| tenant.spec.deletion_policy.kafka)).unwrap_or_default()
}

/// Notes the topics with the tenant, so that the next Pipeline of this name may take them over.
async fn keep<B: Backends>(
    ctx: &Context<B>,
    pipeline: &Pipeline,
    tenant: Option<&AnalyticsTenant>,
) -> Result<(), Error> {
    let Some(tenant) = tenant else { return Ok(()) };
    let ids: Vec<TopicId> = recorded_topics(pipeline)
        .filter_map(|topic| match validate::recorded(Some(topic)) {
            Recorded::Incarnation(id) => Some(id),
            Recorded::Nothing | Recorded::Intended => None,
        })
        .collect();
    retained::note(ctx, tenant, &ids).await.map_err(|source| Error::NoteTopics { source })
}

/// Deletes those topics that are still the incarnations that the status tells of. One whose name this Pipeline cannot
/// have is not touched, since a status may have been written by hand; it is named, and not silently left.
async fn delete<B: Backends>(ctx: &Context<B>, pipeline: &Pipeline) -> Result<(), Error> {
    let prefix = &ctx.installation.topic_prefix;
    let mut foreign = None;
    for status in recorded_topics(pipeline) {
        // Kafka has no topic of a name that it would refuse.
        let Ok(name) = TopicName::parse(&status.name) else { continue };
        let found = ctx.topics.describe(&name).await.map_err(|source| Error::DescribeTopic { source })?;
        let Some(topic) = found.filter(|found| is_ours(found, status)) else { continue };
        if can_be_named(prefix, pipeline, &name) {
            ctx.topics.delete(&topic).await.map_err(|source| Error::DeleteTopic { source })?;
        } else {
            foreign = Some(Error::ForeignTopic { topic: name, prefix: prefix.clone() });
        }
    }
    foreign.map_or(Ok(()), Err)
}

/// Whether a topic of this Pipeline can have this name.
fn can_be_named(prefix: &TopicPrefix, pipeline: &Pipeline, name: &TopicName) -> bool {
    PipelineName::parse(&pipeline.name_any()).is_ok_and(|pipeline| name.belongs_to(prefix, &pipeline))
}

/// Whether a topic is the one that the status tells of. Another of its name is none of ours to delete.
fn is_ours(found: &Topic, status: &TopicStatus) -> bool {
    match validate::recorded(Some(status)) {
        Recorded::Incarnation(id) => found.id == id,
        Recorded::Intended => true,
        Recorded::Nothing => false,
    }
}

/// The topics of the status that are ours: that of a source is somebody else's, to keep and to delete.
fn recorded_topics(pipeline: &Pipeline) -> impl Iterator<Item = &TopicStatus> {
    let has_own = pipeline.spec.source.kafka.is_none();
    pipeline.status.iter().flat_map(move |status| {
        let own = status.topic.as_ref().filter(|_| has_own);
        own.into_iter().chain(status.dead_letter_topic.iter())
    })
}

fn is_abandoned(pipeline: &Pipeline) -> bool {
    pipeline.annotations().get(labels::ABANDON_EXTERNAL).is_some_and(|value| value == "true")
}

#[cfg(test)]
mod tests;
