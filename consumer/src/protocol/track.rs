//! How far one partition was taken, stored and committed.

use std::collections::VecDeque;

use super::{Assignment, BatchId, Start};

/// A partition. Positions are offsets of the record after the last one meant, as Kafka's commits are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Track {
    /// The next offset, where it is known: none before the first record of a group that committed nothing.
    pub(super) next: Option<i64>,
    /// What was taken and is not yet part of the stored run, a batch each, in order.
    taken: VecDeque<Taken>,
    /// The end of the stored run.
    pub(super) stored: Option<i64>,
    /// What Kafka has acknowledged.
    committed: Option<i64>,
    /// What Kafka was asked to commit and has not answered.
    asked: Option<i64>,
    /// The group wants it back.
    pub(super) is_leaving: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Taken {
    batch: BatchId,
    end: i64,
    is_stored: bool,
}

impl Track {
    /// A partition that goes on where the group has committed, or begins where one that has not is to.
    ///
    /// If its log begins behind, nothing before its start can be stored any more: that counts as stored, so that
    /// the loss is not found again by the next owner. If its log ends before, the log was cut and is read from
    /// its beginning, which changes nothing that readers see. A begin that was chosen is committed at once, so that a
    /// crash before the first batch does not choose again: nobody wants what is before, and that counts as stored.
    pub(super) fn resume(assignment: &Assignment) -> (Self, Start) {
        let Assignment { committed, log, begin, partition: _ } = *assignment;
        let at = |offset| Self { next: Some(offset), stored: Some(offset), committed, ..Self::default() };
        match (committed, log) {
            (Some(committed), Some(log)) if log.end < committed => (Self::default(), Start::At(log.start)),
            (Some(committed), Some(log)) => {
                let offset = committed.max(log.start);
                (at(offset), Start::At(offset))
            }
            (Some(committed), None) => (at(committed), Start::At(committed)),
            (None, _) => {
                begin.map_or((Self::default(), Start::Earliest), |begin| (at(begin), Start::At(begin)))
            }
        }
    }

    /// The record was taken into the batch.
    pub(super) fn take(&mut self, offset: i64, batch: BatchId) {
        let end = offset + 1;
        self.next = Some(end);
        match self.taken.back_mut() {
            Some(last) if last.batch == batch => last.end = end,
            Some(_) | None => self.taken.push_back(Taken { batch, end, is_stored: false }),
        }
    }

    /// The batch is stored.
    pub(super) fn store(&mut self, batch: BatchId) {
        if let Some(taken) = self.taken.iter_mut().find(|taken| taken.batch == batch) {
            taken.is_stored = true;
        }
        while self.taken.front().is_some_and(|first| first.is_stored) {
            self.stored = self.taken.pop_front().map(|first| first.end);
        }
    }

    /// Whether the batch holds records of this assignment that are not in the stored run.
    pub(super) fn has(&self, batch: BatchId) -> bool {
        self.taken.iter().any(|taken| taken.batch == batch)
    }

    /// The end of the stored run, if Kafka neither knows of it nor was told.
    pub(super) fn uncommitted(&self) -> Option<i64> {
        self.stored.filter(|_| self.stored != self.committed && self.stored != self.asked)
    }

    /// Kafka is asked to commit up to here.
    pub(super) fn ask(&mut self, offset: i64) {
        self.asked = Some(offset);
    }

    /// Kafka committed up to here.
    pub(super) fn commit(&mut self, offset: i64) {
        (self.committed, self.asked) = (Some(offset), None);
    }

    /// What Kafka has acknowledged, as far as is known.
    pub(super) fn committed(&self) -> Option<i64> {
        self.committed
    }

    /// Kafka refused, or did not answer.
    pub(super) fn refuse(&mut self) {
        self.asked = None;
    }
}
