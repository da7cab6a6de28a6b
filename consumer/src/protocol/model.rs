//! Every order of events that two consumers of one group can meet, driven through the production state machine.
//!
//! The world: two partitions of a few records, one table, a coordinator that gives and takes partitions. Any insert
//! may land whole, in part, late, or after its process is gone; its answer may be lost. Any commit may be
//! acknowledged, refused, lost, or land much later, whoever owns the partition by then. Processes crash, or sleep
//! while others take over. Offsets are lost, and retention removes records.
//! The number of rebalances and faults is bounded, and so are the records; the order is not.

use std::collections::{BTreeMap, BTreeSet};

use stateright::{Checker as _, HasDiscoveries, Model, Property};

use super::{Action, Arrival, Assignment, BatchId, Event, LogRange, Position, Protocol};

const PARTITIONS: usize = 2;
const CONSUMERS: usize = 2;

/// The offsets of a row, and what else is in its key.
type Row = (i32, i64, u8);

const STORED: &str = "what is committed is stored";
const ONCE: &str = "no event shows twice";

/// What the shell around the machine does wrong, to see that the model would find it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    None,
    /// Offsets are committed when a batch is handed over.
    CommitBeforeInsert,
    /// A column of the key comes from the clock of the consumer.
    KeyFromClock,
    /// What is stored is committed, whether or not what is before it is.
    CommitBeyondPrefix,
}

#[derive(Debug, Clone)]
struct Setting {
    flaw: Flaw,
    /// The records of each partition.
    records: [i64; PARTITIONS],
    faults: u8,
    max_storing: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Consumer {
    protocol: Protocol,
    /// Where it reads on, of the partitions that it was given.
    positions: BTreeMap<i32, i64>,
    filling: Vec<Position>,
    storing: BTreeMap<BatchId, Batch>,
    /// Commits that Kafka has not answered, in order.
    commits: Vec<Vec<Position>>,
    /// Partitions that the group took away, of which it does not know yet.
    expelled_from: BTreeSet<i32>,
    is_fetching: bool,
    is_awaiting: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Batch {
    rows: Vec<Position>,
    has_landed: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    consumers: [Consumer; CONSUMERS],
    owners: [Option<usize>; PARTITIONS],
    starts: [i64; PARTITIONS],
    committed: [Option<i64>; PARTITIONS],
    table: BTreeSet<Row>,
    /// Inserts that nobody waits for any more and that may land all the same.
    late_inserts: BTreeSet<Vec<Row>>,
    /// The same of commits.
    late_commits: BTreeSet<Position>,
    /// Retention removed them before they were stored.
    removed: BTreeSet<Position>,
    /// Offsets were lost or set back behind the owner's back, which only costs reading again.
    are_offsets_disturbed: bool,
    clock: u8,
    faults: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
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
    LandLate { insert: usize },
    CommitLate { commit: usize },
    LoseOffsets { partition: i32 },
    Remove { partition: i32 },
}

impl Consumer {
    fn new(max_storing: usize) -> Self {
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
    fn end(&self, partition: i32) -> i64 {
        self.records[partition as usize]
    }

    fn row(&self, world: &World, (partition, offset): Position) -> Row {
        let salt = if self.flaw == Flaw::KeyFromClock { world.clock } else { 0 };
        (partition, offset, salt)
    }

    /// Lets a consumer take an event in, and does what it asks for.
    fn tell(&self, world: &mut World, consumer: usize, event: Event) {
        let mut actions = Vec::new();
        world.consumers[consumer].protocol.step(event.clone(), &mut actions);
        for action in actions {
            self.act(world, consumer, &event, action);
        }
    }

    fn act(&self, world: &mut World, number: usize, event: &Event, action: Action) {
        let consumer = &mut world.consumers[number];
        match action {
            Action::NoteLost { .. } | Action::Hold => {}
            Action::Accept(_) => {
                let Event::Assigned(assignments) = event else {
                    unreachable!("only an assignment is accepted")
                };
                for Assignment { partition, committed, .. } in assignments {
                    let start = world.starts[*partition as usize];
                    let end = self.end(*partition);
                    let position = committed.filter(|offset| (start..=end).contains(offset)).unwrap_or(start);
                    consumer.positions.insert(*partition, position);
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
            Action::Leave => unreachable!("nobody stops here"),
        }
    }

    /// The insert goes on without its process.
    fn abandon(&self, world: &mut World, batch: Batch) {
        let rows: Vec<Row> = batch.rows.iter().map(|position| self.row(world, *position)).collect();
        if rows.iter().any(|row| !world.table.contains(row)) {
            world.late_inserts.insert(rows);
        }
    }

    fn fault(&self, world: &World) -> bool {
        world.faults < self.faults
    }

    fn consumer_steps(&self, world: &World, number: usize, steps: &mut Vec<Step>) {
        let consumer = &world.consumers[number];
        for (partition, position) in &consumer.positions {
            let partition = *partition;
            if consumer.is_fetching && !consumer.protocol.is_held() && *position < self.end(partition) {
                steps.push(Step::Read { consumer: number, partition });
            }
            if world.owners[partition as usize] == Some(number) {
                if self.fault(world) {
                    steps.push(Step::TakeBack { consumer: number, partition });
                    steps.push(Step::Expel { consumer: number, partition });
                }
            }
        }
        for partition in &consumer.expelled_from {
            steps.push(Step::TellLost { consumer: number, partition: *partition });
        }
        if !consumer.filling.is_empty() {
            steps.push(Step::Close { consumer: number });
        }
        if consumer.protocol.is_held() && consumer.is_fetching {
            steps.push(Step::Hold { consumer: number });
        }
        for (batch, Batch { rows, has_landed }) in &consumer.storing {
            let batch = *batch;
            if *has_landed {
                steps.push(Step::Answer { consumer: number, batch });
            } else {
                steps.push(Step::Land { consumer: number, batch });
                if rows.len() > 1 {
                    steps.push(Step::LandPart { consumer: number, batch });
                }
            }
            // The answer is lost, and the same rows are inserted again.
            if *has_landed && self.flaw == Flaw::KeyFromClock && self.fault(world) {
                steps.push(Step::Land { consumer: number, batch });
            }
        }
        if !consumer.commits.is_empty() {
            steps.push(Step::Acknowledge { consumer: number });
            if self.fault(world) {
                steps.push(Step::RefuseCommit { consumer: number, may_land_later: false });
                steps.push(Step::RefuseCommit { consumer: number, may_land_later: true });
            }
        }
        if consumer.commits.is_empty() && !consumer.protocol.uncommitted().is_empty() {
            steps.push(Step::CommitAgain { consumer: number });
        }
        if consumer.is_awaiting {
            steps.push(Step::Deadline { consumer: number });
        }
        if self.fault(world) && !consumer.positions.is_empty() {
            steps.push(Step::Crash { consumer: number });
        }
    }

    fn apply(&self, world: &mut World, step: Step) {
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
            Step::Crash { consumer } => self.crash(world, consumer),
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

    fn crash(&self, world: &mut World, number: usize) {
        world.faults += 1;
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

    /// Lets everything happen that is on its way, without further faults, until nothing is left to do.
    fn recover(&self, world: &World) -> World {
        let mut world = world.clone();
        // The faults are over.
        world.faults = self.faults;
        for _ in 0..200 {
            let mut steps = Vec::new();
            self.actions(&world, &mut steps);
            let helps = |step: &Step| !matches!(step, Step::Deadline { .. } | Step::Hold { .. });
            let next = steps.into_iter().filter(helps).find_map(|step| self.next_state(&world, step));
            match next {
                Some(next) => world = next,
                None => break,
            }
        }
        world
    }

    fn is_whole(&self, world: &World) -> bool {
        let stored = |partition, offset| world.table.iter().any(|row| (row.0, row.1) == (partition, offset));
        (0..PARTITIONS as i32).all(|partition| {
            let committed = world.committed[partition as usize];
            (0..self.end(partition))
                .all(|offset| stored(partition, offset) || world.removed.contains(&(partition, offset)))
                && (world.are_offsets_disturbed
                    || committed == Some(self.end(partition))
                    || world.starts[partition as usize] == self.end(partition))
        })
    }
}

/// The ends of what is in a batch, by partition.
fn ends(rows: &[Position]) -> Vec<Position> {
    let mut ends = BTreeMap::new();
    for (partition, offset) in rows {
        ends.insert(*partition, offset + 1);
    }
    ends.into_iter().collect()
}

impl Model for Setting {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        let consumer = Consumer::new(self.max_storing);
        vec![World {
            consumers: [consumer.clone(), consumer],
            owners: [None; PARTITIONS],
            starts: [0; PARTITIONS],
            committed: [None; PARTITIONS],
            table: BTreeSet::new(),
            late_inserts: BTreeSet::new(),
            late_commits: BTreeSet::new(),
            removed: BTreeSet::new(),
            are_offsets_disturbed: false,
            clock: 0,
            faults: 0,
        }]
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        steps.extend((0..world.late_inserts.len()).map(|insert| Step::LandLate { insert }));
        steps.extend((0..world.late_commits.len()).map(|commit| Step::CommitLate { commit }));
        (0..CONSUMERS).for_each(|consumer| self.consumer_steps(world, consumer, steps));
        for partition in 0..PARTITIONS as i32 {
            if world.owners[partition as usize].is_none() {
                let free = |consumer: &usize| !world.consumers[*consumer].positions.contains_key(&partition);
                steps.extend((0..CONSUMERS).filter(free).map(|consumer| Step::Give { consumer, partition }));
            }
            if self.fault(world) && world.committed[partition as usize].is_some() {
                steps.push(Step::LoseOffsets { partition });
            }
            if self.fault(world) && world.starts[partition as usize] < self.end(partition) {
                steps.push(Step::Remove { partition });
            }
        }
    }

    fn next_state(&self, world: &World, step: Step) -> Option<World> {
        let mut next = world.clone();
        self.apply(&mut next, step);
        (next != *world).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::<Self>::always(STORED, |_, world| {
                (0..PARTITIONS as i32).all(|partition| {
                    let committed = world.committed[partition as usize].unwrap_or(0);
                    (0..committed).all(|offset| {
                        world.table.iter().any(|row| (row.0, row.1) == (partition, offset))
                            || world.removed.contains(&(partition, offset))
                    })
                })
            }),
            Property::<Self>::always(ONCE, |_, world| {
                let positions: BTreeSet<Position> = world.table.iter().map(|row| (row.0, row.1)).collect();
                positions.len() == world.table.len()
            }),
            Property::<Self>::always(
                "once faults end, everything is stored and committed",
                |model, world| model.is_whole(&model.recover(world)),
            ),
            Property::<Self>::sometimes("everything is stored and committed", |model, world| {
                model.is_whole(world)
            }),
        ]
    }
}

fn explore(setting: Setting, until: HasDiscoveries) -> impl stateright::Checker<Setting> {
    let checker = setting.checker().threads(2).finish_when(until).spawn_bfs().join();
    eprintln!("{} states, {} of them different", checker.state_count(), checker.unique_state_count());
    checker
}

const SOUND: Setting = Setting { flaw: Flaw::None, records: [2, 1], faults: 1, max_storing: 2 };

#[test]
fn three_blocks_and_any_fault_keep_what_is_promised() {
    explore(SOUND, HasDiscoveries::AnyFailures).assert_properties();
}

#[test]
fn two_blocks_and_any_two_faults_keep_what_is_promised() {
    explore(Setting { records: [1, 1], faults: 2, ..SOUND }, HasDiscoveries::AnyFailures).assert_properties();
}

#[test]
fn one_block_and_any_three_faults_keep_what_is_promised() {
    explore(Setting { records: [1, 0], faults: 3, ..SOUND }, HasDiscoveries::AnyFailures).assert_properties();
}

fn is_found(flaw: Flaw, property: &'static str) -> bool {
    let checker = explore(Setting { flaw, ..SOUND }, HasDiscoveries::AnyOf([property].into()));
    checker.discovery(property).is_some()
}

#[test]
fn a_commit_before_the_insert_is_found_to_lose() {
    assert!(is_found(Flaw::CommitBeforeInsert, STORED));
}

#[test]
fn a_key_from_the_clock_is_found_to_double() {
    assert!(is_found(Flaw::KeyFromClock, ONCE));
}

#[test]
fn a_commit_beyond_the_contiguous_prefix_is_found_to_lose() {
    assert!(is_found(Flaw::CommitBeyondPrefix, STORED));
}
