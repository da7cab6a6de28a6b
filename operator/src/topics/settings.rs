//! The settings of a topic: what we want, and what of it differs. Pure.

use std::collections::BTreeMap;

use super::{Holds, TopicSpec};
use crate::retention::Kept;

/// A topic setting and its value, both as Kafka spells them
/// (<https://kafka.apache.org/41/generated/topic_config.html>).
pub(super) type Setting = (&'static str, String);

const RETENTION: &str = "retention.ms";
const HOUR_MS: u64 = 3_600_000;

/// The largest batch of an events topic: Kafka's own default, 1 MiB and the overhead of a batch.
/// A record of ours stays below it.
const MAX_EVENTS_BATCH_BYTES: usize = 1024 * 1024 + 12;
const _: () = assert!(MAX_EVENTS_BATCH_BYTES > schema::record::MAX_RECORD_BYTES);

/// The largest batch of a dead-letter topic. A dead letter is the original and more headers: if the topics had the
/// same bound, a foreign record just below it could neither be stored nor put aside, and would block its partition.
const MAX_DEAD_LETTERS_BATCH_BYTES: usize = 2 * MAX_EVENTS_BATCH_BYTES;
const _: () = assert!(MAX_DEAD_LETTERS_BATCH_BYTES > schema::record::MAX_DEAD_LETTER_BYTES);

/// Everything that delivery rests on, written on the topic and not left to the broker's defaults.
pub(super) fn wanted(spec: &TopicSpec) -> Vec<Setting> {
    let max_message_bytes = match spec.holds {
        Holds::Events => MAX_EVENTS_BATCH_BYTES,
        Holds::DeadLetters => MAX_DEAD_LETTERS_BATCH_BYTES,
    };
    vec![
        ("cleanup.policy", "delete".to_owned()),
        ("compression.type", "producer".to_owned()),
        ("max.message.bytes", max_message_bytes.to_string()),
        ("min.insync.replicas", spec.min_insync_replicas.to_string()),
        ("retention.bytes", "-1".to_owned()),
        (RETENTION, spec.retention_ms.to_string()),
        ("unclean.leader.election.enable", "false".to_owned()),
    ]
}

/// The wanted settings that the topic does not have.
pub(super) fn differing(wanted: Vec<Setting>, observed: &BTreeMap<String, String>) -> Vec<Setting> {
    wanted.into_iter().filter(|(name, value)| observed.get(*name) != Some(value)).collect()
}

/// The changes without a retention that would delete records and may not, and the retention that stays instead.
pub(super) fn without_held(
    mut changes: Vec<Setting>,
    observed: &BTreeMap<String, String>,
    spec: &TopicSpec,
) -> (Vec<Setting>, Option<Kept>) {
    let kept = observed.get(RETENTION).and_then(|has| longer(has, spec.retention_ms));
    match kept {
        Some(kept) if !spec.shortening.permits(kept) => {
            changes.retain(|(name, _)| *name != RETENTION);
            (changes, Some(kept))
        }
        Some(_) | None => (changes, None),
    }
}

/// What a topic's retention is, if it is longer than the wanted one. -1 is no end.
fn longer(has: &str, wanted_ms: i64) -> Option<Kept> {
    let Ok(has) = has.parse::<i64>() else { return Some(Kept::Otherwise) };
    match u64::try_from(has) {
        Ok(ms) if has > wanted_ms => Some(Kept::Hours(ms.div_ceil(HOUR_MS))),
        Ok(_) => None,
        Err(_) => Some(Kept::Otherwise),
    }
}
