//! Takes a message of Kafka into the batch.

use metrics::counter;
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use schema::settings::ConsumerSettings;
use tracing::{error, warn};

use crate::{
    batch::Batch,
    letter::{DeadLetter, Original, Source as Origin},
    metrics::{self as names, Stage, count_error},
    offsets::{Arrival, Offsets},
    parse::{Parsed, Parser, Record},
    poll::Source,
    refused::Refused,
    reread::original,
    run::turn::now,
    wall_clock::wall_clock,
};

/// The parts of the loop that take a message in.
pub(super) struct Taking<'a> {
    pub(super) settings: &'a ConsumerSettings,
    pub(super) source: &'a Source,
    pub(super) parser: &'a mut Parser,
    pub(super) offsets: &'a mut Offsets,
    pub(super) batch: &'a mut Batch,
}

impl Taking<'_> {
    /// Takes a message in; none is ever left out.
    pub(super) fn take(self, message: &BorrowedMessage<'_>) {
        let (partition, offset) = (message.partition(), message.offset());
        match self.offsets.take(partition, offset, self.batch.id) {
            Arrival::InOrder => {}
            Arrival::Gap { expected } => self.note_gap(partition, expected, offset),
            Arrival::Again => warn!(partition, offset, "reading again from an earlier offset"),
            // It was fetched before its partition was revoked.
            Arrival::NotOwned => return,
        }
        self.batch.open(now());
        self.parse(message);
    }

    /// Offsets may be missing because they never were records, such as the marks of transactions.
    fn note_gap(&self, partition: i32, expected: i64, offset: i64) {
        match self.source.log_range(partition) {
            Ok(log) if log.start > expected => report_lost(partition, expected, log.start.min(offset)),
            Ok(_) => {}
            Err(cause) => {
                warn!(error = %cause, partition, expected, offset, "failed to ask why offsets are missing")
            }
        }
    }

    fn parse(self, message: &BorrowedMessage<'_>) {
        let Self { settings, parser, batch, .. } = self;
        let record = Record {
            partition: message.partition(),
            offset: message.offset(),
            payload: message.payload().unwrap_or_default(),
        };
        let mut events = 0;
        let reject = |batch: &mut Batch, line: Option<(u16, &[u8])>, refused| {
            count_error(Stage::Parse, Refused::reason(refused));
            batch.reject(letter(settings, message, line, refused));
        };
        let checked = check_headers(parser, message);
        let outcome = checked.and_then(|()| {
            parser.parse(&record, |parsed| {
                events += 1;
                match parsed {
                    Parsed::Row(row) => batch.push(&row),
                    Parsed::Reject { index, line, refused } => reject(batch, Some((index, line)), refused),
                }
            })
        });
        if let Err(refused) = outcome {
            events += 1;
            reject(batch, None, refused);
        }
        counter!(names::EVENTS_CONSUMED).increment(events);
    }
}

fn check_headers(parser: &Parser, message: &BorrowedMessage<'_>) -> Result<(), Refused> {
    let Some(headers) = message.headers() else { return Err(Refused::ForeignRecord) };
    parser.check_headers(headers.iter().map(|header| (header.key, header.value.unwrap_or_default())))
}

/// The dead letter of a whole record, or of one of its lines.
fn letter(
    settings: &ConsumerSettings,
    message: &BorrowedMessage<'_>,
    line: Option<(u16, &[u8])>,
    refused: Refused,
) -> DeadLetter {
    let origin = Origin {
        topic: &settings.topic,
        topic_id: settings.topic_id,
        partition: message.partition(),
        offset: message.offset(),
        index: line.map(|(index, _)| index),
    };
    let whole = original(message);
    let original = match line {
        Some((_, line)) => Original { payload: Some(line.to_vec()), ..whole },
        None => whole,
    };
    DeadLetter::of(original, &origin, refused, wall_clock())
}

/// Raises the alarm for records that are gone.
pub(super) fn report_lost(partition: i32, expected: i64, start: i64) {
    let lost = u64::try_from(start - expected).unwrap_or(0);
    counter!(names::RECORDS_LOST).increment(lost);
    error!(partition, expected, start, lost, "retention removed {lost} records before they were read");
}
