//! What a Kafka needs on disk before it starts: its configuration, its secrets, and a data folder it accepts.

use std::fs;
use std::io;
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;

use super::options::KafkaOptions;
use super::{java, secrets, server_properties};
use crate::command;
use crate::folders::{self, Folders};

/// It takes 1 to 2 s on an idle machine.
const FORMAT: Duration = Duration::from_secs(60);

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Folder(folders::Error),
    #[error(transparent)]
    Secrets(secrets::Error),
    #[error("failed to write `{}`", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("failed to remove the unfinished data folder `{}`", path.display())]
    RemoveUnfinished {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("failed to make Kafka's data folder")]
    Format {
        #[source]
        source: command::Error,
    },
}

/// Writes the configuration, and makes secrets and data folder unless they are there.
pub(super) fn prepare(folders: &Folders, installation: &Path, options: &KafkaOptions) -> Result<(), Error> {
    let folder = options.folder(folders);
    folders::create(&folder.join("tmp")).map_err(Error::Folder)?;
    if let Some(port) = options.secured_port {
        secrets::ensure(&folder, SocketAddrV4::new(options.listen, port)).map_err(Error::Secrets)?;
    }
    write(&java::properties(&folder), &server_properties::text(options, &folder))?;
    let formatted = folder.join("formatted");
    if formatted.is_file() {
        return Ok(());
    }
    format(installation, options, &folder)?;
    write(&formatted, "")
}

/// The user of the secured listener has to be known before the broker starts: it is written into the new data folder.
/// The arguments are in a file, as a command line can be read by everyone.
fn format(installation: &Path, options: &KafkaOptions, folder: &Path) -> Result<(), Error> {
    let data = folder.join("data");
    if data.exists() {
        fs::remove_dir_all(&data).map_err(|source| Error::RemoveUnfinished { path: data, source })?;
    }
    let mut arguments = format!("--cluster-id\n{}\n", cluster_id());
    if let Some(port) = options.secured_port {
        let user = secrets::read(folder, SocketAddrV4::new(options.listen, port)).map_err(Error::Secrets)?;
        arguments +=
            &format!("--add-scram\nSCRAM-SHA-512=[name={},password={}]\n", user.username, user.password);
    }
    let file = folder.join("format-arguments");
    secrets::write_secret(&file, &arguments).map_err(Error::Secrets)?;
    command::finish(&mut java::storage_tool(installation, folder, &file), FORMAT)
        .map_err(|source| Error::Format { source })?;
    fs::remove_file(&file).map_err(|source| Error::Write { path: file, source })
}

/// Kafka writes ids as 16 bytes in the URL's variant of base64, without padding.
/// Its option parser takes a value that begins with a dash for an option.
fn cluster_id() -> String {
    let id = URL_SAFE_NO_PAD.encode(Uuid::new_v4());
    if id.starts_with('-') { id.replacen('-', "M", 1) } else { id }
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    fs::write(path, text).map_err(|source| Error::Write { path: path.to_owned(), source })
}
