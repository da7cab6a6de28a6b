//! Where the events of a Pipeline come from, as the spec says it. Pure.

use crds::{
    Pipeline,
    pipeline::{self as spec, IngesterSpec, KafkaFormat, KafkaSource, StartFrom, TopicStatus},
};
use kube::Resource as _;
use schema::{
    field_map::FieldMap,
    names::TopicName,
    settings::{KeySettings, RecordFormat},
    timestamp::Timestamp,
};

use super::{Invalid, Recorded, WantedTopic, recorded, refuse_another_name};
use crate::{installation::Installation, topics::TopicSpec};

/// Where events come from.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    /// Over HTTP, by way of a topic of ours.
    Http(Box<HttpSource>),
    /// From a topic of somebody else.
    Kafka(Box<ForeignSource>),
}

/// The topic and the pods between HTTP and the consumer.
#[derive(Debug, Clone)]
pub(crate) struct HttpSource {
    pub(crate) topic: WantedTopic,
    pub(crate) keys: Vec<KeySettings>,
    pub(crate) ingester: IngesterSpec,
}

/// A topic of somebody else, and how its records are read.
#[derive(Debug, Clone)]
pub(crate) struct ForeignSource {
    pub(crate) topic: ForeignTopic,
    pub(crate) format: RecordFormat,
    /// Where reading begins, if not at the earliest record: at the first that Kafka dates here or later.
    pub(crate) start_at: Option<Timestamp>,
}

/// A topic that is only read, and what is known of its incarnation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ForeignTopic {
    pub(crate) name: TopicName,
    pub(crate) recorded: Recorded,
    /// The same, as the status says it.
    pub(crate) status: Option<TopicStatus>,
}

pub(super) fn http(topic: TopicSpec, pipeline: &Pipeline, keys: Vec<KeySettings>) -> Result<Source, Invalid> {
    let status = topic_status(pipeline);
    refuse_another_name(&topic.name, status)?;
    let topic = WantedTopic::new(topic, status);
    Ok(Source::Http(Box::new(HttpSource { topic, keys, ingester: pipeline.spec.ingester.clone() })))
}

/// A topic of ours holds the events of one tenant, who gives them to nobody by naming a Pipeline after them. Of other
/// topics those may be read that the installation allows.
pub(super) fn kafka(
    installation: &Installation,
    source: &KafkaSource,
    pipeline: &Pipeline,
) -> Result<Source, Invalid> {
    let name = TopicName::parse(&source.topic).map_err(|source| Invalid::SourceName { source })?;
    if name.is_below(&installation.topic_prefix) {
        return Err(Invalid::OwnTopic { topic: name });
    }
    if installation.source_topics.as_ref().is_some_and(|topics| !topics.allow(name.as_str())) {
        return Err(Invalid::SourceTopicNotAllowed { topic: name });
    }
    let status = topic_status(pipeline).filter(|status| status.name == name.as_str());
    let format = match source.format {
        KafkaFormat::Json => RecordFormat::Json(Box::new(field_map(&source.field_map))),
    };
    Ok(Source::Kafka(Box::new(ForeignSource {
        topic: ForeignTopic { name, recorded: recorded(status), status: status.cloned() },
        format,
        start_at: start_at(source.start_from, pipeline),
    })))
}

/// A time, and not the end of the topic as some consumer finds it: in partitions that are added later it means the
/// same records, and a group whose commits are lost goes back to them.
fn start_at(start_from: StartFrom, pipeline: &Pipeline) -> Option<Timestamp> {
    match start_from {
        StartFrom::Earliest => None,
        StartFrom::Latest => {
            let created = pipeline.meta().creation_timestamp.as_ref()?;
            Some(Timestamp::from_millis(created.0.as_millisecond()))
        }
    }
}

fn field_map(map: &spec::FieldMap) -> FieldMap {
    FieldMap {
        id: map.id.clone(),
        event_name: map.event_name.clone(),
        kind: map.kind.clone(),
        user_id: map.user_id.clone(),
        anonymous_id: map.anonymous_id.clone(),
        session_id: map.session_id.clone(),
        app_id: map.app_id.clone(),
        timestamp: map.timestamp.clone(),
        properties: map.properties.clone(),
    }
}

fn topic_status(pipeline: &Pipeline) -> Option<&TopicStatus> {
    pipeline.status.as_ref().and_then(|status| status.topic.as_ref())
}

#[cfg(test)]
mod tests;
