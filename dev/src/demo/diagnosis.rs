//! What to look at after a failure: conditions, pods, and the last lines of their logs.

use super::cluster::Cluster;
use super::install::NAMESPACE;
use super::tenant;

/// Every condition of both kinds, one per line.
const CONDITIONS: &str = r#"jsonpath={range .items[*]}{.kind}/{.metadata.name}{range .status.conditions[*]}{"\n    "}{.type}={.status} {.reason}: {.message}{end}{"\n"}{end}"#;

/// Without those that the local cluster gives to every pod: it has no DNS, and the machine's control groups are old.
const WARNINGS: &str = "--field-selector=type=Warning,reason!=MissingClusterDNS,reason!=CgroupV1";

/// Lines of each log.
const TAIL: &str = "--tail=8";

/// Texts to print, in the order in which a person would look; a question that fails says so in its place.
pub(crate) fn of(cluster: &Cluster) -> Vec<String> {
    let ingester = format!("deployment/{}-default-ingester", tenant::NAME);
    let consumer = format!("deployment/{}-default-consumer", tenant::NAME);
    let questions: [&[&str]; 6] = [
        &["get", "analyticstenants,pipelines", "-o", CONDITIONS],
        &["get", "pods", "--all-namespaces", "-o", "wide"],
        &["get", "events", "--all-namespaces", WARNINGS, "--sort-by=.lastTimestamp"],
        &["logs", "-n", NAMESPACE, "deployment/millrace", TAIL],
        &["logs", &ingester, TAIL],
        &["logs", &consumer, TAIL],
    ];
    questions.iter().map(|words| answer(cluster, words)).collect()
}

fn answer(cluster: &Cluster, words: &[&str]) -> String {
    let shown: Vec<&str> =
        words.iter().map(|word| if *word == CONDITIONS { "(conditions)" } else { word }).collect();
    let said = cluster.ask(words).unwrap_or_else(|error| error.to_string());
    let lines: Vec<String> = said.lines().map(|line| format!("  {line}")).collect();
    format!("kubectl {}\n{}", shown.join(" "), lines.join("\n"))
}
