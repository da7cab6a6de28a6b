//! Which of several Pipelines has the name of a topic. Pure.
//!
//! A name belongs to the Pipeline whose status has it, and while none has, to the oldest that wants it. Each Pipeline
//! looks for others before it notes a name in its status, and once more afterwards. So of two that begin at the same
//! time the younger sees the older at the latest then, and gives way; and one that is made later finds the note.

use std::cmp::Reverse;

use crds::Pipeline;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Resource as _;
use schema::names::{PipelineName, TopicName, TopicPrefix};

use crate::kubernetes::Guarded;

/// The name of a topic, and the tenant whose topic it would be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) prefix: &'a TopicPrefix,
    /// The AnalyticsTenant's name.
    pub(crate) tenant: &'a str,
    pub(crate) name: &'a TopicName,
}

/// How a Pipeline stands to the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Standing {
    Indifferent,
    Wants,
    /// Its status has it.
    HasNoted,
}

/// A Pipeline, with its standing.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Claim {
    pipeline: String,
    uid: String,
    created: Option<Time>,
    standing: Standing,
}

/// The Pipeline that the name belongs to, if it is another than this one. Also one that cannot be read keeps its name.
pub(crate) fn owner_of(wanted: Wanted<'_>, pipeline: &Pipeline, all: &[Guarded<Pipeline>]) -> Option<String> {
    let ours = Claim::of(wanted, &Guarded(Ok(pipeline.clone())));
    let others = all.iter().map(|other| Claim::of(wanted, other)).filter(|other| other.uid != ours.uid);
    let owners = others.filter(|other| other.precedes(&ours));
    owners.min_by_key(|owner| (Reverse(owner.standing), owner.created.clone())).map(|owner| owner.pipeline)
}

impl Claim {
    fn of(wanted: Wanted<'_>, pipeline: &Guarded<Pipeline>) -> Self {
        let metadata = pipeline.meta();
        Self {
            pipeline: metadata.name.clone().unwrap_or_default(),
            uid: metadata.uid.clone().unwrap_or_default(),
            created: metadata.creation_timestamp.clone(),
            standing: standing(wanted, pipeline),
        }
    }

    /// Whether the name is this one's rather than `ours`.
    fn precedes(&self, ours: &Self) -> bool {
        match (self.standing, ours.standing) {
            (Standing::Indifferent, _) => false,
            (Standing::HasNoted, Standing::Indifferent | Standing::Wants) => true,
            (Standing::HasNoted, Standing::HasNoted) | (Standing::Wants, _) => self.age() < ours.age(),
        }
    }

    /// Of two from the same second, the one with the smaller UID counts as the older.
    fn age(&self) -> (Option<&Time>, &str) {
        (self.created.as_ref(), &self.uid)
    }
}

fn standing(wanted: Wanted<'_>, pipeline: &Guarded<Pipeline>) -> Standing {
    let said = Said::by(pipeline);
    let (name, dead_letters) = (wanted.name.as_str(), wanted.name.dead_letter());
    if said.noted.into_iter().flatten().any(|noted| noted == name || noted == dead_letters.as_str()) {
        return Standing::HasNoted;
    }
    let is_wanted = match said.given {
        Some(given) => given == name,
        None => PipelineName::parse(pipeline.meta().name.as_deref().unwrap_or_default())
            .is_ok_and(|pipeline| wanted.name.belongs_to(wanted.prefix, &pipeline)),
    };
    let stays = pipeline.meta().deletion_timestamp.is_none();
    if is_wanted && stays && said.tenant == Some(wanted.tenant) {
        Standing::Wants
    } else {
        Standing::Indifferent
    }
}

/// What a Pipeline says of names, as far as it can be read.
struct Said<'a> {
    tenant: Option<&'a str>,
    /// The name that the spec gives.
    given: Option<&'a str>,
    /// The names of topics that the status has.
    noted: [Option<&'a str>; 2],
}

impl<'a> Said<'a> {
    fn by(pipeline: &'a Guarded<Pipeline>) -> Self {
        match &pipeline.0 {
            Ok(Pipeline { spec, status, .. }) => {
                let status = status.as_ref();
                let topic = status.and_then(|status| status.topic.as_ref());
                let dead_letters = status.and_then(|status| status.dead_letter_topic.as_ref());
                Self {
                    tenant: Some(&spec.tenant_ref.name),
                    given: spec.topic.name.as_deref(),
                    noted: [topic, dead_letters].map(|topic| topic.map(|topic| topic.name.as_str())),
                }
            }
            Err(unreadable) => Self {
                tenant: unreadable.text("/spec/tenantRef/name"),
                given: unreadable.text("/spec/topic/name"),
                noted: ["/status/topic/name", "/status/deadLetterTopic/name"]
                    .map(|pointer| unreadable.text(pointer)),
            },
        }
    }
}

#[cfg(test)]
mod tests;
