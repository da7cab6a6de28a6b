//! In steady state no event allocates: only blocks do, a few times each. A line that has not the form of
//! `parse::own_form`, such as one with escapes, may do it once, inside of serde_json.

use std::{sync::Arc, time::Instant};

use schema::{names::TopicId, tenant_id::TenantId};
use uuid::Uuid;

use crate::{
    batch::Batch,
    columns,
    parse::{Parsed, Parser, Record},
    protocol::BatchId,
};

/// A batch of a Pipeline's default size.
const EVENTS: u64 = 50_000;
const PER_RECORD: u64 = 100;
/// For each 10,000 events.
const MOST: u64 = 50;

fn line(number: u64) -> String {
    let (id, user) = (Uuid::from_u128(u128::from(number) << 64 | 7), number * 7 % 1_000);
    let name = ["page_view", "search", "purchase"][number as usize % 3];
    format!(
        r#"{{"id":"{id}","event_name":"{name}","user_id":"user-{user}","distinct_id":"user-{user}","timestamp":"2026-01-31T12:00:00.000Z","received_at":"2026-01-31T12:00:00.500Z","properties":{{"path":"/p/{user}","price":19.90,"items":[{{"sku":"a","n":1}}],"gone":null}},"protocol":"ingest"}}"#
    )
}

fn records() -> Vec<Vec<u8>> {
    let record = |first: u64| {
        let lines: Vec<String> = (first..first + PER_RECORD).map(line).collect();
        lines.join("\n").into_bytes()
    };
    (0..EVENTS).step_by(PER_RECORD as usize).map(record).collect()
}

/// Fills a batch, brings it into order and makes its block; then goes on with its buffers.
fn turn(parser: &mut Parser, records: &[Vec<u8>], mut batch: Batch, now: Instant) -> Batch {
    for (offset, payload) in (0..).zip(records) {
        batch.open(|| now);
        let record = Record { partition: 0, offset, payload };
        let outcome = parser.parse(&record, |parsed| match parsed {
            Parsed::Row(row) => batch.push(&row),
            Parsed::Reject { refused, .. } => panic!("{refused}"),
        });
        outcome.unwrap();
    }
    batch.sort();
    let block = columns::block(&batch.columns, 0..batch.rows());
    assert_eq!(block.rows() as u64, EVENTS);
    drop(block);
    let columns: Arc<_> = batch.columns;
    Batch::reusing(BatchId(0), columns)
}

#[test]
fn no_event_allocates_once_the_buffers_have_grown() {
    #[allow(clippy::disallowed_methods, reason = "an instant can be made in no other way")]
    let now = Instant::now();
    let mut parser = Parser::new(TenantId::parse("acme").unwrap(), TopicId(Uuid::nil()));
    let records = records();
    let mut batch = Some(turn(&mut parser, &records, Batch::new(BatchId(0)), now));
    let used = allocation_counter::measure(|| {
        batch = batch.take().map(|batch| turn(&mut parser, &records, batch, now));
    });
    assert!(batch.is_some_and(|batch| batch.is_empty()));
    let per_ten_thousand = used.count_total * 10_000 / EVENTS;
    assert!(per_ten_thousand <= MOST, "{per_ten_thousand} allocations for each 10,000 events");
}
