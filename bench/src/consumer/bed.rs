//! What everything is measured on: a Kafka and a ClickHouse on loopback that nobody else uses.

use std::path::PathBuf;

use anyhow::Context as _;
use dev::clickhouse::PrivateClickHouse;
use dev::kafka::{Aim, PrivateKafka};
use schema::names::{
    ConsumerGroup, DatabaseName, PipelineName, TableGeneration, TopicId, TopicName, TopicPrefix,
};
use schema::secret::Secret;
use schema::settings::{
    AuditSettings, BatchSettings, ClickHouseSettings, ConsumerSettings, KafkaSettings, RecordFormat,
    SecurityProtocol,
};
use schema::tenant_id::TenantId;
use tempfile::TempDir;
use uuid::Uuid;

use super::fill::{Filled, fill};
use crate::args::BedOptions;
use crate::cpu::CpuClock;
use crate::kafka::Topics;

/// A measured broker has the memory of the shared one.
const HEAP_MIB: u32 = 512;

/// The longest a batch waits: the default of a Pipeline.
const MAX_DELAY_MS: u32 = 1_000;

pub(crate) struct Bed {
    kafka: PrivateKafka,
    clickhouse: PrivateClickHouse,
    tenant: TenantId,
    folder: TempDir,
    events: u64,
    partitions: i32,
    batch: BatchSettings,
}

impl Bed {
    pub(crate) fn start(options: &BedOptions) -> anyhow::Result<Self> {
        Ok(Self {
            kafka: PrivateKafka::with(|kafka| (kafka.heap_mib, kafka.aim) = (HEAP_MIB, Aim::Throughput))?,
            clickhouse: PrivateClickHouse::start()?,
            tenant: TenantId::parse("bench")?,
            folder: tempfile::tempdir().context("failed to make a temporary folder")?,
            events: options.events,
            partitions: options.partitions,
            batch: BatchSettings {
                max_rows: options.max_rows,
                max_bytes: options.max_mib * 1024 * 1024,
                max_delay_ms: MAX_DELAY_MS,
            },
        })
    }

    /// Makes and fills a topic per load; each holds the same events.
    pub(crate) async fn fill(&self, loads: &[u64]) -> anyhow::Result<Filled> {
        let topics = Topics::connect(&self.kafka.bootstrap_servers())?;
        let mut filled = Filled::default();
        for per_record in loads {
            let topic = self.topic(*per_record)?;
            topics.create(&[topic.clone(), topic.dead_letter()], self.partitions).await?;
            filled = fill(
                &self.kafka.bootstrap_servers(),
                &topic,
                &self.tenant,
                self.partitions,
                self.events,
                *per_record,
            )?;
        }
        Ok(filled)
    }

    pub(crate) fn topic(&self, per_record: u64) -> anyhow::Result<TopicName> {
        let pipeline = PipelineName::parse(&format!("by-{per_record}"))?;
        Ok(TopicName::of(&TopicPrefix::parse("bench")?, &self.tenant, &pipeline))
    }

    /// Settings with a group that has read nothing.
    pub(crate) fn settings(&self, per_record: u64) -> anyhow::Result<ConsumerSettings> {
        let topic = self.topic(per_record)?;
        let topic_id = TopicId(Uuid::from_u128(rand::random()));
        Ok(ConsumerSettings {
            tenant_id: self.tenant.clone(),
            pipeline: PipelineName::parse("bench")?,
            kafka: KafkaSettings {
                bootstrap_servers: self.kafka.bootstrap_servers(),
                security_protocol: SecurityProtocol::Plaintext,
                sasl: None,
                ca_pem: None,
            },
            group: ConsumerGroup::of(&topic, topic_id, TableGeneration(Uuid::nil())),
            topic_id,
            dead_letter_topic: topic.dead_letter(),
            topic,
            clickhouse: self.clickhouse(),
            batch: self.batch,
            format: RecordFormat::Events,
            start_at: None,
            audit: AuditSettings { share_per_mille: 0, ..AuditSettings::default() },
        })
    }

    pub(crate) fn clickhouse(&self) -> ClickHouseSettings {
        ClickHouseSettings {
            url: self.clickhouse.url(),
            user: self.clickhouse.user().name.clone(),
            password: Secret::new(self.clickhouse.user().password.clone()),
            database: DatabaseName::of(&self.tenant),
            ca_pem: None,
        }
    }

    /// The whole server.
    pub(crate) fn server_clock(&self) -> anyhow::Result<CpuClock> {
        let process = self.clickhouse.process().context("failed to find the ClickHouse that was started")?;
        CpuClock::of(process.pid)
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }
}
