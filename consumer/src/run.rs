//! The whole process: settings, probes, the loop on its thread and the task that stores.

mod gaps;
mod group;
pub(crate) mod read;
mod starts;
mod take;
mod turn;
mod wait;

use std::{
    path::Path,
    sync::{Arc, mpsc as blocking},
    time::Duration,
};

use anyhow::Context as _;
use runtime::{
    health::Health,
    server::{Limits, serve},
    shutdown::Shutdown,
    tasks::Tasks,
    telemetry::{self, MetricsHandle},
};
use schema::settings::ConsumerSettings;
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
};
use tracing::{Instrument as _, info_span};

use crate::{
    args::Options,
    audit::{Audit, sample::Committed},
    batch::Batch,
    incarnation::Incarnation,
    insert::Inserter,
    metrics as names,
    poll::Source,
    retry::Pace,
    run::turn::{Channels, Done, Job, Loop},
    store::Store,
};

/// What the stop of all tasks may take beyond the stop of the loop.
const STOP_MARGIN: Duration = Duration::from_secs(5);
/// The client that knows the topic is given back when it was not asked for this long.
const IDLE_CLIENT: Duration = Duration::from_secs(60);

/// Runs the consumer until the shutdown is requested, then finishes the running insert, commits and leaves.
///
/// # Errors
/// When the settings cannot be read or used, the address is taken, or a task fails.
pub async fn run(options: Options, shutdown: Shutdown) -> anyhow::Result<()> {
    let settings = Arc::new(read_settings(&options.settings)?);
    // A second consumer in one process, as tests have it, shows no metrics of its own.
    let recorder = telemetry::install_metrics().unwrap_or_else(|_| MetricsHandle::detached());
    names::describe();
    let inserter = Inserter::new(&settings.clickhouse, options.insert_timeout())?;
    let listener = TcpListener::bind(options.listen)
        .await
        .with_context(|| format!("failed to listen on {}", options.listen))?;
    let source = Source::join(&settings).context("failed to join the consumer group")?;

    let health = Health::new();
    let probes = runtime::health::router(health.clone(), recorder.clone());
    let incarnation = Incarnation::new(Arc::clone(&settings));
    let store = Store::new(Arc::clone(&settings), inserter, Pace::default());
    let (jobs, waiting_jobs) = mpsc::channel(1);
    let (done, waiting_done) = blocking::channel();
    let (committed, seen_committed) = watch::channel(Committed::new());
    let audit = Audit::new(Arc::clone(&settings), seen_committed)?;
    let stop_timeout = options.stop_timeout();
    let channels = Channels { jobs, done: waiting_done, committed };
    let consumer = Loop::new(settings, source, channels, &health, shutdown.clone(), stop_timeout);

    let mut tasks = Tasks::new(shutdown.clone());
    tasks.run("probes", serve(listener, probes, Limits::default(), shutdown.token()));
    tasks.run("metrics", recorder.upkeep(shutdown.token()));
    tasks.run("audit", audit.run(shutdown.token()));
    tasks.run("store", store_jobs(incarnation, store, waiting_jobs, done));
    tasks.run_blocking("poll", move || consumer.run());
    tasks.finish(stop_timeout + STOP_MARGIN).await
}

fn read_settings(file: &Path) -> anyhow::Result<ConsumerSettings> {
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("failed to read the settings `{}`", file.display()))?;
    // The parser's own words may quote a password.
    serde_json::from_str(&text).map_err(|cause| {
        let (line, column) = (cause.line(), cause.column());
        anyhow::anyhow!("failed to parse the settings `{}` at line {line}, column {column}", file.display())
    })
}

/// Stores batch after batch, until the loop has ended.
async fn store_jobs(
    mut incarnation: Incarnation,
    mut store: Store,
    mut jobs: mpsc::Receiver<Job>,
    done: blocking::Sender<Done>,
) -> anyhow::Result<()> {
    loop {
        let Ok(job) = tokio::time::timeout(IDLE_CLIENT, jobs.recv()).await else {
            incarnation.close().await;
            continue;
        };
        let Some(Job { batch, cancelled }) = job else { break };
        let trace_id = batch.trace.map(tracing::field::display);
        let span = info_span!("batch", batch.id = batch.id.0, rows = batch.rows(), trace_id);
        let storing = store_confirmed(&mut incarnation, &mut store, &batch);
        let is_stored = cancelled.run_until_cancelled(storing.instrument(span)).await.is_some();
        if done.send(Done { batch, is_stored }).is_err() {
            break;
        }
    }
    incarnation.close().await;
    Ok(())
}

/// Stores a batch once it is known that its records are of our topic.
async fn store_confirmed(incarnation: &mut Incarnation, store: &mut Store, batch: &Batch) {
    incarnation.confirm().await;
    let mut storing = std::pin::pin!(store.store(batch));
    if tokio::time::timeout(IDLE_CLIENT, &mut storing).await.is_err() {
        incarnation.close().await;
        storing.await;
    }
}

#[cfg(test)]
mod tests;
