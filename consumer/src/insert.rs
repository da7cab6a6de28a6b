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
use http_body_util::BodyExt as _;
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
    answer::{Answer, Failure, Stored, accepted, judge},
    columns,
    native::Block,
};

/// A server that does not accept within this time is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// ClickHouse closes an idle connection after 10 s or more (`keep_alive_timeout`); ours ends before.
const IDLE_TIMEOUT: Duration = Duration::from_secs(5);
/// What is read of an answer. Ours are shorter, but the text of an exception may repeat a value of any length.
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
    description: String,
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
            .with_context(|| format!("failed to parse the ClickHouse address `{}`", shown(&settings.url)))?;
        anyhow::ensure!(
            matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some(),
            "the ClickHouse address `{}` is not http:// or https:// and a host",
            shown(&settings.url)
        );
        let user = HeaderValue::from_str(&settings.user).context("failed to read the ClickHouse user")?;
        let mut password = HeaderValue::from_str(settings.password.expose())
            .context("failed to read the ClickHouse password")?;
        password.set_sensitive(true);
        let statement = columns::description(&settings.database.to_string(), STORAGE_TABLE);
        let description = address(settings, &statement);
        let client = client(&uri, settings.ca_pem.as_deref())?;
        Ok(Self { client, target, description, user, password, deadline })
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
        let target = format!("{}&query_id={}", self.target, percent_encoded(query_id));
        let request = self.request(Request::post(target), BlockBody::of(block))?;
        let response =
            self.client.request(request).await.map_err(|cause| Failure::Send { source: cause.into() })?;
        judge(read(response).await, sent)
    }

    /// The columns of the table, a line of JSON each.
    ///
    /// # Errors
    /// When the server does not tell.
    pub(crate) async fn describe(&self) -> Result<Vec<u8>, Failure> {
        let deadline = self.deadline;
        let asking = async {
            let request = self.request(Request::get(&self.description), BlockBody::empty())?;
            let response = self.client.request(request).await;
            let response = response.map_err(|cause| Failure::Send { source: cause.into() })?;
            Ok(accepted(read(response).await)?.text)
        };
        tokio::time::timeout(deadline, asking).await.unwrap_or(Err(Failure::Deadline { deadline }))
    }

    fn request(
        &self,
        request: hyper::http::request::Builder,
        body: BlockBody,
    ) -> Result<Request<BlockBody>, Failure> {
        request
            .header(HeaderName::from_static("x-clickhouse-user"), self.user.clone())
            .header(HeaderName::from_static("x-clickhouse-key"), self.password.clone())
            .body(body)
            .map_err(|cause| Failure::Send { source: cause.into() })
    }
}

/// An answer, as much of it as is kept.
async fn read(response: Response<Incoming>) -> Answer {
    let (head, mut body) = response.into_parts();
    let (mut text, mut cut) = (Vec::new(), None);
    while let Some(frame) = body.frame().await {
        match frame.map(Frame::into_data) {
            Ok(Ok(data)) => text.extend_from_slice(&data),
            Ok(Err(_trailers)) => {}
            Err(cause) => cut = Some(Failure::Read { source: cause.into() }),
        }
        if text.len() > MAX_ANSWER_BYTES {
            text.truncate(MAX_ANSWER_BYTES);
            cut = Some(Failure::TooLong { most: MAX_ANSWER_BYTES });
        }
        if cut.is_some() {
            break;
        }
    }
    Answer { status: head.status.as_u16(), headers: head.headers, text, cut }
}

/// The address of a statement.
fn address(settings: &ClickHouseSettings, statement: &str) -> String {
    format!("{}/?query={}", settings.url.trim_end_matches('/'), percent_encoded(statement))
}

/// An address as it may be shown: without the name and the password that may stand in front of the host. A password
/// may hold any character, so that everything up to the last `@` is left out.
fn shown(url: &str) -> String {
    let start = url.find("://").map_or(0, |at| at + "://".len());
    let (scheme, rest) = url.split_at(start);
    format!("{scheme}{}", rest.rsplit_once('@').map_or(rest, |(_userinfo, host)| host))
}

fn target(settings: &ClickHouseSettings) -> String {
    let names = columns::names();
    let statement = format!("INSERT INTO {}.{STORAGE_TABLE} ({names}) FORMAT Native", settings.database);
    let mut target = address(settings, &statement);
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
    fn empty() -> Self {
        Self { chunks: Vec::new().into_iter(), left: 0 }
    }

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
