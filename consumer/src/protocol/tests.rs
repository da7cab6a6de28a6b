use proptest::prelude::*;

use super::*;

const A: BatchId = BatchId(0);
const B: BatchId = BatchId(1);
const C: BatchId = BatchId(2);

/// The machine, and what it asked for last.
struct Consumer {
    protocol: Protocol,
}

impl Consumer {
    /// One that owns these partitions, by what is committed of them.
    fn owning(max_storing: usize, partitions: &[(i32, Option<i64>)]) -> Self {
        let mut consumer = Self { protocol: Protocol::new(max_storing) };
        consumer.tell(assigned(partitions));
        consumer
    }

    fn tell(&mut self, event: Event) -> Vec<Action> {
        let mut actions = Vec::new();
        self.protocol.step(event, &mut actions);
        actions
    }

    fn read(&mut self, partition: i32, offset: i64) -> Arrival {
        self.protocol.take(partition, offset)
    }
}

fn assigned(partitions: &[(i32, Option<i64>)]) -> Event {
    let assignment = |(partition, committed): &_| Assignment {
        partition: *partition,
        committed: *committed,
        log: Some(LogRange { start: 0, end: 1_000 }),
        begin: None,
    };
    Event::Assigned(partitions.iter().map(assignment).collect())
}

#[test]
fn nothing_is_committed_before_the_batch_is_stored() {
    let mut consumer = Consumer::owning(1, &[(0, None)]);
    assert_eq!(consumer.read(0, 10), Arrival::InOrder);
    assert_eq!(consumer.tell(Event::Due), [Action::Store(A)]);
    assert_eq!(consumer.tell(Event::CommitAgain), []);
    assert_eq!(consumer.tell(Event::Stored(A)), [Action::Commit(vec![(0, 11)])]);
}

#[test]
fn an_empty_batch_is_not_stored() {
    let mut consumer = Consumer::owning(1, &[(0, None)]);
    assert_eq!(consumer.tell(Event::Due), []);
    assert_eq!(consumer.tell(Event::Full), []);
}

#[test]
fn a_batch_that_is_stored_early_waits_for_the_one_before() {
    let mut consumer = Consumer::owning(2, &[(0, Some(10))]);
    consumer.read(0, 10);
    assert_eq!(consumer.tell(Event::Full), [Action::Store(A)]);
    consumer.read(0, 11);
    assert_eq!(consumer.tell(Event::Full), [Action::Store(B)]);
    assert_eq!(consumer.tell(Event::Stored(B)), []);
    assert_eq!(consumer.tell(Event::Stored(A)), [Action::Commit(vec![(0, 12)])]);
}

#[test]
fn partitions_are_committed_apart() {
    let mut consumer = Consumer::owning(2, &[(0, Some(5)), (1, None), (2, Some(8))]);
    consumer.read(0, 5);
    consumer.read(1, 70);
    consumer.tell(Event::Full);
    consumer.read(1, 71);
    consumer.tell(Event::Full);
    assert_eq!(consumer.tell(Event::Stored(A)), [Action::Commit(vec![(0, 6), (1, 71)])]);
    consumer.tell(Event::Committed(vec![(0, 6), (1, 71)]));
    assert_eq!(consumer.tell(Event::Stored(B)), [Action::Commit(vec![(1, 72)])]);
}

#[test]
fn a_commit_that_failed_is_asked_for_again_and_not_before_its_time() {
    let mut consumer = Consumer::owning(1, &[(0, Some(0))]);
    consumer.read(0, 0);
    consumer.tell(Event::Due);
    assert_eq!(consumer.tell(Event::Stored(A)), [Action::Commit(vec![(0, 1)])]);
    assert_eq!(consumer.tell(Event::CommitFailed), []);
    consumer.read(0, 1);
    consumer.tell(Event::Due);
    assert_eq!(consumer.tell(Event::Stored(B)), []);
    assert_eq!(consumer.tell(Event::CommitAgain), [Action::Commit(vec![(0, 2)])]);
    assert_eq!(consumer.tell(Event::CommitAgain), [], "it is on its way");
    consumer.tell(Event::Committed(vec![(0, 2)]));
    assert_eq!(consumer.tell(Event::CommitAgain), []);
}

#[test]
fn a_full_batch_waits_for_room_then_pauses_and_goes_first() {
    let mut consumer = Consumer::owning(1, &[(0, Some(0))]);
    consumer.read(0, 0);
    consumer.tell(Event::Full);
    consumer.read(0, 1);
    assert_eq!(consumer.tell(Event::Due), [], "time alone holds nothing up");
    assert_eq!(consumer.tell(Event::Full), [Action::Hold]);
    assert!(consumer.protocol.is_held());
    assert_eq!(consumer.tell(Event::Held), [Action::Pause]);
    assert_eq!(consumer.tell(Event::Held), [], "it is paused");
    assert_eq!(
        consumer.tell(Event::Stored(A)),
        [Action::Store(B), Action::Resume, Action::Commit(vec![(0, 1)])]
    );
    assert!(!consumer.protocol.is_held());
}

#[test]
fn a_partition_that_comes_while_all_are_paused_is_paused() {
    let mut consumer = Consumer::owning(1, &[(0, Some(0))]);
    consumer.read(0, 0);
    consumer.tell(Event::Full);
    consumer.read(0, 1);
    consumer.tell(Event::Full);
    consumer.tell(Event::Held);
    assert_eq!(
        consumer.tell(assigned(&[(1, None)])),
        [Action::Accept(vec![(1, Start::Earliest)]), Action::Pause]
    );
}

#[test]
fn a_revoked_partition_is_released_when_its_batch_is_stored_and_committed() {
    let mut consumer = Consumer::owning(2, &[(0, Some(0)), (1, Some(0))]);
    consumer.read(0, 0);
    consumer.tell(Event::Full);
    consumer.read(1, 0);
    consumer.tell(Event::Full);
    assert_eq!(consumer.tell(Event::Revoked(vec![0])), [Action::Await]);
    assert_eq!(consumer.read(0, 1), Arrival::Skipped);
    assert_eq!(consumer.read(1, 1), Arrival::InOrder);
    assert_eq!(
        consumer.tell(Event::Stored(A)),
        [Action::Commit(vec![(0, 1)]), Action::Release(vec![0])],
        "the batch of the other partition is not waited for"
    );
}

#[test]
fn a_revoked_partition_without_batches_is_released_at_once() {
    let mut consumer = Consumer::owning(1, &[(0, Some(0)), (1, Some(0))]);
    consumer.read(1, 0);
    consumer.tell(Event::Full);
    assert_eq!(consumer.tell(Event::Revoked(vec![0])), [Action::Release(vec![0])]);
}

#[test]
fn the_last_partition_takes_the_batches_with_it_when_its_time_is_over() {
    let mut consumer = Consumer::owning(1, &[(0, Some(0))]);
    consumer.read(0, 0);
    consumer.tell(Event::Full);
    consumer.read(0, 1);
    assert_eq!(consumer.tell(Event::Revoked(vec![0])), [Action::Await]);
    assert_eq!(
        consumer.tell(Event::Deadline),
        [Action::Release(vec![0]), Action::Cancel(A), Action::Discard]
    );
    assert_eq!(consumer.tell(Event::Cancelled(A)), []);
    assert_eq!(consumer.protocol.partitions(), 0);
}

#[test]
fn a_lost_partition_is_let_go_without_a_commit() {
    let mut consumer = Consumer::owning(2, &[(0, Some(0)), (1, Some(0))]);
    consumer.read(0, 0);
    consumer.tell(Event::Full);
    assert_eq!(consumer.tell(Event::Lost(vec![0])), [Action::Release(vec![0])]);
    assert_eq!(consumer.tell(Event::Stored(A)), []);
}

#[test]
fn a_batch_of_an_earlier_assignment_says_nothing_about_the_next() {
    let mut consumer = Consumer::owning(2, &[(0, Some(0)), (1, Some(0))]);
    consumer.read(0, 0);
    consumer.tell(Event::Full);
    consumer.tell(Event::Lost(vec![0]));
    consumer.tell(assigned(&[(0, Some(0))]));
    assert_eq!(consumer.tell(Event::Stored(A)), []);
    assert_eq!(consumer.read(0, 0), Arrival::InOrder);
}

#[test]
fn what_retention_removed_is_named_and_passed_once() {
    let mut consumer = Consumer { protocol: Protocol::new(1) };
    let log = Some(LogRange { start: 9, end: 20 });
    let assignment = Assignment { partition: 0, committed: Some(5), log, begin: None };
    assert_eq!(
        consumer.tell(Event::Assigned(vec![assignment])),
        [
            Action::NoteLost { partition: 0, expected: 5, start: 9 },
            Action::Accept(vec![(0, Start::At(9))]),
            Action::Commit(vec![(0, 9)])
        ]
    );
    assert_eq!(consumer.read(0, 9), Arrival::InOrder);
}

#[test]
fn a_log_that_ends_before_the_committed_offset_is_read_from_its_beginning() {
    let mut consumer = Consumer { protocol: Protocol::new(1) };
    let log = Some(LogRange { start: 1, end: 3 });
    let assignment = Assignment { partition: 0, committed: Some(5), log, begin: None };
    // Said and not left to Kafka: by the time it looks the log may have grown beyond the committed offset again.
    assert_eq!(consumer.tell(Event::Assigned(vec![assignment])), [Action::Accept(vec![(0, Start::At(1))])]);
    assert_eq!(consumer.read(0, 1), Arrival::InOrder);
    consumer.tell(Event::Due);
    assert_eq!(consumer.tell(Event::Stored(A)), [Action::Commit(vec![(0, 2)])]);
}

#[test]
fn a_partition_goes_on_where_the_group_has_committed_also_when_its_log_is_not_known() {
    for (committed, start) in [(Some(5), Start::At(5)), (None, Start::Earliest)] {
        let mut consumer = Consumer { protocol: Protocol::new(1) };
        let assignment = Assignment { partition: 0, committed, log: None, begin: None };
        assert_eq!(consumer.tell(Event::Assigned(vec![assignment])), [Action::Accept(vec![(0, start)])]);
    }
}

/// A partition of a group that is to begin at 7.
fn beginning(committed: Option<i64>, log: Option<LogRange>) -> Event {
    Event::Assigned(vec![Assignment { partition: 0, committed, log, begin: Some(7) }])
}

#[test]
fn a_group_that_committed_nothing_begins_where_it_is_told_and_commits_that_at_once() {
    let mut consumer = Consumer { protocol: Protocol::new(1) };
    assert_eq!(
        consumer.tell(beginning(None, Some(LogRange { start: 0, end: 9 }))),
        [Action::Accept(vec![(0, Start::At(7))]), Action::Commit(vec![(0, 7)])]
    );
    assert_eq!(consumer.tell(Event::CommitFailed), []);
    assert_eq!(consumer.tell(Event::CommitAgain), [Action::Commit(vec![(0, 7)])]);
    consumer.tell(Event::Committed(vec![(0, 7)]));
    assert_eq!(consumer.read(0, 7), Arrival::InOrder);
    consumer.tell(Event::Due);
    assert_eq!(consumer.tell(Event::Stored(A)), [Action::Commit(vec![(0, 8)])]);
}

#[test]
fn a_group_that_has_committed_goes_on_there_wherever_it_was_to_begin() {
    let log = Some(LogRange { start: 0, end: 9 });
    for committed in [3, 7, 8] {
        let mut consumer = Consumer { protocol: Protocol::new(1) };
        assert_eq!(
            consumer.tell(beginning(Some(committed), log)),
            [Action::Accept(vec![(0, Start::At(committed))])],
            "{committed}"
        );
        assert_eq!(consumer.read(0, committed), Arrival::InOrder);
    }
    // Its log was cut: the committed offset is of other records, and so is the one to begin at.
    let mut consumer = Consumer { protocol: Protocol::new(1) };
    let cut = Some(LogRange { start: 0, end: 2 });
    assert_eq!(consumer.tell(beginning(Some(9), cut)), [Action::Accept(vec![(0, Start::At(0))])]);
    assert_eq!(consumer.read(0, 0), Arrival::InOrder);
}

#[test]
fn offsets_that_do_not_follow_are_named_and_taken() {
    let mut consumer = Consumer::owning(1, &[(0, Some(5))]);
    assert_eq!(consumer.read(0, 7), Arrival::AfterGap { expected: 5 });
    assert_eq!(consumer.read(0, 8), Arrival::InOrder);
    assert_eq!(consumer.read(0, 3), Arrival::Again);
    assert_eq!(consumer.read(1, 0), Arrival::Skipped, "it is not ours");
}

#[test]
fn a_stop_stores_and_commits_what_is_on_its_way_and_drops_what_was_only_read() {
    let mut consumer = Consumer::owning(2, &[(0, Some(0))]);
    consumer.read(0, 0);
    consumer.tell(Event::Full);
    consumer.read(0, 1);
    assert_eq!(consumer.tell(Event::Stop), [Action::Discard, Action::Await]);
    assert_eq!(consumer.read(0, 2), Arrival::Skipped);
    assert_eq!(consumer.tell(Event::Stored(A)), [Action::Commit(vec![(0, 1)]), Action::Leave]);
}

#[test]
fn a_stop_in_time_gives_up_what_is_not_stored() {
    let mut consumer = Consumer::owning(2, &[(0, Some(0))]);
    for offset in 0..2 {
        consumer.read(0, offset);
        consumer.tell(Event::Full);
    }
    assert_eq!(consumer.tell(Event::Stop), [Action::Await]);
    consumer.tell(Event::Stored(A));
    consumer.tell(Event::Committed(vec![(0, 1)]));
    assert_eq!(consumer.tell(Event::Deadline), [Action::Cancel(B), Action::Leave]);
}

#[test]
fn a_stop_with_nothing_on_its_way_is_immediate() {
    let mut consumer = Consumer::owning(1, &[(0, Some(0))]);
    assert_eq!(consumer.tell(Event::Stop), [Action::Leave]);
}

#[test]
fn a_stop_does_not_wait_for_what_was_given_up() {
    let mut consumer = Consumer::owning(1, &[(0, Some(0))]);
    consumer.read(0, 0);
    consumer.tell(Event::Full);
    assert_eq!(consumer.tell(Event::Lost(vec![0])), [Action::Release(vec![0]), Action::Cancel(A)]);
    assert_eq!(consumer.tell(Event::Stop), [Action::Await]);
    assert_eq!(consumer.tell(Event::Cancelled(A)), [Action::Leave]);
    assert_eq!(consumer.tell(Event::Deadline), [], "once is enough");
}

#[test]
fn numbers_of_batches_are_never_used_twice() {
    let mut consumer = Consumer::owning(3, &[(0, Some(0))]);
    consumer.read(0, 0);
    assert_eq!(consumer.tell(Event::Full), [Action::Store(A)]);
    consumer.read(0, 1);
    assert_eq!(
        consumer.tell(Event::Lost(vec![0])),
        [Action::Release(vec![0]), Action::Cancel(A), Action::Discard]
    );
    consumer.tell(assigned(&[(0, Some(0))]));
    consumer.read(0, 0);
    assert_eq!(consumer.tell(Event::Full), [Action::Store(C)]);
}

#[derive(Debug, Clone)]
enum Step {
    Read { partition: i32 },
    Close,
    Store { of: prop::sample::Index },
    Kafka { answers: bool },
    Crash,
    Revoke { partition: i32 },
    Lose { partition: i32 },
    Deadline,
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..3).prop_map(|partition| Step::Read { partition }),
        3 => Just(Step::Close),
        3 => any::<prop::sample::Index>().prop_map(|of| Step::Store { of }),
        3 => any::<bool>().prop_map(|answers| Step::Kafka { answers }),
        1 => Just(Step::Crash),
        1 => (0..3).prop_map(|partition| Step::Revoke { partition }),
        1 => (0..3).prop_map(|partition| Step::Lose { partition }),
        1 => Just(Step::Deadline),
    ]
}

/// Kafka's log and commits, and the records that the table holds.
struct World {
    consumer: Consumer,
    filling: Vec<Position>,
    storing: Vec<(BatchId, Vec<Position>)>,
    stored: Vec<Position>,
    does_kafka_answer: bool,
    committed: BTreeMap<i32, i64>,
    next: BTreeMap<i32, i64>,
}

impl World {
    fn new() -> Self {
        let mut world = Self {
            consumer: Consumer { protocol: Protocol::new(2) },
            filling: Vec::new(),
            storing: Vec::new(),
            stored: Vec::new(),
            does_kafka_answer: true,
            committed: BTreeMap::new(),
            next: BTreeMap::new(),
        };
        (0..3).for_each(|partition| world.own(partition));
        world
    }

    fn own(&mut self, partition: i32) {
        let at = self.committed.get(&partition).copied();
        self.next.insert(partition, at.unwrap_or(0));
        self.tell(assigned(&[(partition, at)]));
    }

    fn tell(&mut self, event: Event) {
        for action in self.consumer.tell(event.clone()) {
            match action {
                Action::Store(batch) => self.storing.push((batch, std::mem::take(&mut self.filling))),
                Action::Cancel(batch) => {
                    self.storing.retain(|(storing, _)| *storing != batch);
                    self.tell(Event::Cancelled(batch));
                }
                Action::Discard => self.filling.clear(),
                Action::Commit(positions) => self.commit(positions),
                Action::Release(partitions) => {
                    for partition in partitions {
                        self.next.remove(&partition);
                    }
                }
                Action::Accept(_)
                | Action::Hold
                | Action::Pause
                | Action::Resume
                | Action::Await
                | Action::Leave
                | Action::NoteLost { .. } => {}
            }
        }
    }

    fn commit(&mut self, positions: Vec<Position>) {
        for (partition, position) in &positions {
            for offset in 0..*position {
                assert!(self.stored.contains(&(*partition, offset)), "{partition}/{offset} was passed");
            }
        }
        if self.does_kafka_answer {
            self.committed.extend(positions.iter().copied());
            self.tell(Event::Committed(positions));
        } else {
            self.tell(Event::CommitFailed);
        }
    }

    fn answer(&mut self, does_kafka_answer: bool) {
        self.does_kafka_answer = does_kafka_answer;
        self.tell(Event::CommitAgain);
    }

    fn store(&mut self, number: usize) {
        let (batch, records) = self.storing.remove(number);
        self.stored.extend(records);
        self.tell(Event::Stored(batch));
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Read { partition } => {
                if self.consumer.protocol.is_held() {
                    return;
                }
                let Some(next) = self.next.get_mut(partition) else { return };
                let offset = *next;
                *next += 1;
                match self.consumer.read(*partition, offset) {
                    Arrival::InOrder => self.filling.push((*partition, offset)),
                    arrival @ (Arrival::AfterGap { .. } | Arrival::Again | Arrival::Skipped) => {
                        panic!("{arrival:?} of {partition}/{offset}")
                    }
                }
            }
            Step::Close => self.tell(Event::Full),
            Step::Store { of } if !self.storing.is_empty() => self.store(of.index(self.storing.len())),
            Step::Store { .. } => {}
            Step::Kafka { answers } => self.answer(*answers),
            Step::Crash => {
                let stored = std::mem::take(&mut self.stored);
                let committed = std::mem::take(&mut self.committed);
                *self = Self { stored, committed, ..Self::new() };
                self.next.clear();
                self.consumer.protocol = Protocol::new(2);
                (0..3).for_each(|partition| self.own(partition));
            }
            Step::Revoke { partition } if self.next.contains_key(partition) => {
                self.tell(Event::Revoked(vec![*partition]));
                self.tell(Event::Deadline);
                self.own(*partition);
            }
            Step::Lose { partition } if self.next.contains_key(partition) => {
                self.tell(Event::Lost(vec![*partition]));
                self.own(*partition);
            }
            Step::Revoke { .. } | Step::Lose { .. } => {}
            Step::Deadline => self.tell(Event::Deadline),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_commit_never_passes_a_record_that_is_not_stored(steps in prop::collection::vec(any_step(), 0..80)) {
        let mut world = World::new();
        steps.iter().for_each(|step| world.step(step));
        // And it is live: once faults end, everything is stored and committed.
        world.answer(true);
        while !world.storing.is_empty() || !world.filling.is_empty() {
            world.tell(Event::Due);
            world.store(0);
        }
        for (partition, next) in &world.next {
            prop_assert_eq!(world.committed.get(partition).copied().unwrap_or(0), *next);
        }
    }
}
