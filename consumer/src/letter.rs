//! A dead letter: the original bytes of a record or of one of its lines, and why it was refused. Pure.

use schema::{
    names::{TopicId, TopicName},
    record::dead_letter,
    timestamp::Timestamp,
};

use crate::refused::Refused;

/// A header as Kafka has it; its value may be absent.
pub(crate) type Header = (String, Option<Vec<u8>>);

/// What goes to the dead-letter topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DeadLetter {
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) payload: Option<Vec<u8>>,
    pub(crate) headers: Vec<Header>,
    pub(crate) refused: Refused,
}

/// Where a dead letter comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) topic: &'a TopicName,
    pub(crate) topic_id: TopicId,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    /// The line, where not the whole record was refused.
    pub(crate) index: Option<u16>,
}

/// What of the original record a dead letter repeats.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Original {
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) payload: Option<Vec<u8>>,
    pub(crate) headers: Vec<Header>,
}

impl DeadLetter {
    /// The dead letter of `original`, refused at `now`.
    pub(crate) fn of(original: Original, source: &Source<'_>, refused: Refused, now: Timestamp) -> Self {
        Self {
            headers: headers(original.headers, source, refused, now),
            key: original.key,
            payload: original.payload,
            refused,
        }
    }

    /// The bytes that it takes.
    pub(crate) fn bytes(&self) -> usize {
        let headers: usize =
            self.headers.iter().map(|(key, value)| key.len() + value.as_ref().map_or(0, Vec::len)).sum();
        headers + self.key.as_ref().map_or(0, Vec::len) + self.payload.as_ref().map_or(0, Vec::len)
    }

    #[cfg(test)]
    pub(crate) fn for_test(payload: &[u8]) -> Self {
        Self {
            key: None,
            payload: Some(payload.to_vec()),
            headers: Vec::new(),
            refused: Refused::ForeignRecord,
        }
    }
}

/// The original headers and ours. A dead letter that was sent again and refused again has ours already: they
/// are replaced, except the time of the first refusal.
fn headers(original: Vec<Header>, source: &Source<'_>, refused: Refused, now: Timestamp) -> Vec<Header> {
    let is_first = |(key, _): &Header| key == dead_letter::FIRST_FAILED_AT;
    let has_first = original.iter().any(is_first);
    let ours = [
        (dead_letter::REASON, Some(refused.reason().to_owned())),
        (dead_letter::MESSAGE, Some(refused.to_string())),
        (dead_letter::TOPIC, Some(source.topic.to_string())),
        (dead_letter::TOPIC_ID, Some(source.topic_id.to_string())),
        (dead_letter::PARTITION, Some(source.partition.to_string())),
        (dead_letter::OFFSET, Some(source.offset.to_string())),
        (dead_letter::INDEX, source.index.map(|index| index.to_string())),
        (dead_letter::FIRST_FAILED_AT, (!has_first).then(|| now.to_string())),
    ];
    let is_replaced = |(key, _): &Header| ours.iter().any(|(name, _)| key == name);
    let mut headers: Vec<Header> =
        original.into_iter().filter(|header| is_first(header) || !is_replaced(header)).collect();
    headers.extend(
        ours.into_iter().filter_map(|(key, value)| Some((key.to_owned(), Some(value?.into_bytes())))),
    );
    headers
}

#[cfg(test)]
mod tests {
    use schema::{names::PipelineName, names::TopicPrefix, tenant_id::TenantId};
    use uuid::Uuid;

    use super::*;

    fn letter(headers: Vec<Header>, index: Option<u16>) -> Vec<(String, String)> {
        let topic = TopicName::of(
            &TopicPrefix::parse("millrace").unwrap(),
            &TenantId::parse("acme").unwrap(),
            &PipelineName::parse("web").unwrap(),
        );
        let source =
            Source { topic: &topic, topic_id: TopicId(Uuid::from_u128(7)), partition: 3, offset: 42, index };
        let original = Original { key: Some(b"k".to_vec()), payload: Some(b"p".to_vec()), headers };
        let now = Timestamp::parse("2026-01-31T12:00:00Z").unwrap();
        let letter = DeadLetter::of(original, &source, Refused::Malformed, now);
        assert_eq!((letter.key.as_deref(), letter.payload.as_deref()), (Some(&b"k"[..]), Some(&b"p"[..])));
        let text =
            |value: Option<Vec<u8>>| value.map_or("absent".to_owned(), |v| String::from_utf8(v).unwrap());
        letter.headers.into_iter().map(|(key, value)| (key, text(value))).collect()
    }

    fn header(key: &str, value: &str) -> Header {
        (key.to_owned(), Some(value.as_bytes().to_vec()))
    }

    #[test]
    fn a_line_keeps_the_headers_and_says_where_and_why() {
        let original = vec![header("tenant", "acme"), ("empty".to_owned(), None), header("tenant", "twice")];
        insta::assert_debug_snapshot!(letter(original, Some(5)));
    }

    #[test]
    fn a_whole_record_has_no_index() {
        assert!(letter(vec![], None).iter().all(|(key, _)| key != dead_letter::INDEX));
    }

    #[test]
    fn a_second_refusal_keeps_the_time_of_the_first() {
        let original = vec![
            header(dead_letter::REASON, "nul"),
            header(dead_letter::FIRST_FAILED_AT, "2025-01-01T00:00:00.000Z"),
            header(dead_letter::INDEX, "9"),
        ];
        let headers = letter(original, None);
        let of = |name: &str| {
            headers.iter().filter(|(key, _)| key == name).map(|(_, v)| v.as_str()).collect::<Vec<_>>()
        };
        assert_eq!(of(dead_letter::FIRST_FAILED_AT), ["2025-01-01T00:00:00.000Z"]);
        assert_eq!(of(dead_letter::REASON), ["malformed"]);
        assert!(of(dead_letter::INDEX).is_empty());
    }
}
