//! The rules of a trustworthy operator: each has a test of its name, or a reason why it has none.
//!
//! The tests stand wherever their subject is, and are called `rule_NN_...`; `git grep 'fn rule_NN'` finds them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::checkout::texts;

/// The first and the last rule.
const RULES: std::ops::RangeInclusive<u8> = 1..=40;

/// The rules without a test, and why.
const UNTESTED: [(u8, &str); 0] = [];

/// The tests of each rule.
fn tests() -> BTreeMap<u8, Vec<String>> {
    let mut tests: BTreeMap<u8, Vec<String>> = BTreeMap::new();
    for (path, text) in texts(&[".rs"]) {
        for (rule, name) in tests_in(&text) {
            tests.entry(rule).or_default().push(format!("{}: {name}", path.display()));
        }
    }
    tests
}

/// The functions of a source that are tests and bear the number of a rule.
fn tests_in(text: &str) -> Vec<(u8, &str)> {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let test = |at: usize| {
        let rest = lines[at].trim_start_matches("async ").strip_prefix("fn ")?;
        let name = rest.split('(').next()?;
        let rule = name.strip_prefix("rule_")?.split('_').next()?.parse().ok()?;
        let mut attributes = lines[..at].iter().rev().take_while(|line| line.starts_with("#["));
        attributes.any(|attribute| attribute.contains("test")).then_some((rule, name))
    };
    (0..lines.len()).filter_map(test).collect()
}

#[test]
fn a_test_of_a_rule_is_told_from_other_functions() {
    let source = "
        #[tokio::test(flavor = \"multi_thread\")]
        #[allow(dead_code)]
        async fn rule_07_it_holds() {}
        #[test]
        fn a_rule_07_of_others() {}

        fn rule_08_helps() {}
        let text = \"fn rule_09_is_told()\";
    ";
    assert_eq!(tests_in(source), [(7, "rule_07_it_holds")]);
}

#[test]
fn every_rule_has_a_test_or_a_reason_and_not_both() {
    let tested = tests();
    let excused: BTreeSet<u8> = UNTESTED.iter().map(|(rule, _)| *rule).collect();
    assert_eq!(excused.len(), UNTESTED.len(), "a rule is listed twice");
    let neither: Vec<u8> =
        RULES.filter(|rule| !tested.contains_key(rule) && !excused.contains(rule)).collect();
    assert!(neither.is_empty(), "rules with neither a test nor a reason: {neither:?}");
    let both: Vec<_> = tested.iter().filter(|(rule, _)| excused.contains(rule)).collect();
    assert!(both.is_empty(), "rules with a test, to be taken out of the list: {both:#?}");
    let unknown: Vec<_> = tested.iter().filter(|(rule, _)| !RULES.contains(rule)).collect();
    assert!(unknown.is_empty(), "tests of rules that are none: {unknown:#?}");
}

/// The operator's sources in whose path one of these words is a folder or a file.
fn sources(words: &[&str]) -> Vec<(PathBuf, String)> {
    let is_meant = |path: &Path| {
        let stems: Vec<_> = path.iter().filter_map(|part| Path::new(part).file_stem()?.to_str()).collect();
        path.starts_with("operator/src")
            && words.iter().any(|word| stems.contains(word))
            && !stems.contains(&"tests")
    };
    texts(&[".rs"]).into_iter().filter(|(path, _)| is_meant(path)).collect()
}

#[test]
fn rule_01_plans_are_made_by_plain_functions() {
    let plans = sources(&["validate", "build", "conditions", "retention"]);
    assert!(plans.len() > 10, "the steps are read: {}", plans.len());
    let effects = ["async fn", ".await", "ctx.", "Client"];
    let impure: Vec<String> = plans
        .iter()
        .flat_map(|(path, text)| {
            let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
            let impure = code.filter(|line| effects.iter().any(|effect| line.contains(effect)));
            impure.map(|line| format!("{}: {}", path.display(), line.trim())).collect::<Vec<_>>()
        })
        .collect();
    assert!(impure.is_empty(), "steps that decide and act: {impure:#?}");
}

#[test]
fn rule_04_no_child_gets_its_name_from_the_api_server() {
    let words = ["generate_name", "generateName"];
    let sources = sources(&["src"]);
    assert!(sources.len() > 50, "the operator's sources are read");
    let named: Vec<_> = sources
        .iter()
        .filter(|(_, text)| words.iter().any(|word| text.contains(word)))
        .map(|(path, _)| path)
        .collect();
    assert!(named.is_empty(), "{named:?}");
}

#[test]
fn rule_07_every_list_of_objects_has_a_key_to_merge_by() {
    let mut lists = Vec::new();
    for definition in crds::manifests::definitions() {
        let definition = serde_json::to_value(definition).expect("a definition is JSON");
        for version in definition["spec"]["versions"].as_array().expect("a definition has versions") {
            lists_of_objects(&version["schema"]["openAPIV3Schema"], "", &mut lists);
        }
    }
    assert!(lists.len() >= 3, "conditions of both, and keys: {lists:?}");
    let unkeyed: Vec<_> = lists.iter().filter(|(_, kind)| kind != "map").collect();
    assert!(unkeyed.is_empty(), "lists that one writer can only replace as a whole: {unkeyed:?}");
}

/// Each list of objects below a schema: where it is, and how it is merged.
fn lists_of_objects(schema: &Value, at: &str, found: &mut Vec<(String, String)>) {
    if schema["items"]["type"] == "object" {
        let kind = schema["x-kubernetes-list-type"].as_str().unwrap_or_default();
        found.push((at.to_owned(), kind.to_owned()));
    }
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        lists_of_objects(field, &format!("{at}.{name}"), found);
    }
    if schema["items"].is_object() {
        lists_of_objects(&schema["items"], &format!("{at}[]"), found);
    }
}
