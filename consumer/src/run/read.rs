//! Which parser reads a message of Kafka: that of our own records, or that of the topics of others.

use rdkafka::message::{Headers as _, Message};
use schema::{
    record::dead_letter,
    settings::{ConsumerSettings, RecordFormat},
    timestamp::Timestamp,
};

use crate::{
    first_position,
    foreign::{ForeignParser, Receipt},
    parse::{Parsed, Parser, Record},
    refused::Refused,
};

/// Reads the messages of one topic.
#[derive(Debug)]
pub(crate) enum Reader {
    Ours(Parser),
    Foreign(ForeignParser),
}

impl Reader {
    /// The reader of a pipeline's topic.
    pub(crate) fn of(settings: &ConsumerSettings) -> Self {
        match &settings.format {
            RecordFormat::Events => Self::Ours(Parser::new(settings.tenant_id.clone(), settings.topic_id)),
            RecordFormat::Json(map) => {
                Self::Foreign(ForeignParser::new(settings.pipeline.clone(), settings.topic_id, map))
            }
        }
    }

    /// Hands what a message becomes to `take`.
    ///
    /// # Errors
    /// When the message is refused as a whole; then nothing was taken.
    pub(crate) fn read(
        &mut self,
        message: &impl Message,
        mut take: impl FnMut(Parsed<'_>),
    ) -> Result<(), Refused> {
        let record = Record {
            partition: message.partition(),
            offset: message.offset(),
            payload: message.payload().unwrap_or_default(),
        };
        match self {
            Self::Ours(parser) => {
                check_headers(parser, message)?;
                parser.parse(&record, take)
            }
            Self::Foreign(parser) => {
                take(Parsed::Row(parser.parse(&record, receipt(message))?));
                Ok(())
            }
        }
    }
}

fn check_headers(parser: &Parser, message: &impl Message) -> Result<(), Refused> {
    let Some(headers) = message.headers() else { return Err(Refused::ForeignRecord) };
    parser.check_headers(headers.iter().map(|header| (header.key, header.value.unwrap_or_default())))
}

fn receipt(message: &impl Message) -> Receipt {
    let mut headers = message.headers().into_iter().flat_map(|headers| headers.iter());
    let first = headers.find(|header| header.key == dead_letter::FIRST_POSITION);
    Receipt {
        received_at: message.timestamp().to_millis().map(Timestamp::from_millis),
        first: first.and_then(|header| first_position::read(header.value?)),
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::{
        Timestamp as Time,
        message::{Header, OwnedHeaders, OwnedMessage},
    };
    use schema::{field_map::FieldMap, names::PipelineName, names::TopicId};
    use uuid::Uuid;

    use super::*;

    /// The id and the time of receipt of the row that a message of a topic of others becomes.
    fn read(timestamp: Time, headers: &[(&str, &str)]) -> Result<String, Refused> {
        let headers = headers
            .iter()
            .fold(OwnedHeaders::new(), |all, (key, value)| all.insert(Header { key, value: Some(*value) }));
        let payload = Some(br#"{"event_name":"x"}"#.to_vec());
        let message = OwnedMessage::new(payload, None, "t".to_owned(), timestamp, 3, 42, Some(headers));
        let web = PipelineName::parse("web").unwrap();
        let parser = ForeignParser::new(web, TopicId(Uuid::from_u128(7)), &FieldMap::default());
        let mut row = String::new();
        Reader::Foreign(parser).read(&message, |parsed| match parsed {
            Parsed::Row(read) => row = format!("{} {}", read.event.id, read.event.received_at),
            Parsed::Reject { .. } => unreachable!("a record of one event is refused as a whole"),
        })?;
        Ok(row)
    }

    #[test]
    fn the_time_of_receipt_is_the_one_that_kafka_keeps() {
        let read = |timestamp| read(timestamp, &[]);
        for timestamp in [Time::CreateTime(1_769_860_800_000), Time::LogAppendTime(1_769_860_800_000)] {
            let row = read(timestamp).unwrap();
            assert!(row.ends_with(" 2026-01-31T12:00:00.000Z"), "{row}");
        }
        assert_eq!(read(Time::NotAvailable), Err(Refused::ReceivedOutOfRange));
    }

    #[test]
    fn a_letter_that_is_sent_again_is_the_event_of_its_first_position() {
        let time = Time::CreateTime(1_769_860_800_000);
        let sent_again = |position: &str| read(time, &[("dead-letter-first-position", position)]).unwrap();
        // The golden vector of `schema::identity`.
        assert!(
            sent_again("00000000-0000-0000-0000-000000000007/3/42/1")
                .starts_with("689cacde-053b-5a41-bf93-4579079ca0f9 ")
        );
        assert_eq!(sent_again("anything else"), read(time, &[]).unwrap());
    }
}
