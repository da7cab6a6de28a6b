//! The consumer's protocol: which record goes into which batch, when a batch is stored, what is committed when.
//!
//! A state machine without input, output, clock or randomness: [`Protocol::step`] takes an [`Event`] and says what
//! is to be done about it, in order. The run loop brings the events and carries the [`Action`]s out;
//! a model drives the same machine through every order of faults.
//!
//! Invariants:
//! - a position that is committed never passes a record that is neither stored nor dead-lettered nor removed by
//!   retention; several batches may be on their way, and only the contiguous run from the first record on counts;
//! - a batch that was taken in an earlier assignment of a partition says nothing about the next one;
//! - before a partition is released Kafka is asked to commit what is stored of it, unless the group has given us up;
//! - nothing is taken of a partition that is about to be released, or after a stop was asked for.

use std::collections::{BTreeMap, VecDeque};

mod event;
mod track;

pub(crate) use event::{Action, Arrival, Assignment, BatchId, Event, LogRange, Position, Start};
use track::Track;

/// The state of a consumer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Protocol {
    partitions: BTreeMap<i32, Track>,
    /// The number of the batch that is being filled.
    filling: BatchId,
    is_filling_empty: bool,
    is_held: bool,
    is_paused: bool,
    /// Batches that are being stored, oldest first.
    storing: VecDeque<BatchId>,
    max_storing: usize,
    /// After a commit failed, until it is tried again.
    is_commit_waiting: bool,
    life: Life,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Life {
    Running,
    /// Nothing is taken any more; what is being stored is waited for.
    Stopping,
    /// The process has been told to leave.
    Left,
}

impl Protocol {
    /// A consumer that owns nothing and stores at most so many batches at the same time.
    pub(crate) fn new(max_storing: usize) -> Self {
        Self {
            partitions: BTreeMap::new(),
            filling: BatchId(0),
            is_filling_empty: true,
            is_held: false,
            is_paused: false,
            storing: VecDeque::new(),
            max_storing,
            is_commit_waiting: false,
            life: Life::Running,
        }
    }

    /// Takes an event in and appends what is to be done.
    pub(crate) fn step(&mut self, event: Event, actions: &mut Vec<Action>) {
        match event {
            Event::Full => self.full(actions),
            Event::Due => self.due(actions),
            Event::Held => self.held(actions),
            Event::Stored(batch) => self.stored(batch, actions),
            Event::Cancelled(batch) => self.cancelled(batch, actions),
            Event::Committed(positions) => self.committed(&positions),
            Event::CommitFailed => self.commit_failed(),
            Event::CommitAgain => self.commit_again(actions),
            Event::Assigned(assignments) => self.assigned(&assignments, actions),
            Event::Revoked(partitions) => self.revoked(&partitions, actions),
            Event::Lost(partitions) => self.lost(&partitions, actions),
            Event::Stop => self.stop(actions),
            Event::Deadline => self.deadline(actions),
        }
    }

    /// Takes a record in: an event like the others, whose answer is a value, because it happens for every record.
    pub(crate) fn take(&mut self, partition: i32, offset: i64) -> Arrival {
        let track = self.partitions.get_mut(&partition).filter(|track| !track.is_leaving);
        let Some(track) = track.filter(|_| self.life == Life::Running) else { return Arrival::Skipped };
        let arrival = match track.next {
            Some(expected) if offset > expected => Arrival::AfterGap { expected },
            Some(expected) if offset < expected => Arrival::Again,
            Some(_) | None => Arrival::InOrder,
        };
        track.take(offset, self.filling);
        self.is_filling_empty = false;
        arrival
    }

    /// The number of the batch that is being filled.
    pub(crate) fn filling(&self) -> BatchId {
        self.filling
    }

    /// The number of partitions that are ours.
    pub(crate) fn partitions(&self) -> usize {
        self.partitions.len()
    }

    /// Whether a full batch waits for those before it.
    pub(crate) fn is_held(&self) -> bool {
        self.is_held
    }

    /// Whether fetching is paused.
    pub(crate) fn is_paused(&self) -> bool {
        self.is_paused
    }

    /// What should be committed and is not.
    pub(crate) fn uncommitted(&self) -> Vec<Position> {
        self.partitions
            .iter()
            .filter_map(|(partition, track)| Some((*partition, track.uncommitted()?)))
            .collect()
    }

    /// What Kafka has acknowledged of each partition that is ours.
    pub(crate) fn commits(&self) -> impl Iterator<Item = (i32, Option<i64>)> {
        self.partitions.iter().map(|(partition, track)| (*partition, track.committed()))
    }

    fn full(&mut self, actions: &mut Vec<Action>) {
        if self.storing.len() < self.max_storing {
            self.hand_over(actions);
        } else if !self.is_held {
            self.is_held = true;
            actions.push(Action::Hold);
        }
    }

    fn due(&mut self, actions: &mut Vec<Action>) {
        if self.storing.len() < self.max_storing {
            self.hand_over(actions);
        }
    }

    fn hand_over(&mut self, actions: &mut Vec<Action>) {
        self.is_held = false;
        if self.is_filling_empty || self.life != Life::Running {
            return;
        }
        actions.push(Action::Store(self.filling));
        self.storing.push_back(self.filling);
        self.next_batch();
    }

    fn next_batch(&mut self) {
        self.filling = BatchId(self.filling.0 + 1);
        self.is_filling_empty = true;
    }

    fn held(&mut self, actions: &mut Vec<Action>) {
        if self.is_held && !self.is_paused {
            self.is_paused = true;
            actions.push(Action::Pause);
        }
    }

    fn stored(&mut self, batch: BatchId, actions: &mut Vec<Action>) {
        self.storing.retain(|storing| *storing != batch);
        self.partitions.values_mut().for_each(|track| track.store(batch));
        self.make_room(actions);
        if !self.is_commit_waiting {
            self.commit(self.uncommitted(), actions);
        }
        self.finish_waiting(actions);
    }

    fn cancelled(&mut self, batch: BatchId, actions: &mut Vec<Action>) {
        self.storing.retain(|storing| *storing != batch);
        self.make_room(actions);
        self.finish_waiting(actions);
    }

    /// The batch that waits goes on its way, and fetching goes on.
    fn make_room(&mut self, actions: &mut Vec<Action>) {
        if self.is_held {
            self.hand_over(actions);
        }
        if self.is_paused {
            self.is_paused = false;
            actions.push(Action::Resume);
        }
    }

    fn commit(&mut self, positions: Vec<Position>, actions: &mut Vec<Action>) {
        for (partition, offset) in &positions {
            if let Some(track) = self.partitions.get_mut(partition) {
                track.ask(*offset);
            }
        }
        if !positions.is_empty() {
            actions.push(Action::Commit(positions));
        }
    }

    fn committed(&mut self, positions: &[Position]) {
        self.is_commit_waiting = false;
        for (partition, offset) in positions {
            if let Some(track) = self.partitions.get_mut(partition) {
                track.commit(*offset);
            }
        }
    }

    fn commit_failed(&mut self) {
        self.is_commit_waiting = true;
        self.partitions.values_mut().for_each(Track::refuse);
    }

    fn commit_again(&mut self, actions: &mut Vec<Action>) {
        self.is_commit_waiting = false;
        self.commit(self.uncommitted(), actions);
    }

    fn assigned(&mut self, assignments: &[Assignment], actions: &mut Vec<Action>) {
        let mut starts = Vec::new();
        for assignment in assignments {
            let (track, start) = Track::resume(assignment);
            starts.push((assignment.partition, start));
            if let (Some(expected), Some(start)) = (assignment.committed, track.stored)
                && start > expected
            {
                actions.push(Action::NoteLost { partition: assignment.partition, expected, start });
            }
            self.partitions.insert(assignment.partition, track);
        }
        actions.push(Action::Accept(starts));
        if self.is_paused {
            actions.push(Action::Pause);
        }
        self.commit(self.uncommitted(), actions);
    }

    /// Finishes the batches on their way first: the next owner then begins behind them.
    fn revoked(&mut self, partitions: &[i32], actions: &mut Vec<Action>) {
        for partition in partitions {
            if let Some(track) = self.partitions.get_mut(partition) {
                track.is_leaving = true;
            }
        }
        self.finish_waiting(actions);
        if self.leaving().next().is_some() {
            actions.push(Action::Await);
        }
    }

    fn lost(&mut self, partitions: &[i32], actions: &mut Vec<Action>) {
        self.forget(partitions, actions);
    }

    fn stop(&mut self, actions: &mut Vec<Action>) {
        self.life = Life::Stopping;
        self.discard(actions);
        self.finish_waiting(actions);
        if !self.storing.is_empty() {
            actions.push(Action::Await);
        }
    }

    fn deadline(&mut self, actions: &mut Vec<Action>) {
        self.release_leaving(actions);
        if self.life == Life::Stopping {
            self.leave(actions);
        }
    }

    /// Ends a release or a stop, once no batch that it waits for is on its way.
    fn finish_waiting(&mut self, actions: &mut Vec<Action>) {
        let is_waited_for =
            |batch| self.partitions.values().any(|track| track.is_leaving && track.has(batch));
        if !self.storing.iter().any(|batch| is_waited_for(*batch)) {
            self.release_leaving(actions);
        }
        if self.life == Life::Stopping && self.storing.is_empty() {
            self.leave(actions);
        }
    }

    fn leaving(&self) -> impl Iterator<Item = i32> {
        self.partitions.iter().filter(|(_, track)| track.is_leaving).map(|(partition, _)| *partition)
    }

    fn release_leaving(&mut self, actions: &mut Vec<Action>) {
        let leaving: Vec<i32> = self.leaving().collect();
        if leaving.is_empty() {
            return;
        }
        let mut positions = self.uncommitted();
        positions.retain(|(partition, _)| leaving.contains(partition));
        self.commit(positions, actions);
        self.forget(&leaving, actions);
    }

    /// What nobody would commit is dropped. Rows of partitions that go while others stay are inserted all the same:
    /// copies of what their next owner inserts.
    fn forget(&mut self, partitions: &[i32], actions: &mut Vec<Action>) {
        partitions.iter().for_each(|partition| {
            self.partitions.remove(partition);
        });
        actions.push(Action::Release(partitions.to_vec()));
        if self.partitions.is_empty() {
            actions.extend(self.storing.iter().copied().map(Action::Cancel));
            self.discard(actions);
        }
    }

    fn discard(&mut self, actions: &mut Vec<Action>) {
        if !self.is_filling_empty {
            self.next_batch();
            actions.push(Action::Discard);
        }
        self.is_held = false;
    }

    fn leave(&mut self, actions: &mut Vec<Action>) {
        self.life = Life::Left;
        // Not after one has just failed: Kafka is away then, and asking again takes the rest of the time.
        if !self.is_commit_waiting {
            self.commit(self.uncommitted(), actions);
        }
        actions.extend(self.storing.drain(..).map(Action::Cancel));
        actions.push(Action::Leave);
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
