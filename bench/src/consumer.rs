//! CPU per event of our consumer and of ClickHouse behind it, beside other ways from Kafka into ClickHouse.
//!
//! ```text
//! fill both topics -> round: each topic: each system: (new table -> drain -> verify -> drop) -> ... -> merges
//! ```
//!
//! Invariant: a drain whose rows do not add up to what was filled is a failure and not a number.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use dev::console::Console;

use self::bed::Bed;
use self::drain::{Drained, Merges, drain};
use self::engine::Variant;
use crate::args::ConsumerOptions;

mod bed;
mod drain;
mod engine;
mod fill;
pub(crate) mod limits;
pub(crate) mod plain;
mod report;

/// Events of a record in the two topics.
const LOADS: [u64; 2] = [100, 1];

/// Who drains.
#[derive(Debug, Clone, PartialEq, Eq)]
enum System {
    Ours(PathBuf),
    Engine(Variant),
    Plain,
}

impl System {
    fn name(&self, ours: &Path) -> String {
        match self {
            Self::Ours(program) if program == ours => "ours".to_owned(),
            Self::Ours(program) => format!("ours, {}", program.display()),
            Self::Engine(variant) => variant.name().to_owned(),
            Self::Plain => "plain consumer".to_owned(),
        }
    }
}

/// One drain.
struct Measured {
    system: System,
    per_record: u64,
    round: u32,
    drained: Drained,
}

pub(crate) fn run(options: &ConsumerOptions) -> anyhow::Result<()> {
    let ours = program(options)?;
    let systems = systems(options, &ours);
    let console = Console::on_stderr();
    let runtime = tokio::runtime::Runtime::new().context("failed to start the runtime")?;
    let bed = console.step("a Kafka and a ClickHouse of its own", || Bed::start(&options.bed))?;
    let filled = console.progress("the topics", |_| runtime.block_on(bed.fill(&LOADS)))?;
    let mut each = Vec::new();
    for round in 1..=options.rounds {
        for per_record in LOADS {
            for system in &systems {
                let name = format!(
                    "round {round} of {}, {per_record} a record, {}",
                    options.rounds,
                    system.name(&ours)
                );
                let drained = console.progress(&name, |_| {
                    runtime.block_on(drain(&bed, system, per_record, &filled, Merges::Stopped))
                })?;
                each.push(Measured { system: system.clone(), per_record, round, drained });
            }
        }
    }
    let merged = if options.skip_merged { Vec::new() } else { report::finalists(&systems, &each) };
    let merged = merged.into_iter().map(|system| {
        let name = format!("with merges, 100 a record, {}", system.name(&ours));
        let drained = console.progress(&name, |_| {
            runtime.block_on(drain(&bed, &system, LOADS[0], &filled, Merges::UntilQuiet))
        })?;
        Ok((system, drained))
    });
    let merged = merged.collect::<anyhow::Result<Vec<_>>>()?;
    let limits = limits::measure_all(&bed, &options.bed, &console, &runtime)?;
    report::print(options, &ours, &systems, &filled, &each, &merged, &limits)
}

fn program(options: &ConsumerOptions) -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("failed to find this program")?;
    let folder = options.binaries.clone().or_else(|| own.parent().map(Path::to_owned));
    let program = folder.context("failed to find the folder of the binaries")?.join("consumer");
    ensure!(program.is_file(), "failed to find `{}`, run `make bench-consumer`", program.display());
    Ok(program)
}

fn systems(options: &ConsumerOptions, ours: &Path) -> Vec<System> {
    let mut systems = vec![System::Ours(ours.to_owned())];
    systems.extend(options.also.iter().cloned().map(System::Ours));
    if !options.ours_only {
        systems.extend(
            [Variant::Map, Variant::MapReplacing, Variant::Extract, Variant::KeysAndValues]
                .map(System::Engine),
        );
        systems.push(System::Plain);
    }
    systems
}
