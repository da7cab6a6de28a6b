//! The batch step: rows and dead letters of all partitions, until one of the bounds is reached. Pure; time is
//! a parameter.

use std::{
    ops::Range,
    sync::Arc,
    time::{Duration, Instant},
};

use schema::settings::BatchSettings;

use crate::{columns::Columns, lag::Oldest, letter::DeadLetter, protocol::BatchId, row::Row, trace::TraceId};

/// ClickHouse refuses a block of more than 100 partitions for ever (`max_partitions_per_insert_block`), and
/// each partition of a block becomes a part of its own; a partition of the table is a month.
const MAX_MONTHS: usize = 50;

/// What is inserted, dead-lettered and committed together.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) id: BatchId,
    pub(crate) columns: Arc<Columns>,
    pub(crate) dead_letters: Vec<DeadLetter>,
    pub(crate) oldest: Oldest,
    /// The trace of the record that opened the batch.
    pub(crate) trace: Option<TraceId>,
    /// The rows at which a new insert has to begin, so that none touches too many months.
    cuts: Vec<usize>,
    months: Vec<u16>,
    last_day: Option<u16>,
    records: u64,
    dead_letter_bytes: usize,
    opened: Option<Instant>,
}

impl Batch {
    /// An empty batch.
    pub(crate) fn new(id: BatchId) -> Self {
        Self::reusing(id, Arc::default())
    }

    /// An empty batch that goes on using the buffers of one that is done with.
    pub(crate) fn reusing(id: BatchId, mut columns: Arc<Columns>) -> Self {
        match Arc::get_mut(&mut columns) {
            Some(columns) => columns.clear(),
            // A connection that was cut still holds them.
            None => columns = Arc::default(),
        }
        Self {
            id,
            columns,
            dead_letters: Vec::new(),
            oldest: Oldest::default(),
            trace: None,
            cuts: Vec::new(),
            months: Vec::new(),
            last_day: None,
            records: 0,
            dead_letter_bytes: 0,
            opened: None,
        }
    }

    /// A record was taken; the first one opens the batch.
    pub(crate) fn open(&mut self, now: impl FnOnce() -> Instant) {
        self.records += 1;
        self.opened.get_or_insert_with(now);
    }

    /// Appends a row.
    pub(crate) fn push(&mut self, row: &Row<'_>) {
        if self.last_day != Some(row.day) {
            self.enter_month(month_of(row.day));
            self.last_day = Some(row.day);
        }
        self.oldest.note_event(row.event.received_at);
        self.columns_mut().push(row);
    }

    /// Appends a dead letter.
    pub(crate) fn reject(&mut self, letter: DeadLetter) {
        self.dead_letter_bytes += letter.bytes_beside(self.dead_letters.last());
        self.dead_letters.push(letter);
    }

    /// Brings the rows into the table's order, when no more are to come. The rows of a batch of several inserts stay
    /// where they are, as the cuts between them are places.
    pub(crate) fn sort(&mut self) {
        if self.cuts.is_empty() {
            self.columns_mut().sort();
        }
    }

    /// The rows of each insert.
    pub(crate) fn inserts(&self) -> Vec<Range<usize>> {
        let starts = [0].into_iter().chain(self.cuts.iter().copied());
        let ends = self.cuts.iter().copied().chain([self.rows()]);
        starts.zip(ends).map(|(start, end)| start..end).filter(|rows| !rows.is_empty()).collect()
    }

    pub(crate) fn rows(&self) -> usize {
        self.columns.rows()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// The bytes that the batch holds.
    pub(crate) fn bytes(&self) -> usize {
        self.columns.bytes() + self.dead_letter_bytes
    }

    /// Whether the batch has as much as one insert should carry.
    pub(crate) fn is_full(&self, bounds: &BatchSettings) -> bool {
        let rows = self.rows() + self.dead_letters.len();
        rows as u64 >= u64::from(bounds.max_rows) || self.bytes() as u64 >= bounds.max_bytes
    }

    /// How long the batch may still wait for more, none if it is empty.
    pub(crate) fn time_left(&self, bounds: &BatchSettings, now: Instant) -> Option<Duration> {
        let deadline = self.opened? + Duration::from_millis(u64::from(bounds.max_delay_ms));
        Some(deadline.saturating_duration_since(now))
    }

    fn enter_month(&mut self, month: u16) {
        if self.months.contains(&month) {
            return;
        }
        if self.months.len() == MAX_MONTHS {
            self.cuts.push(self.columns.rows());
            self.months.clear();
        }
        self.months.push(month);
    }

    fn columns_mut(&mut self) -> &mut Columns {
        Arc::get_mut(&mut self.columns).expect("a batch shares its columns only after it was handed over")
    }
}

/// The months from 1970 to a day since 1970, counted by years and months of the calendar.
fn month_of(day: u16) -> u16 {
    let date = jiff::civil::date(1970, 1, 1) + jiff::Span::new().days(i64::from(day));
    // Days of 16 bits end in the year 2149.
    (date.year() as u16 - 1970) * 12 + date.month() as u16
}

#[cfg(test)]
mod tests {
    use schema::{names::TopicId, tenant_id::TenantId};
    use uuid::Uuid;

    use super::*;
    use crate::{
        letter::tests::{letter, original},
        parse::{Parsed, Parser, Record},
        refused::Refused,
    };

    const BOUNDS: BatchSettings = BatchSettings { max_rows: 3, max_bytes: 10_000, max_delay_ms: 500 };

    #[allow(clippy::disallowed_methods, reason = "an instant can be made in no other way")]
    fn now() -> Instant {
        Instant::now()
    }

    fn push(batch: &mut Batch, day: &str, name: &str) {
        let line = format!(
            r#"{{"id":"{}","event_name":"{name}","timestamp":"{day}T00:00:00Z","received_at":"2030-01-01T00:00:00Z","properties":{{}}}}"#,
            Uuid::nil()
        );
        let mut parser = Parser::new(TenantId::parse("acme").unwrap(), TopicId(Uuid::nil()));
        batch.open(now);
        let record = Record { partition: 0, offset: 0, payload: line.as_bytes() };
        parser
            .parse(&record, |parsed| match parsed {
                Parsed::Row(row) => batch.push(&row),
                Parsed::Reject { refused, .. } => panic!("{refused}"),
            })
            .unwrap();
    }

    #[test]
    fn rows_close_a_batch() {
        let mut batch = Batch::new(BatchId(0));
        assert!(batch.is_empty() && !batch.is_full(&BOUNDS));
        (0..2).for_each(|_| push(&mut batch, "2026-01-01", "a"));
        assert!(!batch.is_full(&BOUNDS));
        push(&mut batch, "2026-01-01", "a");
        assert!(batch.is_full(&BOUNDS));
    }

    #[test]
    fn bytes_close_a_batch() {
        let mut batch = Batch::new(BatchId(0));
        push(&mut batch, "2026-01-01", &"n".repeat(200));
        assert!(!batch.is_full(&BatchSettings { max_bytes: 400, ..BOUNDS }));
        assert!(batch.is_full(&BatchSettings { max_bytes: 200, ..BOUNDS }));
    }

    #[test]
    fn dead_letters_close_a_batch_too() {
        let mut batch = Batch::new(BatchId(0));
        for _ in 0..3 {
            batch.reject(letter(b"original"));
        }
        assert!(batch.is_full(&BOUNDS));
        assert!(batch.bytes() >= 24);
    }

    #[test]
    fn the_letters_of_one_record_take_little_more_than_the_record() {
        let mut batch = Batch::new(BatchId(0));
        let record = original(&[b'k'; 900_000], &[("h", Some(&[b'h'; 9_000]))]);
        for index in 0..2_500 {
            batch.reject(DeadLetter::of(&record, Some(index), Some(b""), Refused::Malformed));
        }
        assert!((9_000..300_000).contains(&batch.bytes()), "{}", batch.bytes());
        // Each other record brings a key and headers of its own.
        let before = batch.bytes();
        batch.reject(DeadLetter::of(
            &original(b"k", &[("h", Some(&[b'h'; 9_000]))]),
            None,
            None,
            Refused::Nul,
        ));
        assert!(batch.bytes() - before > 9_000);
    }

    #[test]
    fn time_closes_a_batch_from_its_first_record_on() {
        let mut batch = Batch::new(BatchId(0));
        let start = now();
        assert_eq!(batch.time_left(&BOUNDS, start), None);
        batch.open(|| start);
        batch.open(|| start + Duration::from_millis(400));
        assert_eq!(
            batch.time_left(&BOUNDS, start + Duration::from_millis(300)),
            Some(Duration::from_millis(200))
        );
        assert_eq!(batch.time_left(&BOUNDS, start + Duration::from_secs(9)), Some(Duration::ZERO));
    }

    #[test]
    fn no_insert_touches_more_than_fifty_months() {
        let mut batch = Batch::new(BatchId(0));
        for n in 0..120 {
            push(&mut batch, &format!("{}-{:02}-15", 2010 + n / 12, 1 + n % 12), "a");
        }
        assert_eq!(batch.inserts(), [0..50, 50..100, 100..120]);
    }

    #[test]
    fn the_same_months_again_need_no_further_insert() {
        let mut batch = Batch::new(BatchId(0));
        for n in 0..120 {
            push(&mut batch, &format!("2024-{:02}-{:02}", 1 + n % 12, 1 + n % 28), "a");
        }
        assert_eq!(batch.inserts().len(), 1);
        assert_eq!(batch.inserts()[0], 0..120);
        assert!(Batch::new(BatchId(1)).inserts().is_empty());
    }

    #[test]
    fn the_rows_of_several_inserts_stay_where_they_are() {
        for (months, are_moved) in [(3, true), (60, false)] {
            let mut batch = Batch::new(BatchId(0));
            for n in 0..months {
                let name = if n < 3 { ["c", "b", "a"][n] } else { "d" };
                push(&mut batch, &format!("{}-{:02}-15", 2010 + n / 12, 1 + n % 12), name);
            }
            let before = batch.columns.bytes();
            batch.sort();
            let days: Vec<u16> = (0..3).map(|row| batch.columns.day(row)).collect();
            assert_eq!(!days.is_sorted(), are_moved, "{months} months");
            assert_eq!(batch.columns.bytes(), before);
        }
    }

    #[test]
    fn buffers_are_used_again_and_a_held_one_is_left_alone() {
        let mut batch = Batch::new(BatchId(0));
        push(&mut batch, "2026-01-01", "a");
        let held = Arc::clone(&batch.columns);
        let next = Batch::reusing(BatchId(1), batch.columns);
        assert_eq!((next.rows(), next.columns.capacity()), (0, 0));
        let next = Batch::reusing(BatchId(2), held);
        assert!(next.is_empty() && next.columns.capacity() > 0);
    }

    #[test]
    fn months_are_those_of_the_calendar() {
        for (day, month) in
            [(0, 1), (30, 1), (31, 2), (365, 13), (20_484, 56 * 12 + 1), (u16::MAX, 179 * 12 + 6)]
        {
            assert_eq!(month_of(day), month, "day {day}");
        }
    }
}
