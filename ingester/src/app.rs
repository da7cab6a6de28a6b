//! The routes of the public port, and what holds for all of them: a request id, a deadline, a count.

use std::sync::Arc;

use axum::{
    Router,
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use runtime::health::{self, Health};
use tokio::time::timeout;

use crate::{
    capture::{App, capture},
    decode::Protocol,
    error::Error,
    metrics,
    receive::discard,
};

/// The routes of the public port.
pub(crate) fn router(app: App, health: Health) -> Router {
    let app = Arc::new(app);
    Router::new()
        .route("/events", post(events))
        .route("/ingest", post(ingest))
        .route("/health", get(async |State(app): State<Arc<App>>| app.services.answer((app.clock.now)())))
        .with_state(Arc::clone(&app))
        .merge(health::probes(health))
        .fallback(async || refuse(Error::NotFound))
        .method_not_allowed_fallback(async || refuse(Error::MethodNotAllowed))
        .layer(middleware::from_fn_with_state(app, observe))
}

async fn events(State(app): State<Arc<App>>, request: Request) -> Response {
    respond(&app, Protocol::Events, request).await
}

async fn ingest(State(app): State<Arc<App>>, request: Request) -> Response {
    respond(&app, Protocol::Ingest, request).await
}

async fn respond(app: &App, protocol: Protocol, request: Request) -> Response {
    let (head, mut body) = request.into_parts();
    let error = match capture(app, protocol, &head, &mut body).await {
        Ok(outcome) => return outcome.into_response(),
        Err(error) => error,
    };
    if error.leaves_body_unread() {
        discard(&mut body).await;
    }
    refuse(error)
}

fn refuse(error: Error) -> Response {
    metrics::refused_request(&error);
    error.into_response()
}

/// Gives every request its deadline, its id and its count.
async fn observe(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let id = request_id(&app, request.headers());
    let path = request.extensions().get::<MatchedPath>().cloned();
    let mut response =
        timeout(app.request_timeout, next.run(request)).await.unwrap_or_else(|_| refuse(Error::Deadline));
    // A path that nobody routes is the client's text, so it gets one label for all.
    metrics::request(path.as_ref().map_or("other", MatchedPath::as_str), response.status().as_u16());
    response.headers_mut().insert(X_REQUEST_ID, id);
    response
}

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const MAX_REQUEST_ID_BYTES: usize = 128;

/// The client's request id, if it is made of harmless characters; else one of ours.
fn request_id(app: &App, headers: &HeaderMap) -> HeaderValue {
    let is_harmless = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if let Some(id) = headers.get(X_REQUEST_ID) {
        let bytes = id.as_bytes();
        if !bytes.is_empty() && bytes.len() <= MAX_REQUEST_ID_BYTES && bytes.iter().all(is_harmless) {
            return id.clone();
        }
    }
    let id = (app.clock.fresh_id)((app.clock.now)()).to_string();
    HeaderValue::try_from(id).expect("a UUID is made of letters, digits and dashes")
}

#[cfg(test)]
mod tests;
