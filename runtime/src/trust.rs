//! Whom a client trusts: a given authority, or those of the system.

use anyhow::Context as _;
use hyper::Uri;
use hyper_rustls::ConfigBuilderExt as _;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};

/// The TLS of a client of this server: it trusts the authorities in the PEM, else those of the system.
///
/// Without TLS the system's are not loaded, since they take a few megabytes; a PEM is read all the same, so that a
/// broken one is found at the start.
///
/// # Errors
/// When the PEM holds no usable certificate, or the system has no authorities.
pub fn client_config(server: &Uri, ca_pem: Option<&str>) -> anyhow::Result<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .context("failed to choose the TLS versions")?;
    let is_plain = server.scheme_str() == Some("http");
    let with_roots = match ca_pem {
        Some(pem) => builder.with_root_certificates(roots(pem)?),
        None if is_plain => builder.with_root_certificates(RootCertStore::empty()),
        None => builder.with_native_roots().context("failed to load the system's certificates")?,
    };
    Ok(with_roots.with_no_client_auth())
}

fn roots(pem: &str) -> anyhow::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate = certificate.context("failed to read the authority's certificate")?;
        roots.add(certificate).context("failed to use the authority's certificate")?;
    }
    anyhow::ensure!(!roots.is_empty(), "the PEM of the authority holds no certificate");
    Ok(roots)
}
