//! Writes the archive of Kafka's classes: a Kafka runs once, and Java writes down what it loaded when it ends.

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use crate::folders::Folders;
use crate::kafka::{Aim, ClassArchive, KafkaOptions, start_bound};
use crate::{ports, process};

/// Java writes 50 MB when it ends, which takes 3 s on an idle machine.
const END: Duration = Duration::from_secs(60);

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("failed to make a folder for a Kafka that runs once")]
    Folder {
        #[source]
        source: std::io::Error,
    },
    #[error("failed to find free ports")]
    Ports {
        #[source]
        source: std::io::Error,
    },
    #[error("failed to run Kafka once: {reason}")]
    Run { reason: String },
}

/// Writes the archive into the installation. The listener with TLS is part of it, whose classes are many.
pub(super) fn write(installation: &Path) -> Result<(), Error> {
    let state = tempfile::tempdir().map_err(|source| Error::Folder { source })?;
    let port = || ports::free().map_err(|source| Error::Ports { source });
    let options = KafkaOptions {
        name: "kafka-once".to_owned(),
        listen: Ipv4Addr::LOCALHOST,
        port: port()?,
        controller_port: port()?,
        secured_port: Some(port()?),
        heap_mib: 512,
        aim: Aim::QuickStart,
        extra: Vec::new(),
    };
    let folders = Folders {
        state: state.path().to_owned(),
        cache: installation.to_owned(),
        checkout: installation.to_owned(),
    };
    let run = || -> anyhow::Result<()> {
        start_bound(&folders, installation, &options, ClassArchive::Write)?;
        process::stop(&folders, &options.name, END)
    };
    run().map_err(|error| Error::Run { reason: format!("{error:#}") })
}
