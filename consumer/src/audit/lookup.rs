//! The audit's own questions to ClickHouse: how often `events` shows each of some events, how long it shows any, and
//! how far the table goes back.
//!
//! The events go along as a table of the query, so that no text of a user becomes a part of a statement. All of a
//! round are asked for together: they lie in random places of the table's key, and reading a day once for all of
//! them costs little more than for one.

use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, header::CONTENT_TYPE};
use schema::{
    names::{EVENTS_VIEW, STORAGE_TABLE},
    settings::ClickHouseSettings,
    timestamp::Timestamp,
};
use uuid::Uuid;

use crate::{
    answer::{Failure, accepted},
    audit::wanted::{Horizon, STRUCTURE, Shown, Wanted, decode, encode, horizon_in, oldest_in},
    connection::{Connection, address, percent_encoded, read},
};

/// How long an answer is waited for.
const DEADLINE: Duration = Duration::from_secs(60);
/// Of the events that are not there once, those that one answer tells of: it has to fit into what is read of one.
pub(crate) const MAX_TOLD: usize = 4_000;

/// Asked of the server with each question, so that it takes little from those of users.
const SETTINGS: &str = "wait_end_of_query=1&max_threads=2&max_execution_time=60&join_use_nulls=0";

/// Looks events up.
#[derive(Debug)]
pub(crate) struct Lookup {
    connection: Connection<Full<Bytes>>,
    question: String,
    horizon: String,
    oldest: String,
}

impl Lookup {
    /// # Errors
    /// As an inserter's.
    pub(crate) fn new(settings: &ClickHouseSettings) -> anyhow::Result<Self> {
        let connection = Connection::new(settings).context("failed to prepare the audit's questions")?;
        let database = &settings.database;
        let question = format!(
            "SELECT n, copies FROM wanted LEFT JOIN \
             (SELECT event_name, day, distinct_id, id, count() AS copies FROM {database}.{EVENTS_VIEW} \
             WHERE (event_name, day, cityHash64(distinct_id), id) IN \
             (SELECT event_name, day, cityHash64(distinct_id), id FROM wanted) \
             GROUP BY event_name, day, distinct_id, id) AS shown \
             USING (event_name, day, distinct_id, id) WHERE copies != 1 LIMIT {MAX_TOLD} FORMAT TSV"
        );
        let structure = percent_encoded(STRUCTURE);
        let question = format!(
            "{}&wanted_format=RowBinary&wanted_structure={structure}&{SETTINGS}",
            address(settings, &question)
        );
        let horizon = format!(
            "SELECT toUnixTimestamp64Milli(now64(3)), \
             if(name = '{STORAGE_TABLE}', toUnixTimestamp(metadata_modification_time), 0), create_table_query \
             FROM system.tables \
             WHERE database = '{database}' AND name IN ('{EVENTS_VIEW}', '{STORAGE_TABLE}') FORMAT TSVRaw"
        );
        let horizon = format!("{}&{SETTINGS}", address(settings, &horizon));
        let oldest = format!(
            "SELECT count(), toUnixTimestamp64Milli(min(received_at)) FROM {database}.{STORAGE_TABLE} FORMAT TSV"
        );
        let oldest = format!("{}&{SETTINGS}", address(settings, &oldest));
        Ok(Self { connection, question, horizon, oldest })
    }

    /// Which of these events `events` does not show once.
    ///
    /// # Errors
    /// When the server does not tell.
    pub(crate) async fn shown(&self, wanted: &[Wanted]) -> Result<Shown, Failure> {
        let boundary = Uuid::new_v4().simple().to_string();
        let body = multipart(&boundary, &encode(wanted));
        let content_type = format!("multipart/form-data; boundary={boundary}");
        let request = Request::post(&self.question).header(CONTENT_TYPE, content_type);
        let text = self.ask(request, body).await?;
        decode(&text, wanted.len()).ok_or(Failure::Unexpected)
    }

    /// The server's time and how long it shows an event; none if the definitions do not say.
    ///
    /// # Errors
    /// When the server does not tell.
    pub(crate) async fn horizon(&self) -> Result<Option<Horizon>, Failure> {
        let text = self.ask(Request::post(&self.horizon), Vec::new()).await?;
        Ok(horizon_in(&text))
    }

    /// When the oldest event of the table was received; none if it is empty. It reads a whole column.
    ///
    /// # Errors
    /// When the server does not tell.
    pub(crate) async fn oldest(&self) -> Result<Option<Timestamp>, Failure> {
        let text = self.ask(Request::post(&self.oldest), Vec::new()).await?;
        oldest_in(&text).ok_or(Failure::Unexpected)
    }

    async fn ask(&self, request: hyper::http::request::Builder, body: Vec<u8>) -> Result<Vec<u8>, Failure> {
        let asking = async {
            let response = self.connection.send(request, Full::new(Bytes::from(body))).await?;
            Ok(accepted(read(response).await)?.text)
        };
        tokio::time::timeout(DEADLINE, asking).await.unwrap_or(Err(Failure::Deadline { deadline: DEADLINE }))
    }
}

/// A body with one part, which ClickHouse takes as the table `wanted`
/// (<https://clickhouse.com/docs/engines/table-engines/special/external-data>).
fn multipart(boundary: &str, rows: &[u8]) -> Vec<u8> {
    let head = format!(
        "--{boundary}\r\ncontent-disposition: form-data; name=\"wanted\"; filename=\"wanted\"\r\n\
         content-type: application/octet-stream\r\n\r\n"
    );
    [head.as_bytes(), rows, format!("\r\n--{boundary}--\r\n").as_bytes()].concat()
}
