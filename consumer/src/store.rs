//! The store step: brings a batch into ClickHouse and its dead letters into their topic, however long it takes.
//!
//! It returns when every row is known to be stored or dead-lettered, and never otherwise: in doubt the same
//! rows are inserted again. What a failure asks for is decided in [`crate::retry`].

use std::{sync::Arc, time::Duration};

use metrics::counter;
use schema::settings::ConsumerSettings;
use tracing::{error, warn};

use self::rows::Rows;
use crate::{
    batch::Batch,
    columns::Columns,
    dead_letter::{DeadLetters, group},
    insert::Inserter,
    letter::DeadLetter,
    metrics::{self as names, Stage, count_error},
    reread::{RefusedRow, reread},
    retry::{Class, Pace},
    wall_clock::wall_clock,
};

mod rows;

/// Stores batches, one after the other.
pub(crate) struct Store {
    settings: Arc<ConsumerSettings>,
    inserter: Inserter,
    dead_letters: DeadLetters,
    pace: Pace,
}

impl Store {
    pub(crate) fn new(settings: Arc<ConsumerSettings>, inserter: Inserter, pace: Pace) -> Self {
        let dead_letters = DeadLetters::new(&settings);
        Self { settings, inserter, dead_letters, pace }
    }

    /// Stores a batch.
    pub(crate) async fn store(&mut self, batch: &Batch) {
        let refused = Rows::of(batch, &self.inserter, self.pace).insert().await;
        if !refused.is_empty() {
            warn!(rows = refused.len(), "the table refuses rows for their values: they become dead letters");
            self.deliver_refused(&batch.columns, &refused).await;
        }
        self.deliver(&batch.dead_letters).await;
        counter!(names::EVENTS_INSERTED).increment((batch.rows() - refused.len()) as u64);
    }

    /// Delivers the dead letters of refused rows, one for each origin, with their original bytes out of Kafka, some at
    /// a time.
    async fn deliver_refused(&mut self, columns: &Arc<Columns>, rows: &[usize]) {
        let mut rows: Vec<RefusedRow> =
            rows.iter().map(|row| RefusedRow { origin: columns.origin(*row), row: *row }).collect();
        rows.sort_unstable();
        // A record is in a batch twice if its partition was taken away and came back meanwhile.
        rows.dedup_by_key(|row| row.origin);
        let rows: Arc<[RefusedRow]> = rows.into();
        let mut done = 0;
        while done < rows.len() {
            let letters = self.reread(columns, &rows, done).await;
            let rebuilt = letters.iter().filter(|letter| letter.is_rebuilt()).count();
            if rebuilt > 0 {
                warn!(
                    letters = rebuilt,
                    "kafka no longer has the records of refused rows: their dead letters are made from the rows"
                );
            }
            self.deliver(&letters).await;
            done += letters.len();
        }
    }

    /// The letters of the next rows, however long it takes.
    async fn reread(&self, columns: &Arc<Columns>, rows: &Arc<[RefusedRow]>, done: usize) -> Vec<DeadLetter> {
        let mut failures = 0;
        loop {
            let (settings, now) = (Arc::clone(&self.settings), wall_clock());
            let (columns, rows) = (Arc::clone(columns), Arc::clone(rows));
            let reading =
                tokio::task::spawn_blocking(move || reread(&settings, &columns, &rows[done..], now));
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
                        counter!(names::DEAD_LETTERS_REBUILT).increment(u64::from(letter.is_rebuilt()));
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

    fn delay(&self, class: Class, failures: u32) -> Duration {
        self.pace.delay(class, failures, rand::random())
    }
}

#[cfg(test)]
mod tests;
