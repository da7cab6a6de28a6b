//! What becomes of the topics of a Pipeline that goes.

use crds::{AnalyticsTenant, Pipeline, event::EventReason, pipeline::TopicStatus};
use kube::{Resource as _, ResourceExt as _};
use schema::names::{TopicId, TopicName};
use tracing::warn;

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
        Fate::Keep(left) => keep_all(ctx, pipeline, tenant, &left).await,
        Fate::Delete => {
            delete(ctx, pipeline, own_topic(pipeline).into_iter().chain(dead_letters(pipeline))).await
        }
        Fate::KeepUnstored(unstored) => {
            keep_unstored(ctx, pipeline, tenant, &unstored).await?;
            delete(ctx, pipeline, dead_letters(pipeline).into_iter()).await
        }
        Fate::Unknown(error) => Err(error),
    }
}

/// Notes the topics with the tenant, so that the next Pipeline of this name may take them over.
async fn keep_all<B: Backends>(
    ctx: &Context<B>,
    pipeline: &Pipeline,
    tenant: Option<&AnalyticsTenant>,
    left: &Left,
) -> Result<(), Error> {
    let recorded = || own_topic(pipeline).into_iter().chain(dead_letters(pipeline));
    let ids: Vec<TopicId> = recorded()
        .filter_map(|topic| match validate::recorded(Some(topic)) {
            Recorded::Incarnation(id) => Some(id),
            Recorded::Nothing | Recorded::Intended => None,
        })
        .collect();
    note(ctx, tenant, &ids).await?;
    let names: Vec<String> = recorded().map(|topic| format!("`{}`", topic.name)).collect();
    if !names.is_empty() {
        let text = format!("kept the topics {}{}", names.join(" and "), told(left));
        ctx.events.tell(pipeline.object_ref(&()), EventReason::TopicsRetained, text).await;
    }
    Ok(())
}

/// What is not stored, at the end of a sentence.
fn told(left: &Left) -> String {
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
        "topic `{}` is kept although the policy is Delete: {records} of its records are not stored; a Pipeline of this name takes it over and stores them, or delete the topic",
        topic.name
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
    retained::note(ctx, tenant, topics).await.map_err(|source| Error::NoteTopics { source })
}

/// Deletes those topics that are still the incarnations that the status tells of. One whose name this Pipeline cannot
/// have is not touched, since a status may have been written by hand; it is named, and not silently left.
async fn delete<B: Backends>(
    ctx: &Context<B>,
    pipeline: &Pipeline,
    recorded: impl Iterator<Item = &TopicStatus> + Send,
) -> Result<(), Error> {
    let prefix = &ctx.installation.topic_prefix;
    let mut foreign = None;
    for status in recorded {
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

/// What the status says of the topic of dead letters, which is always the Pipeline's own.
fn dead_letters(pipeline: &Pipeline) -> Option<&TopicStatus> {
    pipeline.status.as_ref().and_then(|status| status.dead_letter_topic.as_ref())
}
