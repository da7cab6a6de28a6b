//! What makes two deliveries the same event, and which of two versions wins.
//!
//! The same event is the same `(event_name, day, distinct_id, id)`, each a pure function of the record,
//! so that a retry and a replay name the same row.

use std::io::Write as _;

use uuid::{Uuid, Variant};

use crate::{
    names::{MAX_PIPELINE_NAME_LENGTH, PipelineName, TopicId},
    timestamp::Timestamp,
};

/// The namespace of every id that is derived from a text or a position. Changing it doubles events.
pub const NAMESPACE: Uuid = Uuid::from_u128(0x6d69_6c6c_7261_6365_8e1d_0f1a_5d3b_7c42);

/// 2020-01-01T00:00:00Z: versions count from here, so that 41 bits last until 2089.
const VERSION_EPOCH_MILLIS: i64 = 1_577_836_800_000;
const OFFSET_BITS: u32 = 22;
/// The longest pipeline name, a UUID, the longest numbers of 32, 64 and 64 bits, and what is between them.
const POSITION_BYTES: usize = MAX_PIPELINE_NAME_LENGTH + 36 + 11 + 20 + 20 + 4;

/// What a row does to its event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    Create,
    Update,
    Delete,
}

/// The id of an event whose client sent `text` as its id.
///
/// A UUID in its form of 36 characters is used as it is; any other text becomes a UUIDv5 (RFC 9562) of the
/// pipeline's name, a NUL and the text, because two pipelines may share a table.
#[must_use]
pub fn id_from_text(pipeline: &PipelineName, text: &str) -> Uuid {
    match Uuid::try_parse(text) {
        Ok(id) if text.len() == 36 => id,
        Ok(_) | Err(_) => Uuid::new_v5(&NAMESPACE, format!("{pipeline}\0{text}").as_bytes()),
    }
}

/// The id of an event of a foreign record that carries none: where it lies is what it is.
#[must_use]
pub fn id_from_position(
    pipeline: &PipelineName,
    topic: TopicId,
    partition: i32,
    offset: i64,
    index: usize,
) -> Uuid {
    // Made for every record of some topics, so it does not allocate.
    let mut name = [0; POSITION_BYTES];
    let mut rest = &mut name[..];
    write!(rest, "{pipeline}\0{topic}\0{partition}\0{offset}\0{index}")
        .expect("the name of a pipeline and the digits of its numbers are bounded");
    let length = POSITION_BYTES - rest.len();
    Uuid::new_v5(&NAMESPACE, &name[..length])
}

/// The time inside a UUIDv7 (RFC 9562, section 5.7), for an event whose client sent an id and no time.
#[must_use]
pub fn time_of_id(id: Uuid) -> Option<Timestamp> {
    if id.get_version_num() != 7 || id.get_variant() != Variant::RFC4122 {
        return None;
    }
    let millis = i64::try_from(id.as_u128() >> 80).ok()?;
    Some(Timestamp::from_millis(millis))
}

/// The version of a row: operation class on top, then the receive time, then the low bits of the offset.
///
/// `class << 63 | (ms since 2020) << 22 | offset & 0x3fffff`: a late retry of a create never outranks a
/// delete, and a replay of the same record gives the same number.
#[must_use]
pub fn version(operation: Operation, received_at: Timestamp, offset: i64) -> u64 {
    let class = match operation {
        Operation::Create => 0,
        Operation::Update | Operation::Delete => 1_u64 << 63,
    };
    let since_epoch = (received_at.millis() - VERSION_EPOCH_MILLIS).clamp(0, (1 << 41) - 1) as u64;
    let low_offset = offset as u64 & ((1 << OFFSET_BITS) - 1);
    class | since_epoch << OFFSET_BITS | low_offset
}

#[cfg(test)]
mod tests {
    use super::*;

    fn web() -> PipelineName {
        PipelineName::parse("web").unwrap()
    }

    #[test]
    fn a_uuid_is_used_in_lower_case() {
        let id = id_from_text(&web(), "550E8400-E29B-41D4-A716-446655440000");
        assert_eq!(id.to_string(), "550e8400-e29b-41d4-a716-446655440000");
    }

    // Golden vectors: a change of any of them doubles events that clients retry across an upgrade.
    #[test]
    fn other_text_becomes_a_fixed_uuid() {
        assert_eq!(id_from_text(&web(), "order-1").to_string(), "8be76627-8d44-58cc-8cc6-81366955ee63");
        assert_eq!(
            id_from_text(&web(), "550e8400e29b41d4a716446655440000").to_string(),
            "ded16823-d2f8-5c5a-bb21-3ec459989ebc"
        );
    }

    #[test]
    fn a_position_becomes_a_fixed_uuid() {
        let id = id_from_position(&web(), TopicId(Uuid::from_u128(7)), 3, 42, 1);
        assert_eq!(id.to_string(), "689cacde-053b-5a41-bf93-4579079ca0f9");
    }

    #[test]
    fn the_longest_position_has_its_place() {
        let longest = PipelineName::parse(&"p".repeat(MAX_PIPELINE_NAME_LENGTH)).unwrap();
        let id = |index| id_from_position(&longest, TopicId(Uuid::max()), i32::MIN, i64::MIN, index);
        assert_ne!(id(usize::MAX), id(usize::MAX - 1));
    }

    #[test]
    fn another_pipeline_gives_another_id() {
        assert_ne!(
            id_from_text(&web(), "order-1"),
            id_from_text(&PipelineName::parse("app").unwrap(), "order-1")
        );
    }

    #[test]
    fn a_uuid_v7_tells_its_time() {
        let id: Uuid = "017f22e2-79b0-7cc3-98c4-dc0c0c07398f".parse().unwrap();
        assert_eq!(time_of_id(id).unwrap().to_string(), "2022-02-22T19:22:22.000Z");
        assert_eq!(time_of_id("550e8400-e29b-41d4-a716-446655440000".parse().unwrap()), None);
    }

    #[test]
    fn a_delete_outranks_every_later_create() {
        let early = Timestamp::parse("2026-01-01T00:00:00Z").unwrap();
        let late = Timestamp::parse("2080-01-01T00:00:00Z").unwrap();
        assert!(version(Operation::Delete, early, 0) > version(Operation::Create, late, i64::MAX));
    }

    #[test]
    fn a_later_receipt_outranks_a_higher_offset() {
        let early = Timestamp::from_millis(1_700_000_000_000);
        let late = Timestamp::from_millis(1_700_000_000_001);
        assert!(version(Operation::Create, late, 0) > version(Operation::Create, early, 0x3f_ffff));
    }

    #[test]
    fn the_version_has_its_frozen_layout() {
        let at = Timestamp::from_millis(VERSION_EPOCH_MILLIS + 1);
        assert_eq!(version(Operation::Create, at, 0x40_0005), 1 << 22 | 5);
        assert_eq!(version(Operation::Update, at, 5), 1 << 63 | 1 << 22 | 5);
    }
}
