//! The store step: brings a batch into ClickHouse and its dead letters into their topic, however long it takes.
//!
//! It returns when every row is known to be stored or dead-lettered, and never otherwise: in doubt the same
//! rows are inserted again. What a failure asks for is decided in [`crate::retry`].

use std::{collections::VecDeque, ops::Range, sync::Arc};

use metrics::{counter, gauge};
use schema::settings::ConsumerSettings;
use tracing::{error, info, warn};
use uuid::Uuid;

use crate::{
    batch::Batch,
    columns::{self, Columns, Origin},
    dead_letter::{DeadLetters, group},
    insert::Inserter,
    letter::DeadLetter,
    metrics::{self as names, Stage, count_error},
    reread::reread,
    retry::{Class, Pace, classify},
    wall_clock::wall_clock,
};

/// After so many refused pieces of a batch, and none that was stored, it is the table that refuses and not a
/// row. Halving breadth first, this many pieces of the largest batch hold fewer than a hundred rows each.
const MAX_REFUSED_PIECES: usize = 1_024;

/// Stores batches, one after the other.
pub(crate) struct Store {
    settings: Arc<ConsumerSettings>,
    inserter: Inserter,
    dead_letters: DeadLetters,
    pace: Pace,
    /// Whether this process has stored anything: then a table that refuses a single row does so for the row.
    has_stored: bool,
}

/// What became of some rows.
enum Decided {
    Stored,
    /// To be inserted in two halves; only a block of more than one row is.
    Halve(Class),
    /// One row, which the table refuses.
    Refused,
}

impl Store {
    pub(crate) fn new(settings: Arc<ConsumerSettings>, inserter: Inserter, pace: Pace) -> Self {
        let dead_letters = DeadLetters::new(&settings);
        Self { settings, inserter, dead_letters, pace, has_stored: false }
    }

    /// Stores a batch.
    pub(crate) async fn store(&mut self, batch: &Batch) {
        let refused = self.insert(batch).await;
        if !refused.is_empty() {
            self.deliver_refused(&batch.columns, &refused).await;
        }
        self.deliver(&batch.dead_letters).await;
        counter!(names::EVENTS_INSERTED).increment((batch.rows() - refused.len()) as u64);
    }

    /// Inserts every row and returns those that the table refuses for what they are.
    async fn insert(&mut self, batch: &Batch) -> Vec<usize> {
        loop {
            if let Some(refused) = self.insert_pieces(batch).await {
                return refused;
            }
            gauge!(names::INSERT_BLOCKED).set(1.0);
            error!(
                rows = batch.rows(),
                "the table refuses every row: nothing is stored until somebody mends it"
            );
            tokio::time::sleep(self.delay(Class::Schema, 1)).await;
        }
    }

    /// Inserts the batch, halving pieces that are too large or hold a refused row; the largest pieces come
    /// first, so that good rows show soon that the table accepts rows. None if it accepts not one.
    async fn insert_pieces(&mut self, batch: &Batch) -> Option<Vec<usize>> {
        let mut pieces: VecDeque<Range<usize>> = batch.inserts().into();
        let (mut refused_rows, mut refused_pieces, mut has_stored) = (Vec::new(), 0, false);
        while let Some(rows) = pieces.pop_front() {
            match self.insert_piece(&batch.columns, rows.clone()).await {
                Decided::Stored => has_stored = true,
                Decided::Halve(class) => {
                    refused_pieces += usize::from(class == Class::Poison);
                    let middle = rows.start + rows.len() / 2;
                    pieces.extend([rows.start..middle, middle..rows.end]);
                }
                Decided::Refused => {
                    refused_pieces += 1;
                    refused_rows.push(rows.start);
                }
            }
            if refused_pieces >= MAX_REFUSED_PIECES && !has_stored {
                return None;
            }
        }
        let is_row_to_blame = has_stored || (batch.rows() == 1 && self.has_stored);
        self.has_stored |= has_stored;
        (refused_rows.is_empty() || is_row_to_blame).then_some(refused_rows)
    }

    /// Inserts some rows until it is known what becomes of them.
    async fn insert_piece(&self, columns: &Arc<Columns>, rows: Range<usize>) -> Decided {
        let query_id = format!("millrace-{}", Uuid::new_v4());
        let (mut failures, mut is_in_doubt) = (0, false);
        loop {
            if is_in_doubt {
                counter!(names::ROWS_REINSERTED).increment(rows.len() as u64);
            }
            let failure = match self.inserter.insert(columns::block(columns, rows.clone()), &query_id).await {
                Ok(stored) => {
                    report_stored(rows.len(), stored.extra_rows, failures);
                    return Decided::Stored;
                }
                Err(failure) => failure,
            };
            failures += 1;
            let class = classify(&failure);
            is_in_doubt = !class.needs_action();
            counter!(names::INSERTS, "outcome" => class.reason()).increment(1);
            count_error(Stage::Insert, failure.reason());
            match class {
                Class::Smaller | Class::Poison if rows.len() > 1 => return Decided::Halve(class),
                Class::Poison => return Decided::Refused,
                Class::Again | Class::Slower | Class::Smaller | Class::Configuration | Class::Schema => {}
            }
            let delay = self.delay(class, failures);
            report_failure(&failure, class, rows.len(), failures, delay);
            tokio::time::sleep(delay).await;
        }
    }

    /// Delivers the dead letters of refused rows, with their original bytes out of Kafka, some at a time.
    async fn deliver_refused(&mut self, columns: &Columns, rows: &[usize]) {
        let mut origins: Vec<Origin> = rows.iter().map(|row| columns.origin(*row)).collect();
        origins.sort_unstable();
        let origins: Arc<[Origin]> = origins.into();
        let mut done = 0;
        while done < origins.len() {
            let letters = self.reread(&origins, done).await;
            self.deliver(&letters).await;
            done += letters.len();
        }
    }

    /// The letters of the next rows, however long it takes.
    async fn reread(&self, origins: &Arc<[Origin]>, done: usize) -> Vec<DeadLetter> {
        let mut failures = 0;
        loop {
            let (settings, origins, now) = (Arc::clone(&self.settings), Arc::clone(origins), wall_clock());
            let reading = tokio::task::spawn_blocking(move || reread(&settings, &origins[done..], now));
            match reading.await.expect("reading again does not panic") {
                Ok(letters) => return letters,
                Err(cause) => {
                    failures += 1;
                    count_error(Stage::DeadLetter, cause.reason());
                    error!(error = &cause as &dyn std::error::Error, "failed to read refused records again");
                    tokio::time::sleep(self.delay(Class::Again, failures)).await;
                }
            }
        }
    }

    /// Delivers dead letters until all are acknowledged.
    async fn deliver(&mut self, mut letters: &[DeadLetter]) {
        let mut failures = 0;
        while !letters.is_empty() {
            let (next, rest) = letters.split_at(group(letters));
            match self.dead_letters.deliver(next).await {
                Ok(()) => {
                    for letter in next {
                        counter!(names::DEAD_LETTERS, "reason" => letter.refused.reason()).increment(1);
                    }
                    (letters, failures) = (rest, 0);
                }
                Err(cause) => {
                    failures += 1;
                    count_error(Stage::DeadLetter, cause.reason());
                    error!(
                        error = &cause as &dyn std::error::Error,
                        letters = letters.len(),
                        "dead letters cannot be written: nothing is committed until they are"
                    );
                    tokio::time::sleep(self.delay(Class::Again, failures)).await;
                }
            }
        }
    }

    fn delay(&self, class: Class, failures: u32) -> std::time::Duration {
        self.pace.delay(class, failures, rand::random())
    }
}

fn report_stored(rows: usize, extra_rows: u64, failures: u32) {
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

fn report_failure(
    failure: &crate::answer::Failure,
    class: Class,
    rows: usize,
    failures: u32,
    delay: std::time::Duration,
) {
    let cause = failure as &dyn std::error::Error;
    let (class_label, delay_ms) = (class.reason(), delay.as_millis() as u64);
    if class.needs_action() {
        gauge!(names::INSERT_BLOCKED).set(1.0);
        error!(
            error = cause,
            class = class_label,
            rows,
            failures,
            delay_ms,
            "insert failed until somebody acts"
        );
    } else {
        warn!(error = cause, class = class_label, rows, failures, delay_ms, "insert failed, trying again");
    }
}

#[cfg(test)]
mod tests;
