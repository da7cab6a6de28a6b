//! The route step: the accepted events of a request become records of the key's topic. Pure.
//!
//! A request is one record, split only where it would outgrow what brokers accept; its events keep their order.

use std::sync::Arc;

use schema::{
    event::Event,
    names::{PipelineName, TopicName},
    record,
    tenant_id::TenantId,
};

use crate::decode::Protocol;

/// Where the events of a key go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) tenant_id: TenantId,
    pub(crate) pipeline: PipelineName,
    pub(crate) topic: TopicName,
}

/// One Kafka record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) route: Arc<Route>,
    /// The distinct id, if all events of the request have the same; else the record goes to any partition.
    pub(crate) key: Option<String>,
    pub(crate) headers: Vec<(&'static str, String)>,
    /// Events as JSON, one a line, with a line feed between two.
    pub(crate) payload: Vec<u8>,
    /// How many of the request's accepted events it holds, after those of the records before it.
    pub(crate) events: usize,
}

/// What the headers tell beside the route.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin<'a> {
    pub(crate) protocol: Protocol,
    /// The W3C trace context, as it came.
    pub(crate) traceparent: Option<&'a str>,
}

/// Makes the records of a request.
pub(crate) fn records(route: &Arc<Route>, origin: Origin<'_>, events: &[Event<'_>]) -> Vec<Record> {
    let key = common_distinct_id(events);
    payloads(events)
        .into_iter()
        .map(|Payload { lines, count }| Record {
            route: Arc::clone(route),
            key: key.map(str::to_owned),
            headers: headers(route, origin, count),
            payload: lines,
            events: count,
        })
        .collect()
}

fn common_distinct_id<'e>(events: &'e [Event<'_>]) -> Option<&'e str> {
    let first = events.first()?.distinct_id.as_ref();
    let is_common = !first.is_empty() && events.iter().all(|event| event.distinct_id == first);
    is_common.then_some(first)
}

fn headers(route: &Route, origin: Origin<'_>, count: usize) -> Vec<(&'static str, String)> {
    let mut headers = vec![
        (record::CONTENT_TYPE, record::NDJSON.to_owned()),
        (record::COUNT, count.to_string()),
        (record::TENANT, route.tenant_id.to_string()),
        (record::PIPELINE, route.pipeline.to_string()),
        (record::PROTOCOL, origin.protocol.as_str().to_owned()),
        (record::SCHEMA_VERSION_HEADER, record::SCHEMA_VERSION.to_owned()),
    ];
    if let Some(traceparent) = origin.traceparent {
        headers.push((record::TRACEPARENT, traceparent.to_owned()));
    }
    headers
}

struct Payload {
    lines: Vec<u8>,
    count: usize,
}

fn payloads(events: &[Event<'_>]) -> Vec<Payload> {
    let mut done = Vec::new();
    let mut current = Payload { lines: Vec::new(), count: 0 };
    for event in events {
        let start = current.lines.len();
        if start > 0 {
            current.lines.push(b'\n');
        }
        serde_json::to_writer(&mut current.lines, event).expect("texts and times are written to memory");
        if start > 0 && current.lines.len() >= record::MAX_RECORD_BYTES {
            let next = current.lines.split_off(start + 1);
            current.lines.truncate(start);
            done.push(std::mem::replace(&mut current, Payload { lines: next, count: 0 }));
        }
        current.count += 1;
    }
    if current.count > 0 {
        done.push(current);
    }
    done
}

#[cfg(test)]
mod tests;
