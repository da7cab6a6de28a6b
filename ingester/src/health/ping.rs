//! ClickHouse's `/ping`, over HTTP or over HTTPS with the authority that signed its certificate.

use std::time::Duration;

use anyhow::Context as _;
use axum::{
    body::Bytes,
    http::{StatusCode, Uri},
};
use http_body_util::Empty;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use runtime::trust::client_config;
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
            .with_tls_config(
                client_config(&uri, ca_pem)
                    .context("failed to use ClickHouse's authority certificate, or the system's")?,
            )
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

#[cfg(test)]
mod tests;
