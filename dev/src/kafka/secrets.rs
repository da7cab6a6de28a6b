//! The user, the authority and the server's key of the secured listener. Made once, kept in the Kafka's folder.

use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::net::SocketAddrV4;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rand::distr::{Alphanumeric, SampleString};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};

use crate::folders;

const USER: &str = "millrace";

/// 24 letters and digits, 142 bits.
const PASSWORD_CHARACTERS: usize = 24;

/// How a client uses the secured listener.
#[derive(Clone, PartialEq, Eq)]
pub struct SecuredKafka {
    pub bootstrap_servers: String,
    pub username: String,
    pub password: String,
    /// The authority that signed the server's certificate, as PEM.
    pub ca_pem: String,
}

impl fmt::Debug for SecuredKafka {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = (&self.bootstrap_servers, &self.username);
        formatter.debug_tuple("SecuredKafka").field(&shown).finish_non_exhaustive()
    }
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Folder(folders::Error),
    #[error("failed to read `{}`", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("failed to write `{}`", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("failed to make the certificates of Kafka's secured listener")]
    Certify {
        #[source]
        source: rcgen::Error,
    },
}

/// The server's key and certificate in one file, as Kafka reads them.
pub(super) fn keystore(folder: &Path) -> PathBuf {
    folder.join("secrets/server.pem")
}

/// Makes what is missing.
pub(super) fn ensure(folder: &Path, address: SocketAddrV4) -> Result<(), Error> {
    let secrets = folder.join("secrets");
    // Written last, so the others are there if it is.
    if password_file(folder).is_file() {
        return Ok(());
    }
    folders::create(&secrets).map_err(Error::Folder)?;
    let (authority, server) = certificates(address).map_err(|source| Error::Certify { source })?;
    write_secret(&authority_file(folder), &authority)?;
    write_secret(&keystore(folder), &server)?;
    let password = Alphanumeric.sample_string(&mut rand::rng(), PASSWORD_CHARACTERS);
    write_secret(&password_file(folder), &password)
}

pub(super) fn read(folder: &Path, address: SocketAddrV4) -> Result<SecuredKafka, Error> {
    let read = |path: PathBuf| fs::read_to_string(&path).map_err(|source| Error::Read { path, source });
    Ok(SecuredKafka {
        bootstrap_servers: address.to_string(),
        username: USER.to_owned(),
        password: read(password_file(folder))?,
        ca_pem: read(authority_file(folder))?,
    })
}

/// A new file that only its owner reads.
pub(super) fn write_secret(path: &Path, text: &str) -> Result<(), Error> {
    let write = || -> io::Result<()> {
        let mut options = fs::OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path)?;
        file.write_all(text.as_bytes())
    };
    write().map_err(|source| Error::Write { path: path.to_owned(), source })
}

fn authority_file(folder: &Path) -> PathBuf {
    folder.join("secrets/ca.pem")
}

fn password_file(folder: &Path) -> PathBuf {
    folder.join("secrets/password")
}

/// The authority's certificate, and the server's key with its certificate.
fn certificates(address: SocketAddrV4) -> Result<(String, String), rcgen::Error> {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name.push(DnType::CommonName, "Millrace local Kafka");
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let authority = CertifiedIssuer::self_signed(parameters, KeyPair::generate()?)?;

    let key = KeyPair::generate()?;
    let mut parameters = CertificateParams::new([address.ip().to_string(), "localhost".to_owned()])?;
    parameters.distinguished_name.push(DnType::CommonName, "kafka");
    let certificate = parameters.signed_by(&key, &authority)?;
    Ok((authority.pem(), key.serialize_pem() + &certificate.pem()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_made_once_and_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let address = "127.0.0.1:9093".parse().unwrap();
        ensure(folder.path(), address).unwrap();
        let first = read(folder.path(), address).unwrap();
        ensure(folder.path(), address).unwrap();
        assert_eq!(read(folder.path(), address).unwrap(), first);
        assert!(first.ca_pem.starts_with("-----BEGIN CERTIFICATE-----"));
        assert_eq!(first.password.len(), PASSWORD_CHARACTERS);
    }

    #[test]
    fn a_password_is_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let address = "127.0.0.1:9093".parse().unwrap();
        ensure(folder.path(), address).unwrap();
        let secured = read(folder.path(), address).unwrap();
        assert!(!format!("{secured:?}").contains(&secured.password));
    }
}
