//! Takes a message of Kafka into the batch.

use std::sync::Arc;

use rdkafka::message::{BorrowedMessage, Message};
use schema::timestamp::Timestamp;
use tracing::{debug, warn};

use crate::{
    batch::Batch,
    letter::DeadLetter,
    metrics::{Stage, count_error},
    parse::Parsed,
    protocol::{Arrival, Protocol},
    refused::Refused,
    reread::original,
    run::{gaps::Gap, read::Reader, turn::now},
    trace::TraceId,
    wall_clock::wall_clock,
};

/// The parts of the loop that take a message in.
pub(super) struct Taking<'a> {
    pub(super) gaps: &'a mut Vec<Gap>,
    pub(super) reader: &'a mut Reader,
    pub(super) protocol: &'a mut Protocol,
    pub(super) batch: &'a mut Batch,
    /// Events that were read and are not counted yet.
    pub(super) consumed: &'a mut u64,
}

impl Taking<'_> {
    /// Takes a message in; none is ever left out.
    pub(super) fn take(self, message: &BorrowedMessage<'_>) {
        let (partition, offset) = (message.partition(), message.offset());
        match self.protocol.take(partition, offset) {
            Arrival::InOrder => {}
            Arrival::AfterGap { expected } => self.gaps.push(Gap { partition, expected, offset }),
            Arrival::Again => warn!(partition, offset, "reading again from an earlier offset"),
            // It was fetched before its partition was revoked, or comes after a stop was asked for.
            Arrival::Skipped => return,
        }
        if self.batch.is_empty() {
            self.batch.trace = TraceId::of(message);
        }
        self.batch.open(now);
        self.batch.oldest.note_record(message.timestamp().to_millis().map(Timestamp::from_millis));
        *self.consumed += parse(self.reader, self.batch, message);
    }
}

/// Brings the rows and the dead letters of a message into the batch, and says how many there were.
fn parse(reader: &mut Reader, batch: &mut Batch, message: &impl Message) -> u64 {
    let (mut events, mut shared) = (0, None);
    let mut reject = |batch: &mut Batch, index: Option<u16>, bytes: Option<&[u8]>, refused: Refused| {
        count_error(Stage::Parse, refused.reason());
        debug!(
            partition = message.partition(),
            offset = message.offset(),
            index,
            reason = refused.reason(),
            trace_id = TraceId::of(message).map(tracing::field::display),
            "a record or an event of it becomes a dead letter"
        );
        let original = shared.get_or_insert_with(|| Arc::new(original(message, wall_clock())));
        batch.reject(DeadLetter::of(original, index, bytes, refused));
    };
    let outcome = reader.read(message, |parsed| {
        events += 1;
        match parsed {
            Parsed::Row(row) => batch.push(&row),
            Parsed::Reject { index, line, refused } => reject(batch, Some(index), Some(line), refused),
        }
    });
    if let Err(refused) = outcome {
        events += 1;
        reject(batch, None, message.payload(), refused);
    }
    events
}

#[cfg(test)]
mod tests {
    use rdkafka::{
        Timestamp as WrittenAt,
        message::{Header, OwnedHeaders, OwnedMessage},
    };
    use uuid::Uuid;

    use super::*;
    use crate::{parse::Parser, protocol::BatchId, scripted::tenant};

    #[test]
    fn a_hostile_record_holds_about_its_own_size() {
        let headers = [("tenant", "acme"), ("schema-version", "1"), ("content-type", "application/x-ndjson")];
        let headers = headers
            .into_iter()
            .fold(OwnedHeaders::new(), |all, (key, value)| all.insert(Header { key, value: Some(value) }));
        let (payload, key) = (Some(vec![b'\n'; 2_500]), Some(vec![b'k'; 900_000]));
        let message = OwnedMessage::new(
            payload,
            key,
            "events".to_owned(),
            WrittenAt::NotAvailable,
            0,
            0,
            Some(headers),
        );
        let mut batch = Batch::new(BatchId(0));
        let mut reader = Reader::Ours(Parser::new(tenant(), schema::names::TopicId(Uuid::nil())));
        parse(&mut reader, &mut batch, &message);
        assert_eq!(batch.dead_letters.len(), 2_500);
        assert!(batch.bytes() < 500_000, "{}", batch.bytes());
    }
}
