//! The tests that look at the whole house, as a table of contents.
//!
//! The first ones read files and need nothing but cargo and git.
//! Those below `live` need the local stack (`make up`) and the feature `live`; `make test` runs all of them.

mod checkout;
mod dependencies;
mod documents;
mod layout;
#[cfg(feature = "live")]
mod live;
mod metrics;
mod reasons;
mod rules;
