//! The pages below `docs/reference`, written from the vocabulary of conditions and Events.

use std::fmt::Write as _;

use crate::{
    condition::{ConditionType, Polarity, Resource},
    event::EventReason,
    generated,
    reason::Reason,
};

const GENERATED: &str =
    "<!-- Generated from crds/src by `UPDATE=1 cargo test -p crds`; edit the types instead. -->\n";

const CONDITIONS: &str = "
# Conditions

The status of an AnalyticsTenant and of a Pipeline has one condition for each aspect, and `Ready` sums them up.
The `message` of a condition says what is the matter with this resource; its `reason` is one of the words below.
Before anything is known, `Ready` and every aspect are there and `Unknown`.
`Ready` repeats the first aspect that is `False`, in the order of the tables, else the first that is `Unknown`.
`AccessManagementDisabled` is the exception: `CredentialsReady` is `False` and does not count.
A look that fails before it knows anything makes `Ready` `Unknown` with the reason of the failure, and leaves the aspects as they were.
The conditions follow kstatus: with `Reconciling` a resource is on its way, with `Stalled` it has failed, and else `Ready` decides.
";

const REASONS: &str = "
## Reasons

The same words are the label `outcome` of the metric `operator_reconciles_total`, which is `ok` without a failure, and the field `reason` in the operator's log.
Annotations that a remedy names go on the resource that has the condition.
With `DeletionBlocked`, the annotation `analytics.millrace.dev/abandon-external: \"true\"` lets a resource go although its topics or its database could not be dealt with; they stay as they are.
Where a remedy asks for nothing but a change outside of Kubernetes, the operator finds it by itself within five minutes.

";

const EVENTS: &str = "
# Events

The operator writes Events about AnalyticsTenants and Pipelines, for what an administrator may have to act on; `kubectl describe` shows them with the resource.
An Event that Kubernetes does not take holds nothing up.

";

const OBSTACLES: &str = "
## Events of conditions

When `Stalled` or `DeletionBlocked` appears on a resource, or gets another reason, a Warning of that reason repeats the message of the condition.
A Pipeline whose tenant is not there gets one of the reason `TenantNotFound`.
[conditions.md](conditions.md) says what each means and what to do:

";

/// The conditions of each kind and all reasons, in the order in which a reader looks them up.
fn conditions() -> String {
    let mut page = format!("{GENERATED}{CONDITIONS}");
    for resource in Resource::ALL {
        let _ = write!(page, "\n## Of {} {}\n\n", article(*resource), resource.as_str());
        page.push_str("| condition | meaning | `True` is |\n| --- | --- | --- |\n");
        for condition in ConditionType::of(*resource) {
            let polarity = match condition.polarity() {
                Polarity::Good => "good",
                Polarity::Abnormal => "abnormal; there only while it is true",
            };
            let _ = writeln!(page, "| `{}` | {} | {polarity} |", condition.as_str(), condition.meaning());
        }
    }
    page.push_str(REASONS);
    page.push_str("| reason | conditions | meaning | what to do |\n| --- | --- | --- | --- |\n");
    for reason in by_name(Reason::ALL, Reason::as_str) {
        let conditions = listed(reason.conditions().iter().map(|condition| condition.as_str()));
        let (meaning, remedy) = (reason.meaning(), reason.remedy());
        let _ = writeln!(page, "| `{}` | {conditions} | {meaning} | {remedy} |", reason.as_str());
    }
    page
}

/// The Events of their own, and the reasons of those that tell of conditions.
fn events() -> String {
    let mut page = format!("{GENERATED}{EVENTS}");
    page.push_str("| reason | type | about | meaning | what to do |\n| --- | --- | --- | --- | --- |\n");
    for event in by_name(EventReason::ALL, EventReason::as_str) {
        let about = event.resources().iter().map(|resource| resource.as_str()).collect::<Vec<_>>().join(", ");
        let (severity, meaning, remedy) = (event.severity().as_str(), event.meaning(), event.remedy());
        let _ = writeln!(page, "| `{}` | {severity} | {about} | {meaning} | {remedy} |", event.as_str());
    }
    page.push_str(OBSTACLES);
    let told = by_name(Reason::ALL, Reason::as_str).into_iter().filter(|reason| is_told(*reason));
    let _ = writeln!(page, "{}.", listed(told.map(Reason::as_str)));
    page
}

fn article(resource: Resource) -> &'static str {
    match resource {
        Resource::AnalyticsTenant => "an",
        Resource::Pipeline => "a",
    }
}

fn is_told(reason: Reason) -> bool {
    let told = [ConditionType::Stalled, ConditionType::DeletionBlocked];
    reason == Reason::TenantNotFound || reason.conditions().iter().any(|condition| told.contains(condition))
}

fn by_name<T: Copy>(words: &[T], name: impl Fn(T) -> &'static str) -> Vec<T> {
    let mut words = words.to_vec();
    words.sort_by_key(|word| name(*word));
    words
}

fn listed<'a>(words: impl Iterator<Item = &'a str>) -> String {
    words.map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

#[test]
fn the_pages_are_up_to_date() {
    generated::verify("../docs/reference/conditions.md", &conditions());
    generated::verify("../docs/reference/events.md", &events());
}

/// The lines of a page that begin with this word.
fn rows(page: &str, word: &str) -> usize {
    page.lines().filter(|line| line.starts_with(&format!("| `{word}` |"))).count()
}

#[test]
fn every_word_has_its_row() {
    let (conditions, events) = (conditions(), events());
    for condition in ConditionType::ALL {
        let kinds =
            Resource::ALL.iter().filter(|resource| ConditionType::of(**resource).contains(condition)).count();
        let reasons = usize::from(Reason::parse(condition.as_str()).is_some());
        assert!(kinds > 0, "{condition:?} is on no resource");
        assert_eq!(rows(&conditions, condition.as_str()), kinds + reasons, "{condition:?}");
    }
    for reason in Reason::ALL.iter().filter(|reason| ConditionType::parse(reason.as_str()).is_none()) {
        assert_eq!(rows(&conditions, reason.as_str()), 1, "{reason:?}");
    }
    for event in EventReason::ALL {
        assert_eq!(rows(&events, event.as_str()), 1, "{event:?}");
    }
}

#[test]
fn every_reason_has_a_condition_and_every_event_a_resource() {
    for reason in Reason::ALL {
        assert!(!reason.conditions().is_empty(), "{reason:?}");
    }
    for event in EventReason::ALL {
        assert!(!event.resources().is_empty(), "{event:?}");
    }
}

/// A meaning is one sentence; both fit into the cell of a table.
#[test]
fn what_is_said_of_a_word_is_a_sentence() {
    let meanings = ConditionType::ALL.iter().map(|word| word.meaning());
    let meanings = meanings
        .chain(Reason::ALL.iter().map(|word| word.meaning()))
        .chain(EventReason::ALL.iter().map(|word| word.meaning()));
    for meaning in meanings {
        assert!(!meaning.contains(". "), "{meaning}");
        assert_is_prose(meaning);
    }
    Reason::ALL.iter().for_each(|word| assert_is_prose(word.remedy()));
    EventReason::ALL.iter().for_each(|word| assert_is_prose(word.remedy()));
}

#[track_caller]
fn assert_is_prose(text: &str) {
    assert!(text.ends_with('.') && text.starts_with(|c: char| c.is_ascii_uppercase()), "{text}");
    assert!(!text.contains(['|', '\n']) && !text.contains("  "), "{text}");
}

/// An Event of its own must not be taken for one that tells of a condition.
#[test]
fn events_and_reasons_share_no_word() {
    for event in EventReason::ALL {
        assert_eq!(Reason::parse(event.as_str()), None);
    }
}
