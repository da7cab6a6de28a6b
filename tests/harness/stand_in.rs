//! Stands in for what makes pods out of Deployments: it says of each one that all its pods are there.
//!
//! It writes the status that the Deployment controller writes at the end of a rollout, and makes no ReplicaSet
//! and no pod.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentCondition, DeploymentStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{Api, PostParams};
use kube::runtime::Controller;
use kube::runtime::controller::Action;
use kube::runtime::watcher;
use kube::{Client, ResourceExt as _};
use tokio::task::JoinHandle;

use crate::kubernetes::Ground;

/// Pause before a status that could not be written is tried again.
const AGAIN: Duration = Duration::from_millis(200);

/// Makes Deployments available until it is dropped.
#[derive(Debug)]
pub struct StandIn {
    task: JoinHandle<()>,
}

impl StandIn {
    /// For all namespaces.
    #[must_use]
    pub fn start(client: &Client) -> Self {
        Self::of(Api::all(client.clone()), client)
    }

    /// For one namespace.
    #[must_use]
    pub fn start_in(ground: &Ground) -> Self {
        Self::of(ground.api(), &ground.client)
    }

    fn of(deployments: Api<Deployment>, client: &Client) -> Self {
        let context = Arc::new(client.clone());
        let controller = Controller::new(deployments, watcher::Config::default());
        let run = controller.run(make_available, |_, _, _| Action::requeue(AGAIN), context);
        // A failure has its next attempt already.
        let run = run.for_each(|_| std::future::ready(()));
        #[allow(clippy::disallowed_methods, reason = "its owner is the value that is returned")]
        let task = tokio::spawn(run);
        Self { task }
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Writes with the version that was read, so that a newer spec is never called observed.
async fn make_available(deployment: Arc<Deployment>, client: Arc<Client>) -> Result<Action, kube::Error> {
    let status = available(&deployment, Timestamp::now());
    if deployment.status.as_ref() == Some(&status) {
        return Ok(Action::await_change());
    }
    let (name, namespace) = (deployment.name_any(), deployment.namespace().unwrap_or_default());
    let deployments = Api::<Deployment>::namespaced(Client::clone(&client), &namespace);
    let written = Deployment { status: Some(status), ..Deployment::clone(&deployment) };
    match deployments.replace_status(&name, &PostParams::default(), &written).await {
        // It is gone, and so is its need.
        Err(kube::Error::Api(answer)) if answer.code == 404 => Ok(Action::await_change()),
        result => result.map(|_| Action::await_change()),
    }
}

/// The status of a Deployment whose rollout is complete.
fn available(deployment: &Deployment, now: Timestamp) -> DeploymentStatus {
    let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    // The real one leaves zeros away.
    let pods = Some(wanted).filter(|wanted| *wanted > 0);
    let known =
        deployment.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let condition = |kind: &str, reason: &str, message: &str| {
        let unchanged = known.iter().find(|condition| condition.type_ == kind && condition.status == "True");
        unchanged.cloned().unwrap_or_else(|| DeploymentCondition {
            type_: kind.to_owned(),
            status: "True".to_owned(),
            reason: Some(reason.to_owned()),
            message: Some(message.to_owned()),
            last_transition_time: Some(Time(now)),
            last_update_time: Some(Time(now)),
        })
    };
    DeploymentStatus {
        observed_generation: deployment.metadata.generation,
        replicas: pods,
        updated_replicas: pods,
        ready_replicas: pods,
        available_replicas: pods,
        conditions: Some(vec![
            condition("Available", "MinimumReplicasAvailable", "Deployment has minimum availability."),
            condition("Progressing", "NewReplicaSetAvailable", "ReplicaSet has successfully progressed."),
        ]),
        ..DeploymentStatus::default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn deployment(replicas: i32) -> Deployment {
        let manifest = json!({
            "metadata": {"name": "acme-ingester", "generation": 3},
            "spec": {"replicas": replicas, "selector": {}, "template": {}},
        });
        serde_json::from_value(manifest).unwrap()
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn all_pods_of_the_present_spec_are_available() {
        insta::assert_yaml_snapshot!(available(&deployment(2), at(1_800_000_000)));
    }

    #[test]
    fn without_pods_there_are_no_counts() {
        assert_eq!(available(&deployment(0), at(0)).available_replicas, None);
    }

    #[test]
    fn a_status_that_is_written_stays_as_it_is() {
        let first = available(&deployment(2), at(0));
        let written = Deployment { status: Some(first.clone()), ..deployment(2) };
        assert_eq!(available(&written, at(60)), first);
    }

    #[test]
    fn more_pods_that_are_asked_for_are_available_since_the_first() {
        let first = available(&deployment(2), at(0));
        let written = Deployment { status: Some(first.clone()), ..deployment(5) };
        let second = available(&written, at(60));
        assert_eq!((second.replicas, second.conditions), (Some(5), first.conditions));
    }
}
