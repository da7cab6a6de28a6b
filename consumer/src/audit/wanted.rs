//! What the audit wants to find, and what it makes of the answer. Pure.

use schema::{retention::Retention, timestamp::Timestamp};
use uuid::Uuid;

use crate::{
    columns::{Origin, uuid_bytes},
    native::push_text,
    row::Row,
};

/// An event that has to be in `events`, once.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) origin: Origin,
    event_name: String,
    day: u16,
    distinct_id: String,
    id: Uuid,
    pub(crate) received_at: Timestamp,
    /// When Kafka got the record, as its time stamp says.
    pub(crate) written: Option<Timestamp>,
}

/// The columns that [`encode`] writes, as ClickHouse declares them.
pub(crate) const STRUCTURE: &str = "n UInt32, event_name String, day Date, distinct_id String, id UUID";

/// What `events` shows of the events that are not there once.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Shown {
    /// The numbers of those that are not there.
    pub(crate) missing: Vec<usize>,
    /// The numbers of those that are there more than once.
    pub(crate) doubled: Vec<usize>,
}

/// What a server shows of the past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Horizon {
    /// The server's time.
    pub(crate) now: Timestamp,
    /// How long after its receipt an event is shown.
    pub(crate) retention: Retention,
}

/// An event is not looked for in the last minutes of its retention: it may leave between two looks.
const RETENTION_MARGIN_MILLIS: i64 = 10 * 60 * 1_000;
/// How ClickHouse writes `INTERVAL n HOUR` in a definition.
const HOURS: &str = "toIntervalHour(";

impl Wanted {
    /// The event that a row is.
    pub(crate) fn of(row: &Row<'_>, written: Option<Timestamp>) -> Self {
        let (event, position) = (&row.event, &row.position);
        Self {
            origin: Origin { partition: position.partition, offset: position.offset, index: position.index },
            event_name: event.event_name.as_ref().to_owned(),
            day: row.day,
            distinct_id: event.distinct_id.as_ref().to_owned(),
            id: event.id,
            received_at: event.received_at,
            written,
        }
    }
}

impl std::fmt::Debug for Wanted {
    /// Shows where it lies and nothing of the event, which is users' data.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wanted").field("origin", &self.origin).finish_non_exhaustive()
    }
}

/// The events as rows of RowBinary (<https://clickhouse.com/docs/interfaces/formats/RowBinary>), numbered from 0.
pub(crate) fn encode(wanted: &[Wanted]) -> Vec<u8> {
    let mut rows = Vec::new();
    for (number, event) in (0_u32..).zip(wanted) {
        rows.extend_from_slice(&number.to_le_bytes());
        push_text(&mut rows, event.event_name.as_bytes());
        rows.extend_from_slice(&event.day.to_le_bytes());
        push_text(&mut rows, event.distinct_id.as_bytes());
        rows.extend_from_slice(&uuid_bytes(event.id));
    }
    rows
}

/// Reads lines of a number, a tab and how often that event is shown. None if it is no such answer to `wanted` events.
pub(crate) fn decode(text: &[u8], wanted: usize) -> Option<Shown> {
    let mut shown = Shown::default();
    for line in std::str::from_utf8(text).ok()?.lines() {
        let (number, copies) = line.split_once('\t')?;
        let number: usize = number.parse().ok().filter(|number| *number < wanted)?;
        match copies.parse::<u64>().ok()? {
            0 => shown.missing.push(number),
            1 => {}
            _more => shown.doubled.push(number),
        }
    }
    Some(shown)
}

/// Reads lines of the server's time in milliseconds, a tab and a definition. The shortest retention counts: while it
/// is being changed, the table and the view have different ones.
pub(crate) fn horizon_in(text: &[u8]) -> Option<Horizon> {
    let text = std::str::from_utf8(text).ok()?;
    let (now, _) = text.split_once('\t')?;
    let hours = text.split(HOURS).skip(1).map(|rest| rest.split_once(')')?.0.parse().ok());
    let shortest = hours.collect::<Option<Vec<u64>>>()?.into_iter().min()?;
    let now = Timestamp::from_millis(now.parse().ok()?);
    Some(Horizon { now, retention: Retention::from_hours(shortest).ok()? })
}

impl Horizon {
    /// Whether an event that was received then has to be shown.
    pub(crate) fn shows(&self, received_at: Timestamp) -> bool {
        let retention = i64::from(self.retention.hours()) * 3_600_000;
        received_at.millis() > self.now.millis() - retention + RETENTION_MARGIN_MILLIS
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// An event at this place, written at this second.
    pub(crate) fn wanted(partition: i32, offset: i64, index: u16, written: i64) -> Wanted {
        Wanted {
            origin: Origin { partition, offset, index },
            event_name: "click".to_owned(),
            day: 20_000,
            distinct_id: "secret-user".to_owned(),
            id: Uuid::from_u128(5),
            received_at: Timestamp::from_millis(written * 1_000),
            written: Some(Timestamp::from_millis(written * 1_000)),
        }
    }

    #[test]
    fn events_are_numbered_rows() {
        let rows = encode(&[wanted(0, 0, 0, 0), wanted(0, 1, 0, 0)]);
        assert_eq!(rows.len(), 2 * (4 + 6 + 2 + 12 + 16));
        assert_eq!(rows[..10], *b"\0\0\0\0\x05click");
        assert_eq!(rows[40..44], [1, 0, 0, 0]);
    }

    #[test]
    fn an_answer_says_what_is_missing_and_doubled() {
        let shown = decode(b"3\t0\n1\t2\n2\t1\n0\t7\n", 4).unwrap();
        assert_eq!(shown, Shown { missing: vec![3], doubled: vec![1, 0] });
        assert_eq!(decode(b"", 4), Some(Shown::default()));
        for other in [&b"4\t0\n"[..], b"1\n", b"1\tx\n", b"<html>", b"\xff"] {
            assert_eq!(decode(other, 4), None);
        }
    }

    #[test]
    fn the_shortest_retention_of_the_definitions_counts() {
        let text = b"7200000\tCREATE VIEW (now64(3) - toIntervalHour(48))\n\
            7200000\tCREATE TABLE .. TTL toDateTime(received_at) + toIntervalHour(24) SETTINGS\n";
        let horizon = horizon_in(text).unwrap();
        assert_eq!((horizon.now.millis(), horizon.retention.hours()), (7_200_000, 24));
        for other in [&b""[..], b"7200000\tCREATE TABLE", b"1\ttoIntervalHour(x)", b"toIntervalHour(24)"] {
            assert_eq!(horizon_in(other), None);
        }
    }

    #[test]
    fn what_is_about_to_leave_is_not_looked_for() {
        let hours = |hours: i64| Timestamp::from_millis(hours * 3_600_000);
        let horizon = Horizon { now: hours(100), retention: Retention::from_hours(24).unwrap() };
        assert!(horizon.shows(hours(77)) && horizon.shows(hours(101)));
        assert!(!horizon.shows(hours(76)) && !horizon.shows(hours(1)));
        assert!(!horizon.shows(Timestamp::from_millis(76 * 3_600_000 + RETENTION_MARGIN_MILLIS)));
    }

    #[test]
    fn nothing_of_an_event_is_shown() {
        let text = format!("{:?}", wanted(3, 42, 7, 0));
        assert!(text.contains("42") && !text.contains("secret") && !text.contains("click"), "{text}");
    }
}
