//! The insert step: one Native block, one POST to ClickHouse, one judged answer.
//!
//! The clickhouse crate streams its inserts in chunks and drops the server's summary; here the length is known,
//! so that a cut body can never be taken for a smaller one, and the summary is read.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
    vec,
};

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use hyper::{
    Request, Response, Uri,
    body::{Body, Frame, Incoming, SizeHint},
    header::{HeaderName, HeaderValue},
};
use hyper_rustls::{ConfigBuilderExt as _, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use schema::{names::STORAGE_TABLE, settings::ClickHouseSettings};

use crate::{
    answer::{Failure, Stored, judge},
    columns,
    native::Block,
};

/// A server that does not accept within this time is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// ClickHouse closes an idle connection after 10 s or more (`keep_alive_timeout`); ours ends before.
const IDLE_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest answer that is read; an exception's text is shorter.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// Asked of the server with each insert. Nothing is left to defaults, which change between versions.
const INSERT_SETTINGS: [(&str, &str); 9] = [
    // The answer comes after the rows are written, not after they were queued.
    ("async_insert", "0"),
    ("wait_end_of_query", "1"),
    // The same rows inserted again must land again: a server that remembers them could answer 200 and drop them.
    ("deduplicate_insert", "disable"),
    // The merge would collapse equal rows anyway; doing it on insert costs several times the insert.
    ("optimize_on_insert", "0"),
    // A second attempt ends the first one, if that still runs.
    ("replace_running_query", "1"),
    // `event_name` is sent as String, see `columns`.
    ("input_format_native_allow_types_conversion", "1"),
    ("input_format_parallel_parsing", "0"),
    ("max_partitions_per_insert_block", "100"),
    ("http_write_exception_in_output_format", "0"),
];

/// Inserts blocks into one table.
#[derive(Debug)]
pub(crate) struct Inserter {
    client: Client<HttpsConnector<HttpConnector>, BlockBody>,
    target: String,
    user: HeaderValue,
    password: HeaderValue,
    deadline: Duration,
}

impl Inserter {
    /// An inserter into the storage table of these settings.
    ///
    /// # Errors
    /// When the address, the credentials or the authority's certificate cannot be used.
    pub(crate) fn new(settings: &ClickHouseSettings, deadline: Duration) -> anyhow::Result<Self> {
        let target = target(settings);
        let uri: Uri = target
            .parse()
            .with_context(|| format!("failed to parse the ClickHouse address `{}`", settings.url))?;
        anyhow::ensure!(
            matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some(),
            "the ClickHouse address `{}` is not http:// or https:// and a host",
            settings.url
        );
        let user = HeaderValue::from_str(&settings.user).context("failed to read the ClickHouse user")?;
        let mut password = HeaderValue::from_str(settings.password.expose())
            .context("failed to read the ClickHouse password")?;
        password.set_sensitive(true);
        Ok(Self { client: client(&uri, settings.ca_pem.as_deref())?, target, user, password, deadline })
    }

    /// Inserts a block. Attempts at the same rows have the same query id, so that each ends the one before.
    ///
    /// # Errors
    /// When the block is not known to be stored.
    pub(crate) async fn insert(&self, block: Block, query_id: &str) -> Result<Stored, Failure> {
        let deadline = self.deadline;
        tokio::time::timeout(deadline, self.attempt(block, query_id))
            .await
            .unwrap_or(Err(Failure::Deadline { deadline }))
    }

    async fn attempt(&self, block: Block, query_id: &str) -> Result<Stored, Failure> {
        let sent = block.rows() as u64;
        let request = self.request(block, query_id)?;
        let response =
            self.client.request(request).await.map_err(|cause| Failure::Send { source: cause.into() })?;
        let (head, body) = Response::into_parts(response);
        let body = read(body).await.map_err(|source| Failure::Read { source })?;
        judge(head.status.as_u16(), &head.headers, &body, sent)
    }

    fn request(&self, block: Block, query_id: &str) -> Result<Request<BlockBody>, Failure> {
        Request::post(format!("{}&query_id={}", self.target, percent_encoded(query_id)))
            .header(HeaderName::from_static("x-clickhouse-user"), self.user.clone())
            .header(HeaderName::from_static("x-clickhouse-key"), self.password.clone())
            .body(BlockBody::of(block))
            .map_err(|cause| Failure::Send { source: cause.into() })
    }
}

async fn read(body: Incoming) -> Result<Bytes, Box<dyn std::error::Error + Send + Sync>> {
    Ok(Limited::new(body, MAX_ANSWER_BYTES).collect().await?.to_bytes())
}

fn target(settings: &ClickHouseSettings) -> String {
    let query =
        format!("INSERT INTO {}.{STORAGE_TABLE} ({}) FORMAT Native", settings.database, columns::names());
    let mut target = format!("{}/?query={}", settings.url.trim_end_matches('/'), percent_encoded(&query));
    for (name, value) in INSERT_SETTINGS {
        target.push_str(&format!("&{name}={value}"));
    }
    target
}

/// A text as the value of a query parameter (RFC 3986, section 2).
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte))
            }
            other => encoded.push_str(&format!("%{other:02X}")),
        }
    }
    encoded
}

fn client(
    uri: &Uri,
    ca_pem: Option<&str>,
) -> anyhow::Result<Client<HttpsConnector<HttpConnector>, BlockBody>> {
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_nodelay(true);
    http.set_connect_timeout(Some(CONNECT_TIMEOUT));
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls(uri, ca_pem)?)
        .https_or_http()
        .enable_http1()
        .wrap_connector(http);
    Ok(Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_TIMEOUT)
        .pool_max_idle_per_host(1)
        .build(connector))
}

/// The trust in the server: the given authority, else the system's; none is loaded for plain HTTP.
fn tls(uri: &Uri, ca_pem: Option<&str>) -> anyhow::Result<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .context("failed to choose the TLS versions")?;
    let is_plain = uri.scheme_str() == Some("http");
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
        let certificate = certificate.context("failed to read ClickHouse's authority certificate")?;
        roots.add(certificate).context("failed to use ClickHouse's authority certificate")?;
    }
    anyhow::ensure!(!roots.is_empty(), "ClickHouse's authority certificate holds no certificate");
    Ok(roots)
}

/// A block as the body of a request, with its length known.
#[derive(Debug)]
struct BlockBody {
    chunks: vec::IntoIter<Bytes>,
    left: u64,
}

impl BlockBody {
    fn of(block: Block) -> Self {
        Self { left: block.bytes(), chunks: block.into_chunks() }
    }
}

impl Body for BlockBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = self.chunks.next();
        self.left -= next.as_ref().map_or(0, |chunk| chunk.len() as u64);
        Poll::Ready(next.map(|chunk| Ok(Frame::data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests;
