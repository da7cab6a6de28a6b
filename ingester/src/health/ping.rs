//! ClickHouse's `/ping`, over HTTP or over HTTPS with the authority that signed its certificate.

use std::time::Duration;

use anyhow::Context as _;
use axum::{
    body::Bytes,
    http::{StatusCode, Uri},
};
use http_body_util::Empty;
use hyper_rustls::{ConfigBuilderExt as _, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use tokio::time::timeout;

const DEADLINE: Duration = Duration::from_secs(2);

/// How ClickHouse is asked whether it is there.
#[derive(Debug)]
pub(crate) struct Ping {
    client: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
    uri: Uri,
}

impl Ping {
    /// Prepares to ask the server at this base URL, whose authority is the given one, else one of the system's.
    ///
    /// # Errors
    /// When the URL is none, the PEM holds no usable certificate, or the system has no authorities.
    pub(crate) fn new(url: &str, ca_pem: Option<&str>) -> anyhow::Result<Self> {
        let uri: Uri = format!("{}/ping", url.trim_end_matches('/'))
            .parse()
            .context("failed to read the URL of ClickHouse")?;
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls(&uri, ca_pem)?)
            .https_or_http()
            .enable_http1()
            .build();
        Ok(Self { client: Client::builder(TokioExecutor::new()).build(connector), uri })
    }

    /// Whether it answers, and in time.
    pub(crate) async fn is_answered(&self) -> bool {
        let answer = timeout(DEADLINE, self.client.get(self.uri.clone())).await;
        matches!(answer, Ok(Ok(response)) if response.status() == StatusCode::OK)
    }
}

fn tls(uri: &Uri, ca_pem: Option<&str>) -> anyhow::Result<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .context("failed to choose the TLS versions")?;
    let is_plain = uri.scheme_str() == Some("http");
    let with_roots = match ca_pem {
        // Nothing of this is used without TLS, and the system's authorities take a few megabytes.
        _ if is_plain => builder.with_root_certificates(RootCertStore::empty()),
        Some(pem) => builder.with_root_certificates(roots(pem)?),
        None => builder.with_native_roots().context("failed to load the system's certificates")?,
    };
    Ok(with_roots.with_no_client_auth())
}

fn roots(pem: &str) -> anyhow::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate = certificate.context("failed to read ClickHouse's authority certificate")?;
        roots.add(certificate).context("failed to use ClickHouse's authority certificate")?;
    }
    anyhow::ensure!(!roots.is_empty(), "ClickHouse's authority certificate holds no certificate");
    Ok(roots)
}

#[cfg(test)]
mod tests;
