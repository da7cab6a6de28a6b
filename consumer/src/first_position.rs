//! Where the original of a dead letter lay first, as the header that carries it. Pure.

use schema::names::TopicId;
use uuid::Uuid;

use crate::row::Position;

/// `<topic id>/<partition>/<offset>/<index>`.
pub(crate) fn written(position: Position) -> String {
    let Position { topic, partition, offset, index } = position;
    format!("{topic}/{partition}/{offset}/{index}")
}

/// The position that a header says, if it says one.
pub(crate) fn read(header: &[u8]) -> Option<Position> {
    let mut parts = std::str::from_utf8(header).ok()?.split('/');
    let position = Position {
        topic: TopicId(Uuid::try_parse(parts.next()?).ok()?),
        partition: parts.next()?.parse().ok()?,
        offset: parts.next()?.parse().ok()?,
        index: parts.next()?.parse().ok()?,
    };
    parts.next().is_none().then_some(position)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_read_back() {
        let position = Position { topic: TopicId(Uuid::from_u128(7)), partition: 3, offset: 42, index: 5 };
        let text = written(position);
        assert_eq!(text, "00000000-0000-0000-0000-000000000007/3/42/5");
        assert_eq!(read(text.as_bytes()), Some(position));
    }

    #[test]
    fn what_is_no_position_says_nothing() {
        let id = "00000000-0000-0000-0000-000000000007";
        for text in ["", "x", id, &format!("{id}/3/42"), &format!("{id}/3/42/5/6"), &format!("{id}/a/42/5")] {
            assert_eq!(read(text.as_bytes()), None, "{text}");
        }
        assert_eq!(read(b"\xff"), None);
    }
}
