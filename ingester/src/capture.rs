//! The steps of a request, in their order: authenticate, receive*, decode, validate, route, publish*, answer.
//!
//! The keys of these protocols stand in headers, so nothing of a stranger's body is ever kept.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    body::Body,
    extract::ConnectInfo,
    http::{HeaderMap, header::USER_AGENT, request::Parts},
};
use schema::{limits::MAX_NAME_CHARS, timestamp::Timestamp};
use tokio::sync::watch;
use uuid::Uuid;

use crate::{
    answer::Outcome,
    authenticate::{KeyRing, authenticate},
    client_address::{Network, client_address},
    decode::{Protocol, decode},
    error::Error,
    health::Services,
    metrics,
    publish::{Produce, Settled, publish},
    receive::{InFlight, receive},
    refusal::Refusal,
    route::{self, Origin, Record, Route},
    validate::{Receipt, validate},
};

/// What every request needs.
pub(crate) struct App {
    pub(crate) keys: watch::Receiver<Arc<KeyRing>>,
    pub(crate) producer: Arc<dyn Produce>,
    pub(crate) in_flight: InFlight,
    pub(crate) services: Services,
    pub(crate) trusted_proxies: Vec<Network>,
    pub(crate) body_timeout: Duration,
    pub(crate) request_timeout: Duration,
    pub(crate) clock: Clock,
}

/// Where times and ids come from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    pub(crate) now: fn() -> Timestamp,
    pub(crate) fresh_id: fn(Timestamp) -> Uuid,
}

/// Takes a request.
///
/// # Errors
/// When the request is refused whole, or its events are not known to be stored.
#[allow(clippy::disallowed_methods, reason = "the duration of the request is measured here")]
pub(crate) async fn capture(
    app: &App,
    protocol: Protocol,
    head: &Parts,
    body: &mut Body,
) -> Result<Outcome, Error> {
    let (began, received_at) = (Instant::now(), (app.clock.now)());
    let route = authenticate(&app.keys.borrow(), &head.headers, received_at).map_err(Error::Unauthorized)?;
    let receipt = receipt(app, protocol, received_at, head);
    let traceparent = traceparent(&head.headers);

    let received = receive(&head.headers, body, &app.in_flight, app.body_timeout).await;
    let (body, reservation) = received.map_err(Error::Receive)?;
    let Judged { records, mut events } = judge(&body, &receipt, &route, traceparent.as_deref())?;
    drop(body);
    if !records.is_empty() {
        store(app, records, &mut events).await?;
    }
    drop(reservation);

    count(protocol, &events);
    let latency_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(Outcome { protocol, batch_id: (app.clock.fresh_id)(received_at), latency_ms, events })
}

/// What the pure steps make of a body.
struct Judged {
    records: Vec<Record>,
    events: Vec<Result<Uuid, Refusal>>,
}

/// The pure steps: from the body to the records, and what becomes of each event.
fn judge(
    body: &[u8],
    receipt: &Receipt,
    route: &Arc<Route>,
    traceparent: Option<&str>,
) -> Result<Judged, Error> {
    let decoded = decode(receipt.protocol, body).map_err(Error::Decode)?;
    let mut accepted = Vec::with_capacity(decoded.events.len());
    let mut results = Vec::with_capacity(decoded.events.len());
    for raw in &decoded.events {
        let judged = raw.as_ref().map_err(|refusal| *refusal).and_then(|raw| validate(raw, receipt, route));
        results.push(judged.as_ref().map(|event| event.id).map_err(|refusal| *refusal));
        accepted.extend(judged);
    }
    let origin = Origin { protocol: receipt.protocol, traceparent };
    Ok(Judged { records: route::records(route, origin, &accepted), events: results })
}

/// Publishes the records, and refuses the events of those that Kafka will never take.
#[allow(clippy::disallowed_methods, reason = "the duration of publishing is measured here")]
async fn store(app: &App, records: Vec<Record>, events: &mut [Result<Uuid, Refusal>]) -> Result<(), Error> {
    let sizes: Vec<usize> = records.iter().map(|record| record.events).collect();
    let began = Instant::now();
    let outcome = publish(app.producer.as_ref(), records).await;
    metrics::published(&outcome, began.elapsed());
    let Settled { too_large } = outcome.map_err(Error::Publish)?;
    if too_large.len() == sizes.len() {
        return Err(Error::RecordTooLarge);
    }
    refuse_events_of(&too_large, &sizes, events);
    Ok(())
}

/// Refuses the accepted events of these records; `sizes` are the events of every record, in their order.
fn refuse_events_of(too_large: &[usize], sizes: &[usize], events: &mut [Result<Uuid, Refusal>]) {
    let places = sizes.iter().enumerate().flat_map(|(place, size)| std::iter::repeat_n(place, *size));
    let accepted = events.iter_mut().filter(|event| event.is_ok());
    for (event, _) in accepted.zip(places).filter(|(_, place)| too_large.contains(place)) {
        *event = Err(Refusal::RecordTooLarge);
    }
}

fn count(protocol: Protocol, events: &[Result<Uuid, Refusal>]) {
    metrics::accepted(protocol, events.iter().filter(|event| event.is_ok()).count());
    for refusal in events.iter().filter_map(|event| event.err()) {
        metrics::refused(protocol, refusal);
    }
}

/// The hops of all `X-Forwarded-For` lines in their order: a proxy may add a line of its own below the client's.
fn forwarded_for(headers: &HeaderMap) -> String {
    let lines = headers.get_all("x-forwarded-for").iter();
    lines.filter_map(|line| line.to_str().ok()).collect::<Vec<_>>().join(",")
}

fn receipt(app: &App, protocol: Protocol, received_at: Timestamp, head: &Parts) -> Receipt {
    let headers = &head.headers;
    let forwarded_for = forwarded_for(headers);
    let peer = head.extensions.get::<ConnectInfo<SocketAddr>>();
    let address = peer.map(|peer| client_address(peer.0.ip(), Some(&forwarded_for), &app.trusted_proxies));
    let user_agent = headers.get(USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    Receipt {
        protocol,
        received_at,
        ip_address: address.map(|address| address.to_string()).unwrap_or_default(),
        user_agent: user_agent.chars().take(MAX_NAME_CHARS).collect(),
        fresh_id: app.clock.fresh_id,
    }
}

/// The trace context of the request (<https://www.w3.org/TR/trace-context/>), if it has its form: 55 characters
/// of version, trace, span and flags.
fn traceparent(headers: &HeaderMap) -> Option<String> {
    let text = headers.get("traceparent")?.to_str().ok()?;
    let parts: Vec<_> = text.split('-').collect();
    let has_form = parts.iter().map(|part| part.len()).eq([2, 32, 16, 2])
        && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-'));
    has_form.then(|| text.to_owned())
}
