//! The two loads: real webhook deliveries one by one, and a shop's visitors in batches.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::runtime::Runtime;

use super::event::Event;
use super::ledger::Ledger;
use super::report::bar;
use super::send::{Batch, Error, Target, send};
use super::shop::Shop;
use super::{batch, report};
use crate::console::Console;

/// Events of one request of the shop: as many as an SDK sends at once.
const EVENTS_PER_REQUEST: usize = 100;

/// Connections at once: enough that each ingester is busy while other requests wait for Kafka.
const CONNECTIONS: usize = 8;

/// How long one load took.
#[derive(Debug, Clone)]
pub(crate) struct Load {
    pub(crate) name: &'static str,
    pub(crate) events: u64,
    pub(crate) took: Duration,
}

/// Sends each delivery as a request of its own, as GitHub does.
pub(crate) fn webhooks(
    console: &Console,
    runtime: &Runtime,
    target: &Target,
    deliveries: &[Event],
) -> Result<(Ledger, Load), Error> {
    let batches: Vec<Batch> = deliveries.iter().map(batch::single).collect();
    let events = batches.len() as u64;
    run(console, runtime, target, "send GitHub's webhook deliveries", events, batches.into_iter())
}

/// Sends `events` events of a shop that no run before had.
#[allow(clippy::disallowed_methods, reason = "the shop's visits are those of the last hours")]
pub(crate) fn shop(
    console: &Console,
    runtime: &Runtime,
    target: &Target,
    events: u64,
) -> Result<(Ledger, Load), Error> {
    let shop = Shop::new(rand::random(), Timestamp::now());
    run(console, runtime, target, "send a shop's visitors", events, requests(shop, events))
}

/// The shop's next `events` events as requests; the last one may be smaller.
fn requests(mut shop: Shop, events: u64) -> impl Iterator<Item = Batch> + Send {
    let mut left = usize::try_from(events).unwrap_or(usize::MAX);
    std::iter::from_fn(move || {
        let size = left.min(EVENTS_PER_REQUEST);
        left -= size;
        let events: Vec<Event> = shop.by_ref().take(size).collect();
        (!events.is_empty()).then(|| batch::many(&events))
    })
}

#[allow(clippy::disallowed_methods, reason = "measures how long a load really takes")]
fn run(
    console: &Console,
    runtime: &Runtime,
    target: &Target,
    name: &'static str,
    events: u64,
    batches: impl Iterator<Item = Batch> + Send + 'static,
) -> Result<(Ledger, Load), Error> {
    let begin = Instant::now();
    let title = format!("{name}: {}", report::grouped(events));
    let ledger = console.progress(&title, |progress| {
        let (progress, done) = (progress.clone(), Arc::new(AtomicU64::new(0)));
        let sent = move |count: usize| {
            let done = done.fetch_add(count as u64, Ordering::Relaxed) + count as u64;
            progress.detail(bar(done, events, begin.elapsed()));
        };
        runtime.block_on(send(target, batches, CONNECTIONS, sent))
    })?;
    Ok((ledger, Load { name, events, took: begin.elapsed() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_have_a_hundred_events_and_the_last_one_the_rest() {
        let shop = Shop::new(7, Timestamp::constant(1_800_000_000, 0));
        let sizes: Vec<usize> = requests(shop, 250).map(|batch| batch.ids.len()).collect();
        assert_eq!(sizes, [100, 100, 50]);
    }
}
