//! The command line.

use clap::{Parser, Subcommand};

/// The local stack of Millrace: real Kafka, ClickHouse and Kubernetes on this machine, without Docker.
///
/// It needs root on Debian, and go, java, mvn, npm and node; what else it needs it installs, builds or downloads.
/// All that runs is in $XDG_STATE_HOME/millrace (~/.local/state/millrace), which `down` removes.
/// What was built once is in $XDG_CACHE_HOME/millrace (~/.cache/millrace), which stays.
#[derive(Debug, Parser)]
#[command(name = "dev", version, disable_help_subcommand = true)]
pub struct Args {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start what does not run, and show every part.
    ///
    /// The first time it compiles Kubernetes, which takes some 10 minutes on two cores; afterwards it takes seconds.
    /// Run it again after a part was killed or the machine restarted: data is kept, and what runs is left alone.
    Up,
    /// Stop everything and remove all it left: processes, containers, bridges, mounts, packet rules, data.
    ///
    /// What was built or downloaded stays in the cache. Anything that could not be removed is listed.
    Down,
    /// Show every part: version, address, process id, log. Fails if one of them does not answer.
    Status,
    /// Compile operator, ingester and consumer, and bring their images into the running cluster.
    ///
    /// Prints one reference per line. A binary that did not change keeps its image.
    Images,
    /// Show the whole line on this machine: from one YAML file to events that are read back.
    ///
    /// Starts the stack, compiles the binaries, installs the chart, applies examples/quickstart.yaml, sends
    /// GitHub's webhook deliveries and a shop's visitors through the ingester, and compares what is stored with
    /// what was sent. The last line is `demo: sent=N stored=N missing=0 duplicates=0`; anything else is a failure.
    /// It can be repeated: the deliveries are the same events each time, the visitors are new ones.
    Demo {
        /// How many events of the shop's visitors are sent.
        #[arg(long, default_value_t = 200_000)]
        events: u64,
    },
}
