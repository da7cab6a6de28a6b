//! The insert step: one Native block, one POST to ClickHouse, one judged answer.
//!
//! The clickhouse crate streams its inserts in chunks and drops the server's summary; here the length is known,
//! so that a cut body can never be taken for a smaller one, and the summary is read.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
    vec,
};

use bytes::Bytes;
use hyper::{
    Request,
    body::{Body, Frame, SizeHint},
};
use schema::{names::STORAGE_TABLE, settings::ClickHouseSettings};

use crate::{
    answer::{Failure, Stored, accepted, judge},
    columns,
    connection::{Connection, address, percent_encoded, read},
    native::Block,
};

/// Asked of the server with each insert. Nothing is left to defaults, which change between versions.
const INSERT_SETTINGS: [(&str, &str); 9] = [
    // The answer comes after the rows are written, not after they were queued.
    ("async_insert", "0"),
    ("wait_end_of_query", "1"),
    // The same rows inserted again must land again: a server that remembers them could answer 200 and drop them.
    ("deduplicate_insert", "disable"),
    // The merge would collapse equal rows anyway; doing it on insert costs several times the insert.
    ("optimize_on_insert", "0"),
    // A second attempt ends the first one, if that still runs.
    ("replace_running_query", "1"),
    // `event_name` is sent as String, see `columns`.
    ("input_format_native_allow_types_conversion", "1"),
    ("input_format_parallel_parsing", "0"),
    ("max_partitions_per_insert_block", "100"),
    ("http_write_exception_in_output_format", "0"),
];

/// Inserts blocks into one table.
#[derive(Debug)]
pub(crate) struct Inserter {
    connection: Connection<BlockBody>,
    target: String,
    description: String,
    deadline: Duration,
}

impl Inserter {
    /// An inserter into the storage table of these settings.
    ///
    /// # Errors
    /// When the address, the credentials or the authority's certificate cannot be used.
    pub(crate) fn new(settings: &ClickHouseSettings, deadline: Duration) -> anyhow::Result<Self> {
        let statement = columns::description(&settings.database.to_string(), STORAGE_TABLE);
        let description = address(settings, &statement);
        Ok(Self { connection: Connection::new(settings)?, target: target(settings), description, deadline })
    }

    /// Inserts a block. Attempts at the same rows have the same query id, so that each ends the one before.
    ///
    /// # Errors
    /// When the block is not known to be stored.
    pub(crate) async fn insert(&self, block: Block, query_id: &str) -> Result<Stored, Failure> {
        let deadline = self.deadline;
        tokio::time::timeout(deadline, self.attempt(block, query_id))
            .await
            .unwrap_or(Err(Failure::Deadline { deadline }))
    }

    async fn attempt(&self, block: Block, query_id: &str) -> Result<Stored, Failure> {
        let sent = block.rows() as u64;
        let target = format!("{}&query_id={}", self.target, percent_encoded(query_id));
        let response = self.connection.send(Request::post(target), BlockBody::of(block)).await?;
        judge(read(response).await, sent)
    }

    /// The columns of the table, a line of JSON each.
    ///
    /// # Errors
    /// When the server does not tell.
    pub(crate) async fn describe(&self) -> Result<Vec<u8>, Failure> {
        let deadline = self.deadline;
        let asking = async {
            let request = Request::get(&self.description);
            let response = self.connection.send(request, BlockBody::empty()).await?;
            Ok(accepted(read(response).await)?.text)
        };
        tokio::time::timeout(deadline, asking).await.unwrap_or(Err(Failure::Deadline { deadline }))
    }
}

/// The address of the INSERT into the storage table.
pub(crate) fn target(settings: &ClickHouseSettings) -> String {
    let names = columns::names();
    let statement = format!("INSERT INTO {}.{STORAGE_TABLE} ({names}) FORMAT Native", settings.database);
    let mut target = address(settings, &statement);
    for (name, value) in INSERT_SETTINGS {
        target.push_str(&format!("&{name}={value}"));
    }
    target
}

/// A block as the body of a request, with its length known.
#[derive(Debug)]
struct BlockBody {
    chunks: vec::IntoIter<Bytes>,
    left: u64,
}

impl BlockBody {
    fn empty() -> Self {
        Self { chunks: Vec::new().into_iter(), left: 0 }
    }

    fn of(block: Block) -> Self {
        Self { left: block.bytes(), chunks: block.into_chunks() }
    }
}

impl Body for BlockBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = self.chunks.next();
        self.left -= next.as_ref().map_or(0, |chunk| chunk.len() as u64);
        Poll::Ready(next.map(|chunk| Ok(Frame::data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests;
