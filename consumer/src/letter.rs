//! A dead letter: the original bytes of a record or of one of its lines, and why it was refused. Pure.
//!
//! A letter can always be written: what it repeats of a record is bounded, and it says what was cut. The letters of
//! one record share its key and headers, so that they take about as much memory as the record does.

use std::{borrow::Cow, sync::Arc};

use schema::{
    names::{TopicId, TopicName},
    record::{MAX_DEAD_LETTER_BYTES, dead_letter},
    timestamp::Timestamp,
};

use crate::{first_position, refused::Refused, row::Position};

/// A header as it goes to Kafka; its value may be absent.
pub(crate) type Header<'a> = (&'a str, Option<Cow<'a, [u8]>>);

/// What is repeated of the key and the headers together. A record may have thousands of lines and each its letter,
/// which would multiply a large key by as much on the way to Kafka.
const MAX_KEPT_BYTES: usize = 16 * 1024;
/// The key's part of it: the headers say who sent the record and are worth as much.
const MAX_KEY_BYTES: usize = 8 * 1024;
/// What a header counts beside its texts, so that empty ones are bounded too.
const HEADER_BYTES: usize = 64;
/// Room for the headers that an earlier refusal of the same record has left.
const MAX_INHERITED_BYTES: usize = 1024;
/// Our own headers at most: names, numbers and the name of a topic.
const MAX_OWN_BYTES: usize = 1024;
/// What is repeated of a value. A record of an events topic with its 1 MiB fits; one that was compressed by a
/// stranger may be larger.
const MAX_PAYLOAD_BYTES: usize = MAX_DEAD_LETTER_BYTES - MAX_KEPT_BYTES - MAX_INHERITED_BYTES - MAX_OWN_BYTES;

/// The topic that dead letters come from.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) topic: TopicName,
    pub(crate) topic_id: TopicId,
}

/// What the letters of one record share: where it lies, and its key and headers as far as they are repeated.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Original {
    partition: i32,
    offset: i64,
    key: Option<Box<[u8]>>,
    headers: Vec<(String, Option<Vec<u8>>)>,
    cut: Option<String>,
    failed_at: Timestamp,
    is_rebuilt: bool,
}

impl Original {
    /// What is repeated of a record that was refused at `failed_at`.
    pub(crate) fn of<'h>(
        (partition, offset): (i32, i64),
        key: Option<&[u8]>,
        headers: impl Iterator<Item = (&'h str, Option<&'h [u8]>)>,
        failed_at: Timestamp,
    ) -> Self {
        let short_key = key.map(|key| &key[..key.len().min(MAX_KEY_BYTES)]);
        let mut room = MAX_KEPT_BYTES - short_key.map_or(0, <[u8]>::len);
        let mut inherited_room = MAX_INHERITED_BYTES;
        let (mut kept, mut left_out) = (Vec::new(), 0_usize);
        for (name, value) in headers.filter(|(name, _)| !REPLACED.contains(name)) {
            let room = if INHERITED.contains(&name) { &mut inherited_room } else { &mut room };
            match room.checked_sub(header_bytes(name, value)) {
                None => left_out += 1,
                Some(rest) => {
                    *room = rest;
                    kept.push((name.to_owned(), value.map(<[u8]>::to_vec)));
                }
            }
        }
        let long_key = key.map(<[u8]>::len).filter(|length| *length > MAX_KEY_BYTES);
        Self {
            partition,
            offset,
            key: short_key.map(Box::from),
            headers: kept,
            cut: cut(long_key, left_out),
            failed_at,
            is_rebuilt: false,
        }
    }

    /// What stands for a record that is gone: its place, and the headers with which its rows would be read again.
    pub(crate) fn rebuilt<'h>(
        place: (i32, i64),
        headers: impl Iterator<Item = (&'h str, Option<&'h [u8]>)>,
        failed_at: Timestamp,
    ) -> Self {
        Self { is_rebuilt: true, ..Self::of(place, None, headers, failed_at) }
    }

    fn has(&self, header: &str) -> bool {
        self.headers.iter().any(|(name, _)| name == header)
    }

    /// The bytes that it takes.
    fn bytes(&self) -> usize {
        let headers: usize =
            self.headers.iter().map(|(name, value)| header_bytes(name, value.as_deref())).sum();
        size_of::<Self>() + headers + self.key.as_ref().map_or(0, |key| key.len())
    }
}

/// What goes to the dead-letter topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DeadLetter {
    original: Arc<Original>,
    payload: Option<Box<[u8]>>,
    /// The length of the payload before it was truncated.
    payload_bytes: usize,
    /// The line, where not the whole record was refused.
    index: Option<u16>,
    pub(crate) refused: Refused,
}

impl DeadLetter {
    /// The dead letter of a whole record, or of the line `index`, with the bytes of it.
    pub(crate) fn of(
        original: &Arc<Original>,
        index: Option<u16>,
        payload: Option<&[u8]>,
        refused: Refused,
    ) -> Self {
        Self {
            original: Arc::clone(original),
            payload: payload.map(|payload| payload[..payload.len().min(MAX_PAYLOAD_BYTES)].into()),
            payload_bytes: payload.map_or(0, <[u8]>::len),
            index,
            refused,
        }
    }

    /// Whether it was made from a row, because its record is gone.
    pub(crate) fn is_rebuilt(&self) -> bool {
        self.original.is_rebuilt
    }

    pub(crate) fn key(&self) -> Option<&[u8]> {
        self.original.key.as_deref()
    }

    pub(crate) fn payload(&self) -> Option<&[u8]> {
        self.payload.as_deref()
    }

    /// The original headers and ours. A dead letter that was sent again and refused again has ours already: they
    /// are replaced, except what is true of the first original alone.
    pub(crate) fn headers(&self, source: &Source) -> Vec<Header<'_>> {
        let kept = self.original.headers.iter();
        let kept = kept.map(|(name, value)| (name.as_str(), value.as_deref().map(Cow::Borrowed)));
        let ours = self.own_headers(source).into_iter();
        kept.chain(ours.map(|(name, value)| (name, Some(Cow::Owned(value.into_bytes()))))).collect()
    }

    fn own_headers(&self, source: &Source) -> Vec<(&'static str, String)> {
        let original = &*self.original;
        let is_truncated = self.payload().map_or(0, <[u8]>::len) < self.payload_bytes;
        let mut ours = vec![
            (dead_letter::REASON, self.refused.reason().to_owned()),
            (dead_letter::MESSAGE, self.refused.to_string()),
            (dead_letter::TOPIC, source.topic.to_string()),
            (dead_letter::TOPIC_ID, source.topic_id.to_string()),
            (dead_letter::PARTITION, original.partition.to_string()),
            (dead_letter::OFFSET, original.offset.to_string()),
        ];
        ours.extend(self.index.map(|index| (dead_letter::INDEX, index.to_string())));
        let of_the_first = [
            Some((dead_letter::FIRST_POSITION, first_position::written(self.position(source)))),
            Some((dead_letter::FIRST_FAILED_AT, original.failed_at.to_string())),
            is_truncated.then(|| (dead_letter::TRUNCATED, self.payload_bytes.to_string())),
            original.cut.clone().map(|cut| (dead_letter::CUT, cut)),
            original.is_rebuilt.then(|| (dead_letter::REBUILT, "row".to_owned())),
        ];
        ours.extend(of_the_first.into_iter().flatten().filter(|(name, _)| !original.has(name)));
        ours
    }

    fn position(&self, source: &Source) -> Position {
        let Original { partition, offset, .. } = *self.original;
        Position { topic: source.topic_id, partition, offset, index: self.index.unwrap_or(0) }
    }

    /// The bytes that it takes beside what it shares with `neighbour`.
    pub(crate) fn bytes_beside(&self, neighbour: Option<&Self>) -> usize {
        let is_shared = neighbour.is_some_and(|other| Arc::ptr_eq(&self.original, &other.original));
        let shared = if is_shared { 0 } else { self.original.bytes() };
        size_of::<Self>() + self.payload().map_or(0, <[u8]>::len) + shared
    }

    /// The most bytes that it takes in Kafka.
    pub(crate) fn wire_bytes(&self) -> usize {
        MAX_OWN_BYTES + self.payload().map_or(0, <[u8]>::len) + self.original.bytes()
    }
}

/// Headers that say what happened to the first original; a later refusal leaves them as they are.
const INHERITED: [&str; 5] = [
    dead_letter::FIRST_POSITION,
    dead_letter::FIRST_FAILED_AT,
    dead_letter::TRUNCATED,
    dead_letter::CUT,
    dead_letter::REBUILT,
];

/// Headers that each refusal writes anew.
const REPLACED: [&str; 7] = [
    dead_letter::REASON,
    dead_letter::MESSAGE,
    dead_letter::TOPIC,
    dead_letter::TOPIC_ID,
    dead_letter::PARTITION,
    dead_letter::OFFSET,
    dead_letter::INDEX,
];

fn header_bytes(name: &str, value: Option<&[u8]>) -> usize {
    HEADER_BYTES + name.len() + value.map_or(0, <[u8]>::len)
}

/// The header that says what is missing.
fn cut(long_key: Option<usize>, left_out: usize) -> Option<String> {
    let key = long_key.map(|length| format!("key={length}"));
    let headers = (left_out > 0).then(|| format!("headers={left_out}"));
    let parts: Vec<String> = key.into_iter().chain(headers).collect();
    (!parts.is_empty()).then(|| parts.join(" "))
}

#[cfg(test)]
pub(crate) mod tests;
