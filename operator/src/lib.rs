//! The operator: turns AnalyticsTenant and Pipeline resources into topics, databases, keys and pods.

pub mod args;

mod failure;
mod tables;
mod topics;
