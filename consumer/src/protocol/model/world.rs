//! Two partitions, a table, a coordinator, and two consumers on the production state machine.

use std::collections::{BTreeMap, BTreeSet};

use crate::protocol::{Action, Arrival, Assignment, BatchId, Event, LogRange, Position, Protocol, Start};

pub(super) const PARTITIONS: usize = 2;
pub(super) const CONSUMERS: usize = 2;

/// A record: where it lies, and whether it was written after its log had been cut.
pub(super) type Record = (i32, i64, bool);
/// A row: its record, and what else is in its key.
pub(super) type Row = (Record, u8);

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
    /// Kafka is never asked what a log holds.
    LogNotAsked,
}

#[derive(Debug, Clone)]
pub(super) struct Setting {
    pub(super) flaw: Flaw,
    /// The records of each partition.
    pub(super) records: [i64; PARTITIONS],
    /// Where a group that has committed nothing begins.
    pub(super) begins: [i64; PARTITIONS],
    pub(super) faults: u8,
    /// Logs that may be cut, once each, and grow again.
    pub(super) cuts: usize,
    pub(super) max_storing: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Consumer {
    pub(super) protocol: Protocol,
    /// Where it reads on, of the partitions that it was given.
    pub(super) positions: BTreeMap<i32, i64>,
    pub(super) filling: Vec<Record>,
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
    pub(super) rows: Vec<Record>,
    pub(super) has_landed: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct World {
    pub(super) consumers: [Consumer; CONSUMERS],
    pub(super) owners: [Option<usize>; PARTITIONS],
    pub(super) starts: [i64; PARTITIONS],
    pub(super) ends: [i64; PARTITIONS],
    pub(super) cuts: [Option<Cut>; PARTITIONS],
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

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Cut {
    pub(super) at: i64,
    /// Somebody was told since where the log ends.
    pub(super) is_seen: bool,
}

/// What may happen. Of a log that is unknown Kafka does not say what it holds; a cut loses the last record of a log, and
/// when that grows another one is written in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Give { consumer: usize, partition: i32 },
    GiveUnknown { consumer: usize, partition: i32 },
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
    Cut { partition: i32 },
    Grow { partition: i32 },
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

impl World {
    pub(super) fn end(&self, partition: i32) -> i64 {
        self.ends[partition as usize]
    }

    /// Where the records end that lay there from the beginning.
    pub(super) fn end_of_first(&self, partition: i32) -> i64 {
        self.cuts[partition as usize].map_or(self.end(partition), |cut| cut.at)
    }

    /// The record that lies there.
    pub(super) fn record(&self, (partition, offset): Position) -> Record {
        (partition, offset, offset >= self.end_of_first(partition))
    }

    pub(super) fn is_stored(&self, position: Position) -> bool {
        let record = self.record(position);
        self.table.iter().any(|row| row.0 == record)
    }
}

impl Setting {
    pub(super) fn row(&self, world: &World, record: Record) -> Row {
        let salt = if self.flaw == Flaw::KeyFromClock { world.clock } else { 0 };
        (record, salt)
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
                    let position = match start {
                        Start::At(offset) => offset,
                        Start::Earliest => world.starts[partition as usize],
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
        let rows: Vec<Row> = batch.rows.iter().map(|record| self.row(world, *record)).collect();
        if rows.iter().any(|row| !world.table.contains(row)) {
            world.late_inserts.insert(rows);
        }
    }

    pub(super) fn fault(&self, world: &World) -> bool {
        world.faults < self.faults
    }

    pub(super) fn apply(&self, world: &mut World, step: Step) {
        match step {
            Step::Give { consumer, partition } => {
                let log = LogRange { start: world.starts[partition as usize], end: world.end(partition) };
                let log = Some(log).filter(|_| self.flaw != Flaw::LogNotAsked);
                self.give(world, consumer, partition, log);
            }
            Step::GiveUnknown { consumer, partition } => {
                world.faults += 1;
                self.give(world, consumer, partition, None);
            }
            Step::TakeBack { consumer, partition } => {
                world.faults += 1;
                self.tell(world, consumer, Event::Revoked(vec![partition]));
            }
            Step::Read { consumer, partition } => read(world, consumer, partition),
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
            Step::Cut { partition } => {
                let at = world.end(partition) - 1;
                world.ends[partition as usize] = at;
                world.cuts[partition as usize] = Some(Cut { at, is_seen: false });
            }
            Step::Grow { partition } => world.ends[partition as usize] += 1,
        }
    }

    fn give(&self, world: &mut World, consumer: usize, partition: i32, log: Option<LogRange>) {
        let at = partition as usize;
        world.owners[at] = Some(consumer);
        if let Some(cut) = &mut world.cuts[at] {
            cut.is_seen = true;
        }
        let assignment = Assignment {
            partition,
            committed: world.committed[at],
            log,
            begin: Some(self.begins[at].max(world.starts[at])).filter(|_| self.begins[at] > 0),
        };
        self.tell(world, consumer, Event::Assigned(vec![assignment]));
    }

    fn land(&self, world: &mut World, consumer: usize, batch: BatchId) {
        let rows = world.consumers[consumer].storing[&batch].rows.clone();
        let rows: Vec<Row> = rows.into_iter().map(|record| self.row(world, record)).collect();
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

/// A consumer takes the next record.
fn read(world: &mut World, number: usize, partition: i32) {
    let (start, end) = (world.starts[partition as usize], world.end(partition));
    let position = world.consumers[number].positions.get_mut(&partition).expect("it is read from");
    // Kafka has no record beyond the end, and librdkafka goes to the earliest.
    let offset = if *position > end { start } else { (*position).max(start) };
    if offset == end {
        *position = end;
        return;
    }
    *position = offset + 1;
    let record = world.record((partition, offset));
    let consumer = &mut world.consumers[number];
    match consumer.protocol.take(partition, offset) {
        Arrival::InOrder | Arrival::AfterGap { .. } | Arrival::Again => consumer.filling.push(record),
        Arrival::Skipped => {}
    }
}

/// The ends of what is in a batch, by partition.
pub(super) fn ends(rows: &[Record]) -> Vec<Position> {
    let mut ends = BTreeMap::new();
    for (partition, offset, _) in rows {
        ends.insert(*partition, offset + 1);
    }
    ends.into_iter().collect()
}
