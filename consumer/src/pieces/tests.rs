use std::{collections::BTreeSet, iter};

use proptest::prelude::*;

use super::*;

/// What became of a batch with these inserts, where a server refuses some rows and takes only so many at a time.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    stored: Vec<usize>,
    refused: Vec<usize>,
    inserts: usize,
    /// The inserts that stored something.
    parts: usize,
}

/// One insert of so many rows.
fn whole(rows: usize) -> Vec<Range<usize>> {
    iter::once(0..rows).collect()
}

fn store(inserts: &[Range<usize>], bad: &BTreeSet<usize>, memory_rows: usize) -> Outcome {
    let (mut pieces, mut outcome) = (Pieces::of(inserts), Outcome::default());
    while let Some(rows) = pieces.next() {
        assert!(
            inserts.iter().any(|insert| insert.start <= rows.start && rows.end <= insert.end),
            "{rows:?}"
        );
        assert!(!rows.is_empty());
        outcome.inserts += 1;
        if rows.len() > memory_rows && pieces.too_large() == Halved::Yes {
            continue;
        }
        if bad.range(rows.clone()).next().is_some() {
            if rows.len() == 1 {
                outcome.refused.push(rows.start);
            }
            pieces.refused();
        } else {
            outcome.parts += 1;
            outcome.stored.extend(rows);
            pieces.stored();
        }
    }
    outcome
}

#[test]
fn a_batch_without_bad_rows_is_inserted_as_it_is_cut() {
    let outcome = store(&[0..50, 50..100, 100..120], &BTreeSet::new(), usize::MAX);
    assert_eq!((outcome.inserts, outcome.stored.len()), (3, 120));
    assert_eq!(Pieces::of(&[]).next(), None);
}

#[test]
fn one_bad_row_costs_a_logarithm() {
    for bad in [0, 1, 4_999, 25_000, 49_999] {
        let outcome = store(&whole(50_000), &BTreeSet::from([bad]), usize::MAX);
        assert_eq!(outcome.refused, [bad]);
        assert!(outcome.inserts <= 2 + 16 + 2, "row {bad}: {}", outcome.inserts);
    }
}

#[test]
fn many_bad_rows_cost_little_more_than_they_must() {
    // Where one row of twenty is bad, 0.286 bits of each row are to be learned, one at most with each insert.
    let bad = (0..5_000).filter(|row| (row * 7_919) % 5_003 % 20 == 0).collect::<BTreeSet<_>>();
    let outcome = store(&whole(5_000), &bad, usize::MAX);
    assert_eq!(outcome.refused, bad.into_iter().collect::<Vec<_>>());
    assert!(outcome.inserts < 2_000, "{}", outcome.inserts);
    assert!(outcome.parts < 1_000, "{}", outcome.parts);
}

#[test]
fn a_batch_of_bad_rows_alone_is_tried_row_by_row() {
    let outcome = store(&whole(1_000), &(0..1_000).collect(), usize::MAX);
    assert_eq!(outcome.refused.len(), 1_000);
    assert!(outcome.inserts < 1_100, "{}", outcome.inserts);
}

#[test]
fn too_little_memory_halves_a_block_to_about_a_thousand_rows() {
    let outcome = store(&whole(10_000), &BTreeSet::new(), 3_000);
    assert_eq!((outcome.stored.len(), outcome.inserts, outcome.parts), (10_000, 6, 4));
    let mut pieces = Pieces::of(&whole(10_000));
    let mut halvings = 0;
    while pieces.too_large() == Halved::Yes {
        halvings += 1;
    }
    assert_eq!((halvings, pieces.next()), (3, Some(0..1_250)));
}

proptest! {
    #[test]
    fn every_good_row_is_stored_once_and_every_bad_one_is_refused(
        bad in prop::collection::btree_set(0_usize..4_000, 0..60),
        cuts in prop::collection::btree_set(1_usize..4_000, 0..5),
        memory_rows in 1_000_usize..5_000,
    ) {
        let bounds: Vec<usize> = [0].into_iter().chain(cuts).chain([4_000]).collect();
        let inserts: Vec<Range<usize>> = bounds.windows(2).map(|pair| pair[0]..pair[1]).collect();
        let outcome = store(&inserts, &bad, memory_rows);
        prop_assert_eq!(outcome.refused, bad.iter().copied().collect::<Vec<_>>());
        prop_assert_eq!(outcome.stored, (0..4_000).filter(|row| !bad.contains(row)).collect::<Vec<_>>());
        prop_assert!(outcome.inserts <= 16 + 2 * inserts.len() + 14 * bad.len(), "{}", outcome.inserts);
    }
}
