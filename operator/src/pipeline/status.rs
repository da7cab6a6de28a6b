//! The status step of the Pipeline controller: a pure description of the outcome, written when it differs.

use crds::{
    Condition, Pipeline, PipelineStatus, Reason,
    condition::ConditionType,
    pipeline::{DrainStatus, TopicStatus},
};
use jiff::Timestamp;
use kube::{Resource as _, ResourceExt as _};
use tracing::{info, warn};

use super::{
    Error,
    apply::{Credential, Drain, Outcome, Pause, Workloads},
    build::consumer,
    fetch,
    validate::retention_hours,
};
use crate::{
    conditions::{self, Changes, Observed},
    context::{Backends, Context},
    metrics,
    progress::{Problem as _, told},
    retention::{self, Brought},
};

/// The aspects of a Pipeline, in the order in which `Ready` looks for an obstacle.
const ASPECTS: [ConditionType; 4] = [
    ConditionType::SpecValid,
    ConditionType::TableReady,
    ConditionType::TopicReady,
    ConditionType::WorkloadsAvailable,
];

/// Writes every condition as Unknown before anything is known, so that nobody takes a new Pipeline for a ready one.
pub(crate) async fn announce<B: Backends>(ctx: &Context<B>, pipeline: Pipeline) -> Result<Pipeline, Error> {
    let mut status = pipeline.status.clone().unwrap_or_default();
    if !status.conditions.is_empty() {
        return Ok(pipeline);
    }
    status.conditions = conditions::initial(&ASPECTS, generation(&pipeline), Timestamp::now());
    // A HorizontalPodAutoscaler refuses a target without one.
    status.selector = Some(consumer::selector(&pipeline.name_any()));
    write(ctx, &pipeline, &status).await.map_err(|source| Error::Report { source })
}

/// Notes that topics are about to be made.
pub(crate) async fn intend<B: Backends>(
    ctx: &Context<B>,
    pipeline: &Pipeline,
    topic: Option<TopicStatus>,
    dead_letter_topic: Option<TopicStatus>,
) -> Result<Pipeline, Error> {
    let before = pipeline.status.clone().unwrap_or_default();
    let status = PipelineStatus { topic, dead_letter_topic, ..before };
    write(ctx, pipeline, &status).await.map_err(|source| Error::IntendTopics { source })
}

/// Notes that a Pipeline begins to stop.
pub(crate) async fn begin_drain<B: Backends>(
    ctx: &Context<B>,
    pipeline: &Pipeline,
    now: Timestamp,
) -> Result<(Pipeline, DrainStatus), Error> {
    let drain = DrainStatus { started_at: conditions::seconds(now), drained: None, remaining: None };
    let before = pipeline.status.clone().unwrap_or_default();
    let status = PipelineStatus { drain: Some(drain.clone()), ..before };
    let begun = write(ctx, pipeline, &status).await.map_err(|source| Error::BeginDrain { source })?;
    Ok((begun, drain))
}

/// Writes what came of a reconcile.
pub(crate) async fn report<B: Backends>(
    ctx: &Context<B>,
    pipeline: &Pipeline,
    outcome: &Outcome,
) -> Result<(), Error> {
    // What is written is compared with what is there now, intentions included.
    let pipeline = outcome.noted.as_deref().unwrap_or(pipeline);
    let changes = ctx.retries.changes(&pipeline.uid().unwrap_or_default());
    report_status(ctx, pipeline, describe(pipeline, outcome, changes, Timestamp::now())).await
}

/// Writes what holds the deletion of a Pipeline.
pub(crate) async fn report_blocked<B: Backends>(
    ctx: &Context<B>,
    pipeline: &Pipeline,
    blocked: Observed,
) -> Result<(), Error> {
    let (known, now) = (known_conditions(pipeline), Timestamp::now());
    let conditions = conditions::of_deletion(known, Some(blocked), generation(pipeline), now);
    report_deletion(ctx, pipeline, conditions).await
}

/// Writes how far the deletion of a Pipeline came, and that nothing holds it.
pub(crate) async fn report_going<B: Backends>(
    ctx: &Context<B>,
    pipeline: &Pipeline,
    message: String,
) -> Result<(), Error> {
    let now = Timestamp::now();
    let conditions = conditions::of_going(known_conditions(pipeline), message, generation(pipeline), now);
    report_deletion(ctx, pipeline, conditions).await
}

async fn report_deletion<B: Backends>(
    ctx: &Context<B>,
    pipeline: &Pipeline,
    conditions: Vec<Condition>,
) -> Result<(), Error> {
    let before = pipeline.status.clone().unwrap_or_default();
    let status = PipelineStatus {
        observed_generation: Some(generation(pipeline)),
        conditions,
        // They are on their way out, and are not counted any longer.
        replicas: None,
        ready_replicas: None,
        desired_replicas: None,
        ..before
    };
    report_status(ctx, pipeline, status).await
}

fn known_conditions(pipeline: &Pipeline) -> &[Condition] {
    pipeline.status.as_ref().map_or(&[], |status| &status.conditions)
}

/// Writes that an attempt failed before it had an outcome. If that fails as well, the log has to do.
pub(crate) async fn report_failure<B: Backends>(ctx: &Context<B>, cached: &Pipeline, error: &Error) {
    if let Err(failure) = try_to_report_failure(ctx, cached, error).await {
        warn!(
            pipeline.name = cached.name_any(),
            error = %told(&failure),
            "failed to tell how pipeline `{}` is", cached.name_any()
        );
    }
}

async fn try_to_report_failure<B: Backends>(
    ctx: &Context<B>,
    cached: &Pipeline,
    error: &Error,
) -> Result<(), Error> {
    if error.reason() == Reason::KubernetesChanged
        && ctx.retries.changes(&cached.uid().unwrap_or_default()) == Changes::Pass
    {
        return Ok(()); // The next look goes on from what is there by then.
    }
    let Some(pipeline) = fetch::pipeline(ctx, cached).await? else { return Ok(()) };
    if pipeline.meta().deletion_timestamp.is_some() {
        return report_blocked(ctx, &pipeline, Observed::blocked(error)).await;
    }
    let (generation, now) = (generation(&pipeline), Timestamp::now());
    let mut status = pipeline.status.clone().unwrap_or_default();
    if status.conditions.is_empty() {
        // And nothing else: it may be another field of the status that the API server does not take.
        status.conditions = conditions::initial(&ASPECTS, generation, now);
    }
    status.conditions = conditions::of_failure(&status.conditions, error, generation, now);
    report_status(ctx, &pipeline, status).await
}

async fn report_status<B: Backends>(
    ctx: &Context<B>,
    pipeline: &Pipeline,
    status: PipelineStatus,
) -> Result<(), Error> {
    let before = pipeline.status.as_ref();
    if before == Some(&status) {
        return Ok(());
    }
    let known = known_conditions(pipeline);
    let state = conditions::new_state(known, &status.conditions);
    let obstacle = conditions::new_obstacle(known, &status.conditions);
    if let Some(obstacle) = obstacle {
        ctx.events.tell_of(pipeline.object_ref(&()), obstacle).await;
    }
    write(ctx, pipeline, &status).await.map_err(|source| Error::Report { source })?;
    if let Some(state) = state {
        info!(pipeline.name = pipeline.name_any(), "pipeline `{}` is {state}", pipeline.name_any());
    }
    Ok(())
}

/// Writes the status of the version that was read. Which topics are ours stands there alone: an operator that is late
/// must not write over what another one noted meanwhile.
async fn write<B: Backends>(
    ctx: &Context<B>,
    pipeline: &Pipeline,
    status: &PipelineStatus,
) -> Result<Pipeline, crate::kubernetes::Error> {
    metrics::status_written("pipeline");
    ctx.kubernetes.write_status(pipeline, status).await
}

/// The status that an outcome amounts to. What could not be looked at stays as it was known.
fn describe(pipeline: &Pipeline, outcome: &Outcome, changes: Changes, now: Timestamp) -> PipelineStatus {
    let before = pipeline.status.clone().unwrap_or_default();
    let aspects = aspects(pipeline, outcome);
    let aspects = conditions::over_changes(aspects, &before.conditions, generation(pipeline), changes);
    let foreign = pipeline.spec.source.kafka.as_ref();
    let ready = match outcome.workloads.done() {
        Some(Workloads::Idle { reason, message }) => conditions::ready(aspects.iter(), *reason, message),
        Some(Workloads::Running) | None => {
            let message = if foreign.is_some() { "events are stored" } else { "events are taken and stored" };
            conditions::ready(aspects.iter(), Reason::Ready, message)
        }
    };
    let consumers = outcome.consumers;
    PipelineStatus {
        observed_generation: Some(generation(pipeline)),
        conditions: conditions::conditions(&before.conditions, aspects, ready, generation(pipeline), now),
        topic: outcome.topic.clone(),
        dead_letter_topic: outcome.dead_letter.clone(),
        table: outcome.table.done().cloned().or(before.table),
        replicas: consumers.map(|pods| pods.existing).or(before.replicas),
        ready_replicas: consumers.map(|pods| pods.ready).or(before.ready_replicas),
        desired_replicas: consumers.map(|pods| pods.desired).or(before.desired_replicas),
        selector: Some(consumer::selector(&pipeline.name_any())),
        consumer_group: outcome.group.as_ref().map(ToString::to_string).or(before.consumer_group),
        endpoint: outcome.endpoint.clone().or(before.endpoint),
        used_retention_consent: used_consent(pipeline, outcome, before.used_retention_consent),
        drain: match &outcome.drain {
            Drain::Nothing => None,
            Drain::AsKnown => before.drain,
            Drain::Ended(drain) => Some(drain.clone()),
        },
        consumer_credential: match &outcome.credential {
            Credential::Shared => None,
            Credential::Own(fingerprint) => Some(fingerprint.clone()),
            Credential::AsKnown => before.consumer_credential,
        },
    }
}

fn used_consent(pipeline: &Pipeline, outcome: &Outcome, before: Option<String>) -> Option<String> {
    let brought = if outcome.topics.done().is_some() { Brought::About } else { Brought::NotYet };
    retention::used(pipeline, retention_hours(pipeline), brought, before)
}

fn aspects(pipeline: &Pipeline, outcome: &Outcome) -> Vec<Observed> {
    let (topics, pods) = match &pipeline.spec.source.kafka {
        Some(source) => (
            format!(
                "topic `{}` is there, and the dead-letter topic is there and belongs to this Pipeline",
                source.topic
            ),
            "the consumer has all its pods",
        ),
        None => (
            "the topic and the dead-letter topic are there and belong to this Pipeline".to_owned(),
            "the ingester and the consumer have all their pods",
        ),
    };
    let mut aspects = vec![
        Observed::of(ConditionType::SpecValid, &outcome.spec, |()| {
            Observed::holds(ConditionType::SpecValid, Reason::Valid, "the spec is valid".to_owned())
        }),
        Observed::of(ConditionType::TableReady, &outcome.table, |table| {
            let message = format!("events go to `{}.{}`", table.database, table.name);
            Observed::holds(ConditionType::TableReady, Reason::Ready, message)
        }),
        Observed::of(ConditionType::TopicReady, &outcome.topics, |()| {
            Observed::holds(ConditionType::TopicReady, Reason::Ready, topics)
        }),
        Observed::of(ConditionType::WorkloadsAvailable, &outcome.workloads, |workloads| {
            let (reason, message) = match workloads {
                Workloads::Running => (Reason::Available, pods),
                Workloads::Idle { reason, message } => (*reason, message.as_str()),
            };
            Observed::holds(ConditionType::WorkloadsAvailable, reason, message.to_owned())
        }),
    ];
    match outcome.pause {
        Pause::No => {}
        Pause::InForce => aspects.push(Observed::holds(
            ConditionType::Paused,
            Reason::Paused,
            "there is no consumer, as `state` says: events wait in Kafka".to_owned(),
        )),
    }
    aspects
}

fn generation(pipeline: &Pipeline) -> i64 {
    pipeline.meta().generation.unwrap_or_default()
}

#[cfg(test)]
mod tests;
