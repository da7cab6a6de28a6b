//! The parts of the way from a record to a block, each alone, for the benchmark that computes what is possible from
//! them. It is the production code in the same order, without Kafka, ClickHouse, commits and metrics.

use bytes::Bytes;
use rdkafka::ClientConfig;
use schema::settings::{ClickHouseSettings, ConsumerSettings};

use crate::{
    batch::Batch,
    columns, insert,
    parse::{Parsed, Parser, Record},
    poll,
    protocol::BatchId,
};

/// A batch outside of the run loop.
pub struct Parts {
    parser: Parser,
    batch: Batch,
}

impl Parts {
    /// An empty batch of the pipeline of these settings.
    #[must_use]
    pub fn new(settings: &ConsumerSettings) -> Self {
        let parser = Parser::new(settings.tenant_id.clone(), settings.topic_id);
        Self { parser, batch: Batch::new(BatchId(0)) }
    }

    /// Parses a record of the ingester into columns and says how many rows the batch has.
    ///
    /// # Errors
    /// When the record, or a line of it, is none of ours.
    pub fn parse(&mut self, partition: i32, offset: i64, payload: &[u8]) -> anyhow::Result<usize> {
        let mut refused = None;
        let batch = &mut self.batch;
        self.parser.parse(&Record { partition, offset, payload }, |parsed| match parsed {
            Parsed::Row(row) => batch.push(&row),
            Parsed::Reject { refused: reason, .. } => refused = Some(reason),
        })?;
        refused.map_or(Ok(self.batch.rows()), |refused| Err(refused.into()))
    }

    /// Brings the rows into the table's order.
    pub fn sort(&mut self) {
        self.batch.sort();
    }

    /// The rows as the body of an INSERT, in pieces.
    #[must_use]
    pub fn encode(&self) -> Vec<Bytes> {
        columns::block(&self.batch.columns, 0..self.batch.rows()).into_chunks().collect()
    }

    /// Forgets the rows and keeps the buffers; no piece of them may be held any more.
    pub fn clear(&mut self) {
        let columns = std::mem::replace(&mut self.batch, Batch::new(BatchId(0))).columns;
        self.batch = Batch::reusing(BatchId(0), columns);
    }
}

/// The configuration of librdkafka that the consumer reads with.
#[must_use]
pub fn kafka_config(settings: &ConsumerSettings) -> ClientConfig {
    poll::config(settings)
}

/// The address of the INSERT, with the settings that the consumer asks for.
#[must_use]
pub fn insert_address(settings: &ClickHouseSettings) -> String {
    insert::target(settings)
}
