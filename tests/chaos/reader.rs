//! Reads back what is stored, name by name, and compares it with the ledger.

use anyhow::Context as _;
use harness::clickhouse::ClickHouse;
use harness::ledger::Outcome;
use uuid::Uuid;

use crate::ledger::{CHUNK, Ledger, name};

/// Ids that a report shows of each fault.
const SHOWN: usize = 20;

/// What is read.
#[derive(Debug, Clone)]
pub(crate) struct Tables {
    /// What readers see.
    pub(crate) shown: String,
    /// What lies on disk.
    pub(crate) stored: String,
    /// What is different for each event that Kafka holds, in `stored`.
    pub(crate) position: &'static str,
}

/// How what is stored differs from the ledger.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) acknowledged: u64,
    /// Events of ours that are there, once or more often.
    pub(crate) stored: u64,
    pub(crate) missing: u64,
    pub(crate) duplicates: u64,
    /// Stored although refused.
    pub(crate) unexpected: u64,
    /// Rows on disk beyond one for each position in Kafka. Merges remove them as time goes on.
    pub(crate) copies: u64,
    pub(crate) examples: Vec<String>,
}

/// Reads everything.
///
/// # Errors
/// When ClickHouse does not answer.
pub(crate) async fn judge(
    clickhouse: &ClickHouse,
    tables: &Tables,
    ledger: &Ledger,
) -> anyhow::Result<Verdict> {
    let mut verdict = Verdict::default();
    for chunk in 0..ledger.chunks() {
        let name = name(chunk);
        let query = format!("SELECT id FROM {} WHERE event_name = '{name}' FORMAT TSV", tables.shown);
        let counts = count(&clickhouse.run(&query).await?, ledger, chunk)?;
        verdict.add(ledger, chunk, &counts);
        let copies = format!(
            "SELECT count() - uniqExact({}) FROM {} WHERE event_name = '{name}'",
            tables.position, tables.stored
        );
        verdict.copies += clickhouse.number(&copies).await?;
    }
    Ok(verdict)
}

/// How many events of a chunk a reader sees more than once right now.
///
/// # Errors
/// When ClickHouse does not answer.
pub(crate) async fn doubled_now(clickhouse: &ClickHouse, tables: &Tables, chunk: u64) -> anyhow::Result<u64> {
    let query =
        format!("SELECT count() - uniqExact(id) FROM {} WHERE event_name = '{}'", tables.shown, name(chunk));
    clickhouse.number(&query).await
}

/// How often each event of a chunk is there.
fn count(ids: &str, ledger: &Ledger, chunk: u64) -> anyhow::Result<Vec<u64>> {
    let mut counts = vec![0; usize::try_from(CHUNK)?];
    for line in ids.lines() {
        let id: Uuid = line.parse().with_context(|| format!("`{line}` is no id"))?;
        let number = ledger.number(id).with_context(|| format!("{id} is none of this run"))?;
        let at = number.checked_sub(chunk * CHUNK).and_then(|at| usize::try_from(at).ok());
        *at.and_then(|at| counts.get_mut(at)).with_context(|| format!("{id} has the name of others"))? += 1;
    }
    Ok(counts)
}

impl Verdict {
    fn add(&mut self, ledger: &Ledger, chunk: u64, counts: &[u64]) {
        let outcomes = ledger.chunk(chunk);
        for (number, (outcome, count)) in (chunk * CHUNK..).zip(outcomes.into_iter().zip(counts)) {
            self.stored += u64::from(*count > 0);
            if *count > 1 {
                self.duplicates += 1;
                self.show("shown twice", ledger, number);
            }
            match outcome {
                Outcome::Acknowledged => {
                    self.acknowledged += 1;
                    if *count == 0 {
                        self.missing += 1;
                        self.show("missing", ledger, number);
                    }
                }
                Outcome::Refused if *count > 0 => {
                    self.unexpected += 1;
                    self.show("stored although refused", ledger, number);
                }
                Outcome::Refused | Outcome::Unknown => {}
            }
        }
    }

    fn show(&mut self, what: &str, ledger: &Ledger, number: u64) {
        if self.examples.len() < SHOWN {
            self.examples.push(format!("{what}: {} (event {number})", ledger.id(number)));
        }
    }

    pub(crate) fn is_exact(&self) -> bool {
        self.missing == 0 && self.duplicates == 0 && self.unexpected == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger() -> Ledger {
        let ledger = Ledger::new(7);
        ledger.begin(4);
        ledger.note(0, Outcome::Acknowledged);
        ledger.note(1, Outcome::Acknowledged);
        ledger.note(1, Outcome::Refused);
        ledger.note(2, Outcome::Refused);
        ledger
    }

    fn verdict(stored: &[u64]) -> Verdict {
        let ledger = ledger();
        let ids: Vec<String> = stored.iter().map(|number| ledger.id(*number).to_string()).collect();
        let mut verdict = Verdict::default();
        verdict.add(&ledger, 0, &count(&ids.join("\n"), &ledger, 0).unwrap());
        verdict
    }

    #[test]
    fn what_was_acknowledged_is_there_once() {
        let exact = verdict(&[0, 1]);
        assert!(exact.is_exact());
        assert_eq!((exact.acknowledged, exact.stored), (2, 2));
        assert!(verdict(&[0, 1, 3]).is_exact(), "an event without an answer may be there");
        let missing = verdict(&[0]);
        assert_eq!((missing.missing, missing.is_exact(), missing.examples.len()), (1, false, 1));
        assert_eq!(verdict(&[0, 1, 1]).duplicates, 1);
        assert_eq!(verdict(&[0, 1, 2]).unexpected, 1);
    }

    #[test]
    fn an_id_of_somebody_else_is_an_error() {
        assert!(count(&Uuid::from_u64_pair(8, 0).to_string(), &ledger(), 0).is_err());
        assert!(count(&Uuid::from_u64_pair(7, CHUNK).to_string(), &ledger(), 0).is_err());
    }
}
