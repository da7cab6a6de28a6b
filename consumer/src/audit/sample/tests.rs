use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

/// Numbers that look random and are the same in each run.
fn chances() -> impl FnMut() -> u64 {
    let mut state = 7_u64;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    }
}

/// What a round looks at, every span read whole.
fn round(sampler: &mut Sampler, committed: &[(i32, i64)], starts: &[(i32, i64)]) -> Vec<Span> {
    sampler.begin(&committed.iter().copied().collect(), &starts.iter().copied().collect());
    let mut chance = chances();
    std::iter::from_fn(|| {
        let span = sampler.next(&mut chance)?;
        sampler.charge(span.records());
        Some(span)
    })
    .collect()
}

fn records(spans: &[Span]) -> u64 {
    spans.iter().map(Span::records).sum()
}

#[test]
fn nothing_is_looked_at_before_it_was_committed_for_a_round() {
    let mut sampler = Sampler::new(1_000);
    assert_eq!(round(&mut sampler, &[(0, 100)], &[(0, 0)]), []);
    let second = round(&mut sampler, &[(0, 10_000)], &[(0, 0)]);
    assert!(!second.is_empty() && second.iter().all(|span| span.end <= 100), "{second:?}");
}

#[test]
fn the_share_of_what_was_stored_is_looked_at() {
    let mut sampler = Sampler::new(10);
    let committed = |round: i64| [(0, 50_000 * round), (1, 50_000 * round)];
    (1..3).for_each(|number| drop(round(&mut sampler, &committed(number), &[(0, 0), (1, 0)])));
    for number in 3..8 {
        let spans = round(&mut sampler, &committed(number), &[(0, 0), (1, 0)]);
        assert_eq!(records(&spans), 1_000, "{spans:?}");
    }
}

#[test]
fn half_is_of_what_is_new_and_the_rest_of_everything() {
    let mut sampler = Sampler::new(1_000);
    let mut spans = Vec::new();
    for end in [900_000, 900_000, 950_000, 1_000_000, 1_000_000] {
        spans = round(&mut sampler, &[(0, end)], &[(0, 0)]);
    }
    let fresh = spans.iter().filter(|span| span.start >= 950_000).count();
    assert!((spans.len() / 4..spans.len()).contains(&fresh), "{fresh} of {}", spans.len());
}

#[test]
fn an_idle_topic_is_looked_at_a_little_each_round_and_in_time_as_a_whole() {
    let mut sampler = Sampler::new(10);
    let mut chance = chances();
    let mut seen = BTreeSet::new();
    for _ in 0..300 {
        sampler.begin(&[(0, 40), (1, 25)].into(), &[(0, 0), (1, 5)].into());
        if let Some(span) = sampler.next(&mut chance) {
            assert!(span.records() <= IDLE_RECORDS);
            seen.extend((span.start..span.end).map(|offset| (span.partition, offset)));
            sampler.charge(span.records());
        }
        assert_eq!(sampler.next(&mut chance), None);
    }
    assert_eq!(seen.len(), 40 + 20);
}

#[test]
fn what_retention_removed_and_what_is_not_ours_is_left_out() {
    let mut sampler = Sampler::new(1_000);
    round(&mut sampler, &[(0, 100), (1, 100), (2, 100)], &[]);
    let spans = round(&mut sampler, &[(0, 100), (1, 100)], &[(0, 100), (1, 95), (2, 0)]);
    assert!(spans.iter().all(|span| span.partition == 1 && span.start >= 95 && span.end <= 100), "{spans:?}");
    assert!(!spans.is_empty());
    // A partition that comes back is looked at from its second round on.
    assert_eq!(round(&mut sampler, &[(3, 100)], &[(3, 0)]), []);
    assert!(!round(&mut sampler, &[(3, 100)], &[(3, 0)]).is_empty());
}

#[test]
fn a_commit_that_went_back_is_not_passed() {
    let mut sampler = Sampler::new(1_000);
    round(&mut sampler, &[(0, 100)], &[(0, 0)]);
    let spans = round(&mut sampler, &[(0, 10)], &[(0, 0)]);
    assert!(spans.iter().all(|span| span.end <= 10), "{spans:?}");
}

proptest! {
    #[test]
    fn spans_lie_inside_what_was_committed_twice(
        rounds in prop::collection::vec((0_i64..5_000, 0_i64..5_000, 0_i64..5_000), 1..8),
        share in 0_u32..3_000,
    ) {
        let mut sampler = Sampler::new(share);
        let mut last: Option<Committed> = None;
        for (start, one, two) in rounds {
            let committed = [(0, one), (1, two)];
            let spans = round(&mut sampler, &committed, &[(0, start), (1, start)]);
            for span in spans {
                let seen = last.as_ref().and_then(|last| last.get(&span.partition)).copied().unwrap_or(0);
                prop_assert!(span.records() > 0 && span.start >= start && span.end <= seen);
            }
            last = Some(committed.into());
        }
    }
}
