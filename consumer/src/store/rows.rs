//! The rows of one batch on their way into the table. What a failure asks for is decided in [`crate::retry`].

use std::{ops::Range, sync::Arc, time::Duration};

use metrics::{counter, gauge, histogram};
use tracing::{error, info, warn};
use uuid::Uuid;

use crate::{
    answer::{Failure, Stored},
    batch::Batch,
    columns::{self, Columns, Difference},
    insert::Inserter,
    metrics::{self as names, Stage, Unblock, count_error},
    pieces::{Halved, Pieces},
    retry::{Class, Failures, PATIENCE, Pace, classify, leaves_doubt},
};

mod suspects;

/// What is to be inserted, and what was learned on the way.
pub(super) struct Rows<'s> {
    inserter: &'s Inserter,
    pace: Pace,
    columns: &'s Arc<Columns>,
    inserts: Vec<Range<usize>>,
    table: Table,
    /// Rows before this one that are not decided may be in the table already.
    doubted_before: usize,
}

/// What the server said of some rows.
enum Decided {
    Stored,
    /// One of them is refused for a value.
    Refused,
    /// One of them is refused with a code that is not listed: for a value that something behind the table does not
    /// take, or for a reason that passes.
    Suspected,
    /// There is too little memory for as many.
    Halved,
}

/// What was found out about the rows of a batch in one pass.
#[derive(Default)]
struct Found {
    refused: Vec<usize>,
    /// Rows that were refused alone, with a code that may pass.
    suspected: Vec<usize>,
    /// A row that is stored.
    stored: Option<usize>,
}

/// What is known of the table.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Table {
    Unknown,
    /// It is as rows are made for it.
    AsExpected,
    /// It has more than that, which may be what refuses rows.
    Extended,
}

/// After so many rows of a batch were refused alone and none was stored, an extended table is to blame.
const SUSPECTS: usize = 100;

/// Attempts at the same rows.
struct Attempts {
    /// One for all of them, so that each ends the one before.
    query_id: String,
    failures: Failures,
}

impl Default for Attempts {
    fn default() -> Self {
        Self { query_id: format!("millrace-{}", Uuid::new_v4()), failures: Failures::default() }
    }
}

impl<'s> Rows<'s> {
    pub(super) fn of(batch: &'s Batch, inserter: &'s Inserter, pace: Pace) -> Self {
        let inserts = batch.inserts();
        Self { inserter, pace, columns: &batch.columns, inserts, table: Table::Unknown, doubted_before: 0 }
    }

    /// Inserts every row and returns those that the table refuses for a value: each of them alone, and by a table
    /// that has the columns that rows are made for. Any other table is waited for, and one that somebody extended as
    /// well, for a time, if it refuses everything.
    pub(super) async fn insert(mut self) -> Vec<usize> {
        let _unblock = Unblock;
        let mut held = Duration::ZERO;
        loop {
            let is_held = held < self.pace.hold;
            if let Some(refused) = self.insert_pieces(is_held).await {
                return refused;
            }
            gauge!(names::INSERT_BLOCKED).set(1.0);
            error!(rows = self.columns.rows(), "the table refuses every row, and somebody has extended it");
            let delay = self.delay(Class::Schema, 1);
            tokio::time::sleep(delay).await;
            held += delay;
        }
    }

    /// The rows that are refused; none if an extended table stores nothing, and that is to be waited for.
    async fn insert_pieces(&mut self, is_held: bool) -> Option<Vec<usize>> {
        let mut found = Found::default();
        let mut pieces = Pieces::of(&self.inserts);
        self.table = Table::Unknown;
        while let Some(rows) = pieces.next() {
            match self.insert_piece(rows.clone(), &mut pieces).await {
                Decided::Stored => {
                    found.stored = Some(rows.start);
                    pieces.stored();
                }
                Decided::Halved => {}
                Decided::Refused | Decided::Suspected if rows.len() > 1 => pieces.refused(),
                Decided::Suspected => {
                    found.suspected.push(rows.start);
                    pieces.refused();
                }
                // The row is tried again when more is known.
                Decided::Refused if self.table == Table::Unknown => self.table = self.look_at_table().await,
                Decided::Refused => {
                    found.refused.push(rows.start);
                    pieces.refused();
                }
            }
            let is_suspect = is_held && found.stored.is_none() && self.table == Table::Extended;
            if is_suspect
                && (found.refused.len() + found.suspected.len() >= SUSPECTS || pieces.next().is_none())
            {
                return None;
            }
        }
        self.try_again(&mut found).await;
        Some(found.refused)
    }

    /// Inserts the next rows until it is known what becomes of them.
    async fn insert_piece(&mut self, rows: Range<usize>, pieces: &mut Pieces) -> Decided {
        let mut attempts = Attempts::default();
        while let Err(failure) = self.attempt(&rows, &attempts).await {
            let failures = &mut attempts.failures;
            let class = failures.add(classify(&failure));
            match class {
                Class::Poison => return Decided::Refused,
                Class::Unlisted if self.is_refused_by_extension(failures).await => {
                    return Decided::Suspected;
                }
                Class::Smaller if pieces.too_large() == Halved::Yes => return Decided::Halved,
                Class::Again | Class::Unlisted | Class::Unproven | Class::Slower | Class::Smaller => {}
                Class::Configuration | Class::Schema => {}
            }
            self.wait(&failure, class, rows.len(), failures).await;
        }
        Decided::Stored
    }

    /// Inserts some rows once.
    async fn attempt(&mut self, rows: &Range<usize>, attempts: &Attempts) -> Result<(), Failure> {
        let in_doubt = self.doubted_before.min(rows.end).saturating_sub(rows.start);
        counter!(names::ROWS_REINSERTED).increment(in_doubt as u64);
        let block = columns::block(self.columns, rows.clone());
        let bytes = block.bytes();
        match self.inserter.insert(block, &attempts.query_id).await {
            Ok(stored) => {
                report_stored(rows.len(), bytes, stored, attempts.failures.count);
                Ok(())
            }
            Err(failure) => {
                if leaves_doubt(&failure) {
                    self.doubted_before = self.doubted_before.max(rows.end);
                }
                counter!(names::INSERTS, "outcome" => classify(&failure).reason()).increment(1);
                count_error(Stage::Insert, failure.reason());
                Err(failure)
            }
        }
    }

    /// Waits before the next attempt at the same rows.
    async fn wait(&self, failure: &Failure, class: Class, rows: usize, failures: &Failures) {
        let delay = self.delay(class, failures.count);
        report_failure(failure, class, rows, failures, delay);
        counter!(names::INSERT_RETRIES, "class" => class.reason()).increment(1);
        tokio::time::sleep(delay).await;
    }

    /// Whether a code that is not listed is to be taken for the refusal of a value, until the row is tried again: it
    /// stayed, and somebody extended the table.
    async fn is_refused_by_extension(&mut self, failures: &Failures) -> bool {
        if self.table == Table::Unknown && failures.in_a_row >= PATIENCE {
            self.table = self.look_at_table().await;
        }
        match self.table {
            Table::Unknown | Table::AsExpected => false,
            Table::Extended => true,
        }
    }

    /// Asks what the table is like, and waits when it lacks a column or the server does not tell.
    async fn look_at_table(&self) -> Table {
        let class = match self.inserter.describe().await {
            Ok(table) => match columns::difference(&table) {
                None => return Table::AsExpected,
                Some(Difference::Added(what)) => {
                    warn!(what, "the table refuses rows, and somebody has added {what} to it");
                    return Table::Extended;
                }
                Some(Difference::Lacks(column)) => {
                    gauge!(names::INSERT_BLOCKED).set(1.0);
                    error!(column, "the table refuses rows, and its column `{column}` is not as it was made");
                    Class::Schema
                }
            },
            Err(failure) => {
                error!(error = &failure as &dyn std::error::Error, "failed to ask what the table is like");
                count_error(Stage::Insert, failure.reason());
                Class::Slower
            }
        };
        tokio::time::sleep(self.delay(class, 1)).await;
        Table::Unknown
    }

    fn delay(&self, class: Class, failures: u32) -> Duration {
        self.pace.delay(class, failures, rand::random())
    }
}

fn report_stored(rows: usize, bytes: u64, stored: Stored, failures: u32) {
    let Stored { extra_rows } = stored;
    histogram!(names::INSERT_ROWS).record(rows as f64);
    histogram!(names::INSERT_BYTES).record(bytes as f64);
    counter!(names::INSERTS, "outcome" => "stored").increment(1);
    gauge!(names::INSERT_BLOCKED).set(0.0);
    if failures > 0 {
        info!(rows, failures, "stored {rows} rows after {failures} failures");
    }
    if extra_rows > 0 {
        counter!(names::EXTRA_ROWS).increment(extra_rows);
        error!(rows, extra_rows, "clickhouse wrote more rows than were sent: is there a materialized view?");
    }
}

fn report_failure(failure: &Failure, class: Class, rows: usize, failures: &Failures, delay: Duration) {
    let cause = failure as &dyn std::error::Error;
    let (class_label, delay_ms) = (class.reason(), delay.as_millis() as u64);
    let count = failures.count;
    if class.needs_action(failures.in_a_row) {
        gauge!(names::INSERT_BLOCKED).set(1.0);
        error!(
            error = cause,
            class = class_label,
            rows,
            failures = count,
            delay_ms,
            "insert failed until somebody acts"
        );
    } else {
        warn!(
            error = cause,
            class = class_label,
            rows,
            failures = count,
            delay_ms,
            "insert failed, trying again"
        );
    }
}
