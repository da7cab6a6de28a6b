//! The operator's own counters, from the text that it serves to Prometheus.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use dev::http::Client;

/// Time for one answer.
const DEADLINE: Duration = Duration::from_secs(10);

/// The requests to the API server.
const REQUESTS: &str = "operator_api_requests_total";

/// Looks at a resource.
const RECONCILES: &str = "operator_reconciles_total";

/// What the operator that leads renews every five seconds, whatever else it does.
const LEASES: &str = "leases";

/// The verbs that change something.
const WRITES: [&str; 5] = ["create", "update", "patch", "delete", "deletecollection"];

/// One counter: its name, its labels, its value.
#[derive(Debug, Clone, PartialEq)]
struct Counter {
    name: String,
    labels: BTreeMap<String, String>,
    value: u64,
}

/// All counters at one moment, or what they grew by between two.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Counts(Vec<Counter>);

impl Counts {
    /// As the process on this port serves them.
    pub(super) async fn of(port: u16) -> anyhow::Result<Self> {
        let answer = Client::new(DEADLINE).get(&format!("http://127.0.0.1:{port}/metrics")).await?;
        ensure!(answer.status.is_success(), "failed to read the operator's metrics: {answer}");
        let text = std::str::from_utf8(&answer.body).context("failed to read the operator's metrics")?;
        Ok(Self::read(text))
    }

    /// What is no counter of whole numbers is left out.
    fn read(text: &str) -> Self {
        Self(text.lines().filter(|line| !line.starts_with('#')).filter_map(counter).collect())
    }

    pub(super) fn since(&self, before: &Self) -> Self {
        let grown = self.0.iter().map(|counter| {
            let same = |other: &&Counter| other.name == counter.name && other.labels == counter.labels;
            let known = before.0.iter().find(same).map_or(0, |other| other.value);
            Counter { value: counter.value.saturating_sub(known), ..counter.clone() }
        });
        Self(grown.filter(|counter| counter.value > 0).collect())
    }

    /// Requests that change something in Kubernetes. The Lease is left out.
    pub(super) fn writes(&self) -> u64 {
        self.requests_with(&WRITES)
    }

    /// Requests that ask for something once. The Lease is left out.
    pub(super) fn reads(&self) -> u64 {
        self.requests_with(&["get", "list"])
    }

    fn requests_with(&self, verbs: &[&str]) -> u64 {
        self.sum(REQUESTS, |labels| verbs.contains(&labels["verb"].as_str()) && labels["resource"] != LEASES)
    }

    /// Looks at a resource.
    pub(super) fn reconciles(&self) -> u64 {
        self.sum(RECONCILES, |_| true)
    }

    /// Those of one controller.
    pub(super) fn reconciles_of(&self, controller: &str) -> u64 {
        self.sum(RECONCILES, |labels| labels["controller"] == controller)
    }

    /// Those that failed and are repeated.
    pub(super) fn failures(&self) -> u64 {
        self.sum(RECONCILES, |labels| labels["outcome"] != "ok")
    }

    /// Requests by verb and resource, the most frequent first.
    pub(super) fn requests(&self) -> Vec<(String, u64)> {
        let mut each = BTreeMap::<String, u64>::new();
        for counter in self.0.iter().filter(|counter| counter.name == REQUESTS) {
            let (verb, resource) = (&counter.labels["verb"], &counter.labels["resource"]);
            *each.entry(format!("{verb} {resource}")).or_default() += counter.value;
        }
        let mut each: Vec<_> = each.into_iter().collect();
        each.sort_by_key(|(_, value)| std::cmp::Reverse(*value));
        each
    }

    fn sum(&self, name: &str, is_meant: impl Fn(&BTreeMap<String, String>) -> bool) -> u64 {
        let meant = self.0.iter().filter(|counter| counter.name == name && is_meant(&counter.labels));
        meant.map(|counter| counter.value).sum()
    }
}

/// `name{label="value",..} 1`, where none of our labels has a comma or a quote.
fn counter(line: &str) -> Option<Counter> {
    let (series, value) = line.rsplit_once(' ')?;
    let (name, labels) = series.strip_suffix('}').and_then(|series| series.split_once('{'))?;
    let label = |label: &str| {
        let (name, value) = label.split_once('=')?;
        Some((name.to_owned(), value.trim_matches('"').to_owned()))
    };
    let labels = labels.split(',').map(label).collect::<Option<_>>()?;
    Some(Counter { name: name.to_owned(), labels, value: value.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = r#"
# TYPE operator_api_requests_total counter
operator_api_requests_total{verb="get",resource="secrets",code="200"} 5
operator_api_requests_total{verb="patch",resource="secrets",code="200"} 1
"#;

    const AFTER: &str = r#"
# TYPE operator_api_requests_total counter
operator_api_requests_total{verb="get",resource="secrets",code="200"} 9
operator_api_requests_total{verb="get",resource="secrets",code="404"} 1
operator_api_requests_total{verb="watch",resource="secrets",code="200"} 1
operator_api_requests_total{verb="patch",resource="secrets",code="200"} 1
operator_api_requests_total{verb="patch",resource="pipelines/status",code="409"} 2
operator_api_requests_total{verb="update",resource="leases",code="200"} 3

# TYPE operator_reconciles_total counter
operator_reconciles_total{controller="tenant",outcome="ok"} 3
operator_reconciles_total{controller="pipeline",outcome="Conflict"} 1
operator_reconcile_duration_seconds_sum{controller="tenant"} 0.25
process_start_time_seconds 12
"#;

    #[test]
    fn what_grew_between_two_looks_is_counted() {
        let grown = Counts::read(AFTER).since(&Counts::read(BEFORE));
        assert_eq!((grown.reads(), grown.writes()), (5, 2));
        assert_eq!((grown.reconciles(), grown.reconciles_of("tenant"), grown.failures()), (4, 3, 1));
    }

    #[test]
    fn requests_are_told_by_verb_and_resource() {
        let grown = Counts::read(AFTER).since(&Counts::read(BEFORE));
        let each =
            [("get secrets", 5), ("update leases", 3), ("patch pipelines/status", 2), ("watch secrets", 1)];
        assert_eq!(grown.requests(), each.map(|(what, times)| (what.to_owned(), times)));
    }

    #[test]
    fn nothing_grew_between_equal_looks() {
        assert_eq!(Counts::read(AFTER).since(&Counts::read(AFTER)), Counts(Vec::new()));
    }
}
