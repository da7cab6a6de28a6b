//! The settings file: read at the start, then polled, so that new and revoked keys take effect without a restart.
//!
//! Polled and not watched, because kubelet swaps a mounted Secret by renaming a symbolic link, and because a poll
//! cannot miss anything. A file that cannot be read leaves the last good keys valid, and no others.

use std::{path::Path, sync::Arc, time::Duration};

use metrics::{counter, gauge};
use schema::settings::IngesterSettings;
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::authenticate::KeyRing;

/// Why the settings file could not be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("failed to read the settings file `{path}`")]
    Read {
        path: String,
        #[source]
        source: std::io::Error,
    },
    #[error("failed to read the settings file `{path}` in time")]
    TooSlow { path: String },
    /// The place alone: serde_json's own text may quote the file, which holds secrets.
    #[error("failed to parse the settings file `{path}` at line {line}, column {column}")]
    Parse { path: String, line: usize, column: usize },
}

impl Error {
    /// A label for logs.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Read { .. } => "unreadable",
            Self::TooSlow { .. } => "too_slow",
            Self::Parse { .. } => "not_settings",
        }
    }
}

/// How long one reading of the file may take: a mounted file may lie on a disk that hangs.
const READ_DEADLINE: Duration = Duration::from_secs(5);

/// Reads the settings file.
///
/// # Errors
/// When it cannot be read in time, or is not the settings of an ingester.
pub(crate) async fn read(path: &Path) -> Result<IngesterSettings, Error> {
    let shown = path.display().to_string();
    let content = match timeout(READ_DEADLINE, tokio::fs::read(path)).await {
        Err(_) => return Err(Error::TooSlow { path: shown }),
        Ok(Err(source)) => return Err(Error::Read { path: shown, source }),
        Ok(Ok(content)) => content,
    };
    serde_json::from_slice(&content).map_err(|cause| Error::Parse {
        path: shown,
        line: cause.line(),
        column: cause.column(),
    })
}

/// The keys as they are now, for those who authenticate.
pub(crate) type Keys = watch::Receiver<Arc<KeyRing>>;

/// The settings as they were read last, and the keys made of them. Options that override addresses are not in them.
#[derive(Debug)]
pub(crate) struct Current {
    settings: IngesterSettings,
    keys: watch::Sender<Arc<KeyRing>>,
    /// Whether the last reading failed, so that a file that stays bad is told of once.
    is_stale: bool,
}

impl Current {
    pub(crate) fn new(settings: IngesterSettings) -> (Self, Keys) {
        let ring = KeyRing::of(&settings.pipelines);
        gauge!("ingester_keys").set(ring.len() as f64);
        let (keys, receiver) = watch::channel(Arc::new(ring));
        (Self { settings, keys, is_stale: false }, receiver)
    }

    /// Takes over what was read, or keeps what was good.
    fn take(&mut self, read: Result<IngesterSettings, Error>) {
        let settings = match read {
            Ok(settings) => settings,
            Err(error) => return self.keep(&error),
        };
        self.is_stale = false;
        if settings == self.settings {
            return;
        }
        if self.has_other_addresses_than(&settings) {
            warn!("the addresses in the settings file changed; they count after a restart");
        }
        let ring = KeyRing::of(&settings.pipelines);
        info!(keys = ring.len(), "took over the keys of the settings file");
        gauge!("ingester_keys").set(ring.len() as f64);
        counter!("ingester_settings_reads_total", "outcome" => "changed").increment(1);
        self.keys.send_replace(Arc::new(ring));
        self.settings = settings;
    }

    pub(crate) fn has_other_addresses_than(&self, settings: &IngesterSettings) -> bool {
        let addresses = |settings: &IngesterSettings| {
            (settings.kafka.clone(), settings.clickhouse_url.clone(), settings.clickhouse_ca_pem.clone())
        };
        addresses(settings) != addresses(&self.settings)
    }

    fn keep(&mut self, error: &Error) {
        counter!("ingester_settings_reads_total", "outcome" => error.reason()).increment(1);
        if !self.is_stale {
            warn!(reason = error.reason(), "{error}; the last good keys stay valid");
        }
        self.is_stale = true;
    }
}

/// Polls the file until the shutdown.
pub(crate) async fn follow(
    mut current: Current,
    path: Arc<Path>,
    every: Duration,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            () = sleep(every) => current.take(read(&path).await),
        }
    }
}

#[cfg(test)]
mod tests;
