use proptest::prelude::*;

use super::*;

const A: BatchId = BatchId(1);
const B: BatchId = BatchId(2);

fn owning(partitions: &[(i32, Option<i64>)]) -> Offsets {
    let mut offsets = Offsets::default();
    partitions.iter().for_each(|(partition, next)| offsets.assign(*partition, *next));
    offsets
}

#[test]
fn nothing_is_due_before_the_batch_is_stored() {
    let mut offsets = owning(&[(0, None)]);
    assert_eq!(offsets.take(0, 10, A), Arrival::InOrder);
    assert_eq!(offsets.due(), []);
    offsets.store(A);
    assert_eq!(offsets.due(), [(0, 11)]);
}

#[test]
fn a_batch_that_is_stored_early_waits_for_the_one_before() {
    let mut offsets = owning(&[(0, Some(10))]);
    offsets.take(0, 10, A);
    offsets.take(0, 11, B);
    offsets.store(B);
    assert_eq!(offsets.due(), []);
    offsets.store(A);
    assert_eq!(offsets.due(), [(0, 12)]);
}

#[test]
fn partitions_are_committed_apart() {
    let mut offsets = owning(&[(0, Some(5)), (1, None), (2, Some(8))]);
    offsets.take(0, 5, A);
    offsets.take(1, 70, A);
    offsets.take(1, 71, B);
    offsets.store(A);
    assert_eq!(offsets.due(), [(0, 6), (1, 71)]);
}

#[test]
fn a_commit_is_due_until_it_is_acknowledged() {
    let mut offsets = owning(&[(0, Some(0))]);
    offsets.take(0, 0, A);
    offsets.store(A);
    assert_eq!(offsets.due(), [(0, 1)]);
    assert_eq!(offsets.due(), [(0, 1)]);
    offsets.committed(&[(0, 1)]);
    assert_eq!(offsets.due(), []);
}

#[test]
fn a_batch_of_an_earlier_assignment_says_nothing_about_the_next() {
    let mut offsets = owning(&[(0, Some(0))]);
    offsets.take(0, 0, A);
    offsets.forget(0);
    assert!(offsets.is_empty());
    offsets.assign(0, Some(0));
    offsets.store(A);
    assert_eq!(offsets.due(), []);
    assert_eq!(offsets.take(0, 0, B), Arrival::InOrder);
}

#[test]
fn what_retention_removed_is_passed_once() {
    let mut offsets = owning(&[(0, Some(5))]);
    offsets.skip_removed(0, 9);
    assert_eq!(offsets.due(), [(0, 9)]);
    assert_eq!(offsets.take(0, 9, A), Arrival::InOrder);
    assert_eq!(offsets.due(), [(0, 9)]);
}

#[test]
fn offsets_that_do_not_follow_are_noticed() {
    let mut offsets = owning(&[(0, Some(5))]);
    assert_eq!(offsets.take(0, 7, A), Arrival::Gap { expected: 5 });
    assert_eq!(offsets.take(0, 8, A), Arrival::InOrder);
    assert_eq!(offsets.take(0, 3, A), Arrival::Again);
    assert_eq!(offsets.take(1, 0, A), Arrival::NotOwned);
    assert_eq!(offsets.len(), 1);
}

#[derive(Debug, Clone)]
enum Step {
    Take { partition: i32 },
    NextBatch,
    Store { of: prop::sample::Index },
    Commit { is_kept: bool },
    Crash,
    Revoke { partition: i32 },
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..3).prop_map(|partition| Step::Take { partition }),
        3 => Just(Step::NextBatch),
        3 => any::<prop::sample::Index>().prop_map(|of| Step::Store { of }),
        3 => any::<bool>().prop_map(|is_kept| Step::Commit { is_kept }),
        1 => Just(Step::Crash),
        1 => (0..3).prop_map(|partition| Step::Revoke { partition }),
    ]
}

/// The world around the state machine: Kafka's log and commits, and the batches that the table holds.
#[derive(Default)]
struct World {
    offsets: Offsets,
    batch: u64,
    /// Partition, offset and batch of each record that was taken.
    taken: Vec<(i32, i64, BatchId)>,
    stored: Vec<BatchId>,
    committed: BTreeMap<i32, i64>,
    next: BTreeMap<i32, i64>,
}

impl World {
    fn own(&mut self, partition: i32) {
        let at = self.committed.get(&partition).copied();
        self.next.insert(partition, at.unwrap_or(0));
        self.offsets.assign(partition, at);
    }

    fn is_stored(&self, partition: i32, offset: i64) -> bool {
        self.taken.iter().any(|(p, o, batch)| (*p, *o) == (partition, offset) && self.stored.contains(batch))
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Take { partition } => {
                let next = self.next.get_mut(partition).unwrap();
                assert_eq!(self.offsets.take(*partition, *next, BatchId(self.batch)), Arrival::InOrder);
                self.taken.push((*partition, *next, BatchId(self.batch)));
                *next += 1;
            }
            Step::NextBatch => self.batch += 1,
            Step::Store { of } => {
                let batch = BatchId(of.index(self.batch as usize + 1) as u64);
                // A batch that is still filled is not stored.
                if batch.0 < self.batch {
                    self.stored.push(batch);
                    self.offsets.store(batch);
                }
            }
            Step::Commit { is_kept } => self.commit(*is_kept),
            Step::Crash => {
                self.offsets = Offsets::default();
                self.batch += 1;
                (0..3).for_each(|partition| self.own(partition));
            }
            Step::Revoke { partition } => {
                self.offsets.forget(*partition);
                self.own(*partition);
            }
        }
    }

    fn commit(&mut self, is_kept: bool) {
        let due = self.offsets.due();
        for (partition, position) in &due {
            for offset in 0..*position {
                assert!(self.is_stored(*partition, offset), "{partition}/{offset} was passed by {position}");
            }
            if is_kept {
                self.committed.insert(*partition, *position);
            }
        }
        if is_kept {
            self.offsets.committed(&due);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_commit_never_passes_a_record_that_is_not_stored(steps in prop::collection::vec(any_step(), 0..60)) {
        let mut world = World::default();
        world.step(&Step::Crash);
        steps.iter().for_each(|step| world.step(step));
        // And it is live: once everything is stored, everything is committed.
        world.batch += 1;
        (0..world.batch).for_each(|batch| { world.stored.push(BatchId(batch)); world.offsets.store(BatchId(batch)); });
        world.commit(true);
        prop_assert_eq!(world.offsets.due(), []);
        for (partition, next) in &world.next {
            prop_assert_eq!(world.committed.get(partition).copied().unwrap_or(0), *next);
        }
    }
}
