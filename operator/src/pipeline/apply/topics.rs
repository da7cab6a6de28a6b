//! The topics of a Pipeline: what is given up and the intention are noted, then they are made or corrected.

use crds::{AnalyticsTenant, Pipeline, Reason, event::EventReason, pipeline::TopicStatus};
use kube::{Resource as _, ResourceExt as _};
use schema::names::{TopicId, TopicName};

use super::{
    super::{
        Error,
        build::topics::{Found, Look, Plan, Planned, PlannedSource, Plans, Runnable, missed},
        fetch, status,
        validate::{self, Recorded},
    },
    Aspect,
};
use crate::{
    context::{Backends, Context},
    progress::{Progress, Waiting},
    retained,
    topics::{Ensured, Expected, Topic, Topics as _},
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
    pub(crate) runnable: Runnable,
    /// The Pipeline after the last note in its status, where one had to be: that it stops, or is about to make topics.
    pub(crate) noted: Option<Pipeline>,
}

pub(crate) async fn apply_topics<B: Backends>(
    ctx: &Context<B>,
    pipeline: &Pipeline,
    plans: Plans,
) -> AppliedTopics {
    let runnable = plans.runnable();
    let noted = match note_intentions(ctx, pipeline, &plans).await {
        Ok(noted) => noted,
        Err(error) => return AppliedTopics::unnoted(pipeline, runnable, error),
    };
    let plans = match look_again(ctx, noted.as_ref(), plans).await {
        Ok(plans) => plans,
        Err(error) => {
            let unnoted = AppliedTopics::unnoted(noted.as_ref().unwrap_or(pipeline), runnable, error);
            return AppliedTopics { noted, ..unnoted };
        }
    };
    let runnable = plans.runnable();
    let known = plans.topic.known_id();
    let topic = match plans.topic {
        PlannedSource::Own(planned) => ensure(ctx, pipeline, planned).await,
        PlannedSource::Foreign(look) => take_note(ctx, pipeline, look).await,
    };
    let dead_letter = ensure(ctx, pipeline, plans.dead_letter).await;
    AppliedTopics {
        known: topic.outcome.done().map(|ensured| ensured.topic.id).or(known),
        topic: topic.status,
        dead_letter: dead_letter.status,
        aspect: finished(pipeline, topic.outcome, dead_letter.outcome),
        runnable,
        noted,
    }
}

impl AppliedTopics {
    /// The same, where something was noted before the topics were looked at.
    pub(crate) fn noted_after(self, before: Option<&Pipeline>) -> Self {
        Self { noted: self.noted.or_else(|| before.cloned()), ..self }
    }

    /// Whether the intention was written is not known; the status as it was read is no worse.
    fn unnoted(pipeline: &Pipeline, runnable: Runnable, error: Error) -> Self {
        let status = pipeline.status.clone().unwrap_or_default();
        Self {
            aspect: Progress::Failed(error),
            topic: status.topic,
            dead_letter: status.dead_letter_topic,
            known: None,
            runnable,
            noted: None,
        }
    }
}

/// Notes which topics are about to be made, so that a crash after their creation does not orphan them.
async fn note_intentions<B: Backends>(
    ctx: &Context<B>,
    pipeline: &Pipeline,
    plans: &Plans,
) -> Result<Option<Pipeline>, Error> {
    if !plans.topic.needs_intention() && !plans.dead_letter.needs_intention() {
        return Ok(None);
    }
    note_given_up(ctx, pipeline, plans).await?;
    let (topic, dead_letter) = (plans.topic.intention(), plans.dead_letter.intention());
    status::intend(ctx, pipeline, topic, dead_letter).await.map(Some)
}

/// Notes with the tenant which topics the Pipeline leaves for others: those that are gone may be back, as when Kafka's
/// address was wrong for a while, and are taken over then. With a tenant that is gone nobody takes anything over.
async fn note_given_up<B: Backends>(
    ctx: &Context<B>,
    pipeline: &Pipeline,
    plans: &Plans,
) -> Result<(), Error> {
    let given_up: Vec<TopicId> =
        plans.topic.given_up().into_iter().chain(plans.dead_letter.given_up()).collect();
    if given_up.is_empty() {
        return Ok(());
    }
    // Read anew: other Pipelines of this tenant note theirs at the same time.
    let failed = |source| Error::NoteLost { source };
    let (namespace, name) = (pipeline.namespace().unwrap_or_default(), &pipeline.spec.tenant_ref.name);
    let tenant: Option<AnalyticsTenant> = ctx.kubernetes.get(&namespace, name).await.map_err(failed)?;
    let Some(tenant) = tenant else { return Ok(()) };
    retained::note(ctx, &tenant, &given_up).await.map(drop).map_err(failed)
}

/// Looks whose the name is once more, now that our note can be seen: two Pipelines may have begun at the same time.
async fn look_again<B: Backends>(
    ctx: &Context<B>,
    noted: Option<&Pipeline>,
    plans: Plans,
) -> Result<Plans, Error> {
    let (Some(noted), Some(name)) = (noted, &plans.unclaimed) else { return Ok(plans) };
    let owner = fetch::owner_of(ctx, noted, name).await.map_err(|source| Error::FindOwner { source })?;
    Ok(plans.unless_taken(owner.as_deref()))
}

/// What both topics still lack. A retention that is held comes last: it changes nothing for those who write and read.
fn finished(pipeline: &Pipeline, topic: Aspect<Ensured>, dead_letter: Aspect<Ensured>) -> Aspect<()> {
    let both = match (topic, dead_letter) {
        (Progress::Done(topic), Progress::Done(dead_letter)) => [topic, dead_letter],
        (Progress::Failed(error), _) | (Progress::Done(_), Progress::Failed(error)) => {
            return Progress::Failed(error);
        }
        (Progress::Waiting(_) | Progress::Untried, Progress::Failed(error)) => {
            return Progress::Failed(error);
        }
        (Progress::Waiting(waiting), _) | (Progress::Done(_), Progress::Waiting(waiting)) => {
            return Progress::Waiting(waiting);
        }
        (Progress::Untried, _) | (Progress::Done(_), Progress::Untried) => return Progress::Untried,
    };
    let spec_hours = validate::retention_hours(pipeline);
    for ensured in both {
        if let Some(kept) = ensured.kept {
            return Progress::Failed(Error::RetentionHeld { topic: ensured.topic.name, kept, spec_hours });
        }
    }
    Progress::Done(())
}

/// What came of one topic.
struct Attempt {
    outcome: Aspect<Ensured>,
    /// What the status has to say of it.
    status: Option<TopicStatus>,
}

/// Makes or corrects one topic. The intention stays while nobody knows whether Kafka made it, and no longer: what bears
/// the name after a refused creation is a stranger's.
async fn ensure<B: Backends>(ctx: &Context<B>, pipeline: &Pipeline, planned: Planned) -> Attempt {
    let (intention, withdrawn) = (planned.intention(), planned.withdrawn());
    let outcome = carry_out(ctx, pipeline, planned).await;
    let status = match &outcome {
        Progress::Done(ensured) => Some(status_of(&ensured.topic)),
        Progress::Failed(error) if error.says_no_topic_was_made() => withdrawn,
        Progress::Failed(_) | Progress::Waiting(_) | Progress::Untried => intention,
    };
    Attempt { outcome, status }
}

/// Takes note of a topic that is only read. One that is not there is waited for, since nobody asked us to make it.
async fn take_note<B: Backends>(ctx: &Context<B>, pipeline: &Pipeline, look: Look) -> Attempt {
    let Look { wanted, found, .. } = look;
    match found {
        Ok(Found::There(topic)) => {
            tell_of_replacement(ctx, pipeline, wanted.recorded, &topic).await;
            let status = Some(status_of(&topic));
            Attempt { outcome: Progress::Done(Ensured { topic, kept: None }), status }
        }
        Ok(Found::Unclear { since }) => {
            let waiting = not_shown(&wanted.name, wanted.recorded);
            Attempt { outcome: Progress::Waiting(waiting), status: missed(wanted.status, since) }
        }
        Ok(Found::Absent) => {
            let message = format!("there is no topic `{}` in Kafka", wanted.name);
            let waiting = Waiting { reason: Reason::TopicNotFound, message };
            Attempt { outcome: Progress::Waiting(waiting), status: wanted.status }
        }
        Err(source) => {
            Attempt { outcome: Progress::Failed(Error::DescribeTopic { source }), status: wanted.status }
        }
    }
}

/// Tells an administrator that a topic that is only read was made anew by those who write to it.
async fn tell_of_replacement<B: Backends>(
    ctx: &Context<B>,
    pipeline: &Pipeline,
    recorded: Recorded,
    topic: &Topic,
) {
    match recorded {
        Recorded::Incarnation(lost) if lost != topic.id => {
            let note = format!(
                "topic `{}` of the id {lost} is gone with what was not stored; the new one is read from its beginning",
                topic.name
            );
            ctx.events.tell(pipeline.object_ref(&()), EventReason::SourceTopicReplaced, note).await;
        }
        Recorded::Incarnation(_) | Recorded::Nothing | Recorded::Intended => {}
    }
}

async fn carry_out<B: Backends>(ctx: &Context<B>, pipeline: &Pipeline, planned: Planned) -> Aspect<Ensured> {
    let given_up = planned.given_up();
    let Planned { wanted, plan, .. } = planned;
    let plan = match plan {
        Ok(plan) => plan,
        Err(source) => return Progress::Failed(Error::DescribeTopic { source }),
    };
    let expected = match &plan {
        Plan::Create | Plan::Recreate { .. } => Expected::ToBeMade,
        Plan::Keep(topic) | Plan::Adopt(topic) => Expected::Incarnation(topic.id),
        Plan::Await { .. } => return Progress::Waiting(not_shown(&wanted.spec.name, wanted.recorded)),
        Plan::Refuse(refusal) => return Progress::Failed(Error::Unclaimable(refusal.clone())),
    };
    match ctx.topics.ensure(&wanted.spec, expected).await {
        Ok(ensured) => {
            tell(ctx, pipeline, (&plan, given_up), &ensured.topic).await;
            Progress::Done(ensured)
        }
        Err(source) => Progress::Failed(Error::EnsureTopic { source }),
    }
}

/// That the recorded topic is not shown, which may be a broker that lags behind. Pods go on with it meanwhile.
fn not_shown(name: &TopicName, recorded: Recorded) -> Waiting {
    let which = match recorded {
        Recorded::Incarnation(id) => format!("topic `{name}` of the id {id}"),
        Recorded::Nothing | Recorded::Intended => format!("topic `{name}`"),
    };
    let message = format!("Kafka does not show {which}: it counts as gone when the next looks say the same");
    Waiting { reason: Reason::TopicNotVisible, message }
}

/// Tells an administrator of a topic that was taken over or lost.
async fn tell<B: Backends>(
    ctx: &Context<B>,
    pipeline: &Pipeline,
    (plan, given_up): (&Plan, Option<TopicId>),
    topic: &Topic,
) {
    let about = pipeline.object_ref(&());
    match plan {
        Plan::Adopt(_) => {
            let instead = given_up.map_or_else(String::new, |id| {
                format!("; the one of the id {id} is gone, and is taken over in its turn if it comes back")
            });
            let note =
                format!("took over topic `{}` of the id {} with its records{instead}", topic.name, topic.id);
            ctx.events.tell(about, EventReason::TopicAdopted, note).await;
        }
        Plan::Recreate { lost } => {
            let note = format!(
                "topic `{}` of the id {lost} is gone with what was not stored; made anew, and the lost one is taken over if it comes back",
                topic.name
            );
            ctx.events.tell(about, EventReason::TopicLost, note).await;
        }
        Plan::Create | Plan::Keep(_) | Plan::Await { .. } | Plan::Refuse(_) => {}
    }
}

fn status_of(topic: &Topic) -> TopicStatus {
    TopicStatus {
        name: topic.name.to_string(),
        id: topic.id.to_string(),
        partitions: topic.partitions,
        missing_since: None,
    }
}
