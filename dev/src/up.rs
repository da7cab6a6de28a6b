//! `up`: brings the shared stack to the state "everything runs and answers", whatever state it is in.
//!
//! What runs is left alone, what was killed is started again on its data, what is missing is installed or built.

use std::thread;

use crate::console::Console;
use crate::folders::{self, Folders};
use crate::status::Part;
use crate::{artifacts, clickhouse, kafka, kubernetes, lock, packages, preflight, status};

/// Starts everything, and returns its parts when all of them answer.
///
/// # Errors
/// When this machine lacks something (all of it is named), or a part does not become ready (its log is named).
pub fn up(folders: &Folders, console: &Console) -> anyhow::Result<Vec<Part>> {
    let _lock = lock::hold(folders, console)?;
    preflight::check(folders)?;
    folders::create(&folders.logs())?;
    packages::install(folders, console)?;
    artifacts::prepare(folders, console)?;
    kubernetes::network::up(folders)?;
    start(folders, console)
}

/// The table of the parts, and what to do next.
#[must_use]
pub fn report(parts: &[Part]) -> String {
    format!("\n{}\n\nnext: `make demo` sends events through it, `make down` removes it", status::table(parts))
}

/// Kafka and ClickHouse start while Kubernetes does. If more than one fails, the first of them is reported.
fn start(folders: &Folders, console: &Console) -> anyhow::Result<Vec<Part>> {
    thread::scope(|scope| {
        let kafka = scope.spawn(|| console.step("kafka", || kafka::up(folders)));
        let clickhouse = scope.spawn(|| console.step("clickhouse", || clickhouse::up(folders)));
        let cluster = kubernetes::up(folders, console);
        let kafka = kafka.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let clickhouse = clickhouse.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let backends = vec![kafka?, clickhouse?];
        Ok(backends.into_iter().chain(cluster?).collect())
    })
}
