//! Logs and metrics of a process.

use std::{io::IsTerminal as _, time::Duration};

use anyhow::Context as _;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

/// Options of the log, to be flattened into a binary's options.
#[derive(Debug, Clone, clap::Args)]
pub struct LogOptions {
    /// How log lines look.
    #[arg(long, env = "MILLRACE_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,

    /// Which log lines are written, as directives of tracing's EnvFilter, for example `info,consumer=debug`.
    #[arg(long, env = "MILLRACE_LOG", default_value = "info")]
    pub log_filter: String,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// One line for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Starts the log on standard error.
///
/// # Errors
/// When the filter cannot be parsed, or a log was started before.
pub fn init(options: &LogOptions) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&options.log_filter)
        .with_context(|| format!("failed to parse the log filter `{}`", options.log_filter))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match options.log_format {
        LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    started.map_err(|cause| anyhow::anyhow!("failed to start the log: {cause}"))
}

/// The process' metrics, to be rendered in Prometheus' text format.
#[derive(Clone)]
pub struct MetricsHandle(PrometheusHandle);

impl std::fmt::Debug for MetricsHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MetricsHandle")
    }
}

/// Upper bounds of the buckets of every `_seconds` histogram: from half a millisecond to a minute.
const SECONDS_BUCKETS: &[f64] =
    &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// The same of every `_rows` histogram: from a row to the most that a batch may have.
const ROWS_BUCKETS: &[f64] =
    &[1.0, 10.0, 100.0, 1_000.0, 10_000.0, 50_000.0, 100_000.0, 200_000.0, 500_000.0, 1_000_000.0];

/// The same of every `_bytes` histogram: from a kibibyte to 256 MiB, a factor of four each.
const BYTES_BUCKETS: &[f64] = &[
    1_024.0,
    4_096.0,
    16_384.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
    268_435_456.0,
];

/// Often enough that a few thousand samples a second stay below a megabyte.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// Makes the recorder behind the `metrics` macros.
///
/// # Errors
/// When the process has one already.
pub fn install_metrics() -> anyhow::Result<MetricsHandle> {
    let buckets = [("_seconds", SECONDS_BUCKETS), ("_rows", ROWS_BUCKETS), ("_bytes", BYTES_BUCKETS)];
    let builder = buckets.into_iter().try_fold(PrometheusBuilder::new(), |builder, (unit, bounds)| {
        builder.set_buckets_for_metric(Matcher::Suffix(unit.to_owned()), bounds)
    });
    let recorder = builder.context("failed to set the histogram buckets")?.build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder)
        .map_err(|_| anyhow::anyhow!("a metrics recorder is installed already"))?;
    Ok(MetricsHandle(handle))
}

impl MetricsHandle {
    /// A handle whose recorder nobody writes to, for tests that run several processes in one.
    #[must_use]
    pub fn detached() -> Self {
        Self(PrometheusBuilder::new().build_recorder().handle())
    }

    /// Compacts the histograms every few seconds until the stop: without a scraper they would keep every sample.
    ///
    /// # Errors
    /// Never; the type is that of a task.
    pub async fn upkeep(self, stop: CancellationToken) -> anyhow::Result<()> {
        while stop.run_until_cancelled(sleep(UPKEEP_INTERVAL)).await.is_some() {
            self.0.run_upkeep();
        }
        Ok(())
    }

    /// The metrics in Prometheus' text format. Histograms are compacted on the way.
    #[must_use]
    pub fn render(&self) -> String {
        self.0.run_upkeep();
        self.0.render()
    }
}
