//! Two partitions, a table, a coordinator, and two consumers on the production state machine.

use std::collections::{BTreeMap, BTreeSet};

use crate::protocol::{Action, Arrival, Assignment, BatchId, Event, LogRange, Position, Protocol, Start};

pub(super) const PARTITIONS: usize = 2;
pub(super) const CONSUMERS: usize = 2;

/// The offsets of a row, and what else is in its key.
pub(super) type Row = (i32, i64, u8);

/// What the shell around the machine does wrong, to see that the model would find it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flaw {
    None,
    /// Offsets are committed when a batch is handed over.
    CommitBeforeInsert,
    /// A column of the key comes from the clock of the consumer.
    KeyFromClock,
    /// What is stored is committed, whether or not what is before it is.
    CommitBeyondPrefix,
}

#[derive(Debug, Clone)]
pub(super) struct Setting {
    pub(super) flaw: Flaw,
    /// The records of each partition.
    pub(super) records: [i64; PARTITIONS],
    /// Where a group that has committed nothing begins.
    pub(super) begins: [i64; PARTITIONS],
    pub(super) faults: u8,
    pub(super) max_storing: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Consumer {
    pub(super) protocol: Protocol,
    /// Where it reads on, of the partitions that it was given.
    pub(super) positions: BTreeMap<i32, i64>,
    pub(super) filling: Vec<Position>,
    pub(super) storing: BTreeMap<BatchId, Batch>,
    /// Commits that Kafka has not answered, in order.
    pub(super) commits: Vec<Vec<Position>>,
    /// Partitions that the group took away, of which it does not know yet.
    pub(super) expelled_from: BTreeSet<i32>,
    pub(super) is_fetching: bool,
    pub(super) is_awaiting: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Batch {
    pub(super) rows: Vec<Position>,
    pub(super) has_landed: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct World {
    pub(super) consumers: [Consumer; CONSUMERS],
    pub(super) owners: [Option<usize>; PARTITIONS],
    pub(super) starts: [i64; PARTITIONS],
    pub(super) committed: [Option<i64>; PARTITIONS],
    pub(super) table: BTreeSet<Row>,
    /// Inserts that nobody waits for any more and that may land all the same.
    pub(super) late_inserts: BTreeSet<Vec<Row>>,
    /// The same of commits.
    pub(super) late_commits: BTreeSet<Position>,
    /// Retention removed them before they were stored.
    pub(super) removed: BTreeSet<Position>,
    /// Offsets were lost or set back behind the owner's back, which only costs reading again.
    pub(super) are_offsets_disturbed: bool,
    pub(super) clock: u8,
    pub(super) faults: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Give { consumer: usize, partition: i32 },
    TakeBack { consumer: usize, partition: i32 },
    Read { consumer: usize, partition: i32 },
    Close { consumer: usize },
    Hold { consumer: usize },
    Land { consumer: usize, batch: BatchId },
    LandPart { consumer: usize, batch: BatchId },
    Answer { consumer: usize, batch: BatchId },
    Acknowledge { consumer: usize },
    RefuseCommit { consumer: usize, may_land_later: bool },
    CommitAgain { consumer: usize },
    Deadline { consumer: usize },
    Expel { consumer: usize, partition: i32 },
    TellLost { consumer: usize, partition: i32 },
    Crash { consumer: usize },
    Stop { consumer: usize },
    LandLate { insert: usize },
    CommitLate { commit: usize },
    LoseOffsets { partition: i32 },
    Remove { partition: i32 },
}

impl Consumer {
    pub(super) fn new(max_storing: usize) -> Self {
        Self {
            protocol: Protocol::new(max_storing),
            positions: BTreeMap::new(),
            filling: Vec::new(),
            storing: BTreeMap::new(),
            commits: Vec::new(),
            expelled_from: BTreeSet::new(),
            is_fetching: true,
            is_awaiting: false,
        }
    }
}

impl Setting {
    pub(super) fn end(&self, partition: i32) -> i64 {
        self.records[partition as usize]
    }

    pub(super) fn row(&self, world: &World, (partition, offset): Position) -> Row {
        let salt = if self.flaw == Flaw::KeyFromClock { world.clock } else { 0 };
        (partition, offset, salt)
    }

    /// Lets a consumer take an event in, and does what it asks for.
    fn tell(&self, world: &mut World, consumer: usize, event: Event) {
        let mut actions = Vec::new();
        world.consumers[consumer].protocol.step(event, &mut actions);
        for action in actions {
            self.act(world, consumer, action);
        }
    }

    fn act(&self, world: &mut World, number: usize, action: Action) {
        let consumer = &mut world.consumers[number];
        match action {
            Action::NoteLost { .. } | Action::Hold => {}
            Action::Accept(starts) => {
                for (partition, start) in starts {
                    let earliest = world.starts[partition as usize];
                    let log = earliest..=self.end(partition);
                    let position = match start {
                        Start::At(offset) if log.contains(&offset) => offset,
                        // Kafka has no such record, and librdkafka begins at the earliest.
                        Start::At(_) | Start::Earliest => earliest,
                    };
                    consumer.positions.insert(partition, position);
                }
            }
            Action::Store(batch) => {
                let rows = std::mem::take(&mut consumer.filling);
                consumer.storing.insert(batch, Batch { rows: rows.clone(), has_landed: false });
                if self.flaw == Flaw::CommitBeforeInsert {
                    consumer.commits.push(ends(&rows));
                }
            }
            Action::Await => consumer.is_awaiting = true,
            Action::Pause => consumer.is_fetching = false,
            Action::Resume => consumer.is_fetching = true,
            Action::Commit(positions) => consumer.commits.push(positions),
            Action::Release(partitions) => {
                for partition in partitions {
                    consumer.positions.remove(&partition);
                    consumer.expelled_from.remove(&partition);
                    let owner = &mut world.owners[partition as usize];
                    if *owner == Some(number) {
                        *owner = None;
                    }
                }
                consumer.is_awaiting = false;
            }
            Action::Cancel(batch) => {
                let batch_id = batch;
                if let Some(batch) = consumer.storing.remove(&batch_id) {
                    self.abandon(world, batch);
                }
                self.tell(world, number, Event::Cancelled(batch_id));
            }
            Action::Discard => consumer.filling.clear(),
            Action::Leave => self.end_process(world, number),
        }
    }

    /// The insert goes on without its process.
    fn abandon(&self, world: &mut World, batch: Batch) {
        let rows: Vec<Row> = batch.rows.iter().map(|position| self.row(world, *position)).collect();
        if rows.iter().any(|row| !world.table.contains(row)) {
            world.late_inserts.insert(rows);
        }
    }

    pub(super) fn fault(&self, world: &World) -> bool {
        world.faults < self.faults
    }

    pub(super) fn apply(&self, world: &mut World, step: Step) {
        match step {
            Step::Give { consumer, partition } => self.give(world, consumer, partition),
            Step::TakeBack { consumer, partition } => {
                world.faults += 1;
                self.tell(world, consumer, Event::Revoked(vec![partition]));
            }
            Step::Read { consumer, partition } => {
                let position =
                    world.consumers[consumer].positions.get_mut(&partition).expect("it is read from");
                let offset = (*position).max(world.starts[partition as usize]);
                *position = offset + 1;
                if offset < self.end(partition) {
                    let consumer = &mut world.consumers[consumer];
                    match consumer.protocol.take(partition, offset) {
                        Arrival::InOrder | Arrival::AfterGap { .. } | Arrival::Again => {
                            consumer.filling.push((partition, offset));
                        }
                        Arrival::Skipped => {}
                    }
                }
            }
            Step::Close { consumer } => self.tell(world, consumer, Event::Full),
            Step::Hold { consumer } => self.tell(world, consumer, Event::Held),
            Step::Land { consumer, batch } => self.land(world, consumer, batch),
            Step::LandPart { consumer, batch } => {
                let first = world.consumers[consumer].storing[&batch].rows[0];
                let row = self.row(world, first);
                world.table.insert(row);
            }
            Step::Answer { consumer, batch } => self.answer(world, consumer, batch),
            Step::Acknowledge { consumer } => {
                let positions = world.consumers[consumer].commits.remove(0);
                for (partition, offset) in &positions {
                    world.committed[*partition as usize] = Some(*offset);
                    // Kafka may take it from a member that has just released the partition.
                    world.are_offsets_disturbed |= world.owners[*partition as usize] != Some(consumer);
                }
                self.tell(world, consumer, Event::Committed(positions));
            }
            Step::RefuseCommit { consumer, may_land_later } => {
                world.faults += 1;
                let positions = world.consumers[consumer].commits.remove(0);
                if may_land_later {
                    world.late_commits.extend(positions);
                }
                self.tell(world, consumer, Event::CommitFailed);
            }
            Step::CommitAgain { consumer } => self.tell(world, consumer, Event::CommitAgain),
            Step::Deadline { consumer } => {
                world.consumers[consumer].is_awaiting = false;
                self.tell(world, consumer, Event::Deadline);
            }
            Step::Expel { consumer, partition } => {
                world.faults += 1;
                world.owners[partition as usize] = None;
                world.consumers[consumer].expelled_from.insert(partition);
            }
            Step::TellLost { consumer, partition } => {
                self.tell(world, consumer, Event::Lost(vec![partition]));
            }
            Step::Crash { consumer } => {
                world.faults += 1;
                self.end_process(world, consumer);
            }
            Step::Stop { consumer } => {
                world.faults += 1;
                self.tell(world, consumer, Event::Stop);
            }
            Step::LandLate { insert } => {
                let rows = world.late_inserts.iter().nth(insert).cloned().expect("it is on its way");
                world.late_inserts.remove(&rows);
                world.table.extend(rows);
            }
            Step::CommitLate { commit } => {
                let (partition, offset) =
                    world.late_commits.iter().nth(commit).copied().expect("it is on its way");
                world.late_commits.remove(&(partition, offset));
                world.committed[partition as usize] = Some(offset);
                world.are_offsets_disturbed = true;
            }
            Step::LoseOffsets { partition } => {
                world.faults += 1;
                world.are_offsets_disturbed = true;
                world.committed[partition as usize] = None;
            }
            Step::Remove { partition } => {
                world.faults += 1;
                let offset = world.starts[partition as usize];
                world.starts[partition as usize] += 1;
                world.removed.insert((partition, offset));
            }
        }
    }

    fn give(&self, world: &mut World, consumer: usize, partition: i32) {
        let at = partition as usize;
        world.owners[at] = Some(consumer);
        let assignment = Assignment {
            partition,
            committed: world.committed[at],
            log: Some(LogRange { start: world.starts[at], end: self.end(partition) }),
            begin: Some(self.begins[at].max(world.starts[at])).filter(|_| self.begins[at] > 0),
        };
        self.tell(world, consumer, Event::Assigned(vec![assignment]));
    }

    fn land(&self, world: &mut World, consumer: usize, batch: BatchId) {
        let rows = world.consumers[consumer].storing[&batch].rows.clone();
        let rows: Vec<Row> = rows.into_iter().map(|position| self.row(world, position)).collect();
        world.table.extend(rows);
        if let Some(batch) = world.consumers[consumer].storing.get_mut(&batch) {
            if batch.has_landed {
                world.faults += 1;
            }
            batch.has_landed = true;
        }
        if self.flaw == Flaw::KeyFromClock {
            world.clock += 1;
        }
    }

    fn answer(&self, world: &mut World, number: usize, batch: BatchId) {
        let stored = world.consumers[number].storing.remove(&batch).expect("it is on its way");
        self.tell(world, number, Event::Stored(batch));
        if self.flaw == Flaw::CommitBeyondPrefix {
            world.consumers[number].commits.push(ends(&stored.rows));
        }
    }

    /// Another process begins in its place.
    fn end_process(&self, world: &mut World, number: usize) {
        let dead = std::mem::replace(&mut world.consumers[number], Consumer::new(self.max_storing));
        for batch in dead.storing.into_values() {
            self.abandon(world, batch);
        }
        for positions in dead.commits {
            world.late_commits.extend(positions);
        }
        for owner in world.owners.iter_mut().filter(|owner| **owner == Some(number)) {
            *owner = None;
        }
    }
}

/// The ends of what is in a batch, by partition.
pub(super) fn ends(rows: &[Position]) -> Vec<Position> {
    let mut ends = BTreeMap::new();
    for (partition, offset) in rows {
        ends.insert(*partition, offset + 1);
    }
    ends.into_iter().collect()
}
