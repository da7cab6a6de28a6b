//! ClickHouse over plain HTTP, read by code of its own: what the consumer does wrong must not be repeated here.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::http::Http;

/// Time for a statement; the tests' tables are small.
const STATEMENT: Duration = Duration::from_secs(30);

/// A ClickHouse server and a user of it.
#[derive(Debug, Clone)]
pub struct ClickHouse {
    pub url: String,
    pub user: String,
    pub password: String,
    http: Http,
}

impl ClickHouse {
    #[must_use]
    pub fn new(url: &str, user: &str, password: &str) -> Self {
        Self {
            url: url.to_owned(),
            user: user.to_owned(),
            password: password.to_owned(),
            http: Http::new(STATEMENT),
        }
    }

    /// Runs a statement and returns what the server said.
    ///
    /// # Errors
    /// When the server is away or refuses the statement.
    pub async fn run(&self, statement: &str) -> anyhow::Result<String> {
        let headers =
            [("X-ClickHouse-User", self.user.as_str()), ("X-ClickHouse-Key", self.password.as_str())];
        let url = format!("{}/?wait_end_of_query=1", self.url);
        let answer = self.http.post(&url, &headers, statement.to_owned()).await?;
        let said = answer.text();
        ensure!(
            answer.status.is_success() && answer.header("X-ClickHouse-Exception-Code").is_empty(),
            "ClickHouse refused `{statement}`: {said}"
        );
        Ok(said)
    }

    /// The rows of a query without a FORMAT.
    ///
    /// # Errors
    /// As `run`, and when a row is not a `T`.
    pub async fn rows<T: DeserializeOwned>(&self, query: &str) -> anyhow::Result<Vec<T>> {
        let text = self.run(&format!("{query} FORMAT JSONEachRow")).await?;
        text.lines()
            .map(|row| serde_json::from_str(row).with_context(|| format!("unexpected row {row}")))
            .collect()
    }

    /// The one number that a query returns.
    ///
    /// # Errors
    /// As `run`, and when the answer is no number.
    pub async fn number(&self, query: &str) -> anyhow::Result<u64> {
        let text = self.run(query).await?;
        text.trim().parse().with_context(|| format!("`{query}` answered {text}"))
    }

    /// How often each id stands in a table or view.
    ///
    /// # Errors
    /// As `run`.
    pub async fn copies(&self, table: &str) -> anyhow::Result<BTreeMap<Uuid, u64>> {
        let text = self.run(&format!("SELECT id, count() FROM {table} GROUP BY id FORMAT TSV")).await?;
        let row = |line: &str| {
            let (id, count) = line.split_once('\t').context("two columns")?;
            anyhow::Ok((id.parse()?, count.parse()?))
        };
        text.lines().map(row).collect()
    }
}
