//! The tables of a round, and what ClickHouse says of them.

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use dev::http::{Client, Post};
use schema::migrations::{MIGRATIONS, views};
use schema::retention::Retention;
use schema::settings::ClickHouseSettings;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// Time for one statement; the sums over five million rows take half a minute, on a bad day several.
const DEADLINE: Duration = Duration::from_secs(600);

/// How often and how far apart the log is looked at for the last insert.
const LOG_LOOKS: u32 = 40;
const LOG_PAUSE: Duration = Duration::from_millis(250);

/// One tenant's database.
pub(crate) struct ClickHouse {
    client: Client,
    settings: ClickHouseSettings,
}

/// What `system.query_log` says of the inserts into the table.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct Inserts {
    pub(crate) count: u64,
    pub(crate) rows: u64,
    /// User and system time of their threads.
    pub(crate) cpu_micros: u64,
    /// What came in over their connections.
    pub(crate) received_bytes: u64,
}

/// What the view `events` shows.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct View {
    pub(crate) rows: u64,
    pub(crate) ids: u64,
}

#[derive(Deserialize)]
struct Rows {
    rows: u64,
}

impl ClickHouse {
    pub(crate) fn new(settings: &ClickHouseSettings) -> Self {
        Self { client: Client::new(DEADLINE), settings: settings.clone() }
    }

    /// The database with its tables and views as the operator makes them. Merges are stopped,
    /// so that an insert's CPU is measured without the merges that follow it.
    pub(crate) async fn create_tables(&self) -> anyhow::Result<()> {
        let (database, retention) = (&self.settings.database, Retention::from_days(1)?);
        self.run(format!("CREATE DATABASE {database}")).await?;
        for migration in MIGRATIONS {
            self.run(migration.statement(database, retention)).await?;
        }
        for view in views(database, retention) {
            self.run(view.statement).await?;
        }
        self.run(format!("SYSTEM STOP MERGES {database}.events_raw")).await
    }

    pub(crate) async fn drop_tables(&self) -> anyhow::Result<()> {
        self.run(format!("DROP DATABASE IF EXISTS {} SYNC", self.settings.database)).await
    }

    /// Rows of the storage table, copies included, known without reading it.
    pub(crate) async fn rows(&self) -> anyhow::Result<u64> {
        let rows: Rows =
            self.ask(format!("SELECT count() AS rows FROM {}.events_raw", self.settings.database)).await?;
        Ok(rows.rows)
    }

    pub(crate) async fn view(&self) -> anyhow::Result<View> {
        self.ask(format!(
            "SELECT count() AS rows, uniqExact(id) AS ids FROM {}.events",
            self.settings.database
        ))
        .await
    }

    /// The inserts of so many rows. The log tells of an insert some time after its answer.
    pub(crate) async fn inserts(&self, rows: u64) -> anyhow::Result<Inserts> {
        for _ in 0..LOG_LOOKS {
            let inserts = self.logged_inserts().await?;
            if inserts.rows >= rows {
                return Ok(inserts);
            }
            tokio::time::sleep(LOG_PAUSE).await;
        }
        bail!("failed to find inserts of {rows} rows in `system.query_log`")
    }

    async fn logged_inserts(&self) -> anyhow::Result<Inserts> {
        self.run("SYSTEM FLUSH LOGS".to_owned()).await?;
        self.ask(format!(
            "SELECT count() AS count, sum(written_rows) AS rows, \
             sum(ProfileEvents['UserTimeMicroseconds'] + ProfileEvents['SystemTimeMicroseconds']) AS cpu_micros, \
             sum(ProfileEvents['NetworkReceiveBytes']) AS received_bytes \
             FROM system.query_log WHERE type = 'QueryFinish' AND query_kind = 'Insert' \
             AND has(tables, '{}.events_raw')",
            self.settings.database
        ))
        .await
    }

    /// Runs a statement.
    pub(crate) async fn run(&self, statement: String) -> anyhow::Result<()> {
        self.send(statement).await.map(drop)
    }

    /// Asks for one row.
    pub(crate) async fn ask<T: DeserializeOwned>(&self, question: String) -> anyhow::Result<T> {
        let body = self.send(format!("{question} FORMAT JSONEachRow")).await?;
        serde_json::from_slice(&body).context("failed to understand ClickHouse's answer")
    }

    async fn send(&self, statement: String) -> anyhow::Result<Bytes> {
        let url = format!(
            "{}/?wait_end_of_query=1&output_format_json_quote_64bit_integers=0",
            self.settings.url.trim_end_matches('/')
        );
        let headers = vec![
            ("X-ClickHouse-User", self.settings.user.clone()),
            ("X-ClickHouse-Key", self.settings.password.expose().to_owned()),
        ];
        let answer = self.client.post(Post { url, headers, body: statement.into() }).await?;
        ensure!(answer.status.is_success(), "failed to run a statement on ClickHouse: {answer}");
        Ok(answer.body)
    }
}
