//! The metrics: docs/operations/monitor.md names those of the sources, all of them, and no others.

use std::collections::BTreeSet;

use crate::checkout::{text, texts};

const DOCUMENT: &str = "docs/operations/monitor.md";
const CRATES: [&str; 3] = ["operator/src", "ingester/src", "consumer/src"];
const MACROS: [&str; 3] = ["counter!(", "gauge!(", "histogram!("];
/// What begins the name of a constant's metric, where the consumer has its names.
const CONSTANT: &str = ": &str = \"";
/// How names of metrics begin.
const BEGINNINGS: [&str; 5] = ["operator_", "ingester_", "consumer_", "audit_", "analytics_"];

fn is_metric(word: &str) -> bool {
    BEGINNINGS.iter().any(|beginning| word.starts_with(beginning))
}

/// The names that a source gives to metrics.
fn named(path: &str, text: &str) -> BTreeSet<String> {
    let mut beginnings = MACROS.to_vec();
    if path.ends_with("consumer/src/metrics.rs") {
        beginnings.push(CONSTANT);
    }
    let texts = beginnings.into_iter().flat_map(|beginning| text.split(beginning).skip(1));
    let literals = texts.filter_map(|rest| rest.trim_start().trim_start_matches('"').split('"').next());
    literals.filter(|word| is_metric(word)).map(str::to_owned).collect()
}

/// The names between grave accents, without their labels.
fn documented() -> BTreeSet<String> {
    let words: Vec<String> = text(DOCUMENT).split('`').map(str::to_owned).collect();
    let names = words.iter().filter_map(|word| word.split('{').next());
    names.filter(|name| is_metric(name) && !name.contains(' ')).map(str::to_owned).collect()
}

#[test]
fn a_metric_is_found_by_its_macro_or_its_constant() {
    let source =
        "counter!(\n    \"ingester_a_total\", \"b\" => c); gauge!(NAME); const X: &str = \"consumer_x\";";
    assert_eq!(named("ingester/src/a.rs", source), BTreeSet::from(["ingester_a_total".to_owned()]));
    assert!(named("consumer/src/metrics.rs", source).contains("consumer_x"));
}

#[test]
fn every_metric_is_documented_and_every_documented_metric_is_there() {
    let sources = texts(&[".rs"]);
    let ours = sources.iter().filter(|(path, _)| CRATES.iter().any(|folder| path.starts_with(folder)));
    let there: BTreeSet<String> =
        ours.flat_map(|(path, text)| named(&path.to_string_lossy(), text)).collect();
    assert!(there.len() > 30, "the sources are read: {there:?}");
    assert_eq!(there, documented(), "what the sources have, and what {DOCUMENT} says");
}

/// Those that people are to be woken for.
#[test]
fn every_alarm_is_about_a_metric() {
    let document = text(DOCUMENT);
    let alarms: Vec<&str> = document.lines().filter(|line| line.contains("alert: ")).collect();
    assert!(!alarms.is_empty());
    for alarm in alarms {
        let words = alarm.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
        let known = documented();
        assert!(words.into_iter().any(|word| known.contains(word)), "{alarm}");
    }
}
