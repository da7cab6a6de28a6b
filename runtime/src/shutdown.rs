//! One request to stop, made by a signal or by the failure of a task, seen by everyone.

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::info;

/// The request to stop. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    token: CancellationToken,
}

impl Shutdown {
    /// A request that only [`Shutdown::request`] makes, for tests.
    #[must_use]
    pub fn manual() -> Self {
        Self::default()
    }

    /// A request that SIGTERM and SIGINT make.
    ///
    /// # Errors
    /// When the signal handlers cannot be installed.
    pub fn on_signals() -> anyhow::Result<Self> {
        let shutdown = Self::default();
        let mut terminate = signal(SignalKind::terminate()).context("failed to listen for SIGTERM")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("failed to listen for SIGINT")?;
        let asked = shutdown.clone();
        #[allow(clippy::disallowed_methods, reason = "it lives as long as the process and cannot fail")]
        tokio::spawn(async move {
            let signal = tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            };
            info!(signal, "stopping on {signal}");
            asked.request();
        });
        Ok(shutdown)
    }

    /// Asks everyone to stop.
    pub fn request(&self) {
        self.token.cancel();
    }

    /// Whether someone asked to stop.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        self.token.is_cancelled()
    }

    /// The request as a token to wait for.
    #[must_use]
    pub fn token(&self) -> CancellationToken {
        self.token.clone()
    }
}
