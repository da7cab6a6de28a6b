//! The build step of the Pipeline controller. Pure, and it cannot fail.
//!
//! The topics come first, since their ids are part of the consumer's settings.

pub(crate) mod consumer;
pub(crate) mod disruption_budget;
pub(crate) mod ingester;
pub(crate) mod ingress;
mod network_policy;
mod pod;
mod pods;
pub(crate) mod settings;
pub(crate) mod topics;

use std::collections::BTreeMap;

use crds::Pipeline;
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Secret, Service},
    networking::v1::{Ingress, NetworkPolicy},
    policy::v1::PodDisruptionBudget,
};
use kube::api::ObjectMeta;
use schema::{
    names::{ConsumerGroup, TopicId},
    settings::IngesterSettings,
};

use super::{
    fetch::Fetched,
    validate::{self, HttpSource, Source, ValidatedPipeline},
};
use crate::{
    installation::Installation,
    labels::{self, Component},
};

pub(crate) use {
    pods::{By, Wanted, WantedPods, Why, Wish, wanted_pods},
    topics::{Runnable, topics},
};

/// What has to be there.
#[derive(Debug, Clone)]
pub(crate) struct Desired {
    pub(crate) settings: Secret,
    /// Where events come over HTTP.
    pub(crate) http: Option<Http>,
    pub(crate) consumer: Deployment,
    pub(crate) consumer_budget: Option<PodDisruptionBudget>,
    pub(crate) consumer_policy: Option<NetworkPolicy>,
    pub(crate) group: ConsumerGroup,
}

/// What has to be there so that events come over HTTP.
#[derive(Debug, Clone)]
pub(crate) struct Http {
    /// None while the Pipeline is stopped. Such a Deployment is deleted and not only emptied: it tells of its deletion
    /// when its last pod is gone, which its number of pods does not.
    pub(crate) ingester: Option<Deployment>,
    pub(crate) service: Service,
    pub(crate) ingress: Option<Ingress>,
    pub(crate) budget: Option<PodDisruptionBudget>,
    pub(crate) policy: Option<NetworkPolicy>,
    pub(crate) endpoint: String,
}

/// The objects around a topic of a known incarnation; none before there is one.
pub(crate) fn build(
    installation: &Installation,
    pipeline: &ValidatedPipeline,
    topic: Option<TopicId>,
    pods: WantedPods,
) -> Option<Desired> {
    let pipeline = &wanted_part(pipeline, pods)?;
    let name = pipeline.name.as_str();
    // By the Pipeline's own name, also where the topic is not its own: another Pipeline may read the same one.
    let group = ConsumerGroup::of(&pipeline.topic_name, topic?, pipeline.tenant.generation);
    let source = match &pipeline.source {
        Source::Http(source) => Some((source, settings::ingester(installation, pipeline, source))),
        Source::Kafka(_) => None,
    };
    let consumer_settings = settings::consumer(installation, pipeline, topic?, &group);
    Some(Desired {
        settings: settings::secret(
            pipeline,
            source.as_ref().map(|(_, settings)| settings),
            &consumer_settings,
        ),
        http: source.map(|(source, settings)| http(installation, pipeline, source, settings, pods.ingester)),
        consumer: consumer::deployment(installation, pipeline, &settings::hash(&consumer_settings)),
        consumer_budget: disruption_budget::of(
            pipeline,
            Component::Consumer,
            consumer::name(name),
            pipeline.consumer.replicas,
        ),
        consumer_policy: network_policy::of(
            installation.data_plane.network_policies.as_ref(),
            pipeline,
            Component::Consumer,
            consumer::name(name),
        ),
        group,
    })
}

fn http(
    installation: &Installation,
    pipeline: &ValidatedPipeline,
    source: &HttpSource,
    settings: IngesterSettings,
    wanted: Wanted,
) -> Http {
    let hash = settings::hash_without_keys(settings);
    let is_wanted = wanted == Wanted::AsAsked;
    Http {
        ingester: is_wanted.then(|| ingester::deployment(installation, pipeline, &source.ingester, &hash)),
        service: ingester::service(pipeline, &source.ingester.service),
        ingress: source.ingester.ingress.as_ref().map(|ingress| ingress::ingress(pipeline, ingress)),
        budget: disruption_budget::of(
            pipeline,
            Component::Ingester,
            ingester::name(pipeline.name.as_str()),
            if is_wanted { source.ingester.replicas } else { 0 },
        ),
        policy: network_policy::of(
            installation.data_plane.network_policies.as_ref(),
            pipeline,
            Component::Ingester,
            ingester::name(pipeline.name.as_str()),
        ),
        endpoint: ingester::endpoint(pipeline, source.ingester.ingress.as_ref()),
    }
}

/// The Pipeline with as many consumers as may run; none if the topics let nobody run.
fn wanted_part(pipeline: &ValidatedPipeline, pods: WantedPods) -> Option<ValidatedPipeline> {
    let mut part = pipeline.clone();
    match (pods.ingester, pods.consumer) {
        (Wanted::Nobody(Why::Topics), _) => return None,
        (_, Wanted::AsAsked) => {}
        (_, Wanted::Nobody(_)) => part.consumer.replicas = 0,
    }
    Some(part)
}

/// The change that brings the keys of now to a running ingester, if it has others. While the tenant's Secret is not
/// there, nobody knows them.
pub(crate) fn keys(pipeline: &Pipeline, fetched: &Fetched) -> Option<settings::Rekeyed> {
    let keys = validate::keys(fetched.tenant.as_ref()?, fetched).ok()?;
    settings::rekeyed(pipeline, fetched.settings.as_ref(), &keys)
}

/// The metadata of a child.
fn metadata(
    pipeline: &ValidatedPipeline,
    name: String,
    component: Component,
    annotations: BTreeMap<String, String>,
) -> ObjectMeta {
    ObjectMeta {
        name: Some(name),
        namespace: Some(pipeline.namespace.clone()),
        labels: Some(labels::of_pipeline(&pipeline.tenant.name, pipeline.name.as_str(), component)),
        annotations: (!annotations.is_empty()).then_some(annotations),
        owner_references: Some(vec![pipeline.owner_reference.clone()]),
        ..ObjectMeta::default()
    }
}

#[cfg(test)]
mod tests;
