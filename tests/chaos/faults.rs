//! The kinds of faults, how often each happened, and how many are enough. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

/// What is done to a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    KillKafka,
    FreezeKafka,
    CutKafka,
    KillClickHouse,
    FreezeClickHouse,
    CutClickHouse,
    /// ClickHouse does what it is asked, and its answers are lost.
    LoseAnswers,
    KillConsumer,
    FreezeConsumer,
    /// A consumer comes and goes.
    Rebalance,
}

impl Fault {
    pub(crate) const KAFKA: [Self; 4] = [Self::KillKafka, Self::KillKafka, Self::FreezeKafka, Self::CutKafka];
    pub(crate) const CLICKHOUSE: [Self; 6] = [
        Self::KillClickHouse,
        Self::KillClickHouse,
        Self::KillClickHouse,
        Self::FreezeClickHouse,
        Self::CutClickHouse,
        Self::LoseAnswers,
    ];
    pub(crate) const CONSUMERS: [Self; 4] =
        [Self::KillConsumer, Self::KillConsumer, Self::FreezeConsumer, Self::Rebalance];
    const ALL: [Self; 10] = [
        Self::KillKafka,
        Self::FreezeKafka,
        Self::CutKafka,
        Self::KillClickHouse,
        Self::FreezeClickHouse,
        Self::CutClickHouse,
        Self::LoseAnswers,
        Self::KillConsumer,
        Self::FreezeConsumer,
        Self::Rebalance,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::KillKafka => "kill-kafka",
            Self::FreezeKafka => "freeze-kafka",
            Self::CutKafka => "cut-kafka",
            Self::KillClickHouse => "kill-clickhouse",
            Self::FreezeClickHouse => "freeze-clickhouse",
            Self::CutClickHouse => "cut-clickhouse",
            Self::LoseAnswers => "lose-answers",
            Self::KillConsumer => "kill-consumer",
            Self::FreezeConsumer => "freeze-consumer",
            Self::Rebalance => "rebalance",
        }
    }

    fn is_kill(self) -> bool {
        match self {
            Self::KillKafka | Self::KillClickHouse | Self::KillConsumer => true,
            Self::FreezeKafka
            | Self::CutKafka
            | Self::FreezeClickHouse
            | Self::CutClickHouse
            | Self::LoseAnswers
            | Self::FreezeConsumer
            | Self::Rebalance => false,
        }
    }
}

/// How often each fault happened.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counts(BTreeMap<Fault, u64>);

impl Counts {
    pub(crate) fn add(&mut self, fault: Fault) {
        *self.0.entry(fault).or_default() += 1;
    }

    pub(crate) fn kills(&self) -> u64 {
        self.0.iter().filter(|(fault, _)| fault.is_kill()).map(|(_, count)| count).sum()
    }

    /// Each kind with its count.
    pub(crate) fn text(&self) -> String {
        let one = |fault: Fault| format!("{}={}", fault.name(), self.of(fault));
        Fault::ALL.map(one).join(" ")
    }

    fn of(&self, fault: Fault) -> u64 {
        self.0.get(&fault).copied().unwrap_or(0)
    }

    /// What there was too little of to tell anything, in words.
    pub(crate) fn shortages(&self, acknowledged: u64, duration: Duration) -> Vec<String> {
        let scaled = |in_full: u64| in_full * duration.as_secs() / FULL.as_secs();
        let short = |what: &str, seen: u64, needed: u64| {
            (seen < needed).then(|| format!("{what}: {seen} of at least {needed}"))
        };
        let kinds = Fault::ALL.map(|fault| short(fault.name(), self.of(fault), scaled(EACH_KIND)));
        let totals = [
            short("kills", self.kills(), scaled(KILLS)),
            short("acknowledged events", acknowledged, scaled(EVENTS)),
        ];
        kinds.into_iter().chain(totals).flatten().collect()
    }
}

/// What a run of full length has to have.
const FULL: Duration = Duration::from_secs(600);
const KILLS: u64 = 60;
const EACH_KIND: u64 = 10;
const EVENTS: u64 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(each: u64) -> Counts {
        Counts(Fault::ALL.map(|fault| (fault, each)).into())
    }

    #[test]
    fn too_little_of_anything_is_named() {
        assert_eq!(counts(20).shortages(1_000_000, FULL), Vec::<String>::new());
        assert_eq!(counts(19).shortages(1_000_000, FULL), ["kills: 57 of at least 60"]);
        assert_eq!(counts(20).shortages(9, FULL), ["acknowledged events: 9 of at least 1000000"]);
        assert_eq!(
            counts(2).shortages(100_000, FULL / 10),
            Vec::<String>::new(),
            "a tenth of the time needs a tenth"
        );
        let mut few = counts(20);
        few.0.insert(Fault::Rebalance, 9);
        assert_eq!(few.shortages(1_000_000, FULL), ["rebalance: 9 of at least 10"]);
    }

    #[test]
    fn every_kind_is_in_a_deck() {
        let decks = [&Fault::KAFKA[..], &Fault::CLICKHOUSE, &Fault::CONSUMERS].concat();
        assert!(Fault::ALL.iter().all(|fault| decks.contains(fault)));
    }
}
