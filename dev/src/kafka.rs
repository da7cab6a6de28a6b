//! Kafka: one process that is broker and controller at once, without ZooKeeper.
//!
//! The shared one listens on the node's address, in the clear and secured (TLS and SCRAM-SHA-512).
//! A test that breaks its Kafka starts a private one on loopback.

use std::path::PathBuf;
use std::time::Duration;

use crate::artifacts;
use crate::folders::Folders;
use crate::kubernetes::network::NODE_ADDRESS;
use crate::process::{self, Process};
use crate::status::Part;

mod java;
mod metadata;
mod options;
mod private;
mod secrets;
mod server_properties;
mod storage;

pub use options::{Aim, KafkaOptions};
pub use private::PrivateKafka;
pub use secrets::SecuredKafka;

/// The version that `dev/kafka/pom.xml` requires.
pub(crate) const VERSION: &str = "4.1.0";

/// The name of the shared one: of its process record, its log and its folder.
pub(crate) const NAME: &str = "kafka";

const PORT: u16 = 9092;
const SECURED_PORT: u16 = 9093;
const CONTROLLER_PORT: u16 = 9094;

/// Kafka is ready after 1.5 to 3 s on an idle machine, and after several times that while others compile.
const START: Duration = Duration::from_secs(90);

/// Time to hand over and to write its log to disk; it needs less than a second for what tests and demo leave.
const GRACE: Duration = Duration::from_secs(20);

/// Whether Java reads the classes' archive or writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClassArchive {
    Read,
    Write,
}

/// Starts the shared Kafka, or finds it running, and waits until it accepts requests.
///
/// # Errors
/// When it does not become ready; its log is named.
pub fn up(folders: &Folders) -> anyhow::Result<Part> {
    let process = start(folders, &shared())?;
    Ok(part(folders, Some(&process), Ok(())))
}

/// What the shared Kafka looks like now.
#[must_use]
pub fn status(folders: &Folders) -> Part {
    let process = process::find(folders, NAME);
    let health =
        metadata::ask(shared().address()).map_err(|error| format!("{:#}", anyhow::Error::new(error)));
    part(folders, process.as_ref(), health)
}

/// Stops the shared Kafka. Its data stays.
///
/// # Errors
/// When its process cannot be ended.
pub fn down(folders: &Folders) -> anyhow::Result<()> {
    stop(folders, NAME)
}

/// Where clients of the shared Kafka connect.
pub(crate) fn bootstrap_servers() -> String {
    shared().address().to_string()
}

/// The user and the authority of the shared Kafka's secured listener.
///
/// # Errors
/// When it was never started.
pub(crate) fn secured(folders: &Folders) -> anyhow::Result<SecuredKafka> {
    shared().secured(folders)
}

/// Every address the shared Kafka listens on.
pub(crate) fn listens() -> Vec<std::net::SocketAddrV4> {
    shared().listens()
}

fn shared() -> KafkaOptions {
    KafkaOptions {
        name: NAME.to_owned(),
        listen: NODE_ADDRESS,
        port: PORT,
        controller_port: CONTROLLER_PORT,
        secured_port: Some(SECURED_PORT),
        heap_mib: 512,
        aim: Aim::Throughput,
        extra: Vec::new(),
    }
}

/// Starts a Kafka that stays until it is stopped.
pub(crate) fn start(folders: &Folders, options: &KafkaOptions) -> anyhow::Result<Process> {
    let installation = artifacts::kafka(folders);
    storage::prepare(folders, &installation, options)?;
    let spec = java::broker(&installation, options, &options.folder(folders), ClassArchive::Read);
    let process = process::start(folders, &spec)?;
    wait(folders, options)?;
    Ok(process)
}

/// Starts a Kafka that ends with this program.
pub(crate) fn start_bound(
    folders: &Folders,
    installation: &std::path::Path,
    options: &KafkaOptions,
    archive: ClassArchive,
) -> anyhow::Result<Process> {
    storage::prepare(folders, installation, options)?;
    let spec = java::broker(installation, options, &options.folder(folders), archive);
    let process = process::start_bound(folders, &spec)?;
    wait(folders, options)?;
    Ok(process)
}

pub(crate) fn stop(folders: &Folders, name: &str) -> anyhow::Result<()> {
    process::stop(folders, name, GRACE)
}

fn wait(folders: &Folders, options: &KafkaOptions) -> anyhow::Result<()> {
    process::until(folders, &options.name, START, || metadata::ask(options.address()))
}

fn part(folders: &Folders, process: Option<&Process>, health: Result<(), String>) -> Part {
    Part {
        name: NAME.to_owned(),
        version: VERSION.to_owned(),
        address: format!("{}, SASL_SSL {SECURED_PORT}", bootstrap_servers()),
        pid: process.map(|process| process.pid),
        log: log(folders),
        health,
    }
}

fn log(folders: &Folders) -> PathBuf {
    folders.log(NAME)
}
