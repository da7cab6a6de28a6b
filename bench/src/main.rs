//! Measures on the local stack's parts what an event costs, what a tenant costs, and what idle pods hold.
//!
//! ```text
//! events:   (generator -> ingester -> Kafka) -> (Kafka -> consumer -> ClickHouse), round after round
//! consumer: (Kafka -> ours | Kafka engine | plain consumer -> ClickHouse), round after round
//! limits:   fetch, parse, sort, encode and insert, each alone
//! operator: (tenants -> operator -> ready), then nothing, for some minutes
//! memory:   control group of each pod, a minute after it was ready
//! ```
//!
//! The headline is CPU per event, because wall time depends on the neighbours of a shared machine.
//! Invariant: a round whose rows are not exactly the events that were sent is a failure and not a number.
//! It changes nothing that lasts: its topics and databases are removed, and results are printed, not written.

mod args;
mod clickhouse;
mod consumer;
mod cpu;
mod events;
mod kafka;
mod machine;
mod memory;
mod operator;
mod process;
mod summary;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;

use crate::args::{Arguments, Measure};

fn main() -> ExitCode {
    let measured = match Arguments::parse().measure {
        Measure::Events(options) => events::run(&options),
        Measure::Consumer(options) => consumer::run(&options),
        Measure::Limits(options) => consumer::limits::run(&options),
        Measure::PlainConsumer(options) => consumer::plain::run(&options.settings),
        Measure::Operator(options) => operator::run(&options),
        Measure::Memory(options) => memory::run(&options),
    };
    let Err(error) = measured else { return ExitCode::SUCCESS };
    // Whoever closed the error output does not want to read it.
    let _ = writeln!(std::io::stderr(), "error: {error:#}");
    ExitCode::FAILURE
}
