//! What holds of every tenant and Pipeline, whatever they meet: random specs in random worlds.
//!
//! ```text
//! a random scene -> the operator comes to rest -> nothing more is changed, nothing that lives is destroyed,
//!                                                 strangers' things are as they were
//!                -> the same in other orders of looks -> the same end
//! ```
//!
//! The same cases run each time. `PROPTEST_CASES` asks for more of them and `PROPTEST_RNG_SEED` for others.

mod drift;
mod end;
mod found;
mod happening;
mod rest;
mod runner;
mod scene;
mod walks;
mod worlds;
