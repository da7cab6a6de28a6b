//! The ready pods of Millrace, as the API server tells them.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use dev::Stack;
use jiff::Timestamp;
use serde::Deserialize;

/// Where the demo's pods are, and how their names begin. Tests have pods of their own in other namespaces,
/// and may run at the same time: theirs are neither measured nor touched.
const DEMO: [(&str, &str); 2] = [("millrace-system", "millrace-"), ("default", "acme-default-")];

/// Programs whose pods are measured; each is the name of the pod's container.
const PROGRAMS: [&str; 3] = ["operator", "ingester", "consumer"];

/// Time until deleted pods are replaced by ready ones; an ingester takes its time to drain.
const REPLACED: Duration = Duration::from_secs(120);

/// Pause between two looks at the pods.
const LOOK: Duration = Duration::from_secs(1);

/// A pod that is ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pod {
    pub(crate) namespace: String,
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
#[serde(rename_all = "camelCase")]
struct Metadata {
    name: String,
    namespace: String,
    deletion_timestamp: Option<Timestamp>,
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

/// Asks for the demo's pods.
pub(crate) fn list(stack: &Stack) -> anyhow::Result<Vec<Pod>> {
    let mut pods = Vec::new();
    for (namespace, _) in DEMO {
        pods.extend(ready(&kubectl(stack, &["get", "pods", "--namespace", namespace, "-o", "json"])?)?);
    }
    Ok(pods)
}

/// Deletes these pods and waits for as many other ones.
#[allow(clippy::disallowed_methods, reason = "bounds how long real pods take")]
pub(crate) fn replace(stack: &Stack, old: &[Pod]) -> anyhow::Result<Vec<Pod>> {
    for pod in old {
        kubectl(stack, &["delete", "pod", &pod.name, "--namespace", &pod.namespace, "--wait=false"])?;
    }
    let end = Instant::now() + REPLACED;
    loop {
        let mut pods = list(stack)?;
        pods.retain(|pod| old.iter().all(|gone| gone.name != pod.name));
        if pods.len() >= old.len() {
            return Ok(pods);
        }
        ensure!(
            Instant::now() < end,
            "failed to see {} new pods ready within {} s, there are {}",
            old.len(),
            REPLACED.as_secs(),
            pods.len()
        );
        std::thread::sleep(LOOK);
    }
}

fn kubectl(stack: &Stack, words: &[&str]) -> anyhow::Result<Vec<u8>> {
    let output = Command::new(&stack.kubectl)
        .args(words)
        .arg("--request-timeout=15s")
        .env("KUBECONFIG", &stack.kubeconfig)
        .env("NO_PROXY", "*")
        .env("no_proxy", "*")
        .output()
        .context("failed to start kubectl")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "failed to run kubectl {}: {}", words[0], said.trim());
    Ok(output.stdout)
}

fn ready(json: &[u8]) -> anyhow::Result<Vec<Pod>> {
    let list: List = serde_json::from_slice(json).context("failed to understand the list of pods")?;
    Ok(list.items.into_iter().filter_map(pod).collect())
}

/// A pod that is going is ready until its end, and is not one of those that stay.
fn pod(item: Item) -> Option<Pod> {
    let metadata = &item.metadata;
    let is_the_demo_s = DEMO
        .iter()
        .any(|(namespace, name)| metadata.namespace == *namespace && metadata.name.starts_with(name));
    if metadata.deletion_timestamp.is_some() || !is_the_demo_s {
        return None;
    }
    let is_ready = |condition: &&Condition| condition.kind == "Ready" && condition.status == "True";
    let ready_since = item.status.conditions.iter().find(is_ready)?.last_transition_time;
    let container =
        item.status.container_statuses.into_iter().find(|c| PROGRAMS.contains(&c.name.as_str()))?;
    let container_id = container.id.rsplit('/').next().filter(|id| !id.is_empty())?.to_owned();
    Some(Pod {
        namespace: item.metadata.namespace,
        name: item.metadata.name,
        program: container.name,
        container_id,
        ready_since,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(namespace: &str, name: &str, is_ready: bool, container: &str, more: &str) -> String {
        let status = if is_ready { "True" } else { "False" };
        format!(
            r#"{{"metadata":{{"name":"{name}","namespace":"{namespace}"{more}}},"status":{{
              "conditions":[{{"type":"Ready","status":"{status}","lastTransitionTime":"2026-01-31T12:00:00Z"}}],
              "containerStatuses":[{{"name":"{container}","containerID":"containerd://{name}-id"}}]}}}}"#
        )
    }

    fn names(items: &[String]) -> Vec<String> {
        let json = format!(r#"{{"items":[{}]}}"#, items.join(","));
        ready(json.as_bytes()).unwrap().into_iter().map(|pod| pod.container_id).collect()
    }

    #[test]
    fn only_ready_pods_that_stay_are_listed() {
        let going = r#","deletionTimestamp":"2026-01-31T12:00:00Z""#;
        let items = [
            item("default", "acme-default-ingester-1", true, "ingester", ""),
            item("default", "acme-default-ingester-2", false, "ingester", ""),
            item("default", "acme-default-ingester-3", true, "other", ""),
            item("default", "acme-default-ingester-4", true, "ingester", going),
            item("millrace-system", "millrace-1", true, "operator", ""),
        ];
        assert_eq!(names(&items), ["acme-default-ingester-1-id", "millrace-1-id"]);
    }

    #[test]
    fn the_pods_of_tests_are_left_alone() {
        let items = [
            item("keys-1", "acme-default-ingester-1", true, "ingester", ""),
            item("default", "web-ingester-1", true, "ingester", ""),
        ];
        assert_eq!(names(&items), Vec::<String>::new());
    }
}
