//! `status`: what runs, where, and whether it answers.

use std::path::PathBuf;

use crate::console;
use crate::folders::Folders;
use crate::{clickhouse, kafka, kubernetes};

/// One process of the stack, as `up` and `status` show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    pub name: String,
    pub version: String,
    /// Where it listens, as a user would write it.
    pub address: String,
    /// `None` if it does not run.
    pub pid: Option<u32>,
    pub log: PathBuf,
    /// The answer to its health check, or why there is none.
    pub health: Result<(), String>,
}

impl Part {
    /// Whether it runs and answers as it should.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.pid.is_some() && self.health.is_ok()
    }

    /// # Errors
    /// When it does not run or does not answer, with the reason.
    pub fn expect_healthy(&self) -> anyhow::Result<()> {
        anyhow::ensure!(self.pid.is_some(), "`{}` does not run", self.name);
        match &self.health {
            Ok(()) => Ok(()),
            Err(reason) => anyhow::bail!("`{}` does not answer: {reason}", self.name),
        }
    }
}

/// Every part of the shared stack, running or not.
#[must_use]
pub fn parts(folders: &Folders) -> Vec<Part> {
    let backends = [kafka::status(folders), clickhouse::status(folders)];
    backends.into_iter().chain(kubernetes::status(folders)).collect()
}

/// The table of all parts.
///
/// # Errors
/// When one of them does not run or does not answer, with the table and the reasons.
pub fn status(folders: &Folders) -> anyhow::Result<String> {
    let parts = parts(folders);
    if parts.iter().all(|part| part.pid.is_none()) {
        anyhow::bail!("the local stack does not run; run `make up`");
    }
    let (table, complaints) = (table(&parts), complaints(&parts));
    anyhow::ensure!(
        complaints.is_empty(),
        "not every part is healthy; run `make up`\n{table}\n\n{complaints}"
    );
    Ok(table)
}

/// The parts as a table: name, version, address, process id, log. One that is not healthy says so in its first column.
#[must_use]
pub fn table(parts: &[Part]) -> String {
    let row = |part: &Part| {
        let mark = if part.is_healthy() { "" } else { " (down)" };
        [
            format!("{}{mark}", part.name),
            part.version.clone(),
            part.address.clone(),
            part.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string()),
            part.log.display().to_string(),
        ]
    };
    console::table(["part", "version", "address", "pid", "log"], parts.iter().map(row).collect())
}

/// What is wrong, a line per part that is not healthy; empty if all is well.
#[must_use]
pub fn complaints(parts: &[Part]) -> String {
    let complaint = |part: &Part| part.expect_healthy().err().map(|error| error.to_string());
    parts.iter().filter_map(complaint).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(name: &str, pid: Option<u32>, health: Result<(), String>) -> Part {
        Part {
            name: name.to_owned(),
            version: "1".to_owned(),
            address: "127.0.0.1:1".to_owned(),
            pid,
            log: PathBuf::from("/state/x.log"),
            health,
        }
    }

    #[test]
    fn the_table_marks_what_is_down() {
        let parts = [part("etcd", Some(7), Ok(())), part("kafka", None, Err("refused".to_owned()))];
        insta::assert_snapshot!(table(&parts));
    }

    #[test]
    fn only_unhealthy_parts_are_complained_about() {
        let parts = [
            part("etcd", Some(7), Ok(())),
            part("kafka", None, Ok(())),
            part("clickhouse", Some(8), Err("refused".to_owned())),
        ];
        assert_eq!(complaints(&parts), "`kafka` does not run\n`clickhouse` does not answer: refused");
    }
}
