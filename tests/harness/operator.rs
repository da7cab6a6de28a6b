//! The operator inside the test's process, on a real API server, for tests whose backends are broken.
//!
//! On the shared API server it sees one namespace as if it were the whole cluster, so that it touches nothing of its
//! neighbours. On a private one it sees what its client may see.

use std::time::Duration;

use anyhow::Context as _;
use clap::Parser as _;
use hyper::Uri;
use kube::Client;
use kube::client::{Body, ClientBuilder};
use operator::args::Options;
use runtime::shutdown::Shutdown;
use tokio::task::JoinHandle;
use tower::util::MapRequestLayer;

use crate::kubernetes::config;
use crate::process::free_port;

/// Time that it gets to end.
const END: Duration = Duration::from_secs(30);

/// A running operator. It is stopped when this is dropped.
#[derive(Debug)]
pub struct Operator {
    shutdown: Shutdown,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Operator {
    /// Starts it on the shared API server, with these flags beside those that every operator needs.
    ///
    /// # Errors
    /// When the flags are wrong or the stack does not run.
    pub async fn start(namespace: &str, flags: &[String]) -> anyhow::Result<Self> {
        Self::start_with(client_of_one_namespace(namespace.to_owned()).await?, flags)
    }

    /// As `start`, with this client.
    ///
    /// # Errors
    /// When the flags are wrong.
    pub fn start_with(client: Client, flags: &[String]) -> anyhow::Result<Self> {
        let mut words = vec![
            "operator".to_owned(),
            format!("--listen=127.0.0.1:{}", free_port()?),
            "--ingester-image=localhost/none:none".to_owned(),
            "--consumer-image=localhost/none:none".to_owned(),
            "--kafka-replication-factor=1".to_owned(),
            "--kafka-min-insync-replicas=1".to_owned(),
        ];
        words.extend(flags.iter().cloned());
        let options = Options::try_parse_from(words)?;
        let shutdown = Shutdown::manual();
        #[allow(clippy::disallowed_methods, reason = "its owner is the value that is returned")]
        let task = tokio::spawn(operator::run(options, client, shutdown.clone()));
        Ok(Self { shutdown, task })
    }

    /// Whether it still runs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        !self.task.is_finished()
    }

    /// Asks it to end and waits until it did.
    ///
    /// # Errors
    /// Its failure, or that it did not end.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        self.shutdown.request();
        tokio::time::timeout(END, &mut self.task).await.context("the operator did not end")??
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        self.shutdown.request();
        self.task.abort();
    }
}

/// A client for which questions about all namespaces are questions about one.
async fn client_of_one_namespace(namespace: String) -> anyhow::Result<Client> {
    let narrow = move |mut request: hyper::Request<Body>| {
        if let Some(uri) = narrowed(request.uri(), &namespace) {
            *request.uri_mut() = uri;
        }
        request
    };
    Ok(ClientBuilder::try_from(config().await?)?.with_layer(&MapRequestLayer::new(narrow)).build())
}

/// `/apis/apps/v1/deployments?watch=1` becomes `/apis/apps/v1/namespaces/x/deployments?watch=1`.
fn narrowed(uri: &Uri, namespace: &str) -> Option<Uri> {
    let segments: Vec<&str> = uri.path().trim_matches('/').split('/').collect();
    let (group, kind) = match segments.as_slice() {
        ["api", version, kind] => (format!("/api/{version}"), kind),
        ["apis", group, version, kind] => (format!("/apis/{group}/{version}"), kind),
        _ => return None,
    };
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    format!("{group}/namespaces/{namespace}/{kind}{query}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(from: &'static str, expected: Option<&'static str>) {
        assert_eq!(narrowed(&Uri::from_static(from), "x"), expected.map(Uri::from_static));
    }

    #[test]
    fn a_collection_of_all_namespaces_is_narrowed() {
        check("/apis/apps/v1/deployments?watch=1", Some("/apis/apps/v1/namespaces/x/deployments?watch=1"));
        check("/api/v1/secrets", Some("/api/v1/namespaces/x/secrets"));
    }

    #[test]
    fn what_names_a_namespace_stays() {
        check("/api/v1/namespaces/y/secrets/z", None);
        check("/version", None);
    }
}
