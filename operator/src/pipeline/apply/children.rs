//! The objects of a Pipeline in Kubernetes, and how far its pods came.

use crds::{Pipeline, Reason, analytics_tenant::Suspend};
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Secret, Service},
    networking::v1::{Ingress, NetworkPolicy},
    policy::v1::PodDisruptionBudget,
};
use kube::{ResourceExt as _, api::ObjectMeta};
use serde::Serialize;
use serde_json::json;
use std::fmt::Debug;
use tracing::{debug, info};

use super::{
    super::{
        Error,
        build::{Desired, Http, consumer, ingester, settings::Salt},
        fetch::Optional,
        validate::ValidatedPipeline,
    },
    Aspect, Replicas, Rollout, Workloads,
    rollout::{self, rolled_out, unfinished, wanted},
};
use crate::{
    context::{Backends, Context},
    kubernetes::{self, Kind, is_controlled_by},
    progress::{Progress, Waiting, told},
};

/// Which settings the consumer's pods have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SettingsInUse {
    /// All have the present ones, or there are no pods.
    Present,
    Unknown,
}

impl Rollout {
    fn failed(error: Error, consumers: Option<Replicas>) -> Self {
        Self { aspect: Progress::Failed(error), consumers, settings: SettingsInUse::Unknown }
    }
}

pub(super) async fn apply<B: Backends>(
    ctx: &Context<B>,
    pipeline: &ValidatedPipeline,
    desired: &Desired,
    existing: &Optional,
) -> Rollout {
    let ours = &pipeline.owner_reference.uid;
    // Pods mount the settings, so these come first and stop the rest; the others do not depend on each other.
    let salt = match apply_settings(ctx, &desired.settings).await {
        Ok(salt) => salt,
        Err(error) => return Rollout::failed(error, None),
    };
    let consumer = applied_deployment(ctx, &salt.over(&desired.consumer)).await;
    let ingester = match &desired.http {
        Some(http) => apply_http(ctx, http, &salt, existing, ours).await,
        None => Ok(None),
    };
    let budget = wanted_or_gone::<_, PodDisruptionBudget>(
        ctx,
        desired.consumer_budget.as_ref(),
        existing.consumer_budget.as_ref(),
        ours,
    )
    .await;
    let policy = wanted_or_gone::<_, NetworkPolicy>(
        ctx,
        desired.consumer_policy.as_ref(),
        existing.consumer_policy.as_ref(),
        ours,
    )
    .await;
    let consumers = consumer.as_ref().ok().map(Replicas::of);
    match (consumer, ingester, budget.and(policy)) {
        (Ok(consumer), Ok(ingester), Ok(())) => Rollout {
            aspect: rolled_out(ingester.as_ref(), &consumer),
            consumers,
            settings: if unfinished(&consumer).is_none() {
                SettingsInUse::Present
            } else {
                SettingsInUse::Unknown
            },
        },
        (Err(error), _, _) | (Ok(_), Err(error), _) | (Ok(_), Ok(_), Err(error)) => {
            Rollout::failed(error, consumers)
        }
    }
}

/// The consumer's pods, as its Deployment counts them where nothing is applied. None if that cannot be read.
pub(super) async fn consumers<B: Backends>(ctx: &Context<B>, pipeline: &Pipeline) -> Option<Replicas> {
    match deployment(ctx, pipeline, &consumer::name(&pipeline.name_any())).await {
        Ok(found) => Some(found.as_ref().map(Replicas::of).unwrap_or_default()),
        Err(error) => {
            debug!(error = %told(&error), "the consumer's pods are told of as they were");
            None
        }
    }
}

/// The settings, and their salt, which is made once. A salt is random, so of two operators that make one at once only one
/// may succeed: it is put into the version that was seen.
async fn apply_settings<B: Backends>(ctx: &Context<B>, settings: &Secret) -> Result<Salt, Error> {
    let applied: Secret = applied(ctx, settings).await?;
    if let Some(salt) = Salt::of(&applied) {
        return Ok(salt);
    }
    let salt = Salt::new(rand::random());
    let salted = ctx.kubernetes.change::<Secret>(&applied.metadata, salt.change()).await;
    salted.map(|()| salt).map_err(|source| Error::ApplyChild { source })
}

/// The ingester and what stands before it. One that fails does not hold up the others.
async fn apply_http<B: Backends>(
    ctx: &Context<B>,
    http: &Http,
    salt: &Salt,
    existing: &Optional,
    ours: &str,
) -> Result<Option<Deployment>, Error> {
    let ingester = match &http.ingester {
        Some(ingester) => applied_deployment(ctx, &salt.over(ingester)).await.map(Some),
        None => remove_ingester(ctx, &http.service.metadata, ours).await.map(|()| None),
    };
    let others = [
        applied::<_, Service>(ctx, &http.service).await.map(|_| ()),
        wanted_or_gone::<_, Ingress>(ctx, http.ingress.as_ref(), existing.ingress.as_ref(), ours).await,
        wanted_or_gone::<_, PodDisruptionBudget>(
            ctx,
            http.budget.as_ref(),
            existing.ingester_budget.as_ref(),
            ours,
        )
        .await,
        wanted_or_gone::<_, NetworkPolicy>(
            ctx,
            http.policy.as_ref(),
            existing.ingester_policy.as_ref(),
            ours,
        )
        .await,
    ];
    others.into_iter().collect::<Result<(), Error>>().and(ingester)
}

/// Deletes the ingester in the foreground, so that its Deployment is there for as long as one of its pods.
async fn remove_ingester<B: Backends>(
    ctx: &Context<B>,
    namesake: &ObjectMeta,
    owner_uid: &str,
) -> Result<(), Error> {
    let (namespace, name) = (namesake.namespace.as_deref(), namesake.name.as_deref());
    let found = ctx
        .kubernetes
        .get_metadata::<Deployment>(namespace.unwrap_or_default(), name.unwrap_or_default())
        .await
        .map_err(|source| Error::RemoveChild { source })?;
    wanted_or_gone::<_, Deployment>(ctx, None, found.as_ref(), owner_uid).await
}

/// Stops the pods of a Pipeline that has no topic or tenant of its own any longer: they would write what they take
/// into somebody else's. Their Deployments stay, and get their pods back as soon as they are applied again.
pub(super) async fn halt<B: Backends>(ctx: &Context<B>, pipeline: &Pipeline) -> Aspect<Workloads> {
    for name in [ingester::name(&pipeline.name_any()), consumer::name(&pipeline.name_any())] {
        if let Err(source) = scale_to_zero(ctx, pipeline, &name).await {
            return Progress::Failed(Error::HaltPods { source });
        }
    }
    stopped(match pipeline.spec.source.kafka {
        Some(_) => "the consumer is stopped",
        None => "the ingester and the consumer are stopped",
    })
}

/// How far the pods are where nothing is applied, and nothing is to be stopped.
pub(super) async fn left_alone<B: Backends>(ctx: &Context<B>, pipeline: &Pipeline) -> Aspect<Workloads> {
    let name = pipeline.name_any();
    let found = async {
        let ingester = deployment(ctx, pipeline, &ingester::name(&name)).await?;
        Ok((ingester, deployment(ctx, pipeline, &consumer::name(&name)).await?))
    };
    match found.await {
        Ok((ingester, consumer)) => rollout::left_alone(&pipeline.spec, ingester.as_ref(), consumer.as_ref()),
        Err(source) => Progress::Failed(Error::ReadPods { source }),
    }
}

/// Stops the pods of a Pipeline whose tenant is suspended and of which nothing else can be brought about.
pub(super) async fn suspend<B: Backends>(
    ctx: &Context<B>,
    pipeline: &Pipeline,
    suspend: Suspend,
) -> Aspect<Workloads> {
    let (ingester, consumer) = (ingester::name(&pipeline.name_any()), consumer::name(&pipeline.name_any()));
    let takes_events = if pipeline.spec.source.kafka.is_some() { &consumer } else { &ingester };
    let stopped = match suspend {
        Suspend::None => Vec::new(),
        Suspend::Ingest => vec![takes_events],
        Suspend::All => vec![&ingester, &consumer],
    };
    for name in stopped {
        if let Err(source) = scale_to_zero(ctx, pipeline, name).await {
            return Progress::Failed(Error::HaltPods { source });
        }
    }
    let message = "the tenant is suspended: no events are taken".to_owned();
    Progress::Waiting(Waiting { reason: Reason::TenantSuspended, message })
}

/// The same pods, told of as what they are: none of the consumer.
pub(super) fn without_consumer(others: Aspect<Workloads>) -> Aspect<Workloads> {
    match others {
        Progress::Failed(error) => Progress::Failed(error),
        Progress::Done(_) | Progress::Waiting(_) | Progress::Untried => stopped("the consumer is stopped"),
    }
}

fn stopped(message: &str) -> Aspect<Workloads> {
    Progress::Waiting(Waiting { reason: Reason::Stopped, message: message.to_owned() })
}

async fn scale_to_zero<B: Backends>(
    ctx: &Context<B>,
    pipeline: &Pipeline,
    name: &str,
) -> Result<(), kubernetes::Error> {
    let is_asked_for = |found: &Deployment| found.metadata.deletion_timestamp.is_none() && wanted(found) != 0;
    match deployment(ctx, pipeline, name).await?.filter(is_asked_for) {
        Some(found) => {
            let none = json!({ "spec": { "replicas": 0 } });
            ctx.kubernetes.change::<Deployment>(&found.metadata, none).await
        }
        None => Ok(()),
    }
}

/// The Pipeline's own Deployment of this name, if it has one.
async fn deployment<B: Backends>(
    ctx: &Context<B>,
    pipeline: &Pipeline,
    name: &str,
) -> Result<Option<Deployment>, kubernetes::Error> {
    let found = ctx.kubernetes.get::<Deployment>(&pipeline.namespace().unwrap_or_default(), name).await?;
    Ok(found.filter(|found| is_controlled_by(&found.metadata, &pipeline.uid().unwrap_or_default())))
}

/// A Deployment whose pods follow its template. One that somebody paused would keep pods of an old version, and tell of
/// nothing but a rollout in progress.
async fn applied_deployment<B: Backends>(ctx: &Context<B>, child: &Deployment) -> Result<Deployment, Error> {
    let applied: Deployment = applied(ctx, child).await?;
    if applied.spec.as_ref().is_some_and(|spec| spec.paused == Some(true)) {
        let name = applied.name_any();
        info!(deployment.name = name, "deployment `{name}` was paused by somebody, and is resumed");
        // Of this incarnation, and whatever its version is by now: its controller writes its status at this moment.
        let meant = ObjectMeta { resource_version: None, ..applied.metadata.clone() };
        let resumed = json!({ "spec": { "paused": null } });
        ctx.kubernetes
            .change::<Deployment>(&meant, resumed)
            .await
            .map_err(|source| Error::ApplyChild { source })?;
    }
    Ok(applied)
}

async fn applied<B: Backends, K: Kind>(
    ctx: &Context<B>,
    child: &(impl Serialize + Debug + Sync),
) -> Result<K, Error> {
    ctx.kubernetes.apply(child).await.map_err(|source| Error::ApplyChild { source })
}

/// Applies a child that the spec asks for; removes one that it no longer asks for, if it is ours.
async fn wanted_or_gone<B: Backends, K: Kind + Serialize + Sync>(
    ctx: &Context<B>,
    wanted: Option<&K>,
    existing: Option<&ObjectMeta>,
    owner_uid: &str,
) -> Result<(), Error> {
    match (wanted, existing) {
        (Some(wanted), _) => applied::<B, K>(ctx, wanted).await.map(|_| ()),
        (None, Some(found)) if found.deletion_timestamp.is_none() && is_controlled_by(found, owner_uid) => {
            ctx.kubernetes.delete::<K>(found).await.map_err(|source| Error::RemoveChild { source })
        }
        (None, Some(_) | None) => Ok(()),
    }
}
