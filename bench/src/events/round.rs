//! Names, settings and keys of one round. What the operator would write is written here by hand.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use dev::Stack;
use schema::api_key::{self, KeyDigest, KeyKind, Scope};
use schema::names::{
    ConsumerGroup, DatabaseName, PipelineName, TableGeneration, TopicId, TopicName, TopicPrefix,
};
use schema::secret::Secret;
use schema::settings::{
    AuditSettings, BatchSettings, ClickHouseSettings, ConsumerSettings, IngesterPipeline, IngesterSettings,
    KafkaSettings, KeySettings, RecordFormat, SecurityProtocol,
};
use schema::tenant_id::TenantId;
use serde::Serialize;
use tempfile::TempDir;
use uuid::Uuid;

/// When the consumer closes a batch: the defaults of a Pipeline.
const BATCH: BatchSettings =
    BatchSettings { max_rows: 50_000, max_bytes: 32 * 1024 * 1024, max_delay_ms: 1_000 };

/// One round's names and files.
pub(crate) struct Round {
    pub(crate) number: u32,
    pub(crate) kafka: String,
    pub(crate) clickhouse: ClickHouseSettings,
    tenant: TenantId,
    pipeline: PipelineName,
    topic: TopicName,
    key: Secret,
    folder: TempDir,
}

impl Round {
    /// Nothing of it is shared with another round, or with another run at the same time.
    pub(crate) fn new(number: u32, stack: &Stack) -> anyhow::Result<Self> {
        let tenant = TenantId::parse(&format!("bench-{}-{number}", std::process::id()))?;
        let pipeline = PipelineName::parse("bench")?;
        Ok(Self {
            number,
            kafka: stack.kafka.clone(),
            clickhouse: ClickHouseSettings {
                url: stack.clickhouse_url.clone(),
                user: stack.clickhouse_user.clone(),
                password: Secret::new(stack.clickhouse_password.clone()),
                database: DatabaseName::of(&tenant),
                ca_pem: None,
            },
            topic: TopicName::of(&TopicPrefix::parse("bench")?, &tenant, &pipeline),
            key: api_key::generate(KeyKind::Write, rand::random()),
            tenant,
            pipeline,
            folder: tempfile::tempdir().context("failed to make a temporary folder")?,
        })
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn topics(&self) -> [TopicName; 2] {
        [self.topic.clone(), self.topic.dead_letter()]
    }

    pub(crate) fn authorization(&self) -> String {
        format!("Bearer {}:{}", self.tenant, self.key.expose())
    }

    /// The ingester's command line.
    pub(crate) fn ingester_words(&self, public: u16, admin: u16) -> anyhow::Result<Vec<String>> {
        let settings = IngesterSettings {
            kafka: self.kafka(),
            clickhouse_url: None,
            clickhouse_ca_pem: None,
            pipelines: vec![IngesterPipeline {
                tenant_id: self.tenant.clone(),
                name: self.pipeline.clone(),
                topic: self.topic.clone(),
                keys: vec![KeySettings {
                    name: "bench".to_owned(),
                    sha256: KeyDigest::of(self.key.expose()),
                    scopes: vec![Scope::Ingest],
                    expires_at: None,
                }],
            }],
        };
        let file = self.write("ingester.json", &settings)?;
        Ok(words(&[
            ("--settings", &file.to_string_lossy()),
            ("--host", "127.0.0.1"),
            ("--port", &public.to_string()),
            ("--admin-port", &admin.to_string()),
        ]))
    }

    /// The consumer's command line.
    pub(crate) fn consumer_words(&self, admin: u16) -> anyhow::Result<Vec<String>> {
        let topic_id = TopicId(Uuid::from_u128(rand::random()));
        let settings = ConsumerSettings {
            tenant_id: self.tenant.clone(),
            pipeline: self.pipeline.clone(),
            kafka: self.kafka(),
            topic: self.topic.clone(),
            topic_id,
            dead_letter_topic: self.topic.dead_letter(),
            group: ConsumerGroup::of(&self.topic, topic_id, TableGeneration(Uuid::nil())),
            clickhouse: self.clickhouse.clone(),
            batch: BATCH,
            format: RecordFormat::Events,
            start_at: None,
            audit: AuditSettings { share_per_mille: 0, ..AuditSettings::default() },
        };
        let file = self.write("consumer.json", &settings)?;
        Ok(words(&[("--settings", &file.to_string_lossy()), ("--listen", &format!("127.0.0.1:{admin}"))]))
    }

    fn kafka(&self) -> KafkaSettings {
        KafkaSettings {
            bootstrap_servers: self.kafka.clone(),
            security_protocol: SecurityProtocol::Plaintext,
            sasl: None,
            ca_pem: None,
        }
    }

    fn write(&self, name: &str, settings: &impl Serialize) -> anyhow::Result<PathBuf> {
        let path = self.folder().join(name);
        let text = serde_json::to_vec(settings).context("failed to write the settings")?;
        fs::write(&path, text).with_context(|| format!("failed to write `{}`", path.display()))?;
        Ok(path)
    }
}

fn words(options: &[(&str, &str)]) -> Vec<String> {
    options.iter().flat_map(|(flag, value)| [(*flag).to_owned(), (*value).to_owned()]).collect()
}
