//! The apply step of the Pipeline controller. It writes Kubernetes and Kafka.

mod children;
mod rollout;
mod state;
mod topics;

use crds::{
    Pipeline, Reason,
    analytics_tenant::Suspend,
    pipeline::{DrainStatus, TableStatus, TopicStatus},
};
use k8s_openapi::api::core::v1::Secret;
use schema::names::{ConsumerGroup, STORAGE_TABLE};

use super::{
    Error,
    build::{Desired, Runnable, Wish, settings::Rekeyed},
    fetch::Optional,
    validate::{Invalid, Obstacle, TenantFacts, ValidatedPipeline},
};
use crate::{
    attempt,
    context::{Backends, Context},
    kubernetes::is_held,
    progress::{Progress, Waiting},
};

use children::SettingsInUse;
pub(crate) use topics::{AppliedTopics, apply_topics};

pub(crate) type Aspect<T> = Progress<T, Error>;

/// How far each aspect came.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) spec: Aspect<()>,
    pub(crate) topics: Aspect<()>,
    pub(crate) table: Aspect<TableStatus>,
    pub(crate) workloads: Aspect<Workloads>,
    /// The consumer's pods, if they were counted.
    pub(crate) consumers: Option<Replicas>,
    /// What the status has to say of the topics: their ids, or the intention to make them.
    pub(crate) topic: Option<TopicStatus>,
    pub(crate) dead_letter: Option<TopicStatus>,
    /// The Pipeline after the last note in its status, where one had to be: that it stops, or is about to make topics.
    pub(crate) noted: Option<Box<Pipeline>>,
    pub(crate) group: Option<ConsumerGroup>,
    pub(crate) endpoint: Option<String>,
    pub(crate) drain: Drain,
    /// Whether the spec keeps the consumer away.
    pub(crate) pause: Pause,
    pub(crate) credential: Credential,
}

/// Which password all pods of the consumer have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Credential {
    /// That of the installation.
    Shared,
    /// The one of the tenant's writer with this fingerprint.
    Own(String),
    /// What the status says already: some pods may have the one before.
    AsKnown,
}

/// What the status has to say of a drain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Drain {
    Nothing,
    /// What it says already.
    AsKnown,
    Ended(DrainStatus),
}

/// Whether the spec keeps the consumer away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pause {
    No,
    InForce,
}

/// The pods, all that were asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Workloads {
    Running,
    /// Some are away as they were asked to be, so that events are not taken or not stored: nothing is wrong.
    Idle {
        reason: Reason,
        message: String,
    },
}

/// How far the pods came.
#[derive(Debug)]
pub(crate) struct Rollout {
    pub(crate) aspect: Aspect<Workloads>,
    /// The consumer's pods, if they were counted.
    pub(crate) consumers: Option<Replicas>,
    pub(crate) settings: SettingsInUse,
}

/// How many pods a Deployment has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Replicas {
    pub(crate) desired: i32,
    pub(crate) existing: i32,
    pub(crate) ready: i32,
}

/// What is to be brought about around the topics.
pub(crate) struct Work<'a> {
    pub(crate) validated: &'a ValidatedPipeline,
    /// None while the topic is not known.
    pub(crate) desired: Option<Desired>,
    pub(crate) existing: &'a Optional,
    pub(crate) wish: &'a Wish,
}

impl Outcome {
    /// Nothing was tried: the spec cannot be brought about, or the tenant is not there.
    pub(crate) fn stopped(pipeline: &Pipeline, obstacle: Obstacle) -> Self {
        let known = pipeline.status.clone().unwrap_or_default();
        let (spec, table) = match obstacle {
            Obstacle::Invalid(invalid) => (Progress::Failed(Error::Invalid(invalid)), Progress::Untried),
            Obstacle::Waiting(waiting) | Obstacle::Disowned(waiting) => {
                (Progress::Done(()), Progress::Waiting(waiting))
            }
        };
        Self {
            spec,
            topics: Progress::Untried,
            table,
            workloads: Progress::Untried,
            consumers: None,
            topic: known.topic,
            dead_letter: known.dead_letter_topic,
            noted: None,
            group: None,
            endpoint: None,
            drain: Drain::AsKnown,
            pause: Pause::No,
            credential: Credential::AsKnown,
        }
    }

    /// The same, with what came of the keys.
    pub(crate) fn with_keys(self, keys: Result<(), Error>) -> Self {
        match keys {
            Ok(()) => self,
            Err(error) => Self { workloads: Progress::Failed(error), ..self },
        }
    }

    /// Whether nothing is missing.
    pub(crate) fn is_complete(&self) -> bool {
        self.topics.done().is_some() && self.table.done().is_some() && self.workloads.done().is_some()
    }

    /// Whether the consumer stores what is left before the Pipeline stops.
    pub(crate) fn is_draining(&self) -> bool {
        match &self.workloads {
            Progress::Waiting(waiting) => waiting.reason == Reason::Draining,
            Progress::Done(_) | Progress::Failed(_) | Progress::Untried => false,
        }
    }

    /// Whether the next look says if a topic is gone.
    pub(crate) fn awaits_a_topic(&self) -> bool {
        match &self.topics {
            Progress::Waiting(waiting) => waiting.reason == Reason::TopicNotVisible,
            Progress::Done(_) | Progress::Failed(_) | Progress::Untried => false,
        }
    }

    /// The failure that decides when to try again: one that waiting mends comes before one that it does not.
    pub(crate) fn into_failure(self) -> Option<Error> {
        let failures = [
            self.spec.into_failed(),
            self.topics.into_failed(),
            self.table.into_failed(),
            self.workloads.into_failed(),
        ];
        failures.into_iter().flatten().min_by_key(attempt::patience)
    }
}

/// Puts the finalizer on the Pipeline, before anything outside is made that would have to be cleaned up.
pub(crate) async fn hold<B: Backends>(ctx: &Context<B>, pipeline: Pipeline) -> Result<Pipeline, Error> {
    if is_held(&pipeline) {
        return Ok(pipeline);
    }
    ctx.kubernetes.add_finalizer(&pipeline).await.map_err(|source| Error::Hold { source })
}

/// What is done where nothing can be brought about. Pods that would write in the name of a tenant that lost it stop, and
/// so do those of a suspended one, which no spec of a Pipeline evades; all others go on as they are.
pub(crate) async fn stop<B: Backends>(
    ctx: &Context<B>,
    pipeline: &Pipeline,
    obstacle: Obstacle,
    suspend: Suspend,
) -> Outcome {
    let workloads = match (&obstacle, suspend) {
        // What may not be read any longer is not read any longer.
        (Obstacle::Disowned(_) | Obstacle::Invalid(Invalid::SourceTopicNotAllowed { .. }), _) => {
            children::halt(ctx, pipeline).await
        }
        (Obstacle::Invalid(_) | Obstacle::Waiting(_), Suspend::None) => {
            children::left_alone(ctx, pipeline).await
        }
        (Obstacle::Invalid(_) | Obstacle::Waiting(_), Suspend::Ingest | Suspend::All) => {
            children::suspend(ctx, pipeline, suspend).await
        }
    };
    let consumers = children::consumers(ctx, pipeline).await;
    let pause = state::pause_of(pipeline.spec.state, &workloads, consumers);
    Outcome { workloads, consumers, pause, ..Outcome::stopped(pipeline, obstacle) }
}

/// Brings the keys of now to a running ingester.
pub(crate) async fn apply_keys<B: Backends>(ctx: &Context<B>, keys: Option<Rekeyed>) -> Result<(), Error> {
    let Some(Rekeyed { secret, change }) = keys else { return Ok(()) };
    ctx.kubernetes.change::<Secret>(&secret, change).await.map_err(|source| Error::ApplyKeys { source })
}

/// Brings about the objects around the topics.
pub(crate) async fn apply<B: Backends>(
    ctx: &Context<B>,
    pipeline: &Pipeline,
    topics: AppliedTopics,
    work: Work<'_>,
) -> Outcome {
    let Work { validated, desired, wish, .. } = &work;
    let Rollout { aspect: workloads, consumers, settings } =
        roll_out(ctx, pipeline, topics.runnable, &work).await;
    let pause = state::pause(wish, &workloads);
    Outcome {
        spec: Progress::Done(()),
        topics: topics.aspect,
        table: table(&validated.tenant),
        workloads,
        consumers,
        topic: topics.topic,
        dead_letter: topics.dead_letter,
        noted: topics.noted.map(Box::new),
        group: desired.as_ref().map(|desired| desired.group.clone()),
        endpoint: desired
            .as_ref()
            .and_then(|desired| desired.http.as_ref())
            .map(|http| http.endpoint.clone()),
        drain: state::drain(wish),
        pause,
        credential: match (&validated.access.fingerprint, settings) {
            (None, _) => Credential::Shared,
            (Some(fingerprint), SettingsInUse::Present) => Credential::Own(fingerprint.clone()),
            (Some(_), SettingsInUse::Unknown) => Credential::AsKnown,
        },
    }
}

/// The table that the pods work with. They go on where it is lost, and nobody is told that events are stored.
fn table(tenant: &TenantFacts) -> Aspect<TableStatus> {
    if let Some(loss) = &tenant.loss {
        return Progress::Waiting(loss.clone());
    }
    Progress::Done(TableStatus {
        database: tenant.database.to_string(),
        name: STORAGE_TABLE.to_owned(),
        uuid: tenant.generation.to_string(),
    })
}

async fn roll_out<B: Backends>(
    ctx: &Context<B>,
    pipeline: &Pipeline,
    runnable: Runnable,
    work: &Work<'_>,
) -> Rollout {
    let Work { validated, desired, existing, wish } = work;
    match (desired, runnable) {
        (_, Runnable::Nothing) => {
            let aspect = children::halt(ctx, pipeline).await;
            Rollout {
                aspect,
                consumers: children::consumers(ctx, pipeline).await,
                settings: SettingsInUse::Unknown,
            }
        }
        (Some(desired), Runnable::IngesterOnly) => {
            let pods = children::apply(ctx, validated, desired, existing).await;
            Rollout { aspect: children::without_consumer(pods.aspect), ..pods }
        }
        (Some(desired), Runnable::All) => {
            let pods = children::apply(ctx, validated, desired, existing).await;
            Rollout { aspect: state::told(wish, pods.aspect), ..pods }
        }
        (None, Runnable::IngesterOnly | Runnable::All) => Rollout {
            aspect: Progress::Waiting(Waiting {
                reason: Reason::TopicNotReady,
                message: "the pods need the topic's id".to_owned(),
            }),
            consumers: children::consumers(ctx, pipeline).await,
            settings: SettingsInUse::Unknown,
        },
    }
}
