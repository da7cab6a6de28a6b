//! The certificate authority of the local cluster and the certificates it signs.
//!
//! All are made at once on the first `up` and kept in one folder until `down`:
//! a half-written folder cannot be seen, because it is renamed into place when it is whole.
//! Kubernetes reads a client's user name from the common name and its groups from the organizations
//! (<https://kubernetes.io/docs/reference/access-authn-authz/authentication/#x509-client-certificates>).

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};

use super::network::{API_SERVICE_ADDRESS, NODE_ADDRESS, NODE_NAME};

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("failed to make the certificate `{name}`")]
    Make {
        name: &'static str,
        #[source]
        source: rcgen::Error,
    },
    #[error("failed to write `{}`", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
}

/// A certificate of the cluster: who it names and what it is good for.
struct Leaf {
    /// File name without `.crt` and `.key`.
    name: &'static str,
    common_name: String,
    organization: Option<&'static str>,
    usage: Usage,
}

enum Usage {
    /// Proves who a client is.
    Client,
    /// Proves a server that is called by these names and addresses.
    Server(Vec<String>),
}

/// Makes the authority, every certificate and the key pair that signs service-account tokens, unless they are there.
pub(crate) fn ensure(folder: &Path) -> Result<(), Error> {
    if folder.is_dir() {
        return Ok(());
    }
    let unfinished = folder.with_extension("unfinished");
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished).map_err(writing(&unfinished))?;
    }
    fs::create_dir_all(&unfinished).map_err(writing(&unfinished))?;
    write_all(&unfinished)?;
    fs::rename(&unfinished, folder).map_err(writing(folder))
}

fn write_all(folder: &Path) -> Result<(), Error> {
    let authority = authority()?;
    write_public(folder, "ca.crt", &authority.pem())?;
    write_secret(folder, "ca.key", &authority.key().serialize_pem())?;
    for leaf in leaves() {
        let key = key(leaf.name)?;
        let certificate = parameters(&leaf)
            .and_then(|parameters| parameters.signed_by(&key, &authority))
            .map_err(making(leaf.name))?;
        write_public(folder, &format!("{}.crt", leaf.name), &certificate.pem())?;
        write_secret(folder, &format!("{}.key", leaf.name), &key.serialize_pem())?;
    }
    let tokens = key("service-account")?;
    write_public(folder, "service-account.pub", &tokens.public_key_pem())?;
    write_secret(folder, "service-account.key", &tokens.serialize_pem())
}

fn leaves() -> Vec<Leaf> {
    let loopback = || "127.0.0.1".to_owned();
    let api_server = vec![
        "kubernetes".to_owned(),
        "kubernetes.default".to_owned(),
        "kubernetes.default.svc".to_owned(),
        "localhost".to_owned(),
        loopback(),
        API_SERVICE_ADDRESS.to_string(),
        NODE_ADDRESS.to_string(),
    ];
    let kubelet = vec![NODE_NAME.to_owned(), NODE_ADDRESS.to_string()];
    let local = || vec!["localhost".to_owned(), loopback()];
    vec![
        server("apiserver", "kube-apiserver", api_server),
        server("kubelet-server", NODE_NAME, kubelet),
        server("controller-manager-server", "kube-controller-manager", local()),
        server("scheduler-server", "kube-scheduler", local()),
        client("admin", "admin", Some("system:masters")),
        client("apiserver-to-kubelet", "kube-apiserver-kubelet-client", Some("system:masters")),
        client("controller-manager", "system:kube-controller-manager", None),
        client("scheduler", "system:kube-scheduler", None),
        client("kubelet", &format!("system:node:{NODE_NAME}"), Some("system:nodes")),
        client("proxy", "system:kube-proxy", None),
    ]
}

fn server(name: &'static str, common_name: &str, names: Vec<String>) -> Leaf {
    Leaf { name, common_name: common_name.to_owned(), organization: None, usage: Usage::Server(names) }
}

fn client(name: &'static str, common_name: &str, organization: Option<&'static str>) -> Leaf {
    Leaf { name, common_name: common_name.to_owned(), organization, usage: Usage::Client }
}

fn authority() -> Result<CertifiedIssuer<'static, KeyPair>, Error> {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name.push(DnType::CommonName, "millrace local stack");
    parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    CertifiedIssuer::self_signed(parameters, key("ca")?).map_err(making("ca"))
}

fn parameters(leaf: &Leaf) -> Result<CertificateParams, rcgen::Error> {
    let (names, purpose) = match &leaf.usage {
        Usage::Client => (Vec::new(), ExtendedKeyUsagePurpose::ClientAuth),
        Usage::Server(names) => (names.clone(), ExtendedKeyUsagePurpose::ServerAuth),
    };
    let mut parameters = CertificateParams::new(names)?;
    parameters.distinguished_name.push(DnType::CommonName, leaf.common_name.as_str());
    if let Some(organization) = leaf.organization {
        parameters.distinguished_name.push(DnType::OrganizationName, organization);
    }
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    parameters.extended_key_usages = vec![purpose];
    parameters.use_authority_key_identifier_extension = true;
    Ok(parameters)
}

fn key(name: &'static str) -> Result<KeyPair, Error> {
    KeyPair::generate().map_err(making(name))
}

fn write_public(folder: &Path, name: &str, pem: &str) -> Result<(), Error> {
    let path = folder.join(name);
    fs::write(&path, pem).map_err(writing(&path))
}

/// Private keys are readable by their owner alone, from the first byte on.
fn write_secret(folder: &Path, name: &str, pem: &str) -> Result<(), Error> {
    let path = folder.join(name);
    fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
        .and_then(|mut file| file.write_all(pem.as_bytes()))
        .map_err(writing(&path))
}

fn making(name: &'static str) -> impl FnOnce(rcgen::Error) -> Error {
    move |source| Error::Make { name, source }
}

fn writing(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Write { path, source }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn certificates_are_made_once_and_kept() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("pki");
        ensure(&folder).unwrap();
        let first = fs::read(folder.join("ca.crt")).unwrap();
        ensure(&folder).unwrap();
        assert_eq!(fs::read(folder.join("ca.crt")).unwrap(), first);
    }

    #[test]
    fn an_interrupted_run_is_made_again_from_the_start() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("pki");
        fs::create_dir(folder.with_extension("unfinished")).unwrap();
        fs::write(folder.with_extension("unfinished").join("ca.key"), "half a key").unwrap();
        ensure(&folder).unwrap();
        assert!(folder.join("service-account.pub").is_file());
    }

    #[test]
    fn every_private_key_is_readable_by_its_owner_alone() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("pki");
        ensure(&folder).unwrap();
        let keys: Vec<PathBuf> = fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "key"))
            .collect();
        assert_eq!(keys.len(), leaves().len() + 2);
        for key in keys {
            let mode = fs::metadata(&key).unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "{}", key.display());
        }
    }

    #[test]
    fn the_api_server_is_named_by_its_node_and_its_service_address() {
        let Usage::Server(names) = &leaves()[0].usage else {
            panic!("the first certificate is the API server's");
        };
        assert!(names.contains(&"10.244.255.1".to_owned()));
        assert!(names.contains(&"10.96.0.1".to_owned()));
    }
}
