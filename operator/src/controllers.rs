//! Both controllers: what they watch, and what a change of it leads to.
//!
//! Only AnalyticsTenants and Pipelines are kept in memory. Of children, the metadata of those with our label passes
//! by: a change is a reason to look, and what is looked at is read from the API server.

use std::{
    fmt::Debug,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::Arc,
    time::Duration,
};

use crds::{AnalyticsTenant, Pipeline};
use futures::{Stream, StreamExt as _};
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Secret, Service},
    networking::v1::{Ingress, NetworkPolicy},
    policy::v1::PodDisruptionBudget,
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::PartialObjectMeta,
    runtime::{
        Controller, Predicate as _, PredicateConfig, WatchStreamExt as _, controller, predicates,
        reflector::{self, ObjectRef, Store, store::Writer},
        watcher,
    },
};
use runtime::health::Flag;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::{
    context::{Backends, Context},
    kubernetes::Kind,
    labels, metrics, pipeline, tenant,
};

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
    let store = writer.as_reader();
    let pipelines = watcher(Api::<Pipeline>::all(client.clone()), watcher::Config::default());
    Controller::for_stream(primaries(&client, writer, listed), store)
        .owns_stream(children::<Secret>(&client))
        .watches_stream(pipelines.touched_objects(), |pipeline| {
            let tenant = ObjectRef::new(&pipeline.spec.tenant_ref.name);
            Some(tenant.within(&pipeline.namespace().unwrap_or_default()))
        })
        .with_config(config())
        .graceful_shutdown_on(shutdown.cancelled_owned())
        .run(tenant::reconcile::<B>, tenant::error_policy::<B>, ctx)
        .for_each(async |outcome| note("tenant", outcome))
        .await;
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
    let store = writer.as_reader();
    let (of_tenants, of_secrets) = (store.clone(), store.clone());
    let tenants = watcher(Api::<AnalyticsTenant>::all(client.clone()), watcher::Config::default())
        .touched_objects()
        .predicate_filter(what_pipelines_need, PredicateConfig::default());
    Controller::for_stream(primaries(&client, writer, listed), store)
        .owns_stream(children::<Deployment>(&client))
        .owns_stream(children::<Service>(&client))
        .owns_stream(children::<Ingress>(&client))
        .owns_stream(children::<PodDisruptionBudget>(&client))
        .owns_stream(children::<NetworkPolicy>(&client))
        .watches_stream(children::<Secret>(&client), move |secret| served_by(&of_secrets, &secret))
        .watches_stream(tenants, move |tenant| {
            of_tenant(&of_tenants, &tenant.namespace().unwrap_or_default(), &tenant.name_any())
        })
        .with_config(config())
        .graceful_shutdown_on(shutdown.cancelled_owned())
        .run(pipeline::reconcile::<B>, pipeline::error_policy::<B>, ctx)
        .for_each(async |outcome| note("pipeline", outcome))
        .await;
    Ok(())
}

fn config() -> controller::Config {
    controller::Config::default().concurrency(CONCURRENCY).debounce(DEBOUNCE)
}

/// The resources of a controller's own kind, kept in its store; `listed` is set once all are there. Our own status writes are no reason to look again.
fn primaries<K: Kind + Send + Sync + 'static>(
    client: &Client,
    writer: Writer<K>,
    listed: Flag,
) -> impl Stream<Item = watcher::Result<K>> + Send + 'static {
    let watched = watcher(Api::<K>::all(client.clone()), watcher::Config::default())
        // Who set which field takes more room than the fields.
        .modify(|resource| resource.managed_fields_mut().clear())
        // The store's own signal wakes a single waiter, and the controller is one already.
        .inspect(move |event| {
            if let Ok(watcher::Event::InitDone) = event {
                listed.set(true);
            }
        });
    let changed = predicates::generation
        .combine(predicates::annotations)
        .combine(predicates::finalizers)
        .combine(deletion);
    reflector::reflector(writer, watched)
        .applied_objects()
        .predicate_filter(changed, PredicateConfig::default())
}

fn deletion<K: Resource>(resource: &K) -> Option<u64> {
    resource.meta().deletion_timestamp.as_ref().map(|_| 1)
}

/// The metadata of the objects of a kind that the operator made.
fn children<K: Kind + Send + 'static>(
    client: &Client,
) -> impl Stream<Item = watcher::Result<PartialObjectMeta<K>>> + Send + 'static {
    let ours = watcher::Config::default().labels(labels::OURS);
    watcher(Api::<PartialObjectMeta<K>>::all(client.clone()), ours)
        .modify(|child| child.managed_fields_mut().clear())
        .touched_objects()
}

/// What of a tenant its Pipelines are made from.
fn what_pipelines_need(tenant: &AnalyticsTenant) -> Option<u64> {
    let mut hash = DefaultHasher::new();
    tenant.meta().generation.hash(&mut hash);
    tenant.meta().deletion_timestamp.is_some().hash(&mut hash);
    tenant::is_disowned(tenant).hash(&mut hash);
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

/// Counts broken watches; kube makes them anew. Failed reconciles were told by the error policy.
fn note<K: Resource, E: Debug + std::error::Error>(
    controller: &'static str,
    outcome: Result<(ObjectRef<K>, controller::Action), controller::Error<E, watcher::Error>>,
) where
    K::DynamicType: Debug,
{
    match outcome {
        Ok(_) | Err(controller::Error::ReconcilerFailed(..) | controller::Error::ObjectNotFound(_)) => {}
        Err(controller::Error::QueueError(cause)) => {
            metrics::watch_failed(controller);
            warn!(controller, error = %cause, "a watch of the {controller} controller broke");
        }
        Err(controller::Error::RunnerError(cause)) => {
            warn!(controller, error = %cause, "the {controller} controller could not start");
        }
    }
}

#[cfg(test)]
mod tests;
