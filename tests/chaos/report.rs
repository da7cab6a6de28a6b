//! What is printed at the end, and whether the run has passed. Pure.

use std::fmt;
use std::process::ExitCode;
use std::time::Duration;

use crate::args::Subject;
use crate::faults::Counts;
use crate::reader::Verdict;

#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) subject: Subject,
    pub(crate) duration: Duration,
    pub(crate) counts: Counts,
    pub(crate) crashes: u64,
    /// Looks at `events` during the faults, and events that one of them saw twice.
    pub(crate) looks: u64,
    pub(crate) doubled_meanwhile: u64,
    pub(crate) rate: u64,
    pub(crate) recovered_in: Option<Duration>,
    pub(crate) verdict: Verdict,
}

impl Report {
    /// What speaks against the run, in words.
    pub(crate) fn objections(&self) -> Vec<String> {
        match self.subject {
            Subject::KafkaEngine => return Vec::new(),
            Subject::Millrace => {}
        }
        let mut objections = self.counts.shortages(self.verdict.acknowledged, self.duration);
        if !self.verdict.is_exact() || self.doubled_meanwhile > 0 {
            objections.push("not every acknowledged event was there once".to_owned());
        }
        if self.crashes > 0 {
            objections.push(format!("consumers ended by themselves: {}", self.crashes));
        }
        objections
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        if self.objections().is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    fn duplicates(&self) -> u64 {
        self.verdict.duplicates.max(self.doubled_meanwhile)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "faults: {}", self.counts.text())?;
        let recovered = match self.recovered_in {
            Some(time) => format!("stored everything {} s after the last fault", time.as_secs()),
            None => "did not store everything".to_owned(),
        };
        writeln!(
            f,
            "load: {} events a second; {recovered}; consumers that ended by themselves: {}; \
             looks meanwhile: {}, events shown twice: {}",
            self.rate, self.crashes, self.looks, self.doubled_meanwhile
        )?;
        for line in self.verdict.examples.iter().chain(&self.objections()) {
            writeln!(f, "  {line}")?;
        }
        let Verdict { acknowledged, stored, missing, copies, .. } = &self.verdict;
        writeln!(
            f,
            "chaos: kills={} acked={acknowledged} stored={stored} missing={missing} duplicates={} copies={copies}",
            self.counts.kills(),
            self.duplicates(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(subject: Subject, verdict: Verdict) -> Report {
        Report {
            subject,
            duration: Duration::ZERO,
            counts: Counts::default(),
            crashes: 0,
            looks: 3,
            doubled_meanwhile: 0,
            rate: 100,
            recovered_in: Some(Duration::from_secs(4)),
            verdict,
        }
    }

    #[test]
    fn the_last_line_has_the_numbers() {
        let verdict = Verdict { acknowledged: 5, stored: 6, copies: 2, ..Verdict::default() };
        let report = report(Subject::Millrace, verdict);
        assert_eq!(
            report.to_string().lines().last(),
            Some("chaos: kills=0 acked=5 stored=6 missing=0 duplicates=0 copies=2")
        );
        assert_eq!(report.objections(), Vec::<String>::new());
    }

    #[test]
    fn a_missing_event_fails_ours_and_is_only_counted_for_the_peer() {
        let lost = Verdict { missing: 1, ..Verdict::default() };
        assert_eq!(report(Subject::Millrace, lost.clone()).objections().len(), 1);
        assert_eq!(report(Subject::KafkaEngine, lost).objections().len(), 0);
    }

    #[test]
    fn a_double_that_went_away_is_a_double() {
        let seen = Report { doubled_meanwhile: 2, ..report(Subject::Millrace, Verdict::default()) };
        assert_eq!(seen.objections().len(), 1);
        assert!(seen.to_string().contains("duplicates=2"));
    }
}
