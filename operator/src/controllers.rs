//! Both controllers: what they watch, and what a change of it leads to.
//!
//! Only AnalyticsTenants and Pipelines are kept in memory. Of children, the metadata of those with our label passes
//! by, and that of the Secrets that tenants may take keys from: a change is a reason to look, and what is looked at is
//! read from the API server.

mod keeper;
mod streams;
mod unreadables;

use std::{
    fmt::Debug,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::Arc,
    time::Duration,
};

use crds::{AnalyticsTenant, Pipeline};
use futures::StreamExt as _;
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Secret, Service},
    networking::v1::{Ingress, NetworkPolicy},
    policy::v1::PodDisruptionBudget,
};
use kube::{
    Client, Resource, ResourceExt,
    api::PartialObjectMeta,
    runtime::{
        Controller, PredicateConfig, WatchStreamExt as _, controller,
        reflector::{ObjectRef, Store, store::Writer},
        watcher,
    },
};
use runtime::health::Flag;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::{
    context::{Backends, Context},
    kubernetes::Guarded,
    labels, pipeline, tenant,
};
use {streams::Streams, unreadables::Unreadables};

/// Reconciles at a time and controller. One that waits for a slow backend must not hold up the others.
const CONCURRENCY: u16 = 8;
/// Changes within this time are one: a rollout touches its Deployment many times.
const DEBOUNCE: Duration = Duration::from_millis(100);

/// Runs the AnalyticsTenant controller until the shutdown, and lets running reconciles finish.
pub(crate) async fn tenants<B: Backends>(
    client: Client,
    ctx: Arc<Context<B>>,
    writer: Writer<AnalyticsTenant>,
    listed: Flag,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let streams = streams("tenant", client, &ctx);
    let store = writer.as_reader();
    let of_secrets = store.clone();
    let (unreadables, notices) = Unreadables::of("tenant");
    let controller = Controller::for_stream(streams.primaries(writer, listed.clone(), unreadables), store)
        .owns_stream(streams.children::<Secret>())
        .watches_stream(streams.brought_keys(), move |secret| taking_from(&of_secrets, &secret))
        .watches_stream(streams.others::<Pipeline>(), |pipeline| {
            let tenant = pipeline::tenant_name(&pipeline).map(ObjectRef::new);
            tenant.map(|tenant| tenant.within(&pipeline.namespace().unwrap_or_default()))
        })
        .with_config(config())
        .graceful_shutdown_on(shutdown.clone().cancelled_owned())
        .run(tenant::reconcile::<B>, tenant::error_policy::<B>, Arc::clone(&ctx))
        .for_each(async |outcome| note("tenant", outcome));
    let notices = shutdown.run_until_cancelled(notices.write(&ctx.events));
    futures::join!(to_its_end(controller, &listed, &shutdown), notices);
    Ok(())
}

/// Runs the Pipeline controller until the shutdown, and lets running reconciles finish.
pub(crate) async fn pipelines<B: Backends>(
    client: Client,
    ctx: Arc<Context<B>>,
    writer: Writer<Pipeline>,
    listed: Flag,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let streams = streams("pipeline", client, &ctx);
    let store = writer.as_reader();
    let (of_tenants, of_secrets) = (store.clone(), store.clone());
    let tenants =
        streams.others::<AnalyticsTenant>().predicate_filter(what_pipelines_need, PredicateConfig::default());
    let (unreadables, notices) = Unreadables::of("pipeline");
    let controller = Controller::for_stream(streams.primaries(writer, listed.clone(), unreadables), store)
        .owns_stream(streams.children::<Deployment>())
        .owns_stream(streams.children::<Service>())
        .owns_stream(streams.children::<Ingress>())
        .owns_stream(streams.children::<PodDisruptionBudget>())
        .owns_stream(streams.children::<NetworkPolicy>())
        .watches_stream(streams.children::<Secret>(), move |secret| served_by(&of_secrets, &secret))
        .watches_stream(tenants, move |tenant| {
            of_tenant(&of_tenants, &tenant.namespace().unwrap_or_default(), &tenant.name_any())
        })
        .with_config(config())
        .graceful_shutdown_on(shutdown.clone().cancelled_owned())
        .run(pipeline::reconcile::<B>, pipeline::error_policy::<B>, Arc::clone(&ctx))
        .for_each(async |outcome| note("pipeline", outcome));
    let notices = shutdown.run_until_cancelled(notices.write(&ctx.events));
    futures::join!(to_its_end(controller, &listed, &shutdown), notices);
    Ok(())
}

fn streams<B: Backends>(controller: &'static str, client: Client, ctx: &Context<B>) -> Streams {
    Streams { client, scope: ctx.installation.scope.clone(), controller, pace: ctx.retries.pace }
}

/// Runs a controller until it ends. Before its kind was listed it has nothing to finish, and would not end: kube holds
/// all work back until then, and the end with it.
async fn to_its_end(controller: impl Future<Output = ()>, listed: &Flag, shutdown: &CancellationToken) {
    let not_begun = async {
        shutdown.cancelled().await;
        if listed.is_set() {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        () = controller => {}
        () = not_begun => {}
    }
}

fn config() -> controller::Config {
    controller::Config::default().concurrency(CONCURRENCY).debounce(DEBOUNCE)
}

/// The tenants that take a key from a Secret.
fn taking_from(
    tenants: &Store<AnalyticsTenant>,
    secret: &PartialObjectMeta<Secret>,
) -> Vec<ObjectRef<AnalyticsTenant>> {
    let (namespace, name) = (secret.namespace(), secret.name_any());
    tenants
        .state_filter(|tenant| {
            tenant.namespace() == namespace && tenant::referenced_names(tenant).contains(name.as_str())
        })
        .iter()
        .map(|tenant| ObjectRef::from_obj(tenant.as_ref()))
        .collect()
}

/// What of a tenant its Pipelines are made from; of one that cannot be read, that it is so.
fn what_pipelines_need(tenant: &Guarded<AnalyticsTenant>) -> Option<u64> {
    let Ok(tenant) = &tenant.0 else { return Some(0) };
    let mut hash = DefaultHasher::new();
    tenant.meta().generation.hash(&mut hash);
    tenant.meta().deletion_timestamp.is_some().hash(&mut hash);
    tenant::is_disowned(tenant).hash(&mut hash);
    tenant::loss(tenant).map(|loss| (&loss.reason, &loss.message)).hash(&mut hash);
    if let Some(status) = &tenant.status {
        let database = status.database.as_ref().map(|database| (&database.name, &database.table_uuid));
        (&status.tenant_id, database, &status.retained_topics).hash(&mut hash);
    }
    Some(hash.finish())
}

/// The Pipelines that a Secret concerns: the one whose settings it holds, or all of the tenant whose keys it holds.
fn served_by(pipelines: &Store<Pipeline>, secret: &PartialObjectMeta<Secret>) -> Vec<ObjectRef<Pipeline>> {
    let namespace = secret.namespace().unwrap_or_default();
    let labels = secret.labels();
    match (labels.get(labels::PIPELINE), labels.get(labels::TENANT)) {
        (Some(pipeline), _) => vec![ObjectRef::new(pipeline).within(&namespace)],
        (None, Some(tenant)) => of_tenant(pipelines, &namespace, tenant),
        (None, None) => Vec::new(),
    }
}

fn of_tenant(pipelines: &Store<Pipeline>, namespace: &str, tenant: &str) -> Vec<ObjectRef<Pipeline>> {
    pipelines
        .state_filter(|pipeline| {
            pipeline.spec.tenant_ref.name == tenant && pipeline.namespace().as_deref() == Some(namespace)
        })
        .iter()
        .map(|pipeline| ObjectRef::from_obj(pipeline.as_ref()))
        .collect()
}

/// Failed reconciles were told by the error policy, and broken watches where they broke.
fn note<K: Resource, E: Debug + std::error::Error>(
    controller: &'static str,
    outcome: Result<(ObjectRef<K>, controller::Action), controller::Error<E, watcher::Error>>,
) where
    K::DynamicType: Debug,
{
    match outcome {
        Ok(_)
        | Err(
            controller::Error::ReconcilerFailed(..)
            | controller::Error::ObjectNotFound(_)
            | controller::Error::QueueError(_),
        ) => {}
        Err(controller::Error::RunnerError(cause)) => {
            warn!(controller, error = %cause, "the {controller} controller could not start");
        }
    }
}

#[cfg(test)]
mod tests;
