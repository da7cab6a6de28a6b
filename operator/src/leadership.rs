//! One of several operators leads: the one that holds a Lease. The others stand by.
//!
//! ```text
//! stand by: read* -> free, ours or left to lapse? -> claim*      lead: work + renew* -> release*
//! ```
//!
//! Invariants:
//! - Each write of the Lease names the version that was seen, so that of two claims one succeeds.
//! - No clock is compared with another one: how long a holder was silent is measured from when its last word was seen.
//! - Work begins after the claim and ends before the release.
//! - A leader that cannot renew ends its work before anybody may claim the Lease, and the process ends with it.
//!
//! The Lease saves work and is no lock: a statement that ClickHouse was sent may outlive the leader that sent it, since
//! it may take longer than the Lease. Two operators at once bring about the same, so this harms nothing.

mod record;

use std::{future::Future, time::Duration};

use k8s_openapi::{api::coordination::v1::Lease, jiff::Timestamp};
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
};
use runtime::health::Flag;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{args::LeaseOptions, metrics};
use record::{Sight, Standing};

/// Why the lead cannot be had, or is over.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("failed to read lease `{lease}`")]
    Read { lease: String, source: Box<kube::Error> },
    #[error("failed to write lease `{lease}`")]
    Write { lease: String, source: Box<kube::Error> },
    #[error("the API server did not answer about lease `{lease}` within {seconds} s")]
    Deadline { lease: String, seconds: u64 },
    #[error("lease `{lease}` went to `{holder}`")]
    Lost { lease: String, holder: String },
    #[error("lease `{lease}` could not be renewed for {seconds} s")]
    NotRenewed { lease: String, seconds: u64 },
}

/// How often the Lease is looked at and written, in parts of its time.
#[derive(Debug, Clone, Copy)]
struct Pace {
    /// After so long without a word of its holder, the Lease may be claimed.
    lapse: Duration,
    /// A leader that was not heard for so long gives up; what is left is for its work to end.
    give_up: Duration,
    renew: Duration,
    look: Duration,
    call: Duration,
}

impl Pace {
    fn of(lapse: Duration) -> Self {
        Self { lapse, give_up: lapse * 2 / 3, renew: lapse / 6, look: lapse / 15, call: lapse / 6 }
    }
}

/// An operator that would lead.
pub(crate) struct Candidate {
    leases: Api<Lease>,
    name: String,
    identity: String,
    pace: Pace,
}

/// The lead, until it is lost or given back.
pub(crate) struct Term<'a> {
    candidate: &'a Candidate,
    /// When the last write began that the API server took.
    renewed: Instant,
}

/// How an attempt to hold the Lease ended.
enum Attempt {
    Holds,
    /// It is somebody else's for this long, if nothing is heard of them.
    HeldBy(String, Duration),
}

impl Candidate {
    pub(crate) fn new(client: Client, options: &LeaseOptions) -> Self {
        let random = || format!("operator-{}", uuid::Uuid::new_v4());
        Self {
            leases: Api::default_namespaced(client),
            name: options.name.clone(),
            identity: options.identity.clone().unwrap_or_else(random),
            pace: Pace::of(Duration::from_secs(options.seconds.into())),
        }
    }

    /// Waits until it leads, or until the shutdown: then there is no term. `stands` says whether it could lead.
    pub(crate) async fn stand(&self, stands: &Flag, shutdown: &CancellationToken) -> Option<Term<'_>> {
        metrics::leading(false);
        let (mut sight, mut holder) = (Sight::default(), None);
        while !shutdown.is_cancelled() {
            let began = Instant::now();
            let attempt = self.in_time(self.attempt(&mut sight)).await;
            stands.set(attempt.is_ok());
            let wait = match attempt {
                Ok(Attempt::Holds) => {
                    info!(lease = self.name, identity = self.identity, "leading");
                    return Some(Term { candidate: self, renewed: began });
                }
                Ok(Attempt::HeldBy(other, rest)) => {
                    if holder.as_ref() != Some(&other) {
                        info!(lease = self.name, holder = other, "standing by while `{other}` leads");
                        holder = Some(other);
                    }
                    rest.min(self.pace.look)
                }
                Err(failure) => {
                    self.tell(&failure);
                    self.pace.look
                }
            };
            shutdown.run_until_cancelled(sleep(wait)).await;
        }
        None
    }

    /// Reads the Lease, and writes it where it is free or ours.
    async fn attempt(&self, sight: &mut Sight) -> Result<Attempt, Error> {
        let now = Timestamp::now();
        let Some(found) = self.read().await? else {
            let metadata = ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() };
            let lease = Lease { metadata, spec: None };
            let claim = record::claimed(lease, &self.identity, self.pace.lapse, now);
            self.leases
                .create(&PostParams::default(), &claim)
                .await
                .map_err(|source| self.not_written(source))?;
            return Ok(Attempt::Holds);
        };
        let silence = sight.silence(&found, Instant::now());
        match record::standing(&found, &self.identity, self.pace.lapse, silence) {
            Standing::Held { by, rest } => Ok(Attempt::HeldBy(by, rest)),
            Standing::Ours | Standing::Free => {
                self.write(record::claimed(found, &self.identity, self.pace.lapse, now)).await?;
                Ok(Attempt::Holds)
            }
        }
    }

    async fn read(&self) -> Result<Option<Lease>, Error> {
        let found = self.leases.get_opt(&self.name).await;
        found.map_err(|source| Error::Read { lease: self.name.clone(), source: Box::new(source) })
    }

    /// Writes over the version that was read; another one by now is refused.
    async fn write(&self, lease: Lease) -> Result<(), Error> {
        let written = self.leases.replace(&self.name, &PostParams::default(), &lease).await;
        written.map(drop).map_err(|source| self.not_written(source))
    }

    fn not_written(&self, source: kube::Error) -> Error {
        Error::Write { lease: self.name.clone(), source: Box::new(source) }
    }

    async fn in_time<T>(&self, call: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let late = || Error::Deadline { lease: self.name.clone(), seconds: self.pace.call.as_secs() };
        timeout(self.pace.call, call).await.unwrap_or_else(|_| Err(late()))
    }

    fn tell(&self, failure: &Error) {
        let error: &dyn std::error::Error = failure;
        let cause = error.source().map(ToString::to_string);
        warn!(lease = self.name, error = %failure, cause, "not sure of the lease, trying again");
    }
}

impl Term<'_> {
    /// Works until the work ends, and gives the lead back; or until the lead is lost, which ends the work where it is.
    ///
    /// # Errors
    /// When the lead is lost.
    pub(crate) async fn lead<T>(mut self, work: impl Future<Output = T>) -> Result<T, Error> {
        metrics::leading(true);
        let candidate = self.candidate;
        let outcome = tokio::select! {
            biased;
            lost = self.renewals() => Err(lost),
            done = work => {
                candidate.release().await;
                Ok(done)
            }
        };
        metrics::leading(false);
        outcome
    }

    /// Renews until that fails for too long.
    async fn renewals(&mut self) -> Error {
        let candidate = self.candidate;
        let (mut sight, mut wait) = (Sight::default(), candidate.pace.renew);
        loop {
            sleep(wait).await;
            let began = Instant::now();
            let attempt = candidate.in_time(candidate.attempt(&mut sight));
            wait = match timeout_at(self.renewed + candidate.pace.give_up, attempt).await {
                Ok(Ok(Attempt::Holds)) => {
                    self.renewed = began;
                    candidate.pace.renew
                }
                Ok(Ok(Attempt::HeldBy(holder, _))) => {
                    return Error::Lost { lease: candidate.name.clone(), holder };
                }
                Ok(Err(failure)) => {
                    candidate.tell(&failure);
                    candidate.pace.look
                }
                Err(_) => {
                    let seconds = candidate.pace.give_up.as_secs();
                    return Error::NotRenewed { lease: candidate.name.clone(), seconds };
                }
            };
        }
    }
}

impl Candidate {
    /// Lets the next one lead at once. Where that fails, it leads when the Lease has lapsed.
    async fn release(&self) {
        let release = async {
            match self.read().await? {
                Some(found) if record::is_held_by(&found, &self.identity) => {
                    self.write(record::released(found, Timestamp::now())).await
                }
                Some(_) | None => Ok(()),
            }
        };
        match self.in_time(release).await {
            Ok(()) => info!(lease = self.name, "gave the lease back"),
            Err(failure) => warn!(lease = self.name, error = %failure, "the lease was not given back"),
        }
    }
}
