//! Runs a property over cases of a strategy.

use std::future::Future;

use proptest::{
    strategy::Strategy,
    test_runner::{Config, RngSeed, TestCaseError, TestRunner},
};

/// The seed where none is asked for: a test fails or passes as it did before.
const SEED: u64 = 1;

/// Fails with the smallest case for which the property does not hold.
pub(super) fn check<S: Strategy, F: Future<Output = Result<(), String>>>(
    cases: u32,
    strategy: &S,
    property: impl Fn(S::Value) -> F,
) where
    S::Value: Clone,
{
    let mut config = Config::default();
    if !is_set("PROPTEST_CASES") {
        config.cases = cases;
    }
    if !is_set("PROPTEST_RNG_SEED") {
        config.rng_seed = RngSeed::Fixed(SEED);
    }
    // The seed tells enough.
    config.failure_persistence = None;
    let outcome =
        TestRunner::new(config).run(strategy, |case| block_on(property(case)).map_err(TestCaseError::fail));
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}

pub(super) fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

#[allow(clippy::disallowed_methods, reason = "a test has no command line")]
fn is_set(variable: &str) -> bool {
    std::env::var_os(variable).is_some()
}
