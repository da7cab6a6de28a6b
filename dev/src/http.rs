//! A small HTTP client for the demo and the benchmarks: plain HTTP/1.1, connections kept open, a deadline per request.
//!
//! Nothing in it knows events or ClickHouse.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request, StatusCode, header};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// Characters of an unexpected answer that an error repeats.
const SAID_CHARACTERS: usize = 500;

/// Keeps its connections; clones share them. Needs a tokio runtime.
#[derive(Debug, Clone)]
pub struct Client {
    client: legacy::Client<HttpConnector, Full<Bytes>>,
    deadline: Duration,
}

/// A POST request.
#[derive(Debug, Clone)]
pub struct Post {
    pub url: String,
    /// Name and value.
    pub headers: Vec<(&'static str, String)>,
    pub body: Bytes,
}

/// An answer with its whole body.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: StatusCode,
    /// What `Retry-After` asked for, if it was a number of seconds.
    pub retry_after: Option<Duration>,
    pub body: Bytes,
}

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("failed to make a request for `{url}`")]
    Make {
        url: String,
        #[source]
        source: hyper::http::Error,
    },
    #[error("failed to send a request to `{url}`")]
    Send {
        url: String,
        #[source]
        source: legacy::Error,
    },
    #[error("failed to read the answer of `{url}`")]
    Read {
        url: String,
        #[source]
        source: hyper::Error,
    },
    #[error("failed to get an answer of `{url}` within {} s", deadline.as_secs())]
    TimedOut { url: String, deadline: Duration },
}

impl Client {
    /// A client whose requests take at most `deadline` each.
    #[must_use]
    pub fn new(deadline: Duration) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Self { client: legacy::Client::builder(TokioExecutor::new()).build(connector), deadline }
    }

    /// Sends the request and reads the whole answer, whatever its status.
    ///
    /// # Errors
    /// When the connection fails or the deadline passes; the request may have arrived all the same.
    pub async fn post(&self, post: Post) -> Result<Answer, Error> {
        self.bounded(Method::POST, post).await
    }

    /// Asks for `url` and reads the whole answer, whatever its status.
    ///
    /// # Errors
    /// When the connection fails or the deadline passes.
    pub async fn get(&self, url: &str) -> Result<Answer, Error> {
        let question = Post { url: url.to_owned(), headers: Vec::new(), body: Bytes::new() };
        self.bounded(Method::GET, question).await
    }

    async fn bounded(&self, method: Method, post: Post) -> Result<Answer, Error> {
        let url = without_query(&post.url).to_owned();
        match tokio::time::timeout(self.deadline, self.exchange(method, post)).await {
            Ok(result) => result,
            Err(_) => Err(Error::TimedOut { url, deadline: self.deadline }),
        }
    }

    async fn exchange(&self, method: Method, post: Post) -> Result<Answer, Error> {
        let url = without_query(&post.url).to_owned();
        let mut request = Request::builder().method(method).uri(post.url);
        for (name, value) in post.headers {
            request = request.header(name, value);
        }
        let request =
            request.body(Full::new(post.body)).map_err(|source| Error::Make { url: url.clone(), source })?;
        let answer =
            self.client.request(request).await.map_err(|source| Error::Send { url: url.clone(), source })?;
        let status = answer.status();
        let retry_after = answer
            .headers()
            .get(header::RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.parse().ok())
            .map(Duration::from_secs);
        let body = answer.into_body().collect().await.map_err(|source| Error::Read { url, source })?;
        Ok(Answer { status, retry_after, body: body.to_bytes() })
    }
}

/// The status and the beginning of the body, for an error.
impl fmt::Display for Answer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = String::from_utf8_lossy(&self.body);
        let said: String = text.trim().chars().take(SAID_CHARACTERS).collect();
        write!(formatter, "{}: {said}", self.status)
    }
}

/// Queries hold statements that are longer than what went wrong.
fn without_query(url: &str) -> &str {
    url.split_once('?').map_or(url, |(before, _)| before)
}
