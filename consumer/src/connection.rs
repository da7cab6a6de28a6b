//! The connection to ClickHouse's HTTP interface: who we are, whom we trust, and what is read of an answer.

use std::{error::Error as StdError, fmt, time::Duration};

use anyhow::Context as _;
use http_body_util::BodyExt as _;
use hyper::{
    Response, Uri,
    body::{Body, Frame, Incoming},
    header::{CONTENT_LENGTH, HeaderName, HeaderValue},
};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use runtime::trust::client_config;
use schema::settings::ClickHouseSettings;

use crate::answer::{Answer, Failure};

/// A server that does not accept within this time is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// ClickHouse closes an idle connection after 10 s or more (`keep_alive_timeout`); ours ends before.
const IDLE_TIMEOUT: Duration = Duration::from_secs(5);
/// What is read of an answer. Ours are shorter, but the text of an exception may repeat a value of any length.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// Sends requests with bodies of one kind.
pub(crate) struct Connection<B> {
    client: Client<HttpsConnector<HttpConnector>, B>,
    user: HeaderValue,
    password: HeaderValue,
}

impl<B> Connection<B>
where
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: StdError + Send + Sync + 'static,
{
    /// A connection to the server of these settings. It is made when it is needed.
    ///
    /// # Errors
    /// When the address, the credentials or the authority's certificate cannot be used.
    pub(crate) fn new(settings: &ClickHouseSettings) -> anyhow::Result<Self> {
        let uri: Uri = address(settings, "")
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
        let client = client(&uri, settings.ca_pem.as_deref())?;
        Ok(Self { client, user, password })
    }

    /// Sends a request as the user of the settings. It has no deadline of its own.
    ///
    /// # Errors
    /// When it is not known to have arrived.
    pub(crate) async fn send(
        &self,
        request: hyper::http::request::Builder,
        body: B,
    ) -> Result<Response<Incoming>, Failure> {
        // ClickHouse refuses a POST whose length is not said (code 381), and hyper does not say that of an empty body.
        let length = body.size_hint().exact().map(|length| (CONTENT_LENGTH, HeaderValue::from(length)));
        let request = length
            .into_iter()
            .fold(request, |request, (name, value)| request.header(name, value))
            .header(HeaderName::from_static("x-clickhouse-user"), self.user.clone())
            .header(HeaderName::from_static("x-clickhouse-key"), self.password.clone())
            .body(body)
            .map_err(|cause| Failure::Send { source: cause.into() })?;
        self.client.request(request).await.map_err(|cause| match cause.is_connect() {
            // Nothing of it was sent.
            true => Failure::Connect { source: cause.into() },
            false => Failure::Send { source: cause.into() },
        })
    }
}

impl<B> fmt::Debug for Connection<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connection")
    }
}

/// An answer, as much of it as is kept.
pub(crate) async fn read(response: Response<Incoming>) -> Answer {
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
pub(crate) fn address(settings: &ClickHouseSettings, statement: &str) -> String {
    format!("{}/?query={}", settings.url.trim_end_matches('/'), percent_encoded(statement))
}

/// An address as it may be shown: without the name and the password that may stand in front of the host. A password
/// may hold any character, so that everything up to the last `@` is left out.
pub(crate) fn shown(url: &str) -> String {
    let start = url.find("://").map_or(0, |at| at + "://".len());
    let (scheme, rest) = url.split_at(start);
    format!("{scheme}{}", rest.rsplit_once('@').map_or(rest, |(_userinfo, host)| host))
}

/// A text as the value of a query parameter (RFC 3986, section 2).
pub(crate) fn percent_encoded(text: &str) -> String {
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

fn client<B>(uri: &Uri, ca_pem: Option<&str>) -> anyhow::Result<Client<HttpsConnector<HttpConnector>, B>>
where
    B: Body + Send,
    B::Data: Send,
{
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_nodelay(true);
    http.set_connect_timeout(Some(CONNECT_TIMEOUT));
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(
            client_config(uri, ca_pem)
                .context("failed to use ClickHouse's authority certificate, or the system's")?,
        )
        .https_or_http()
        .enable_http1()
        .wrap_connector(http);
    Ok(Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_TIMEOUT)
        .pool_max_idle_per_host(1)
        .build(connector))
}
