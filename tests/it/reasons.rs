//! The reasons of conditions and Events: the operator writes those of `crds`, all of them, and no others.

use std::path::PathBuf;

use crds::{Reason, event::EventReason};

use crate::checkout::texts;

/// The operator's sources without tests.
fn sources() -> Vec<(PathBuf, String)> {
    let is_test = |path: &PathBuf| {
        path.iter().any(|part| part == "testing" || part == "tests")
            || ["tests.rs", "testing.rs"].iter().any(|name| path.ends_with(name))
    };
    let without_tests = |text: &str| match text.find("#[cfg(test)]\nmod tests {") {
        Some(end) => text[..end].to_owned(),
        None => text.to_owned(),
    };
    texts(&[".rs"])
        .into_iter()
        .filter(|(path, _)| path.starts_with("operator/src") && !is_test(path))
        .map(|(path, text)| (path, without_tests(&text)))
        .collect()
}

/// Whether a text names a variant: `EventReason::TopicLost` does not name `Reason::TopicLost`.
fn names(text: &str, variant: &str) -> bool {
    let is_part = |neighbour: Option<char>| neighbour.is_some_and(char::is_alphanumeric);
    text.match_indices(variant).any(|(at, _)| {
        !is_part(text[..at].chars().next_back()) && !is_part(text[at + variant.len()..].chars().next())
    })
}

#[test]
fn a_variant_is_told_from_a_longer_one() {
    assert!(names("Self::Gone => Reason::Ready,", "Reason::Ready"));
    assert!(!names("EventReason::Ready", "Reason::Ready"));
    assert!(!names("Reason::ReadyOrNot", "Reason::Ready"));
}

#[test]
fn the_operator_writes_every_reason_and_every_event() {
    let sources = sources();
    let reasons = Reason::ALL.iter().map(|reason| format!("Reason::{}", reason.as_str()));
    let events = EventReason::ALL.iter().map(|event| format!("EventReason::{}", event.as_str()));
    let dead: Vec<String> =
        reasons.chain(events).filter(|word| !sources.iter().any(|(_, text)| names(text, word))).collect();
    assert!(dead.is_empty(), "words that nothing writes; take them out of crds/src: {dead:?}");
}

#[test]
fn the_operator_spells_no_reason_itself() {
    let reasons = Reason::ALL.iter().map(|reason| reason.as_str());
    let words: Vec<String> = reasons
        .chain(EventReason::ALL.iter().map(|event| event.as_str()))
        .map(|word| format!("\"{word}\""))
        // A reason that nobody named in `crds` yet.
        .chain(["reason: \"".to_owned(), "fn reason(&self) -> &'static str".to_owned()])
        .collect();
    let sources = sources();
    assert!(sources.len() > 50, "the operator's sources are read");
    let spelled: Vec<String> = sources
        .iter()
        .flat_map(|(path, text)| {
            words.iter().filter(|word| text.contains(*word)).map(|word| format!("{}: {word}", path.display()))
        })
        .collect();
    assert!(spelled.is_empty(), "use the types of crds/src/reason.rs and event.rs: {spelled:#?}");
}
