//! The options of the process.
//!
//! What is said by a flag wins over the environment, that over the file of `--config`, that over the defaults.
//! The file is read first and replaces the defaults, so that clap alone knows each option's name and type.

use std::{collections::BTreeMap, ffi::OsString, net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Arg, ArgMatches, CommandFactory as _, FromArgMatches as _, Parser};
use runtime::telemetry::LogOptions;

/// Brings the events of one pipeline from Kafka into ClickHouse, each exactly once.
///
/// An option is taken from its flag, else from its environment variable, else from the TOML file of --config
/// (where its name has underscores, for example `stop_timeout_ms = 20000`), else it has its default.
#[derive(Debug, Clone, Parser)]
#[command(name = "consumer", version)]
pub struct Options {
    /// TOML file with options.
    #[arg(long, env = "MILLRACE_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// JSON file with the settings of the pipeline, as the operator writes it.
    #[arg(long, env = "MILLRACE_SETTINGS", value_name = "FILE", default_value = schema::settings::MOUNTED_FILE)]
    pub settings: PathBuf,

    /// Address of /health/live, /health/ready and /metrics.
    #[arg(long, env = "MILLRACE_LISTEN", value_name = "ADDRESS", default_value = "0.0.0.0:9090")]
    pub listen: SocketAddr,

    /// Milliseconds after which an insert that was not answered is in doubt and made again, 100 to 120000.
    #[arg(long, env = "MILLRACE_INSERT_TIMEOUT_MS", value_name = "MS", default_value = "60000",
          value_parser = clap::value_parser!(u64).range(100..=120_000))]
    pub insert_timeout_ms: u64,

    /// Milliseconds that the running insert and its commit may take after SIGTERM, 0 to 600000.
    #[arg(long, env = "MILLRACE_STOP_TIMEOUT_MS", value_name = "MS", default_value = "20000",
          value_parser = clap::value_parser!(u64).range(0..=600_000))]
    pub stop_timeout_ms: u64,

    #[command(flatten)]
    pub log: LogOptions,
}

/// Why the options cannot be used.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("failed to read the options of `{}`", file.display())]
    Read { file: PathBuf, source: config::ConfigError },
    #[error("`{name}` in `{}` is no option", file.display())]
    Unknown { file: PathBuf, name: String },
    #[error(transparent)]
    Parse { source: clap::Error },
}

impl Options {
    /// The options of this process. It prints the help or what is wrong, and exits, where clap would.
    #[must_use]
    pub fn from_process() -> Self {
        Self::of(std::env::args_os().collect()).unwrap_or_else(|failure| match failure {
            Error::Parse { source } => source.exit(),
            failure @ (Error::Read { .. } | Error::Unknown { .. }) => {
                let chain = format!("{:#}", anyhow::Error::from(failure));
                Self::command().error(clap::error::ErrorKind::Io, chain).exit()
            }
        })
    }

    /// How long an insert may take.
    #[must_use]
    pub fn insert_timeout(&self) -> Duration {
        Duration::from_millis(self.insert_timeout_ms)
    }

    /// How long the process may take to stop.
    #[must_use]
    pub fn stop_timeout(&self) -> Duration {
        Duration::from_millis(self.stop_timeout_ms)
    }

    fn of(arguments: Vec<OsString>) -> Result<Self, Error> {
        let mut command = Self::command();
        if let Some(file) = config_file(&arguments) {
            for (name, value) in read(file.clone())? {
                let id = known(&command, &name).ok_or_else(|| Error::Unknown { file: file.clone(), name })?;
                // A default lives as long as the process, as those of the text above do.
                command = command.mut_arg(id, |arg| arg.default_value(&*value.leak()));
            }
        }
        let parse = |command: clap::Command| {
            let matches = command.try_get_matches_from(arguments)?;
            Self::from_arg_matches(&matches)
        };
        parse(command).map_err(|source| Error::Parse { source })
    }
}

/// The file that a flag or the environment names; every other mistake is left to the real parse.
fn config_file(arguments: &[OsString]) -> Option<PathBuf> {
    let command = Options::command().ignore_errors(true).disable_help_flag(true).disable_version_flag(true);
    let matches: ArgMatches = command.try_get_matches_from(arguments).ok()?;
    matches.get_one::<PathBuf>("config").cloned()
}

fn read(file: PathBuf) -> Result<BTreeMap<String, String>, Error> {
    let source = config::File::from(file.as_path()).format(config::FileFormat::Toml);
    config::Config::builder()
        .add_source(source)
        .build()
        .and_then(config::Config::try_deserialize)
        .map_err(|source| Error::Read { file, source })
}

fn known(command: &clap::Command, name: &str) -> Option<String> {
    let id = |arg: &Arg| arg.get_id().to_string();
    command.get_arguments().map(id).find(|id| id == name && id != "config")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(arguments: &[&str], file: &str) -> Result<Options, Error> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("consumer.toml");
        std::fs::write(&path, file).unwrap();
        let all = ["consumer", "--config", path.to_str().unwrap()]
            .into_iter()
            .chain(arguments.iter().copied())
            .map(OsString::from);
        Options::of(all.collect())
    }

    #[test]
    fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
        let read =
            options(&["--listen", "127.0.0.1:1"], "listen = \"127.0.0.1:2\"\nstop_timeout_ms = 7\n").unwrap();
        assert_eq!(read.listen.port(), 1);
        assert_eq!(read.stop_timeout(), Duration::from_millis(7));
        assert_eq!(read.insert_timeout(), Duration::from_secs(60));
        assert_eq!(read.settings, PathBuf::from(schema::settings::MOUNTED_FILE));
    }

    #[test]
    fn the_log_can_be_set_in_the_file() {
        assert_eq!(options(&[], "log_filter = \"debug\"").unwrap().log.log_filter, "debug");
    }

    #[test]
    fn a_name_that_is_no_option_is_refused() {
        assert!(matches!(options(&[], "listn = 1"), Err(Error::Unknown { name, .. }) if name == "listn"));
        assert!(matches!(options(&[], "config = \"x\""), Err(Error::Unknown { .. })));
    }

    #[test]
    fn a_value_that_is_none_is_refused() {
        assert!(matches!(options(&[], "listen = \"here\""), Err(Error::Parse { .. })));
        assert!(matches!(options(&[], "insert_timeout_ms = 1"), Err(Error::Parse { .. })));
        assert!(matches!(options(&["--insert-timeout-ms", "500000"], ""), Err(Error::Parse { .. })));
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let arguments = ["consumer", "--config", "/nowhere/x.toml"].map(OsString::from).to_vec();
        assert!(matches!(Options::of(arguments), Err(Error::Read { file, .. }) if file.ends_with("x.toml")));
    }

    #[test]
    fn the_help_explains_each_option() {
        insta::assert_snapshot!(Options::command().term_width(100).render_long_help().to_string());
    }
}
