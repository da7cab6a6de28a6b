//! How far each partition has been taken, stored and committed.
//!
//! Invariant: a position that is due for a commit never passes a record that is neither stored nor
//! dead-lettered. A partition's records are taken in order, each into a batch; a batch is stored as a whole,
//! its dead letters included; what may be committed is the longest run of taken records, from the first on,
//! whose batches are stored. A batch that was taken in an earlier assignment says nothing about the next one.
//! Pure: no input, output or clock; the run loop feeds it and commits what it returns.

use std::collections::{BTreeMap, VecDeque};

/// A batch, numbered in the order of its making; no number is used twice in a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct BatchId(pub(crate) u64);

/// The partitions that this process owns.
#[derive(Debug, Default)]
pub(crate) struct Offsets {
    partitions: BTreeMap<i32, Track>,
}

/// A partition. Positions are offsets of the record after the last one meant, as Kafka's commits are.
#[derive(Debug, Default)]
struct Track {
    /// The next offset, where it is known: none before the first record of a group that committed nothing.
    next: Option<i64>,
    /// What was taken and is not yet part of the stored run, a batch each, in order.
    taken: VecDeque<Taken>,
    /// The end of the stored run.
    stored: Option<i64>,
    /// What Kafka has acknowledged.
    committed: Option<i64>,
}

#[derive(Debug)]
struct Taken {
    batch: BatchId,
    end: i64,
    is_stored: bool,
}

/// What the offset of a record says about those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// It follows the one before, or is the first.
    InOrder,
    /// Offsets from `expected` on did not arrive: removed by retention, or never records at all.
    Gap { expected: i64 },
    /// It was read before: the log was cut, or the position was reset.
    Again,
    /// Its partition is not ours any more.
    NotOwned,
}

impl Offsets {
    /// A partition became ours; `next` is where it goes on, if the group had committed anything.
    pub(crate) fn assign(&mut self, partition: i32, next: Option<i64>) {
        let track = Track { next, committed: next, stored: next, ..Track::default() };
        self.partitions.insert(partition, track);
    }

    /// The log of a partition begins behind its committed offset: nothing before `start` can be stored any
    /// more. It is due for a commit, so that the loss is not found again by the next owner.
    pub(crate) fn skip_removed(&mut self, partition: i32, start: i64) {
        if let Some(track) = self.partitions.get_mut(&partition) {
            track.next = Some(start);
            track.stored = Some(start);
        }
    }

    /// A partition is not ours any more, revoked or lost.
    pub(crate) fn forget(&mut self, partition: i32) {
        self.partitions.remove(&partition);
    }

    /// Whether no partition is ours.
    pub(crate) fn is_empty(&self) -> bool {
        self.partitions.is_empty()
    }

    /// The number of partitions that are ours.
    pub(crate) fn len(&self) -> usize {
        self.partitions.len()
    }

    /// A record was taken into a batch, whatever became of it.
    pub(crate) fn take(&mut self, partition: i32, offset: i64, batch: BatchId) -> Arrival {
        let Some(track) = self.partitions.get_mut(&partition) else { return Arrival::NotOwned };
        let arrival = match track.next {
            Some(next) if offset > next => Arrival::Gap { expected: next },
            Some(next) if offset < next => Arrival::Again,
            Some(_) | None => Arrival::InOrder,
        };
        let end = offset + 1;
        track.next = Some(end);
        match track.taken.back_mut() {
            Some(last) if last.batch == batch => last.end = end,
            Some(_) | None => track.taken.push_back(Taken { batch, end, is_stored: false }),
        }
        arrival
    }

    /// A batch is stored, and its dead letters are acknowledged.
    pub(crate) fn store(&mut self, batch: BatchId) {
        for track in self.partitions.values_mut() {
            if let Some(taken) = track.taken.iter_mut().find(|taken| taken.batch == batch) {
                taken.is_stored = true;
            }
            while track.taken.front().is_some_and(|first| first.is_stored) {
                track.stored = track.taken.pop_front().map(|first| first.end);
            }
        }
    }

    /// What should be committed and is not: partitions and positions.
    pub(crate) fn due(&self) -> Vec<(i32, i64)> {
        self.partitions
            .iter()
            .filter(|(_, track)| track.stored != track.committed)
            .filter_map(|(partition, track)| Some((*partition, track.stored?)))
            .collect()
    }

    /// Kafka acknowledged a commit of these positions.
    pub(crate) fn committed(&mut self, positions: &[(i32, i64)]) {
        for (partition, position) in positions {
            if let Some(track) = self.partitions.get_mut(partition) {
                track.committed = Some(*position);
            }
        }
    }
}

#[cfg(test)]
mod tests;
