//! The settings Secret: one entry for the ingester's pods, where there are any, one for the consumer's, and the salt.

mod salt;

use crds::Pipeline;
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{ResourceExt as _, api::ObjectMeta};
use schema::{
    names::{ConsumerGroup, TopicId},
    settings::{
        AuditSettings, CONSUMER_ENTRY, ConsumerSettings, INGESTER_ENTRY, IngesterPipeline, IngesterSettings,
        KeySettings, RecordFormat,
    },
};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::super::validate::{HttpSource, Source, ValidatedPipeline};
use crate::{installation::Installation, kubernetes::is_controlled_by, labels::Component};

pub(crate) use salt::Salt;

/// Bytes of the hash that stand on the pods: enough to tell two settings apart.
const HASH_BYTES: usize = 8;

/// The name of a Pipeline's settings Secret.
pub(crate) fn name(pipeline: &str) -> String {
    format!("{pipeline}-settings")
}

pub(super) fn ingester(
    installation: &Installation,
    pipeline: &ValidatedPipeline,
    source: &HttpSource,
) -> IngesterSettings {
    IngesterSettings {
        kafka: installation.kafka.clone(),
        clickhouse_url: Some(installation.clickhouse.url.clone()),
        clickhouse_ca_pem: installation.clickhouse.ca_pem.clone(),
        pipelines: vec![IngesterPipeline {
            tenant_id: pipeline.tenant.id.clone(),
            name: pipeline.name.clone(),
            topic: source.topic.spec.name.clone(),
            keys: source.keys.clone(),
        }],
    }
}

pub(super) fn consumer(
    installation: &Installation,
    pipeline: &ValidatedPipeline,
    topic_id: TopicId,
    group: &ConsumerGroup,
) -> ConsumerSettings {
    let (topic, format, start_at) = match &pipeline.source {
        Source::Http(source) => (&source.topic.spec.name, RecordFormat::Events, None),
        Source::Kafka(source) => (&source.topic.name, source.format.clone(), source.start_at),
    };
    ConsumerSettings {
        tenant_id: pipeline.tenant.id.clone(),
        pipeline: pipeline.name.clone(),
        kafka: installation.kafka.clone(),
        topic: topic.clone(),
        topic_id,
        dead_letter_topic: pipeline.dead_letter.spec.name.clone(),
        group: group.clone(),
        clickhouse: pipeline.access.settings.clone(),
        batch: pipeline.batch,
        format,
        start_at,
        audit: audit(pipeline),
    }
}

/// The API server refuses a share that is out of range.
fn audit(pipeline: &ValidatedPipeline) -> AuditSettings {
    let share = pipeline.consumer.audit.as_ref().and_then(|audit| u32::try_from(audit.share_per_mille).ok());
    let default = AuditSettings::default();
    AuditSettings { share_per_mille: share.unwrap_or(default.share_per_mille), ..default }
}

pub(super) fn secret(
    pipeline: &ValidatedPipeline,
    ingester: Option<&IngesterSettings>,
    consumer: &ConsumerSettings,
) -> Secret {
    let name = name(pipeline.name.as_str());
    let ingester = ingester.map(|settings| (INGESTER_ENTRY, json(settings)));
    let entries = ingester.into_iter().chain([(CONSUMER_ENTRY, json(consumer))]);
    Secret {
        metadata: super::metadata(pipeline, name, Component::Settings, [].into()),
        type_: Some("Opaque".to_owned()),
        data: Some(entries.map(|(entry, bytes)| (entry.to_owned(), ByteString(bytes))).collect()),
        ..Secret::default()
    }
}

/// The change that brings the keys of now into the settings that a Pipeline's ingester has, if it has others.
///
/// Everything else in the settings needs a valid spec and a topic. Keys need neither: one that was revoked has to die
/// whatever is wrong with those.
pub(crate) fn rekeyed(
    pipeline: &Pipeline,
    existing: Option<&Secret>,
    keys: &[KeySettings],
) -> Option<Rekeyed> {
    let is_ours = |secret: &&Secret| is_controlled_by(&secret.metadata, &pipeline.uid().unwrap_or_default());
    let secret = existing.filter(is_ours)?;
    let entry = secret.data.as_ref()?.get(INGESTER_ENTRY)?;
    let mut settings: IngesterSettings = serde_json::from_slice(&entry.0).ok()?;
    if settings.pipelines.iter().all(|pipeline| pipeline.keys == keys) {
        return None;
    }
    settings.pipelines.iter_mut().for_each(|pipeline| pipeline.keys = keys.to_vec());
    Some(Rekeyed {
        secret: secret.metadata.clone(),
        change: serde_json::json!({ "data": { INGESTER_ENTRY: ByteString(json(&settings)) } }),
    })
}

/// A change of the keys in the settings Secret.
#[derive(Debug)]
pub(crate) struct Rekeyed {
    pub(crate) secret: ObjectMeta,
    pub(crate) change: serde_json::Value,
}

/// The hash of the ingester's settings as if it had no keys: keys are re-read from the file by running pods.
pub(super) fn hash_without_keys(mut settings: IngesterSettings) -> String {
    settings.pipelines.iter_mut().for_each(|pipeline| pipeline.keys.clear());
    hash(&settings)
}

/// The hash of settings, which the [`Salt`] hides before it stands on the pods.
pub(super) fn hash(settings: &impl Serialize) -> String {
    salt::shown(&Sha256::digest(json(settings)))
}

fn json(settings: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(settings).expect("settings are structs of text and numbers, which are always JSON")
}
