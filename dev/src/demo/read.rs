//! Reads back what was stored, by SQL over ClickHouse's HTTP interface.
//!
//! It shares no code with the consumer or the operator, so that it cannot repeat their mistakes.
//! The ids are uploaded with the question as a temporary table
//! (<https://clickhouse.com/docs/engines/table-engines/special/external-data>).

use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::ledger::Found;
use crate::http::{self, Client, Post};

/// Counting 200,000 ids takes less than a second; a busy machine may take several times that.
const DEADLINE: Duration = Duration::from_secs(30);

/// Names in the list of the most frequent events.
const TOP: u32 = 5;

/// Hours back that the table of hours shows: the shop's visits, and not the deliveries of years ago.
const HOURS: u32 = 12;

/// Separates the parts of an upload; no id contains it.
const BOUNDARY: &str = "millrace-ledger";

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("failed to ask ClickHouse")]
    Ask {
        #[source]
        source: http::Error,
    },
    #[error("failed to get an answer from ClickHouse: {answer}")]
    Refused { answer: http::Answer },
    #[error("failed to understand ClickHouse's answer")]
    Understand {
        #[source]
        source: serde_json::Error,
    },
    #[error("failed to get a row from ClickHouse")]
    NoRow,
}

/// Reads one tenant's database.
#[derive(Debug, Clone)]
pub(crate) struct Reader {
    client: Client,
    url: String,
    headers: Vec<(&'static str, String)>,
    database: String,
}

/// A name and how often it was stored.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Frequency {
    pub(crate) event_name: String,
    pub(crate) events: u64,
}

/// One hour of `hourly_event_stats`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Hour {
    pub(crate) hour: String,
    pub(crate) events: u64,
    pub(crate) page_views: u64,
    pub(crate) visitors: u64,
    pub(crate) purchases: u64,
}

#[derive(Deserialize)]
struct Counts {
    rows: u64,
    ids: u64,
}

impl Reader {
    pub(crate) fn new(url: &str, user: &str, password: &str, database: &str) -> Self {
        let headers = vec![("X-ClickHouse-User", user.to_owned()), ("X-ClickHouse-Key", password.to_owned())];
        Self {
            client: Client::new(DEADLINE),
            url: url.trim_end_matches('/').to_owned(),
            headers,
            database: database.to_owned(),
        }
    }

    /// How many rows the view `events` has of these ids, and of how many of them.
    pub(crate) async fn find(&self, ids: impl Iterator<Item = Uuid>) -> Result<Found, Error> {
        let sql = format!(
            "SELECT count() AS rows, uniqExact(id) AS ids FROM {}.events WHERE id IN (SELECT id FROM ledger)",
            self.database
        );
        let rows: Vec<Counts> = self.ask(&sql, upload(ids)).await?;
        let counts = rows.first().ok_or(Error::NoRow)?;
        Ok(Found { rows: counts.rows, ids: counts.ids })
    }

    pub(crate) async fn most_frequent(&self) -> Result<Vec<Frequency>, Error> {
        let sql = format!(
            "SELECT event_name, count() AS events FROM {}.events GROUP BY event_name ORDER BY events DESC, event_name LIMIT {TOP}",
            self.database
        );
        self.ask(&sql, upload(std::iter::empty())).await
    }

    /// Those of the last hours that have events, newest first.
    pub(crate) async fn hours(&self) -> Result<Vec<Hour>, Error> {
        let sql = format!(
            "SELECT formatDateTime(stats.hour, '%F %H:%i') AS hour, sum(stats.events) AS events, \
             sumIf(stats.events, event_name = 'page_view') AS page_views, \
             sumIf(unique_users, event_name = 'page_view') AS visitors, \
             sumIf(stats.events, event_name = 'purchase') AS purchases \
             FROM {}.hourly_event_stats AS stats WHERE stats.hour > now() - INTERVAL {HOURS} HOUR \
             GROUP BY stats.hour ORDER BY stats.hour DESC",
            self.database
        );
        self.ask(&sql, upload(std::iter::empty())).await
    }

    async fn ask<T: DeserializeOwned>(&self, sql: &str, body: Bytes) -> Result<Vec<T>, Error> {
        let mut headers = self.headers.clone();
        headers.push(("Content-Type", format!("multipart/form-data; boundary={BOUNDARY}")));
        let url = format!(
            "{}/?wait_end_of_query=1&output_format_json_quote_64bit_integers=0&ledger_structure=id%20UUID&query={}",
            self.url,
            percent_encoded(&format!("{sql} FORMAT JSONEachRow"))
        );
        let answer =
            self.client.post(Post { url, headers, body }).await.map_err(|source| Error::Ask { source })?;
        if !answer.status.is_success() {
            return Err(Error::Refused { answer });
        }
        serde_json::Deserializer::from_slice(&answer.body)
            .into_iter()
            .collect::<Result<_, _>>()
            .map_err(|source| Error::Understand { source })
    }
}

/// The table `ledger` as one part of a form, an id per line (RFC 7578).
fn upload(ids: impl Iterator<Item = Uuid>) -> Bytes {
    let mut body = format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"ledger\"; filename=\"ledger\"\r\n\r\n"
    );
    for id in ids {
        // Writing into a String cannot fail.
        let _ = writeln!(body, "{id}");
    }
    // Writing into a String cannot fail.
    let _ = write!(body, "\r\n--{BOUNDARY}--\r\n");
    body.into()
}

/// RFC 3986: everything but unreserved characters as `%XX`.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len() * 2);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing into a String cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_fits_into_an_address() {
        assert_eq!(percent_encoded("SELECT 'ü' = 1"), "SELECT%20%27%C3%BC%27%20%3D%201");
    }

    #[test]
    fn the_ledger_is_one_part_with_an_id_per_line() {
        let body = upload([Uuid::from_u128(1), Uuid::from_u128(2)].into_iter());
        insta::assert_snapshot!(String::from_utf8_lossy(&body).replace("\r\n", "<crlf>\n"));
    }
}
