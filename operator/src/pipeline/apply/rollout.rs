//! How far the pods of a Pipeline are, as their Deployments tell. Pure.

use crds::{
    Reason,
    pipeline::{PipelineSpec, PipelineState},
};
use k8s_openapi::api::apps::v1::{Deployment, DeploymentCondition};
use kube::ResourceExt as _;

use super::{Aspect, Replicas, Workloads};
use crate::progress::{Progress, Waiting};

impl Replicas {
    /// As the Deployment counts them.
    pub(super) fn of(deployment: &Deployment) -> Self {
        let status = deployment.status.as_ref();
        Self {
            desired: wanted(deployment),
            existing: status.and_then(|status| status.replicas).unwrap_or(0),
            ready: status.and_then(|status| status.ready_replicas).unwrap_or(0),
        }
    }
}

/// How far pods are that were left as they were, since nothing may be brought about now: the spec is refused, or the tenant
/// is not there.
pub(super) fn left_alone(
    spec: &PipelineSpec,
    ingester: Option<&Deployment>,
    consumer: Option<&Deployment>,
) -> Aspect<Workloads> {
    if ingester.is_none() && consumer.is_none() {
        return Progress::Untried; // There never were any.
    }
    // What ends takes and stores nothing any more.
    let stays = |found: &&Deployment| found.metadata.deletion_timestamp.is_none();
    let (ingester, consumer) = (ingester.filter(stays), consumer.filter(stays));
    let has_pods = |found: Option<&Deployment>| found.is_some_and(|found| wanted(found) > 0);
    let takes_requests = spec.source.kafka.is_none() && spec.state != PipelineState::Stopped;
    let lacks_ingester = takes_requests && spec.ingester.replicas > 0 && !has_pods(ingester);
    let stores = spec.state == PipelineState::Running;
    let lacks_consumer = stores && spec.consumer.replicas > 0 && !has_pods(consumer);
    let (has_ingester, has_consumer) = (has_pods(ingester), has_pods(consumer));
    match (spec.state, has_ingester, has_consumer) {
        (PipelineState::Stopped, true, _) | (PipelineState::Stopped, _, true) => return not_yet("stopped"),
        (PipelineState::Paused, _, true) => return not_yet("paused"),
        (PipelineState::Running | PipelineState::Paused | PipelineState::Stopped, _, _) => {}
    }
    match (lacks_ingester, lacks_consumer) {
        (true, true) => missing("there is no ingester and no consumer: events are neither taken nor stored"),
        (true, false) => missing("there is no ingester: no events are taken"),
        (false, true) => missing("there is no consumer: what is taken waits in Kafka"),
        (false, false) => as_asked(spec.state, ingester, consumer),
    }
}

/// Pods that the spec asks for and that are only brought back with everything else.
fn missing(what: &str) -> Aspect<Workloads> {
    let message =
        format!("{what}; the pods are brought back when the spec is accepted and the tenant is ready");
    Progress::Waiting(Waiting { reason: Reason::Stopped, message })
}

/// Pods that a new state leaves behind, and that it only reaches with everything else.
fn not_yet(state: &str) -> Aspect<Workloads> {
    let message = format!("not {state} yet: that waits until the spec is accepted and the tenant is ready");
    Progress::Waiting(Waiting { reason: Reason::Pending, message })
}

/// Pods that are there, or are away as the state has it.
fn as_asked(
    state: PipelineState,
    ingester: Option<&Deployment>,
    consumer: Option<&Deployment>,
) -> Aspect<Workloads> {
    if let Some(waiting) = consumer.and_then(unfinished).or_else(|| ingester.and_then(unfinished)) {
        return Progress::Waiting(waiting);
    }
    let has_consumer = consumer.is_some_and(|consumer| wanted(consumer) > 0);
    let (reason, message) = match (state, has_consumer) {
        (PipelineState::Paused, false) => (Reason::Paused, "paused: events wait in Kafka"),
        (PipelineState::Stopped, false) => (Reason::Stopped, "stopped: nothing is stored"),
        (PipelineState::Running | PipelineState::Paused | PipelineState::Stopped, _) => {
            return Progress::Done(workloads(ingester.map(wanted), consumer.map_or(0, wanted)));
        }
    };
    Progress::Done(Workloads::Idle { reason, message: message.to_owned() })
}

/// Whether all pods of the present templates are available.
pub(super) fn rolled_out(ingester: Option<&Deployment>, consumer: &Deployment) -> Aspect<Workloads> {
    match unfinished(consumer).or_else(|| ingester.and_then(unfinished)) {
        Some(waiting) => Progress::Waiting(waiting),
        None => Progress::Done(workloads(ingester.map(wanted), wanted(consumer))),
    }
}

/// What flows through so many pods.
fn workloads(ingester: Option<i32>, consumer: i32) -> Workloads {
    let message = match (ingester, consumer) {
        (None, 0) => "no consumer is asked for: events wait in Kafka",
        (Some(0), 0) => "no pods are asked for: events are neither taken nor stored",
        (Some(0), _) => "no ingester is asked for: no events are taken",
        (Some(_), 0) => "no consumer is asked for: events are taken and wait in Kafka",
        (None | Some(_), _) => return Workloads::Running,
    };
    Workloads::Idle { reason: Reason::ScaledToZero, message: message.to_owned() }
}

pub(super) fn wanted(deployment: &Deployment) -> i32 {
    deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)
}

/// What a Deployment still lacks. A rollout that is stuck is told apart, and still only waited for: the next spec
/// replaces it.
pub(super) fn unfinished(deployment: &Deployment) -> Option<Waiting> {
    let name = deployment.name_any();
    let wanted = wanted(deployment);
    let status = deployment.status.clone().unwrap_or_default();
    let is_observed = status.observed_generation >= deployment.metadata.generation;
    let updated = status.updated_replicas.unwrap_or(0);
    let available = status.available_replicas.unwrap_or(0);
    let is_alone = status.replicas.unwrap_or(0) <= updated;
    if is_observed && updated >= wanted && available >= wanted && is_alone {
        return None;
    }
    let conditions = status.conditions.unwrap_or_default();
    let is_stuck = conditions.iter().any(|condition| condition.reason.as_deref() == Some(STUCK));
    let why = conditions.iter().find_map(not_made).map(|why| format!("; no pod is made: {why}"));
    Some(Waiting {
        reason: if is_stuck { Reason::RolloutStuck } else { Reason::RolloutInProgress },
        message: format!(
            "Deployment `{name}`: {updated} of {wanted} pods are of the present version, {available} are available{}",
            why.unwrap_or_default()
        ),
    })
}

/// The reason of a Deployment's condition `Progressing`
/// (<https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#failed-deployment>).
const STUCK: &str = "ProgressDeadlineExceeded";

/// Why no pod could be made, such as a quota, without the name of the pod, which is another one at each try.
fn not_made(condition: &DeploymentCondition) -> Option<&str> {
    let message = condition.message.as_deref()?;
    let is_told = condition.type_ == "ReplicaFailure" && condition.status == "True";
    is_told.then(|| message.split_once(" is forbidden: ").map_or(message, |(_, why)| why))
}

#[cfg(test)]
mod tests;
