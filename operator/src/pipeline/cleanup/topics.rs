//! What becomes of the topics of a Pipeline that goes.
//!
//! What stays is named in an Event and in the log: a namespace that is being deleted refuses Events.

use crds::{AnalyticsTenant, Pipeline, Reason, event::EventReason, pipeline::TopicStatus};
use kube::{Resource as _, ResourceExt as _};
use schema::names::{TopicId, TopicName};
use tracing::{info, warn};

use super::{
    super::{
        Error,
        drain::{Left, Unstored, can_be_named, is_ours, own_topic},
        validate::{self, Recorded},
    },
    plan::Fate,
};
use crate::{
    context::{Backends, Context},
    progress::{Problem as _, told},
    retained,
    topics::Topics as _,
};

/// Keeps or deletes the topics, and says what is kept.
pub(super) async fn settle<B: Backends>(
    ctx: &Context<B>,
    pipeline: &Pipeline,
    tenant: Option<&AnalyticsTenant>,
    fate: Fate<Error>,
) -> Result<(), Error> {
    match fate {
        Fate::Keep(left) => keep_all(ctx, pipeline, tenant, String::new(), &left).await,
        Fate::KeepProtected(left) => keep_all(ctx, pipeline, tenant, protected(pipeline), &left).await,
        Fate::Delete => {
            let both = own_topic(pipeline).into_iter().chain(dead_letters(pipeline));
            delete(ctx, pipeline, tenant, both).await
        }
        Fate::KeepUnstored(unstored) => {
            keep_unstored(ctx, pipeline, tenant, &unstored).await?;
            delete(ctx, pipeline, tenant, dead_letters(pipeline).into_iter()).await
        }
        Fate::Unknown(error) => Err(error),
    }
}

/// Notes the topics with the tenant, so that the next Pipeline of this name may take them over.
async fn keep_all<B: Backends>(
    ctx: &Context<B>,
    pipeline: &Pipeline,
    tenant: Option<&AnalyticsTenant>,
    why: String,
    left: &Left,
) -> Result<(), Error> {
    note(ctx, tenant, &ids(pipeline)).await?;
    if let Some(names) = names(pipeline) {
        let text = format!("kept {names}{why}{}{}", not_stored(left), not_noted(pipeline, tenant));
        info!(pipeline.namespace = pipeline.namespace(), pipeline.name = pipeline.name_any(), "{text}");
        ctx.events.tell(pipeline.object_ref(&()), EventReason::TopicsRetained, text).await;
    }
    Ok(())
}

/// Leaves the topics behind because an annotation asks for it, and tells of it. They are noted all the same, so that
/// the next Pipeline of this name takes them over when Kafka is back; what keeps them from being noted for good does not
/// hold the deletion.
///
/// # Errors
/// When the tenant changed meanwhile: the next look notes them.
pub(super) async fn abandon<B: Backends>(
    ctx: &Context<B>,
    pipeline: &Pipeline,
    tenant: Option<&AnalyticsTenant>,
    error: &Error,
) -> Result<(), Error> {
    let unnoted = match note(ctx, tenant, &ids(pipeline)).await {
        Ok(()) => not_noted(pipeline, tenant),
        Err(error) if error.reason() == Reason::KubernetesChanged => return Err(error),
        Err(error) => format!("; the next Pipeline does not take them over by itself: {}", told(&error)),
    };
    let names = names(pipeline).unwrap_or_else(|| "no topic that is known".to_owned());
    let text = format!("left {names} behind, as the annotation asks: {}{unnoted}", told(error));
    warn!(pipeline.namespace = pipeline.namespace(), pipeline.name = pipeline.name_any(), "{text}");
    ctx.events.tell(pipeline.object_ref(&()), EventReason::ExternalResourcesAbandoned, text).await;
    Ok(())
}

/// The incarnations that the status tells of.
fn ids(pipeline: &Pipeline) -> Vec<TopicId> {
    let recorded = own_topic(pipeline).into_iter().chain(dead_letters(pipeline));
    recorded
        .filter_map(|topic| match validate::recorded(Some(topic)) {
            Recorded::Incarnation(id) => Some(id),
            Recorded::Nothing | Recorded::Intended => None,
        })
        .collect()
}

/// The topics of the status, each with its id.
fn names(pipeline: &Pipeline) -> Option<String> {
    let named = |topic: &TopicStatus| match validate::recorded(Some(topic)) {
        Recorded::Incarnation(id) => format!("topic `{}` with the id {id}", topic.name),
        Recorded::Nothing | Recorded::Intended => {
            format!("topic `{}`, which may not have been made", topic.name)
        }
    };
    let names: Vec<String> =
        own_topic(pipeline).into_iter().chain(dead_letters(pipeline)).map(named).collect();
    (!names.is_empty()).then(|| names.join(" and "))
}

/// Why topics stay that were to go, at the end of a sentence.
fn protected(pipeline: &Pipeline) -> String {
    let tenant = &pipeline.spec.tenant_ref.name;
    format!(" although the policy is Delete: AnalyticsTenant `{tenant}` is protected from deletion")
}

/// That nobody knows of the topics any longer, at the end of a sentence.
fn not_noted(pipeline: &Pipeline, tenant: Option<&AnalyticsTenant>) -> String {
    match tenant {
        Some(_) => String::new(),
        None => format!(
            "; no AnalyticsTenant `{}` is there to note them, so the next one does not take them over by itself",
            pipeline.spec.tenant_ref.name
        ),
    }
}

/// What is not stored, at the end of a sentence.
fn not_stored(left: &Left) -> String {
    match left {
        Left::Nothing => String::new(),
        Left::Records(Unstored { topic, records }) => {
            format!("; {records} records of `{}` are not stored", topic.name)
        }
        Left::Unknown => "; Kafka did not say how many records are not stored".to_owned(),
    }
}

/// Keeps a topic that was to be deleted: its records were acknowledged, and stand nowhere else.
async fn keep_unstored<B: Backends>(
    ctx: &Context<B>,
    pipeline: &Pipeline,
    tenant: Option<&AnalyticsTenant>,
    unstored: &Unstored,
) -> Result<(), Error> {
    let Unstored { topic, records } = unstored;
    note(ctx, tenant, &[topic.id]).await?;
    let text = format!(
        "topic `{}` with the id {} is kept although the policy is Delete: {records} of its records are not stored; a Pipeline of this name takes it over and stores them, or delete the topic",
        topic.name, topic.id
    );
    warn!(pipeline.name = pipeline.name_any(), topic = %topic.name, records, "{text}");
    ctx.events.tell(pipeline.object_ref(&()), EventReason::TopicKept, text).await;
    Ok(())
}

async fn note<B: Backends>(
    ctx: &Context<B>,
    tenant: Option<&AnalyticsTenant>,
    topics: &[TopicId],
) -> Result<(), Error> {
    let Some(tenant) = tenant else { return Ok(()) };
    let failed = |source| Error::NoteTopics { source };
    // Its status changes often, and Kafka was asked since it was read.
    let now = ctx.kubernetes.get(&tenant.namespace().unwrap_or_default(), &tenant.name_any()).await;
    match now.map_err(failed)? {
        Some(now) => retained::note(ctx, &now, topics).await.map(drop).map_err(failed),
        None => Ok(()),
    }
}

/// Deletes those topics that are still the incarnations that the status tells of. One whose name this Pipeline cannot
/// have is not touched, since a status may have been written by hand; it is named, and not silently left.
async fn delete<B: Backends>(
    ctx: &Context<B>,
    pipeline: &Pipeline,
    tenant: Option<&AnalyticsTenant>,
    recorded: impl Iterator<Item = &TopicStatus> + Send,
) -> Result<(), Error> {
    let prefix = &ctx.installation.topic_prefix;
    let mut foreign = None;
    for status in recorded {
        // Kafka has no topic of a name that it would refuse.
        let Ok(name) = TopicName::parse(&status.name) else { continue };
        let found = ctx.topics.describe(&name).await.map_err(|source| Error::DescribeTopic { source })?;
        let Some(topic) = found.filter(|found| is_ours(found, status)) else { continue };
        if can_be_named(prefix, pipeline, tenant, &name) {
            ctx.topics.delete(&topic).await.map_err(|source| Error::DeleteTopic { source })?;
        } else {
            foreign = Some(Error::ForeignTopic { topic: name, prefix: prefix.clone() });
        }
    }
    foreign.map_or(Ok(()), Err)
}

/// What the status says of the topic of dead letters, which is always the Pipeline's own.
fn dead_letters(pipeline: &Pipeline) -> Option<&TopicStatus> {
    pipeline.status.as_ref().and_then(|status| status.dead_letter_topic.as_ref())
}
