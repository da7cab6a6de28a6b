//! What the state of the spec asks of the pods now, and how far a Pipeline that stops has come.
//!
//! ```text
//! begin* -> ingester gone -> all is stored, or no time is left -> consumer gone
//! ```
//!
//! When a stop began is noted before anything stops, so that its time is the same after a crash. It reads Kubernetes and
//! Kafka; the pods are changed by the apply step, as [`Wish`] says.

use crds::{
    AnalyticsTenant, Pipeline,
    analytics_tenant::Suspend,
    event::EventReason,
    pipeline::{DrainStatus, PipelineState},
};
use jiff::{SignedDuration, Timestamp};
use kube::{Resource as _, ResourceExt as _};
use tracing::{info, warn};

use super::{
    Error,
    build::{By, Wanted, Why, Wish, consumer, ingester},
    drain::{self, Left, Pods, Time},
    status,
};
use crate::{
    context::{Backends, Context},
    progress::told,
};

/// The wish, and the Pipeline after the beginning of its stop was noted, where that had to be.
pub(crate) async fn wish<B: Backends>(
    ctx: &Context<B>,
    pipeline: &Pipeline,
    tenant: Option<&AnalyticsTenant>,
    now: Timestamp,
) -> Result<(Wish, Option<Pipeline>), Error> {
    let by = match asked(pipeline, suspended(tenant)) {
        Asked::Now(wish) => return Ok((wish, None)),
        Asked::Stop(by) => by,
    };
    if pipeline.spec.source.kafka.is_some() {
        // The topic is somebody else's, and goes on growing.
        return Ok((Wish::Stop { by, drain: None }, None));
    }
    match pipeline.status.as_ref().and_then(|status| status.drain.clone()) {
        Some(drain) if drain.drained.is_some() => Ok((Wish::Stop { by, drain: Some(drain) }, None)),
        Some(drain) => Ok((go_on(ctx, pipeline, tenant, Stop { by, drain, now }).await?, None)),
        None => {
            let (begun, drain) = status::begin_drain(ctx, pipeline, now).await?;
            Ok((go_on(ctx, &begun, tenant, Stop { by, drain, now }).await?, Some(begun)))
        }
    }
}

/// What the spec of the Pipeline and that of its tenant ask for together.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    /// What can be brought about at once.
    Now(Wish),
    /// What takes its time.
    Stop(By),
}

fn asked(pipeline: &Pipeline, suspend: Suspend) -> Asked {
    let reads_others = pipeline.spec.source.kafka.is_some();
    match (pipeline.spec.state, suspend) {
        (PipelineState::Stopped, _) => Asked::Stop(By::State),
        (PipelineState::Running | PipelineState::Paused, Suspend::All) => Asked::Stop(By::Tenant),
        (PipelineState::Running, Suspend::None) => Asked::Now(Wish::Run),
        (PipelineState::Paused, Suspend::None) => Asked::Now(Wish::Pause),
        (PipelineState::Running | PipelineState::Paused, Suspend::Ingest) if reads_others => {
            Asked::Now(Wish::TakeNothing { consumer: Wanted::Nobody(Why::Suspended) })
        }
        (PipelineState::Running, Suspend::Ingest) => {
            Asked::Now(Wish::TakeNothing { consumer: Wanted::AsAsked })
        }
        (PipelineState::Paused, Suspend::Ingest) => {
            Asked::Now(Wish::TakeNothing { consumer: Wanted::Nobody(Why::Paused) })
        }
    }
}

/// What the tenant leaves off.
pub(crate) fn suspended(tenant: Option<&AnalyticsTenant>) -> Suspend {
    tenant.map_or(Suspend::None, |tenant| tenant.spec.suspend)
}

/// How much longer a drain whose time is over goes on until Kafka says what is left, which is told once.
const KAFKA_SAYS: SignedDuration = SignedDuration::from_secs(30);

/// A stop that goes on.
struct Stop {
    by: By,
    drain: DrainStatus,
    now: Timestamp,
}

async fn go_on<B: Backends>(
    ctx: &Context<B>,
    pipeline: &Pipeline,
    tenant: Option<&AnalyticsTenant>,
    stop: Stop,
) -> Result<Wish, Error> {
    let Stop { by, drain, now } = stop;
    let name = pipeline.name_any();
    let consumer = drain::pods(ctx, pipeline, &consumer::name(&name), now).await?;
    // A request that is on its way in may still be acknowledged.
    if drain::pods(ctx, pipeline, &ingester::name(&name), now).await? != Pods::Gone {
        return Ok(Wish::Drain { consumer, message: "the ingester is stopping".to_owned() });
    }
    let left = match drain::count(ctx, pipeline, tenant).await {
        Ok(None) => Left::Nothing,
        Ok(Some(unstored)) => Left::Records(unstored),
        Err(error) => {
            warn!(pipeline.name = name, error = %told(&error), "what pipeline `{name}` has not stored is not known");
            Left::Unknown
        }
    };
    let asked_for = match left {
        Left::Unknown => now - KAFKA_SAYS,
        Left::Nothing | Left::Records(_) => now,
    };
    if is_over(&left, consumer, Time::since(drain.started_at.0, pipeline, asked_for)) {
        return Ok(Wish::Stop { by, drain: Some(end(ctx, pipeline, drain, (&left, consumer)).await) });
    }
    Ok(Wish::Drain { consumer, message: left.to_string() })
}

fn is_over(left: &Left, consumer: Pods, time: Time) -> bool {
    match (left, consumer, time) {
        (Left::Nothing, _, _) | (_, _, Time::Over) => true,
        (Left::Unknown, _, Time::Left) | (Left::Records(_), Pods::Running, Time::Left) => false,
        // Nobody is there to store them.
        (Left::Records(_), Pods::Idle | Pods::Stopping | Pods::Gone, Time::Left) => true,
    }
}

/// Tells how a drain ended.
async fn end<B: Backends>(
    ctx: &Context<B>,
    pipeline: &Pipeline,
    drain: DrainStatus,
    (left, consumer): (&Left, Pods),
) -> DrainStatus {
    let (reason, drained, remaining) = match left {
        Left::Nothing => (EventReason::Drained, true, Some(0)),
        Left::Records(left) => (unfinished(consumer), false, i64::try_from(left.records).ok()),
        Left::Unknown => (unfinished(consumer), false, None),
    };
    let ended = DrainStatus { drained: Some(drained), remaining, ..drain };
    let (name, note) = (pipeline.name_any(), result(&ended));
    info!(pipeline.name = name, remaining, "pipeline `{name}` stops: {note}");
    ctx.events.tell(pipeline.object_ref(&()), reason, note).await;
    ended
}

/// Why records are left.
fn unfinished(consumer: Pods) -> EventReason {
    match consumer {
        Pods::Running => EventReason::DrainTimedOut,
        Pods::Idle | Pods::Stopping | Pods::Gone => EventReason::DrainSkipped,
    }
}

/// How a drain ended, in words.
pub(crate) fn result(drain: &DrainStatus) -> String {
    match (drain.drained, drain.remaining) {
        (Some(true), _) => "everything that was taken is stored".to_owned(),
        (Some(false) | None, Some(left)) => format!("{left} records are not stored and wait in Kafka"),
        (Some(false) | None, None) => {
            "Kafka did not say how many records are not stored; they wait there".to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use schema::names::{TopicId, TopicName};
    use uuid::Uuid;

    use super::{super::drain::Unstored, *};
    use crate::topics::Topic;

    #[test]
    fn the_tenants_word_is_added_to_the_pipelines() {
        let pipeline = |state: &str, source: &str| -> Pipeline {
            let manifest = format!(
                "{{apiVersion: analytics.millrace.dev/v1alpha1, kind: Pipeline, metadata: {{name: web}}, \
                 spec: {{tenantRef: {{name: acme}}, state: {state}{source}}}}}"
            );
            serde_saphyr::from_str(&manifest).unwrap()
        };
        let http = |state: &str, suspend| asked(&pipeline(state, ""), suspend);
        let kafka =
            |state: &str, suspend| asked(&pipeline(state, ", source: {kafka: {topic: theirs}}"), suspend);
        let take_nothing = |consumer| Asked::Now(Wish::TakeNothing { consumer });
        assert_eq!(http("Running", Suspend::None), Asked::Now(Wish::Run));
        assert_eq!(http("Paused", Suspend::None), Asked::Now(Wish::Pause));
        assert_eq!(http("Running", Suspend::Ingest), take_nothing(Wanted::AsAsked));
        assert_eq!(http("Paused", Suspend::Ingest), take_nothing(Wanted::Nobody(Why::Paused)));
        for state in ["Running", "Paused"] {
            assert_eq!(http(state, Suspend::All), Asked::Stop(By::Tenant), "{state}");
            assert_eq!(
                kafka(state, Suspend::Ingest),
                take_nothing(Wanted::Nobody(Why::Suspended)),
                "{state}"
            );
        }
        for suspend in [Suspend::None, Suspend::Ingest, Suspend::All] {
            assert_eq!(http("Stopped", suspend), Asked::Stop(By::State), "{suspend:?}");
        }
    }

    fn some() -> Left {
        let name = TopicName::parse("millrace.acme.web").unwrap();
        let topic = Topic { name, id: TopicId(Uuid::from_u128(1)), partitions: 6, replication_factor: 1 };
        Left::Records(Unstored { topic, records: 5 })
    }

    #[test]
    fn a_stop_is_over_when_all_is_stored_or_nobody_stores_or_its_time_is_over() {
        const EVERY_PODS: [Pods; 4] = [Pods::Running, Pods::Idle, Pods::Stopping, Pods::Gone];
        for consumer in EVERY_PODS {
            assert!(is_over(&Left::Nothing, consumer, Time::Left));
            assert!(is_over(&some(), consumer, Time::Over) && is_over(&Left::Unknown, consumer, Time::Over));
            assert_eq!(is_over(&some(), consumer, Time::Left), consumer != Pods::Running, "{consumer:?}");
            assert!(!is_over(&Left::Unknown, consumer, Time::Left), "Kafka may be back in time");
        }
    }
}
