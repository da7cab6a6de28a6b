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
    /// When the table's definition changed last, and with it perhaps the retention.
    pub(crate) changed: Timestamp,
}

/// An event is not looked for in the last minutes of its retention: it may leave between two looks.
const RETENTION_MARGIN_MILLIS: i64 = 10 * 60 * 1_000;
/// How much older than an event that a retention removed another may be that it did not remove yet: merges do that,
/// some hours after it is due.
const REMOVAL_MARGIN_MILLIS: i64 = 24 * 60 * 60 * 1_000;
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

/// Reads lines of the server's time in milliseconds, when the table was changed in seconds, and a definition, with tabs
/// between. The shortest retention counts: while it is being changed, the table and the view have different ones.
pub(crate) fn horizon_in(text: &[u8]) -> Option<Horizon> {
    let text = std::str::from_utf8(text).ok()?;
    let (now, _) = text.split_once('\t')?;
    let changed = |line: &str| line.split('\t').nth(1)?.parse::<i64>().ok();
    let changed = text.lines().filter_map(changed).max()?;
    let hours = text.split(HOURS).skip(1).map(|rest| rest.split_once(')')?.0.parse().ok());
    let shortest = hours.collect::<Option<Vec<u64>>>()?.into_iter().min()?;
    let now = Timestamp::from_millis(now.parse().ok()?);
    let changed = Timestamp::from_millis(changed.checked_mul(1_000)?);
    Some(Horizon { now, retention: Retention::from_hours(shortest).ok()?, changed })
}

/// Reads a number of events, a tab, and when the oldest was received, which of no event is none.
pub(crate) fn oldest_in(text: &[u8]) -> Option<Option<Timestamp>> {
    let (count, oldest) = std::str::from_utf8(text).ok()?.trim_end().split_once('\t')?;
    let (count, oldest): (u64, i64) = (count.parse().ok()?, oldest.parse().ok()?);
    Some((count > 0).then_some(Timestamp::from_millis(oldest)))
}

impl Horizon {
    /// Those of the events that have to be shown.
    pub(crate) fn shown(&self, mut events: Vec<Wanted>) -> Vec<Wanted> {
        events.retain(|event| self.shows(event.received_at));
        events
    }

    /// Whether the table has been changed since the event was received.
    pub(crate) fn is_before_change(&self, event: &Wanted) -> bool {
        event.received_at < self.changed
    }

    /// Those of the missing events that no retention can have removed which the table had before it was changed. That
    /// one removed the oldest, so an event that lies well behind the oldest of those that are left is not of them, and
    /// one that came after the change never is.
    pub(crate) fn not_removed(&self, mut missing: Vec<Wanted>, oldest: Option<Timestamp>) -> Vec<Wanted> {
        let is_among_oldest = |event: &Wanted| {
            oldest.is_none_or(|oldest| event.received_at.millis() - oldest.millis() < REMOVAL_MARGIN_MILLIS)
        };
        missing.retain(|event| !self.is_before_change(event) || !is_among_oldest(event));
        missing
    }

    /// Whether an event that was received then has to be shown.
    fn shows(&self, received_at: Timestamp) -> bool {
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
        let text = b"7200000\t0\tCREATE VIEW (now64(3) - toIntervalHour(48))\n\
            7200000\t3600\tCREATE TABLE .. TTL toDateTime(received_at) + toIntervalHour(24) SETTINGS\n";
        let horizon = horizon_in(text).unwrap();
        assert_eq!((horizon.now.millis(), horizon.retention.hours()), (7_200_000, 24));
        assert_eq!(horizon.changed.millis(), 3_600_000);
        for other in [
            &b""[..],
            b"7200000\t0\tCREATE TABLE",
            b"1\t0\ttoIntervalHour(x)",
            b"1\ttoIntervalHour(24)",
            b"toIntervalHour(24)",
        ] {
            assert_eq!(horizon_in(other), None);
        }
    }

    #[test]
    fn what_is_about_to_leave_is_not_looked_for() {
        let hours = |hours: i64| Timestamp::from_millis(hours * 3_600_000);
        let retention = Retention::from_hours(24).unwrap();
        let horizon = Horizon { now: hours(100), retention, changed: hours(0) };
        assert!(horizon.shows(hours(77)) && horizon.shows(hours(101)));
        assert!(!horizon.shows(hours(76)) && !horizon.shows(hours(1)));
        assert!(!horizon.shows(Timestamp::from_millis(76 * 3_600_000 + RETENTION_MARGIN_MILLIS)));
    }

    #[test]
    fn what_a_shorter_retention_may_have_removed_is_not_missing() {
        let hours = |hours: i64| Timestamp::from_millis(hours * 3_600_000);
        let retention = Retention::from_hours(720).unwrap();
        // The retention was 24 hours until hour 500, so that nothing was left from before about hour 470.
        let horizon = Horizon { now: hours(510), retention, changed: hours(500) };
        let missing: Vec<Wanted> =
            [350, 475, 495, 499, 501].map(|hour| wanted(0, hour, 0, hour * 3_600)).into();
        let left = |oldest| {
            let left = horizon.not_removed(missing.clone(), oldest);
            left.iter().map(|event| event.origin.offset).collect::<Vec<_>>()
        };
        assert_eq!(left(Some(hours(470))), [495, 499, 501]);
        // A loss behind the oldest day that is left shows, whatever the table went through.
        assert_eq!(left(Some(hours(100))), [350, 475, 495, 499, 501]);
        // A table without events may have lost any that it had then, and none since.
        assert_eq!(left(None), [501]);
        assert_eq!(left(Some(hours(505))), [501]);
        assert_eq!(missing.iter().filter(|event| horizon.is_before_change(event)).count(), 4);
    }

    #[test]
    fn an_empty_table_has_no_oldest_event() {
        assert_eq!(oldest_in(b"0\t0\n"), Some(None));
        assert_eq!(oldest_in(b"3\t5000\n"), Some(Some(Timestamp::from_millis(5_000))));
        for other in [&b""[..], b"3\n", b"x\t5\n", b"3\tx\n"] {
            assert_eq!(oldest_in(other), None);
        }
    }

    #[test]
    fn nothing_of_an_event_is_shown() {
        let text = format!("{:?}", wanted(3, 42, 7, 0));
        assert!(text.contains("42") && !text.contains("secret") && !text.contains("click"), "{text}");
    }
}
