//! A pipeline made by hand: topics, tables and settings files, with the real ingester and consumer as processes.
//!
//! It is what the operator makes in a cluster, without the cluster, for tests to which pods add nothing.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use schema::api_key::{self, KeyDigest, KeyKind, Scope};
use schema::migrations;
use schema::names::{
    ConsumerGroup, DatabaseName, PipelineName, TableGeneration, TopicId, TopicName, TopicPrefix,
};
use schema::retention::Retention;
use schema::secret::Secret;
use schema::settings::{
    AuditSettings, BatchSettings, ClickHouseSettings, ConsumerSettings, IngesterPipeline, IngesterSettings,
    KeySettings, RecordFormat,
};
use schema::tenant_id::TenantId;
use schema::timestamp::Timestamp;
use tempfile::TempDir;
use uuid::Uuid;

use crate::clickhouse::ClickHouse;
use crate::http::{Answer, Http};
use crate::kafka::{Kafka, metadata};
use crate::ledger::{Ledger, Verdict};
use crate::names::unique;
use crate::process::{Program, free_port};
use crate::wait::{Look, until};

mod changes;

/// Time until a process of ours is ready.
const READY: Duration = Duration::from_secs(60);

/// Partitions of the topic: more than one, so that order across them is never relied on.
const PARTITIONS: i32 = 3;

/// Topics, tables and settings of one tenant's pipeline.
#[derive(Debug)]
pub struct Line {
    pub tenant: TenantId,
    pub key: Secret,
    pub topic: TopicName,
    pub group: ConsumerGroup,
    pub database: DatabaseName,
    pub kafka: Kafka,
    pub clickhouse: ClickHouse,
    settings: ConsumerSettings,
    folder: TempDir,
}

/// A running ingester and its addresses.
#[derive(Debug)]
pub struct Ingester {
    pub program: Program,
    pub url: String,
    pub probes: String,
    arguments: Vec<String>,
}

/// A running consumer and its address.
#[derive(Debug)]
pub struct Consumer {
    pub program: Program,
    pub probes: String,
    arguments: Vec<String>,
}

impl Line {
    /// Makes topics and tables and writes the settings.
    ///
    /// # Errors
    /// When Kafka or ClickHouse does not answer.
    pub async fn make(kafka: &Kafka, clickhouse: &ClickHouse) -> anyhow::Result<Self> {
        Self::make_for(TenantId::parse(&unique("line"))?, kafka, clickhouse).await
    }

    /// As `make`, for a tenant of this id.
    ///
    /// # Errors
    /// As `make`.
    pub async fn make_for(tenant: TenantId, kafka: &Kafka, clickhouse: &ClickHouse) -> anyhow::Result<Self> {
        let pipeline = PipelineName::parse("web")?;
        let topic = TopicName::of(&TopicPrefix::parse("tests")?, &tenant, &pipeline);
        let database = DatabaseName::of(&tenant);
        kafka.make_topic(topic.as_str(), PARTITIONS).await?;
        kafka.make_topic(topic.dead_letter().as_str(), 1).await?;
        let topic_id = TopicId(topic_id(kafka, &topic).await?);
        // As long as can be, since the frozen examples have fixed times of receipt.
        let retention = Retention::from_hours(Retention::MAX_HOURS.into())?;
        let generation = make_tables(clickhouse, &database, retention).await?;
        let group = ConsumerGroup::of(&topic, topic_id, generation);
        let settings = ConsumerSettings {
            tenant_id: tenant.clone(),
            pipeline,
            kafka: kafka.settings.clone(),
            topic: topic.clone(),
            topic_id,
            dead_letter_topic: topic.dead_letter(),
            group: group.clone(),
            clickhouse: ClickHouseSettings {
                url: clickhouse.url.clone(),
                user: clickhouse.user.clone(),
                password: Secret::new(clickhouse.password.clone()),
                database: database.clone(),
                ca_pem: None,
            },
            batch: BatchSettings { max_rows: 50_000, max_bytes: 32 * 1024 * 1024, max_delay_ms: 200 },
            format: RecordFormat::Events,
            start_at: None,
            audit: AuditSettings::default(),
        };
        let line = Self {
            tenant,
            key: api_key::generate(KeyKind::Write, rand::random()),
            topic,
            group,
            database,
            kafka: kafka.clone(),
            clickhouse: clickhouse.clone(),
            settings,
            folder: TempDir::new()?,
        };
        line.write_keys(std::slice::from_ref(&line.key))?;
        Ok(line)
    }

    /// Replaces the keys of the ingester, as the operator does when a tenant's keys change.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_keys(&self, keys: &[Secret]) -> anyhow::Result<()> {
        let digest = |(number, key): (usize, &Secret)| KeySettings {
            name: format!("key-{number}"),
            sha256: KeyDigest::of(key.expose()),
            scopes: vec![Scope::Ingest],
            expires_at: None,
        };
        let settings = IngesterSettings {
            kafka: self.kafka.settings.clone(),
            clickhouse_url: Some(self.clickhouse.url.clone()),
            clickhouse_ca_pem: None,
            pipelines: vec![IngesterPipeline {
                tenant_id: self.tenant.clone(),
                name: self.settings.pipeline.clone(),
                topic: self.topic.clone(),
                keys: keys.iter().enumerate().map(digest).collect(),
            }],
        };
        let path = self.ingester_settings();
        let fresh = path.with_extension("new");
        fs::write(&fresh, serde_json::to_vec(&settings)?)?;
        // As a Secret's volume does: the file is replaced whole.
        Ok(fs::rename(fresh, path)?)
    }

    fn ingester_settings(&self) -> PathBuf {
        self.folder.path().join("ingester.json")
    }

    /// Starts the ingester and waits until it is ready. `more` are flags that override the defaults of the tests.
    ///
    /// # Errors
    /// When it does not become ready.
    pub async fn ingester(&self, more: &[&str]) -> anyhow::Result<Ingester> {
        let ingester = self.start_ingester(more)?;
        ready(&ingester.probes, &ingester.program).await?;
        Ok(ingester)
    }

    /// Starts the ingester without waiting.
    ///
    /// # Errors
    /// When the binary was not built.
    pub fn start_ingester(&self, more: &[&str]) -> anyhow::Result<Ingester> {
        let (port, probes) = (free_port()?, free_port()?);
        let mut arguments: Vec<String> = vec![
            "--host=127.0.0.1".to_owned(),
            format!("--port={port}"),
            format!("--admin-port={probes}"),
            format!("--settings={}", self.ingester_settings().display()),
            "--settings-poll-ms=200".to_owned(),
        ];
        arguments.extend(more.iter().map(|flag| (*flag).to_owned()));
        Ok(Ingester {
            program: Program::start("ingester", &arguments, self.folder.path())?,
            url: format!("http://127.0.0.1:{port}"),
            probes: format!("http://127.0.0.1:{probes}"),
            arguments,
        })
    }

    /// Starts a consumer and waits until it has joined its group.
    ///
    /// # Errors
    /// When it does not become ready.
    pub async fn consumer(&self) -> anyhow::Result<Consumer> {
        self.consumer_through(&self.clickhouse.url, &[]).await
    }

    /// Starts a consumer that reaches ClickHouse at this address, with more flags.
    ///
    /// # Errors
    /// When it does not become ready.
    pub async fn consumer_through(&self, clickhouse_url: &str, more: &[&str]) -> anyhow::Result<Consumer> {
        let consumer = self.start_consumer(clickhouse_url, more)?;
        ready(&consumer.probes, &consumer.program).await?;
        Ok(consumer)
    }

    /// The same without waiting.
    ///
    /// # Errors
    /// When the binary was not built.
    pub fn start_consumer(&self, clickhouse_url: &str, more: &[&str]) -> anyhow::Result<Consumer> {
        let mut settings = self.settings.clone();
        clickhouse_url.clone_into(&mut settings.clickhouse.url);
        let probes = free_port()?;
        let path = self.folder.path().join(format!("consumer-{probes}.json"));
        fs::write(&path, serde_json::to_vec(&settings)?)?;
        let mut arguments =
            vec![format!("--settings={}", path.display()), format!("--listen=127.0.0.1:{probes}")];
        arguments.extend(more.iter().map(|flag| (*flag).to_owned()));
        Ok(Consumer {
            program: Program::start("consumer", &arguments, self.folder.path())?,
            probes: format!("http://127.0.0.1:{probes}"),
            arguments,
        })
    }

    /// The same line with a consumer group that has committed nothing.
    ///
    /// # Errors
    /// When no folder for its settings can be made.
    pub fn with_fresh_group(&self) -> anyhow::Result<Self> {
        let group = ConsumerGroup::of(&self.topic, self.settings.topic_id, TableGeneration(Uuid::new_v4()));
        self.copy(ConsumerSettings { group, ..self.settings.clone() })
    }

    /// The same line, whose Kafka is reached in another way.
    ///
    /// # Errors
    /// When no folder for its settings can be made.
    pub fn with_kafka(&self, kafka: &Kafka) -> anyhow::Result<Self> {
        self.copy(ConsumerSettings { kafka: kafka.settings.clone(), ..self.settings.clone() })
    }

    /// The same line, whose consumer reads a topic of somebody else.
    ///
    /// # Errors
    /// When there is no such topic.
    pub async fn reading(
        &self,
        topic: &str,
        format: RecordFormat,
        start_at: Option<Timestamp>,
    ) -> anyhow::Result<Self> {
        let topic = TopicName::parse(topic)?;
        let topic_id = TopicId(topic_id(&self.kafka, &topic).await?);
        let group = ConsumerGroup::of(&self.topic, topic_id, TableGeneration(Uuid::new_v4()));
        self.copy(ConsumerSettings { topic, topic_id, group, format, start_at, ..self.settings.clone() })
    }

    /// The same line, whose consumer looks up again what it stored.
    ///
    /// # Errors
    /// When no folder for its settings can be made.
    pub fn with_audit(&self, audit: AuditSettings) -> anyhow::Result<Self> {
        self.copy(ConsumerSettings { audit, ..self.settings.clone() })
    }

    fn copy(&self, settings: ConsumerSettings) -> anyhow::Result<Self> {
        let line = Self {
            tenant: self.tenant.clone(),
            key: self.key.clone(),
            topic: settings.topic.clone(),
            group: settings.group.clone(),
            database: self.database.clone(),
            kafka: Kafka { settings: settings.kafka.clone() },
            clickhouse: self.clickhouse.clone(),
            settings,
            folder: TempDir::new()?,
        };
        line.write_keys(std::slice::from_ref(&line.key))?;
        Ok(line)
    }

    /// Posts one event and returns the answer, whatever it is.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn post_event(&self, http: &Http, ingester: &Ingester) -> anyhow::Result<Answer> {
        let bearer = self.bearer();
        let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
        http.post(&format!("{}/events", ingester.url), &headers, r#"{"event_name":"x"}"#).await
    }

    /// Waits until the view `events` shows what the ledger says, and nothing twice.
    ///
    /// # Errors
    /// When it does not; the text has the counts.
    pub async fn wait_until_exact(&self, ledger: &Ledger, deadline: Duration) -> anyhow::Result<Verdict> {
        until(deadline, "every acknowledged event stored once", || async {
            let verdict = ledger.judge(&self.clickhouse.copies(&self.table("events")).await?);
            Ok(if verdict.is_exact() { Look::There(verdict) } else { Look::NotYet(verdict.to_string()) })
        })
        .await
    }

    /// `<tenant>:<key>` as a bearer token.
    #[must_use]
    pub fn bearer(&self) -> String {
        format!("Bearer {}:{}", self.tenant, self.key.expose())
    }

    /// The name of a table or view of this line, for a query.
    #[must_use]
    pub fn table(&self, name: &str) -> String {
        format!("{}.{name}", self.database)
    }

    /// The headers of a record of ours.
    #[must_use]
    pub fn record_headers(&self) -> Vec<(&'static str, String)> {
        use schema::record;
        vec![
            (record::CONTENT_TYPE, record::NDJSON.to_owned()),
            (record::TENANT, self.tenant.to_string()),
            (record::PIPELINE, self.settings.pipeline.to_string()),
            (record::PROTOCOL, "events".to_owned()),
            (record::SCHEMA_VERSION_HEADER, record::SCHEMA_VERSION.to_owned()),
        ]
    }

    /// Waits until the view `events` shows `count` events.
    ///
    /// # Errors
    /// When it does not.
    pub async fn wait_for_events(&self, count: u64, deadline: Duration) -> anyhow::Result<()> {
        let query = format!("SELECT count() FROM {}", self.table("events"));
        until(deadline, &format!("{count} events in {}", self.database), || async {
            let there = self.clickhouse.number(&query).await?;
            Ok(Look::at(there == count, there))
        })
        .await
    }

    /// Waits until the group has committed the end of every partition that holds a record.
    ///
    /// # Errors
    /// When it does not.
    pub async fn wait_until_committed(&self, deadline: Duration) -> anyhow::Result<()> {
        let topic = self.topic.as_str();
        until(deadline, "commit of every record", || async {
            let mut ends = self.kafka.ends(topic).await?;
            ends.retain(|_, end| *end > 0);
            let mut committed = self.kafka.committed(self.group.as_str(), topic).await?;
            // A group that begins late commits where it begins, also of a partition that holds nothing yet.
            committed.retain(|_, offset| *offset > 0);
            Ok(Look::at(ends == committed, (ends, committed)))
        })
        .await
    }
}

impl Ingester {
    /// Starts it again with the same flags, after it was killed or stopped.
    ///
    /// # Errors
    /// When it does not become ready.
    pub async fn restart(&mut self, line: &Line) -> anyhow::Result<()> {
        self.program = Program::start("ingester", &self.arguments, line.folder.path())?;
        ready(&self.probes, &self.program).await
    }
}

impl Consumer {
    /// Starts it again with the same flags, after it was killed or stopped.
    ///
    /// # Errors
    /// When it does not become ready.
    pub async fn restart(&mut self, line: &Line) -> anyhow::Result<()> {
        self.start_again(line)?;
        ready(&self.probes, &self.program).await
    }

    /// The same without waiting.
    ///
    /// # Errors
    /// When the binary was not built.
    pub fn start_again(&mut self, line: &Line) -> anyhow::Result<()> {
        self.program = Program::start("consumer", &self.arguments, line.folder.path())?;
        Ok(())
    }

    /// The sum of a metric over all its labels that contain `labels`; absent ones count as zero.
    ///
    /// # Errors
    /// When the process does not answer.
    pub async fn metric(&self, name: &str, labels: &str) -> anyhow::Result<f64> {
        let text = Http::new(Duration::from_secs(5)).get(&format!("{}/metrics", self.probes)).await?.text();
        let value = |line: &str| {
            let rest = line.strip_prefix(name).filter(|rest| rest.starts_with(['{', ' ']))?;
            let (shown, value) = rest.rsplit_once(' ')?;
            shown.contains(labels).then(|| value.parse::<f64>().ok())?
        };
        Ok(text.lines().filter_map(value).sum())
    }
}

/// Waits until `/health/ready` answers 200.
async fn ready(probes: &str, program: &Program) -> anyhow::Result<()> {
    let http = Http::new(Duration::from_secs(5));
    let url = format!("{probes}/health/ready");
    until(READY, "ready process", || async {
        let answer = http.get(&url).await?;
        Ok(Look::at(answer.status.is_success(), answer.text()))
    })
    .await
    .with_context(|| program.tail())
}

/// Makes a tenant's database as the operator does, and returns the incarnation of its storage table.
///
/// # Errors
/// When ClickHouse refuses a statement.
pub async fn make_tables(
    clickhouse: &ClickHouse,
    database: &DatabaseName,
    retention: Retention,
) -> anyhow::Result<TableGeneration> {
    clickhouse.run(&format!("CREATE DATABASE {database}")).await?;
    for step in migrations::pending(&[])? {
        clickhouse.run(&step.statement(database, retention)).await?;
    }
    for view in migrations::views(database, retention) {
        clickhouse.run(&view.statement).await?;
    }
    let query =
        format!("SELECT uuid FROM system.tables WHERE database = '{database}' AND name = 'events_raw'");
    Ok(TableGeneration(clickhouse.run(&query).await?.trim().parse()?))
}

/// The topic's own id where it can be asked without encryption; on a secured cluster any id serves, since
/// the consumer only stores it.
async fn topic_id(kafka: &Kafka, topic: &TopicName) -> anyhow::Result<Uuid> {
    if kafka.settings.sasl.is_some() {
        return Ok(Uuid::new_v4());
    }
    metadata::topic_id(&kafka.settings.bootstrap_servers, topic.as_str()).await
}
