//! The topics of a Pipeline: the intention is noted, then they are made or corrected.

use crds::{Pipeline, pipeline::TopicStatus};
use kube::Resource as _;
use schema::names::TopicId;

use super::{
    super::{
        Error,
        build::topics::{Plan, Planned, Plans},
        status,
    },
    Aspect,
};
use crate::{
    context::{Backends, Context},
    progress::Progress,
    topics::{Ensured, Topic, Topics as _},
};

/// What came of the topics.
#[derive(Debug)]
pub(crate) struct AppliedTopics {
    pub(crate) aspect: Aspect<()>,
    /// What the status has to say.
    pub(crate) topic: Option<TopicStatus>,
    pub(crate) dead_letter: Option<TopicStatus>,
    /// The incarnation to work with: of a topic that could not be asked about, the recorded one.
    pub(crate) known: Option<TopicId>,
}

pub(crate) async fn apply_topics<B: Backends>(
    ctx: &Context<B>,
    pipeline: &Pipeline,
    plans: Plans,
) -> AppliedTopics {
    let intentions = [&plans.topic, &plans.dead_letter].map(intention);
    if plans.topic.needs_intention() || plans.dead_letter.needs_intention() {
        let [topic, dead_letter] = intentions.clone();
        if let Err(error) = status::intend(ctx, pipeline, topic, dead_letter).await {
            // Whether the intention was written is not known; the status as it was read is no worse.
            let status = pipeline.status.clone().unwrap_or_default();
            let (topic, dead_letter) = (status.topic, status.dead_letter_topic);
            return AppliedTopics { aspect: Progress::Failed(error), topic, dead_letter, known: None };
        }
    }
    let [topic_before, dead_letter_before] = intentions;
    let known = plans.topic.known_id();
    let topic = ensure(ctx, pipeline, plans.topic).await;
    let dead_letter = ensure(ctx, pipeline, plans.dead_letter).await;
    let status = |ensured: &Result<Ensured, Error>| ensured.as_ref().ok().map(|it| status_of(&it.topic));
    AppliedTopics {
        known: topic.as_ref().ok().map(|ensured| ensured.topic.id).or(known),
        topic: status(&topic).or(topic_before),
        dead_letter: status(&dead_letter).or(dead_letter_before),
        aspect: finished(pipeline, topic, dead_letter).into(),
    }
}

/// What both topics still lack. A retention that is held comes last: it changes nothing for those who write and read.
fn finished(
    pipeline: &Pipeline,
    topic: Result<Ensured, Error>,
    dead_letter: Result<Ensured, Error>,
) -> Result<(), Error> {
    let spec_hours = pipeline.spec.topic.retention_hours;
    for ensured in [topic?, dead_letter?] {
        if let Some(kept) = ensured.kept {
            return Err(Error::RetentionHeld { topic: ensured.topic.name, kept, spec_hours });
        }
    }
    Ok(())
}

/// What the status says of a topic before Kafka did anything: what it said, or that the topic is about to be made.
fn intention(planned: &Planned) -> Option<TopicStatus> {
    match &planned.plan {
        Ok(Plan::Create | Plan::Recreate { .. }) => {
            Some(TopicStatus { name: planned.wanted.spec.name.to_string(), id: String::new(), partitions: 0 })
        }
        Ok(Plan::Keep(_) | Plan::Adopt(_) | Plan::Refuse(_)) | Err(_) => planned.wanted.status.clone(),
    }
}

/// Makes or corrects one topic.
async fn ensure<B: Backends>(
    ctx: &Context<B>,
    pipeline: &Pipeline,
    planned: Planned,
) -> Result<Ensured, Error> {
    let spec = planned.wanted.spec;
    let plan = planned.plan.map_err(|source| Error::DescribeTopic { source })?;
    if let Plan::Refuse(refusal) = plan {
        return Err(Error::Unclaimable(refusal));
    }
    let ensured = ctx.topics.ensure(&spec).await.map_err(|source| Error::EnsureTopic { source })?;
    tell(ctx, pipeline, &plan, &ensured.topic).await;
    Ok(ensured)
}

/// Tells an administrator of a topic that was taken over or lost.
async fn tell<B: Backends>(ctx: &Context<B>, pipeline: &Pipeline, plan: &Plan, topic: &Topic) {
    let about = pipeline.object_ref(&());
    match plan {
        Plan::Adopt(_) => {
            let note = format!("took over topic `{}` with its records", topic.name);
            ctx.events.tell(about, "TopicAdopted", note).await;
        }
        Plan::Recreate { lost } => {
            let note = format!(
                "topic `{}` of the id {lost} is gone with what was not stored; made anew",
                topic.name
            );
            ctx.events.warn(about, "TopicLost", note).await;
        }
        Plan::Create | Plan::Keep(_) | Plan::Refuse(_) => {}
    }
}

fn status_of(topic: &Topic) -> TopicStatus {
    TopicStatus { name: topic.name.to_string(), id: topic.id.to_string(), partitions: topic.partitions }
}
