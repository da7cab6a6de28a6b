//! ClickHouse: the engine of a shared library in a process of its own, with its real HTTP and TCP servers.
//!
//! The shared one listens on the node's address. A test that breaks its ClickHouse starts a private one on loopback.
//! It cannot create users: they come from `users.xml`.

use std::path::Path;
use std::time::Duration;

use crate::artifacts;
use crate::folders::{self, Folders};
use crate::kubernetes::network::NODE_ADDRESS;
use crate::process::{self, Process, Spec};
use crate::status::Part;

mod configuration;
mod options;
mod private;
mod query;
mod user;

pub use options::{ClickHouseOptions, ExtraUsers};
pub use private::PrivateClickHouse;
pub use user::User;

/// The name of the shared one: of its process record, its log and its folder.
pub(crate) const NAME: &str = "clickhouse";

const HTTP_PORT: u16 = 8123;
const TCP_PORT: u16 = 9000;

/// Enough for the demo's load with its merges, and a part of what a developer's machine has.
const MAX_MEMORY_MIB: u32 = 4096;

/// ClickHouse answers after 0.3 s on an idle machine; on start it may have to load parts after a crash.
const START: Duration = Duration::from_secs(60);

/// SIGTERM ends it at once, as it has no handler for it; its tables survive that as they survive a crash.
const GRACE: Duration = Duration::from_secs(10);

/// Never ends. A block of one row sleeps 3 s, which is the longest the engine allows.
const SERVE: &str = "SYSTEM START LISTEN HTTP; SYSTEM START LISTEN TCP; \
    SELECT sleepEachRow(3) FROM numbers(1000000000) \
    SETTINGS function_sleep_max_microseconds_per_block = 0, max_block_size = 1, max_execution_time = 0 FORMAT Null";

/// Starts the shared ClickHouse, or finds it running, and waits until it answers queries.
///
/// # Errors
/// When it does not become ready; its log is named.
pub fn up(folders: &Folders) -> anyhow::Result<Part> {
    let options = shared();
    process::start(folders, &prepare(folders, &options)?)?;
    wait(folders, &options)?;
    Ok(status(folders))
}

/// What the shared ClickHouse looks like now.
#[must_use]
pub fn status(folders: &Folders) -> Part {
    let answer = ask(folders, &shared(), "SELECT version()");
    let version = answer.as_ref().map_or_else(|_| "26.7".to_owned(), |version| version.trim().to_owned());
    Part {
        name: NAME.to_owned(),
        version,
        address: format!("{}, TCP {TCP_PORT}", url()),
        pid: process::find(folders, NAME).map(|process| process.pid),
        log: folders.log(NAME),
        health: answer.map(drop).map_err(|error| format!("{error:#}")),
    }
}

/// Stops the shared ClickHouse. Its data stays.
///
/// # Errors
/// When its process cannot be ended.
pub fn down(folders: &Folders) -> anyhow::Result<()> {
    process::stop(folders, NAME, GRACE)
}

/// The shared ClickHouse's HTTP interface.
pub(crate) fn url() -> String {
    shared().url()
}

/// The shared ClickHouse's user.
///
/// # Errors
/// When it was never started.
pub(crate) fn user(folders: &Folders) -> anyhow::Result<User> {
    Ok(user::read(&shared().folder(folders))?)
}

/// Every address the shared ClickHouse listens on.
pub(crate) fn listens() -> Vec<std::net::SocketAddrV4> {
    shared().listens()
}

fn shared() -> ClickHouseOptions {
    ClickHouseOptions {
        name: NAME.to_owned(),
        listen: NODE_ADDRESS,
        http_port: HTTP_PORT,
        tcp_port: TCP_PORT,
        max_memory_mib: MAX_MEMORY_MIB,
        extra: ExtraUsers::default(),
    }
}

/// Starts a ClickHouse that ends with this program.
fn start_bound(folders: &Folders, options: &ClickHouseOptions) -> anyhow::Result<Process> {
    let process = process::start_bound(folders, &prepare(folders, options)?)?;
    wait(folders, options)?;
    Ok(process)
}

fn wait(folders: &Folders, options: &ClickHouseOptions) -> anyhow::Result<()> {
    process::until(folders, &options.name, START, || ask(folders, options, "SELECT 1").map(drop))
}

fn ask(folders: &Folders, options: &ClickHouseOptions, sql: &str) -> anyhow::Result<String> {
    let user = user::read(&options.folder(folders))?;
    Ok(query::ask(options.http_address(), &user, sql)?)
}

/// Writes what it needs on disk, and says how it is started.
fn prepare(folders: &Folders, options: &ClickHouseOptions) -> anyhow::Result<Spec> {
    let folder = options.folder(folders);
    folders::create(&folder.join("data"))?;
    let user = user::ensure(&folder)?;
    configuration::write(&folder, &folders.log(&options.name), options, &user)?;
    Ok(spec(folders, &folder, options))
}

fn spec(folders: &Folders, folder: &Path, options: &ClickHouseOptions) -> Spec {
    let flags = [
        ("--path", folder.join("data").display().to_string()),
        ("--config-file", configuration::file(folder).display().to_string()),
        // The level in the configuration file is not read; this one is.
        ("--log-level", "information".to_owned()),
        ("--listen_host", options.listen.to_string()),
        ("--http_port", options.http_port.to_string()),
        ("--tcp_port", options.tcp_port.to_string()),
        ("--query", SERVE.to_owned()),
    ];
    let library = artifacts::clickhouse_library(folders).display().to_string();
    let flags = flags.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]);
    Spec {
        name: options.name.clone(),
        program: artifacts::clickhouse_launcher(folders),
        args: [library].into_iter().chain(flags).collect(),
        env: Vec::new(),
        working_folder: Some(folder.to_owned()),
    }
}
