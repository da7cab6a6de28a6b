//! The audit step: reads random records that were stored again from Kafka and looks every event of them up in `events`.
//!
//! It runs beside the loop, with a reader and a connection of its own, and decides nothing: it counts, and raises an
//! alarm. An event is called missing only after a second look, some time after the first, and only if nothing excuses
//! it, or if what may do so could not be read in several rounds: it may be a dead letter, or a retention that the table
//! had before may have removed it. An event that is shown twice is called so at once, because nothing can excuse it.
//! Nothing else that Kafka or ClickHouse do not tell is an alarm.

pub(crate) mod log;
pub(crate) mod lookup;
pub(crate) mod sample;
pub(crate) mod suspects;
pub(crate) mod wanted;

use std::{error::Error as StdError, sync::Arc, time::Duration};

use metrics::counter;
use schema::settings::ConsumerSettings;
use tokio::{sync::watch, time::sleep};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use crate::{
    answer::Failure,
    audit::{
        log::{Letters, Log},
        lookup::Lookup,
        sample::{Committed, Sampler},
        suspects::Suspects,
        wanted::{Horizon, Shown, Wanted},
    },
    columns::Origin,
    metrics::{self as names, Stage, count_error},
};

/// Events that are looked up together. They are held meanwhile, a few hundred bytes each at most.
const MAX_EVENTS: usize = 20_000;
/// Between two looks: longer than a replica may need for what another has acknowledged.
const SECOND_LOOK: Duration = Duration::from_secs(5);
/// Before the next round where one did not look at everything that it should have.
const SHORT_PAUSE: Duration = Duration::from_secs(1);
/// Alarms of a round that are written out one by one: damage seldom comes alone.
const MAX_LINES: usize = 20;

/// Why a round told nothing.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("failed to read records again")]
    Read { source: log::Error },
    #[error("failed to look events up")]
    LookUp { source: Failure },
    #[error("failed to ask for the retention")]
    AskRetention { source: Failure },
    #[error("failed to ask for the oldest event")]
    AskOldest { source: Failure },
    #[error("the definitions of the table and the view do not tell a retention")]
    NoRetention,
}

impl Error {
    /// A label for metrics and logs.
    fn reason(&self) -> &'static str {
        match self {
            Self::Read { source } => source.reason(),
            Self::LookUp { .. } => "audit_lookup",
            Self::AskRetention { .. } => "audit_ask_retention",
            Self::AskOldest { .. } => "audit_ask_oldest",
            Self::NoRetention => "audit_no_retention",
        }
    }
}

/// Looks again for what was stored.
pub(crate) struct Audit {
    settings: Arc<ConsumerSettings>,
    lookup: Lookup,
    sampler: Sampler,
    suspects: Suspects,
    committed: watch::Receiver<Committed>,
    log: Option<Arc<Log>>,
}

impl Audit {
    /// # Errors
    /// As an inserter's.
    pub(crate) fn new(
        settings: Arc<ConsumerSettings>,
        committed: watch::Receiver<Committed>,
    ) -> anyhow::Result<Self> {
        let lookup = Lookup::new(&settings.clickhouse)?;
        let sampler = Sampler::new(settings.audit.share_per_mille);
        Ok(Self { settings, lookup, sampler, suspects: Suspects::default(), committed, log: None })
    }

    /// Makes round after round until the stop. It never fails: what it cannot see it tells, and looks again later.
    pub(crate) async fn run(mut self, stop: CancellationToken) -> anyhow::Result<()> {
        if self.settings.audit.is_on() {
            stop.run_until_cancelled(self.rounds()).await;
            self.close().await;
        } else {
            stop.cancelled().await;
        }
        Ok(())
    }

    async fn rounds(&mut self) {
        let interval = Duration::from_millis(self.settings.audit.interval_ms.into());
        let mut pause = interval;
        loop {
            sleep(pause).await;
            pause = match self.round().await {
                Ok(Left::Nothing) => interval,
                Ok(Left::More) => interval.min(SHORT_PAUSE),
                Err(cause) => {
                    count_error(Stage::Audit, cause.reason());
                    warn!(error = &cause as &dyn StdError, "the audit could not look, and tries again");
                    self.close().await;
                    interval
                }
            };
        }
    }

    async fn round(&mut self) -> Result<Left, Error> {
        let (wanted, left) = self.gather().await?;
        let (missing, doubled) = self.look(wanted).await?;
        report(&doubled, &DOUBLED);
        if self.suspects.add(missing) {
            sleep(SECOND_LOOK).await;
        }
        self.look_again().await?;
        Ok(left)
    }

    /// The events of random records that were stored.
    async fn gather(&mut self) -> Result<(Vec<Wanted>, Left), Error> {
        let committed = self.committed.borrow().clone();
        let partitions: Vec<i32> = committed.keys().copied().collect();
        let starts = self.ask(move |log| log.starts(&partitions)).await?;
        self.sampler.begin(&committed, &starts);
        let mut all = Vec::new();
        while all.len() < MAX_EVENTS {
            let Some(span) = self.sampler.next(&mut rand::random) else { return Ok((all, Left::Nothing)) };
            let events = self.ask(move |log| log.read(&span)).await?;
            self.sampler.charge(events.passed);
            all.extend(events.wanted);
        }
        Ok((all, Left::More))
    }

    /// Looks events up, counts those that have to be there, and returns the missing and the doubled ones.
    async fn look(&self, wanted: Vec<Wanted>) -> Result<(Vec<Wanted>, Vec<Wanted>), Error> {
        if wanted.is_empty() {
            return Ok((Vec::new(), Vec::new()));
        }
        let wanted = self.horizon().await?.shown(wanted);
        let shown = self.shown(&wanted).await?;
        counter!(names::AUDIT_CHECKED).increment(wanted.len() as u64);
        let of = |numbers: &[usize]| numbers.iter().map(|number| wanted[*number].clone()).collect();
        Ok((of(&shown.missing), of(&shown.doubled)))
    }

    /// Reports those of the suspects that are still ours to find, still missing, and that nothing excuses.
    async fn look_again(&mut self) -> Result<(), Error> {
        let missing = self.still_committed(self.suspects.all());
        self.suspects.keep(&missing);
        if missing.is_empty() {
            return Ok(());
        }
        let horizon = self.horizon().await?;
        let missing = horizon.shown(missing);
        let shown = self.shown(&missing).await?;
        let missing: Vec<Wanted> = shown.missing.iter().map(|number| missing[*number].clone()).collect();
        self.suspects.keep(&missing);
        match self.excuse(missing, &horizon).await {
            Ok(()) => {
                report(&self.suspects.convict(), &MISSING);
                Ok(())
            }
            Err(cause) => {
                report(&self.suspects.give_up(), &UNEXPLAINED);
                Err(cause)
            }
        }
    }

    /// Lets those suspects go that are of another topic, that are dead letters, or that a former retention may have
    /// removed.
    async fn excuse(&mut self, missing: Vec<Wanted>, horizon: &Horizon) -> Result<(), Error> {
        if !missing.is_empty() && self.ask(Log::is_other_topic).await? {
            warn!(events = missing.len(), "the topic was made anew, what it holds is not looked for");
            self.suspects.keep(&[]);
            return Ok(());
        }
        let Letters { without, unread } = self.ask(move |log| log.without_letters(missing)).await?;
        self.suspects.keep(&without);
        if let Some(source) = unread {
            return Err(Error::Read { source });
        }
        if without.iter().any(|event| horizon.is_before_change(event)) {
            let oldest = self.lookup.oldest().await.map_err(|source| Error::AskOldest { source })?;
            self.suspects.keep(&horizon.not_removed(without, oldest));
        }
        Ok(())
    }

    /// Events that lie before what is committed. A group that was reset takes back what it has committed, and so does a
    /// topic of ours that was made anew; one of others keeps it, as nothing of it is stored ([`crate::incarnation`]).
    fn still_committed(&self, mut events: Vec<Wanted>) -> Vec<Wanted> {
        let committed = self.committed.borrow();
        let is_before = |event: &Wanted| {
            committed.get(&event.origin.partition).is_some_and(|end| event.origin.offset < *end)
        };
        events.retain(is_before);
        events
    }

    /// What `events` has to show.
    async fn horizon(&self) -> Result<Horizon, Error> {
        let horizon = self.lookup.horizon().await.map_err(|source| Error::AskRetention { source })?;
        horizon.ok_or(Error::NoRetention)
    }

    /// What `events` shows of these.
    async fn shown(&self, wanted: &[Wanted]) -> Result<Shown, Error> {
        if wanted.is_empty() {
            return Ok(Shown::default());
        }
        self.lookup.shown(wanted).await.map_err(|source| Error::LookUp { source })
    }

    /// Asks Kafka on a thread that may block.
    async fn ask<T: Send + 'static>(
        &mut self,
        question: impl FnOnce(&Log) -> Result<T, log::Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (open, settings) = (self.log.clone(), Arc::clone(&self.settings));
        let asking = tokio::task::spawn_blocking(move || {
            let log = open.map_or_else(|| Log::open(&settings).map(Arc::new), Ok)?;
            Ok((question(&log)?, log))
        });
        let (answer, log) =
            asking.await.expect("asking kafka does not panic").map_err(|source| Error::Read { source })?;
        self.log = Some(log);
        Ok(answer)
    }

    /// Ending a reader waits for its threads.
    async fn close(&mut self) {
        if let Some(log) = self.log.take() {
            let ended = tokio::task::spawn_blocking(move || drop(log)).await;
            debug_assert!(ended.is_ok(), "ending a reader does not panic");
        }
    }
}

/// What a round did not look at.
enum Left {
    Nothing,
    More,
}

/// An alarm.
struct Finding {
    counter: &'static str,
    what: &'static str,
}

const MISSING: Finding = Finding { counter: names::AUDIT_MISSING, what: "is committed and not in `events`" };
const UNEXPLAINED: Finding = Finding {
    counter: names::AUDIT_MISSING,
    what: "is committed and not in `events`; what may excuse it could not be read",
};
const DOUBLED: Finding = Finding { counter: names::AUDIT_DOUBLED, what: "is in `events` more than once" };

fn report(events: &[Wanted], finding: &Finding) {
    counter!(finding.counter).increment(events.len() as u64);
    for event in events.iter().take(MAX_LINES) {
        let Origin { partition, offset, index } = event.origin;
        error!(
            partition,
            offset,
            index,
            "the event {index} of the record at offset {offset} of partition {partition} {}",
            finding.what
        );
    }
    if events.len() > MAX_LINES {
        let more = events.len() - MAX_LINES;
        error!(more, "each of {more} other events of this round {}", finding.what);
    }
}
