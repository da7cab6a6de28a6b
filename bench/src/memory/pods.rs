//! The ready pods of Millrace, as the API server tells them.

use std::process::Command;

use anyhow::{Context as _, ensure};
use dev::Stack;
use jiff::Timestamp;
use serde::Deserialize;

/// Programs whose pods are measured; each is the name of the pod's container.
const PROGRAMS: [&str; 3] = ["operator", "ingester", "consumer"];

/// A pod that is ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pod {
    pub(crate) name: String,
    pub(crate) program: String,
    /// Without the runtime's name before it.
    pub(crate) container_id: String,
    pub(crate) ready_since: Timestamp,
}

/// What is needed of a PodList.
#[derive(Deserialize)]
struct List {
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    metadata: Metadata,
    status: Status,
}

#[derive(Deserialize)]
struct Metadata {
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    #[serde(default)]
    conditions: Vec<Condition>,
    #[serde(default)]
    container_statuses: Vec<Container>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Condition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
    last_transition_time: Timestamp,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Container {
    name: String,
    #[serde(rename = "containerID", default)]
    id: String,
}

/// Asks for the pods of all namespaces.
pub(crate) fn list(stack: &Stack) -> anyhow::Result<Vec<Pod>> {
    let output = Command::new(&stack.kubectl)
        .args(["get", "pods", "--all-namespaces", "--request-timeout=15s", "-o", "json"])
        .env("KUBECONFIG", &stack.kubeconfig)
        .env("NO_PROXY", "*")
        .output()
        .context("failed to start kubectl")?;
    ensure!(output.status.success(), "failed to list the pods: {}", String::from_utf8_lossy(&output.stderr));
    ready(&output.stdout)
}

fn ready(json: &[u8]) -> anyhow::Result<Vec<Pod>> {
    let list: List = serde_json::from_slice(json).context("failed to understand the list of pods")?;
    Ok(list.items.into_iter().filter_map(pod).collect())
}

fn pod(item: Item) -> Option<Pod> {
    let is_ready = |condition: &&Condition| condition.kind == "Ready" && condition.status == "True";
    let ready_since = item.status.conditions.iter().find(is_ready)?.last_transition_time;
    let container =
        item.status.container_statuses.into_iter().find(|c| PROGRAMS.contains(&c.name.as_str()))?;
    let container_id = container.id.rsplit('/').next().filter(|id| !id.is_empty())?.to_owned();
    Some(Pod { name: item.metadata.name, program: container.name, container_id, ready_since })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ready_pods_of_ours_are_listed() {
        let json = br#"{"items":[
          {"metadata":{"name":"a"},"status":{
            "conditions":[{"type":"Ready","status":"True","lastTransitionTime":"2026-01-31T12:00:00Z"}],
            "containerStatuses":[{"name":"ingester","containerID":"containerd://abc"}]}},
          {"metadata":{"name":"b"},"status":{
            "conditions":[{"type":"Ready","status":"False","lastTransitionTime":"2026-01-31T12:00:00Z"}],
            "containerStatuses":[{"name":"ingester","containerID":"containerd://def"}]}},
          {"metadata":{"name":"c"},"status":{
            "conditions":[{"type":"Ready","status":"True","lastTransitionTime":"2026-01-31T12:00:00Z"}],
            "containerStatuses":[{"name":"other","containerID":"containerd://ghi"}]}},
          {"metadata":{"name":"d"},"status":{}}]}"#;
        let pods = ready(json).unwrap();
        assert_eq!(pods.len(), 1);
        assert_eq!((pods[0].name.as_str(), pods[0].container_id.as_str()), ("a", "abc"));
    }
}
