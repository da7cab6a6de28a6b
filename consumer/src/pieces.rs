//! Which rows of a batch are inserted together: all of them, unless the server refuses some or has too little
//! memory. Pure.
//!
//! A refused row is found by halving, and what is found to be good on the way is stored by that. How many rows are
//! tried together behind it follows what was met before: half as many after a refusal, twice as many after a
//! success. So a single refused row costs a logarithm of inserts, and many cost about as few as can be: the next
//! piece is refused as often as not, which is when an answer says most.

use std::{collections::VecDeque, ops::Range};

/// The fewest rows of a block that is halved for the server's memory. Smaller ones make so many parts that the
/// server refuses further ones, and need hardly less memory.
const MIN_HALF_ROWS: usize = 1_000;

/// What is left of a batch.
#[derive(Debug)]
pub(crate) struct Pieces {
    /// The first row that is not decided.
    start: usize,
    /// Rows at which an insert has to end, the next one first.
    ends: VecDeque<usize>,
    /// How many rows are tried together.
    size: usize,
    /// How many the server has memory for.
    most: usize,
    /// A row between the start and this one is refused.
    refused_before: Option<usize>,
}

/// Whether a block may be inserted in halves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Halved {
    Yes,
    SmallEnough,
}

impl Pieces {
    /// The rows of a batch's inserts, which follow each other from row 0 on.
    pub(crate) fn of(inserts: &[Range<usize>]) -> Self {
        let ends = inserts.iter().map(|rows| rows.end).collect();
        Self { start: 0, ends, size: usize::MAX, most: usize::MAX, refused_before: None }
    }

    /// The rows to be inserted next, none when all are decided.
    pub(crate) fn next(&self) -> Option<Range<usize>> {
        let bound = *self.ends.front()?;
        let size = match self.refused_before {
            Some(end) => (end - self.start).div_ceil(2),
            None => self.size,
        };
        Some(self.start..self.start.saturating_add(size.min(self.most)).min(bound))
    }

    /// The next rows are stored.
    pub(crate) fn stored(&mut self) {
        let Some(rows) = self.next() else { return };
        if self.refused_before.is_none() {
            self.size = self.size.saturating_mul(2).min(self.most);
        }
        self.advance(rows.end);
    }

    /// The next rows are refused; if it is one, that is it.
    pub(crate) fn refused(&mut self) {
        let Some(rows) = self.next() else { return };
        if rows.len() == 1 {
            self.refused_before = None;
            return self.advance(rows.end);
        }
        if self.refused_before.is_none() {
            self.size = rows.len() / 2;
        }
        self.refused_before = Some(rows.end);
    }

    /// The server has too little memory for the next rows.
    pub(crate) fn too_large(&mut self) -> Halved {
        let rows = self.next().map_or(0, |rows| rows.len());
        if rows < 2 * MIN_HALF_ROWS {
            return Halved::SmallEnough;
        }
        self.most = rows.div_ceil(2);
        self.size = self.size.min(self.most);
        Halved::Yes
    }

    fn advance(&mut self, end: usize) {
        self.start = end;
        // Rows that were stored after all, or the last half, end the search.
        self.refused_before = self.refused_before.filter(|before| *before > end);
        while self.ends.front().is_some_and(|next| *next <= end) {
            self.ends.pop_front();
        }
    }
}

#[cfg(test)]
mod tests;
