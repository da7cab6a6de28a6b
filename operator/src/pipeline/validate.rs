//! The validate step of the Pipeline controller. Pure.

use std::ops::RangeInclusive;

use crds::{
    AnalyticsTenant, Pipeline, Reason,
    pipeline::{BatchSpec, ConsumerSpec, TopicStatus},
};
use k8s_openapi::{api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::OwnerReference};
use kube::{Resource as _, ResourceExt as _};
use schema::{
    api_key::{KeyDigest, Scope},
    names::{DatabaseName, NameError, PipelineName, TableGeneration, TopicId, TopicName, TopicPrefix},
    settings::{BatchSettings, KeySettings},
    tenant_id::TenantId,
    timestamp::Timestamp,
};
use uuid::Uuid;

use super::fetch::Fetched;
use crate::{
    expiry,
    installation::Installation,
    kubernetes::is_controlled_by,
    progress::Waiting,
    protection::{self, Life},
    retained,
    retention::shortening,
    tenant,
    topics::{Holds, TopicSpec},
};

mod access;
mod source;

pub(crate) use access::Access;
pub(crate) use source::{ForeignTopic, HttpSource, Source};

const HOUR_MS: i64 = 3_600_000;
/// Two weeks, so that a dead letter outlives a holiday, and longer where the topic itself is kept longer.
const DEAD_LETTER_RETENTION_MS: i64 = 14 * 24 * HOUR_MS;
/// Dead letters are few and have no order to keep.
const DEAD_LETTER_PARTITIONS: i32 = 1;

/// A Pipeline that can be brought about.
#[derive(Debug, Clone)]
pub(crate) struct ValidatedPipeline {
    pub(crate) name: PipelineName,
    pub(crate) namespace: String,
    pub(crate) owner_reference: OwnerReference,
    pub(crate) tenant: TenantFacts,
    pub(crate) access: Access,
    /// The name of the Pipeline's own topic, whether or not it has one: its dead letters and its group are named so.
    pub(crate) topic_name: TopicName,
    pub(crate) source: Source,
    pub(crate) dead_letter: WantedTopic,
    /// Topics that may be taken over although this Pipeline did not make them.
    pub(crate) retained: Vec<TopicId>,
    pub(crate) batch: BatchSettings,
    pub(crate) consumer: ConsumerSpec,
}

impl ValidatedPipeline {
    /// The name of the topics, while none is known that bears it and is this Pipeline's.
    pub(crate) fn unclaimed_name(&self) -> Option<&TopicName> {
        let of_events = match &self.source {
            Source::Http(http) => http.topic.recorded,
            Source::Kafka(_) => Recorded::Nothing,
        };
        let is_known = [of_events, self.dead_letter.recorded].into_iter().any(Recorded::is_incarnation);
        (!is_known).then_some(&self.topic_name)
    }
}

/// What a Pipeline needs to know of its tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TenantFacts {
    pub(crate) name: String,
    pub(crate) id: TenantId,
    pub(crate) database: DatabaseName,
    pub(crate) generation: TableGeneration,
    /// That the table is not there to be written to, as the tenant says.
    pub(crate) loss: Option<Waiting>,
}

/// A topic as the spec wants it, and what is known of its incarnation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WantedTopic {
    pub(crate) spec: TopicSpec,
    pub(crate) recorded: Recorded,
    /// The same, as the status says it.
    pub(crate) status: Option<TopicStatus>,
}

impl WantedTopic {
    fn new(spec: TopicSpec, status: Option<&TopicStatus>) -> Self {
        Self { spec, recorded: recorded(status), status: status.cloned() }
    }
}

/// What the status says of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Recorded {
    Nothing,
    /// It was about to be made when there was none: what is there now is ours.
    Intended,
    Incarnation(TopicId),
}

impl Recorded {
    fn is_incarnation(self) -> bool {
        match self {
            Self::Incarnation(_) => true,
            Self::Nothing | Self::Intended => false,
        }
    }
}

/// Why a Pipeline cannot be brought about now.
#[derive(Debug)]
pub(crate) enum Obstacle {
    Invalid(Invalid),
    Waiting(Waiting),
    /// The tenant's id or its database belongs to another: its pods write in a name that is not its own.
    Disowned(Waiting),
}

/// Why a spec cannot be brought about.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Invalid {
    #[error("the Pipeline's name cannot be part of a topic's name")]
    Name { source: NameError },
    #[error(
        "{needed} copies would have to acknowledge a write of a topic with {copies}: set `topic.replicationFactor` or `topic.minInsyncReplicas`"
    )]
    Replication { copies: i32, needed: i32 },
    #[error("`source.kafka.topic` cannot be the name of a topic")]
    SourceName { source: NameError },
    #[error(
        "topic `{topic}` is one of Millrace itself, and holds what a Pipeline took or could not store: a source is another application's topic"
    )]
    OwnTopic { topic: TopicName },
    #[error("`topic.name` cannot be the name of a topic")]
    TopicName { source: NameError },
    #[error(
        "`topic.name` is `{topic}`, and names of topics of this tenant begin with `{prefix}.{tenant}.`; make the Pipeline anew"
    )]
    TopicOfOthers { topic: TopicName, prefix: TopicPrefix, tenant: TenantId },
    #[error(
        "topic `{topic}` is none that Pipelines of this installation may read: whoever runs it lists those in the chart's `kafka.sourceTopics`"
    )]
    SourceTopicNotAllowed { topic: TopicName },
    #[error("`batch.{field}` is {value} and has to be from {least} to {most}")]
    Batch { field: &'static str, value: i64, least: i64, most: i64 },
    #[error(
        "the Pipeline works with topic `{recorded}` and not with `{wanted}`: set the chart's `kafka.topicPrefix` back, or make a new Pipeline"
    )]
    TopicRenamed { recorded: String, wanted: TopicName },
}

impl Invalid {
    pub(crate) fn reason(&self) -> Reason {
        match self {
            Self::Name { .. } => Reason::InvalidName,
            Self::Replication { .. } => Reason::InvalidReplication,
            Self::SourceName { .. } | Self::OwnTopic { .. } => Reason::InvalidSourceTopic,
            Self::TopicName { .. } | Self::TopicOfOthers { .. } => Reason::InvalidTopicName,
            Self::SourceTopicNotAllowed { .. } => Reason::SourceTopicNotAllowed,
            Self::Batch { .. } => Reason::InvalidBatch,
            Self::TopicRenamed { .. } => Reason::TopicRenamed,
        }
    }
}

pub(crate) fn validate(
    installation: &Installation,
    pipeline: &Pipeline,
    fetched: &Fetched,
) -> Result<ValidatedPipeline, Obstacle> {
    if let Some(tenant) = fetched.tenant.as_ref().filter(|tenant| tenant::is_disowned(tenant)) {
        let what =
            "has an id or a database that belongs to another: the ingester and the consumer are stopped";
        return Err(Obstacle::Disowned(not_ready(tenant, what)));
    }
    let name = PipelineName::parse(&pipeline.name_any())
        .map_err(|source| Obstacle::Invalid(Invalid::Name { source }))?;
    let replication = replication(installation, pipeline).map_err(Obstacle::Invalid)?;
    let batch = batch(pipeline).map_err(Obstacle::Invalid)?;
    let tenant = fetched.tenant.as_ref().ok_or_else(|| not_found(pipeline)).map_err(Obstacle::Waiting)?;
    let facts = facts(installation, tenant).map_err(Obstacle::Waiting)?;
    let topic_name = topic_name(&installation.topic_prefix, pipeline, &facts.id, &name);
    let topic = topic(topic_name.map_err(Obstacle::Invalid)?, pipeline, replication);
    let dead_letter = dead_letter(&topic);
    let topic_name = topic.name.clone();
    let source = match &pipeline.spec.source.kafka {
        None => source::http(topic, pipeline, keys(tenant, fetched).map_err(Obstacle::Waiting)?),
        Some(kafka) => source::kafka(installation, kafka, pipeline),
    };
    let source = source.map_err(Obstacle::Invalid)?;
    let dead_letter_status = pipeline.status.as_ref().and_then(|status| status.dead_letter_topic.as_ref());
    refuse_another_name(&dead_letter.name, dead_letter_status).map_err(Obstacle::Invalid)?;
    Ok(ValidatedPipeline {
        name,
        namespace: pipeline.namespace().unwrap_or_default(),
        owner_reference: pipeline.controller_owner_ref(&()).unwrap_or_default(),
        access: access::of(installation, tenant, &facts.database, fetched).map_err(Obstacle::Waiting)?,
        tenant: facts,
        dead_letter: WantedTopic::new(dead_letter, dead_letter_status),
        topic_name,
        source,
        retained: retained::topics(tenant),
        batch,
        consumer: pipeline.spec.consumer.clone(),
    })
}

/// The name that the spec gives, or the one that follows from tenant and Pipeline. A tenant has all names below its id,
/// and no others.
fn topic_name(
    prefix: &TopicPrefix,
    pipeline: &Pipeline,
    tenant: &TenantId,
    name: &PipelineName,
) -> Result<TopicName, Invalid> {
    let Some(given) = &pipeline.spec.topic.name else {
        return Ok(TopicName::of(prefix, tenant, name));
    };
    let topic = TopicName::parse_given(given).map_err(|source| Invalid::TopicName { source })?;
    if topic.is_of(prefix, tenant) {
        Ok(topic)
    } else {
        Err(Invalid::TopicOfOthers { topic, prefix: prefix.clone(), tenant: tenant.clone() })
    }
}

/// A topic of another prefix would look as if the recorded one were lost, and strand what is not stored yet.
fn refuse_another_name(wanted: &TopicName, recorded: Option<&TopicStatus>) -> Result<(), Invalid> {
    match recorded.filter(|recorded| recorded.name != wanted.as_str()) {
        Some(recorded) => {
            Err(Invalid::TopicRenamed { recorded: recorded.name.clone(), wanted: wanted.clone() })
        }
        None => Ok(()),
    }
}

/// What a status says of a topic. An empty id is the intention to make it.
pub(crate) fn recorded(status: Option<&TopicStatus>) -> Recorded {
    match status.map(|status| Uuid::try_parse(&status.id)) {
        None => Recorded::Nothing,
        Some(Ok(id)) => Recorded::Incarnation(TopicId(id)),
        Some(Err(_)) => Recorded::Intended,
    }
}

/// The copies of a topic, and how many of them have to acknowledge a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Replication {
    copies: i32,
    needed: i32,
}

fn replication(installation: &Installation, pipeline: &Pipeline) -> Result<Replication, Invalid> {
    let spec = &pipeline.spec.topic;
    let copies = spec.replication_factor.unwrap_or(installation.replication_factor);
    let needed = match spec.min_insync_replicas {
        Some(needed) => needed,
        // A topic with fewer copies than the installation's default cannot ask for more acknowledgements.
        None => installation.min_insync_replicas.min(copies),
    };
    if needed > copies {
        Err(Invalid::Replication { copies, needed })
    } else {
        Ok(Replication { copies, needed })
    }
}

fn topic(name: TopicName, pipeline: &Pipeline, replication: Replication) -> TopicSpec {
    let used = pipeline.status.as_ref().and_then(|status| status.used_retention_consent.as_deref());
    TopicSpec {
        name,
        holds: Holds::Events,
        partitions: pipeline.spec.topic.partitions,
        replication_factor: replication.copies,
        min_insync_replicas: replication.needed,
        retention_ms: i64::from(pipeline.spec.topic.retention_hours) * HOUR_MS,
        shortening: shortening(pipeline, retention_hours(pipeline), used),
    }
}

pub(crate) fn retention_hours(pipeline: &Pipeline) -> u64 {
    u64::try_from(pipeline.spec.topic.retention_hours).unwrap_or(0)
}

fn dead_letter(topic: &TopicSpec) -> TopicSpec {
    TopicSpec {
        name: topic.name.dead_letter(),
        holds: Holds::DeadLetters,
        partitions: DEAD_LETTER_PARTITIONS,
        retention_ms: topic.retention_ms.max(DEAD_LETTER_RETENTION_MS),
        ..topic.clone()
    }
}

fn batch(pipeline: &Pipeline) -> Result<BatchSettings, Invalid> {
    let spec = &pipeline.spec.batch;
    Ok(BatchSettings {
        max_rows: within("maxRows", spec.max_rows.into(), &BatchSpec::MAX_ROWS)?,
        max_bytes: within("maxBytes", spec.max_bytes, &BatchSpec::MAX_BYTES)?,
        max_delay_ms: within("maxDelayMs", spec.max_delay_ms.into(), &BatchSpec::MAX_DELAY_MS)?,
    })
}

/// A number of `batch`. The API server refuses one that is out of its range, unless its definition is another one.
fn within<N: TryFrom<i64>>(
    field: &'static str,
    value: i64,
    range: &RangeInclusive<i64>,
) -> Result<N, Invalid> {
    let number = range.contains(&value).then(|| N::try_from(value).ok()).flatten();
    let (least, most) = (*range.start(), *range.end());
    number.ok_or(Invalid::Batch { field, value, least, most })
}

fn not_found(pipeline: &Pipeline) -> Waiting {
    let message = format!(
        "there is no AnalyticsTenant `{}` in namespace `{}`",
        pipeline.spec.tenant_ref.name,
        pipeline.namespace().unwrap_or_default(),
    );
    Waiting { reason: Reason::TenantNotFound, message }
}

fn not_ready(tenant: &AnalyticsTenant, what: &str) -> Waiting {
    Waiting {
        reason: Reason::TenantNotReady,
        message: format!("AnalyticsTenant `{}` {what}", tenant.name_any()),
    }
}

/// What the tenant's status tells. Its `Ready` is not asked for: it may itself be waiting for this Pipeline.
fn facts(installation: &Installation, tenant: &AnalyticsTenant) -> Result<TenantFacts, Waiting> {
    match protection::life(&installation.plans, tenant) {
        Life::Lives | Life::Held => {}
        Life::Goes => return Err(not_ready(tenant, "is being deleted")),
    }
    let read = || {
        let status = tenant.status.as_ref()?;
        let id = TenantId::parse(status.tenant_id.as_deref()?).ok()?;
        let table = status.database.as_ref()?.table_uuid.as_deref()?;
        Some(TenantFacts {
            name: tenant.name_any(),
            database: DatabaseName::of(&id),
            id,
            generation: TableGeneration(Uuid::try_parse(table).ok()?),
            loss: tenant::loss(tenant).map(|loss| {
                let what = "lost what events are stored in, and they wait in Kafka";
                not_ready(tenant, &format!("{what}: {}: {}", loss.reason, loss.message))
            }),
        })
    };
    read().ok_or_else(|| not_ready(tenant, "has no database with tables yet"))
}

/// The digests of the keys that may send events now. The keys themselves stay in the tenant's Secret.
pub(crate) fn keys(tenant: &AnalyticsTenant, fetched: &Fetched) -> Result<Vec<KeySettings>, Waiting> {
    let is_the_tenants =
        |secret: &&Secret| is_controlled_by(&secret.metadata, &tenant.uid().unwrap_or_default());
    let Some(secret) = fetched.keys.as_ref().filter(is_the_tenants) else {
        return Err(not_ready(tenant, "has no Secret with its keys yet"));
    };
    let digest = |name: &str| {
        let entry = secret.data.as_ref()?.get(name)?;
        std::str::from_utf8(&entry.0).ok().map(KeyDigest::of)
    };
    Ok(tenant
        .spec
        .api_keys()
        .into_iter()
        .filter(|key| !expiry::is_past(key.expires_at.as_ref(), fetched.at))
        .filter_map(|key| {
            let scopes: Vec<Scope> = key.scopes.into_iter().map(tenant::scope).collect();
            let may_send = scopes.contains(&Scope::Ingest);
            let sha256 = digest(&key.name).filter(|_| may_send)?;
            let expires_at = key.expires_at.map(|end| Timestamp::from_millis(end.0.as_millisecond()));
            Some(KeySettings { name: key.name, sha256, scopes, expires_at })
        })
        .collect())
}

#[cfg(test)]
pub(super) mod tests;
