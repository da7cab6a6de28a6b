//! What to do about a Pipeline's topics. The recorded incarnation decides.

pub(crate) mod sight;

use crds::pipeline::TopicStatus;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schema::names::{TopicId, TopicName};

use super::super::{
    fetch::ObservedTopics,
    validate::{ForeignTopic, Recorded, Source, ValidatedPipeline, WantedTopic},
};
use crate::topics::{Topic, TopicsError};
use sight::{Moment, Sight};

/// What to do about both topics, or why they could not be looked at.
#[derive(Debug)]
pub(crate) struct Plans {
    /// The name, while it is not known to be this Pipeline's.
    pub(crate) unclaimed: Option<TopicName>,
    pub(crate) topic: PlannedSource,
    pub(crate) dead_letter: Planned,
}

/// What to do about the topic that the consumer reads.
#[derive(Debug)]
pub(crate) enum PlannedSource {
    Own(Planned),
    /// Nothing: it is only read.
    Foreign(Look),
}

/// A topic of somebody else as it is, or why it could not be looked at.
#[derive(Debug)]
pub(crate) struct Look {
    pub(crate) wanted: ForeignTopic,
    pub(crate) found: Result<Found, TopicsError>,
    /// Whether the looks before did not find the recorded one.
    was_gone: bool,
}

/// What bears the name of a topic of somebody else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    There(Topic),
    Absent,
    /// Another one than before or none, for no longer than a broker may lag behind.
    Unclear {
        since: Time,
    },
}

/// What to do about one topic.
#[derive(Debug)]
pub(crate) struct Planned {
    pub(crate) wanted: WantedTopic,
    pub(crate) plan: Result<Plan, TopicsError>,
    /// Whether the looks before did not find the recorded one: its name is free, or somebody else's.
    was_gone: bool,
}

/// What to do about a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Plan {
    /// There is none. The intention is noted before, so that a crash after the creation does not orphan it, and so that
    /// no other Pipeline takes the name.
    Create,
    /// There was one and it is gone, with all records that were not stored yet. Its id is noted before: it is back with
    /// them when Kafka is the one of before again.
    Recreate {
        lost: TopicId,
    },
    Keep(Topic),
    /// The recorded one is not shown, for no longer than a broker may lag behind: nothing is done.
    Await {
        since: Time,
    },
    /// An earlier Pipeline left it behind, or this one worked with it before it was gone. Noted before as an intention,
    /// for no two may take it over.
    Adopt(Topic),
    Refuse(Refusal),
}

/// Why a topic of our name is not touched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error(
        "topic `{topic}` has the id {found} and not {recorded}, which this Pipeline works with: the pods that would use it are stopped; if its records are this tenant's, add the id {found} to `status.retainedTopics` of the AnalyticsTenant, and this Pipeline takes it over; if they are not, delete the topic with its records, or delete this Pipeline"
    )]
    Replaced { topic: TopicName, recorded: TopicId, found: TopicId },
    #[error(
        "topic `{topic}` with the id {found} was not made by this Pipeline or one before it that its tenant knows of: no pod uses it; delete the topic, or, if its records are this tenant's, add the id to `status.retainedTopics` of the AnalyticsTenant with `kubectl patch --subresource=status` (docs/operations/recover.md), and this Pipeline takes it over"
    )]
    Foreign { topic: TopicName, found: TopicId },
    #[error(
        "the name `{topic}` belongs to Pipeline `{owner}`: no pod uses it; make one of the two anew with another `topic.name`"
    )]
    Taken { topic: TopicName, owner: String },
}

pub(crate) fn topics(pipeline: &ValidatedPipeline, observed: ObservedTopics) -> Plans {
    let (owner, observed_at) = (observed.owner, observed.moment);
    let planned = |wanted: &WantedTopic, observed: Result<Option<Topic>, TopicsError>| Planned {
        wanted: wanted.clone(),
        was_gone: was_gone(wanted.recorded, wanted.status.as_ref(), observed_at),
        plan: observed.map(|found| plan(wanted, found, &pipeline.retained, observed_at)),
    };
    let plans = Plans {
        unclaimed: pipeline.unclaimed_name().cloned(),
        topic: match &pipeline.source {
            Source::Http(http) => PlannedSource::Own(planned(&http.topic, observed.topic)),
            Source::Kafka(kafka) => PlannedSource::Foreign(look(&kafka.topic, observed.topic, observed_at)),
        },
        dead_letter: planned(&pipeline.dead_letter, observed.dead_letter),
    };
    plans.unless_taken(owner.as_deref())
}

/// Which pods may run beside the topics as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Runnable {
    All,
    /// Dead letters have nowhere to go: what cannot be stored would be written into somebody else's topic.
    IngesterOnly,
    /// Every record would go into somebody else's topic, or come from it. Or the topic to read from is gone, and what
    /// is made of its name next is another one.
    Nothing,
}

impl Plans {
    /// The same, or refusals if the name is another Pipeline's.
    pub(crate) fn unless_taken(self, owner: Option<&str>) -> Self {
        let Some(owner) = owner else { return self };
        let refused = |planned: Planned| {
            let (topic, owner) = (planned.wanted.spec.name.clone(), owner.to_owned());
            Planned { plan: Ok(Plan::Refuse(Refusal::Taken { topic, owner })), ..planned }
        };
        Self {
            topic: match self.topic {
                PlannedSource::Own(planned) => PlannedSource::Own(refused(planned)),
                PlannedSource::Foreign(look) => PlannedSource::Foreign(look),
            },
            dead_letter: refused(self.dead_letter),
            ..self
        }
    }

    pub(crate) fn runnable(&self) -> Runnable {
        if self.topic.is_unusable() {
            Runnable::Nothing
        } else if self.dead_letter.is_refused() {
            Runnable::IngesterOnly
        } else {
            Runnable::All
        }
    }
}

impl PlannedSource {
    fn is_unusable(&self) -> bool {
        match self {
            Self::Own(planned) => planned.is_refused(),
            Self::Foreign(look) => match look.found {
                Ok(Found::Absent) => true,
                Ok(Found::There(_) | Found::Unclear { .. }) => false,
                Err(_) => look.was_gone,
            },
        }
    }

    /// Whether the status has to tell of the intention before the topic is made.
    pub(crate) fn needs_intention(&self) -> bool {
        match self {
            Self::Own(planned) => planned.needs_intention(),
            Self::Foreign(_) => false,
        }
    }

    /// The incarnation that this Pipeline leaves for another one.
    pub(crate) fn given_up(&self) -> Option<TopicId> {
        match self {
            Self::Own(planned) => planned.given_up(),
            Self::Foreign(_) => None,
        }
    }

    /// What the status says of the topic before Kafka did anything.
    pub(crate) fn intention(&self) -> Option<TopicStatus> {
        match self {
            Self::Own(planned) => planned.intention(),
            Self::Foreign(look) => look.wanted.status.clone(),
        }
    }

    /// The incarnation to go on with when Kafka cannot be asked or does not do all that is wanted.
    pub(crate) fn known_id(&self) -> Option<TopicId> {
        match self {
            Self::Own(planned) => planned.known_id(),
            Self::Foreign(look) => look.known_id(),
        }
    }
}

impl Look {
    /// What is there now; of a topic that could not be looked at, the recorded one.
    fn known_id(&self) -> Option<TopicId> {
        match (&self.found, self.wanted.recorded) {
            (Ok(Found::There(topic)), _) => Some(topic.id),
            (Ok(Found::Unclear { .. }) | Err(_), Recorded::Incarnation(id)) => Some(id),
            (Ok(Found::Absent), _)
            | (Ok(Found::Unclear { .. }) | Err(_), Recorded::Nothing | Recorded::Intended) => None,
        }
    }
}

fn look(wanted: &ForeignTopic, found: Result<Option<Topic>, TopicsError>, moment: Moment) -> Look {
    let seen = |found: Option<Topic>| match (
        sight::of(wanted.recorded, wanted.status.as_ref(), found.as_ref(), moment),
        found,
    ) {
        (Sight::Missed { since }, _) => Found::Unclear { since },
        (Sight::Clear | Sight::Gone, Some(topic)) => Found::There(topic),
        (Sight::Clear | Sight::Gone, None) => Found::Absent,
    };
    Look {
        wanted: wanted.clone(),
        found: found.map(seen),
        was_gone: was_gone(wanted.recorded, wanted.status.as_ref(), moment),
    }
}

fn was_gone(recorded: Recorded, status: Option<&TopicStatus>, moment: Moment) -> bool {
    match sight::of(recorded, status, None, moment) {
        Sight::Gone => true,
        Sight::Clear | Sight::Missed { .. } => false,
    }
}

/// What the status says of a topic, and since when it is not shown.
pub(crate) fn missed(status: Option<TopicStatus>, since: Time) -> Option<TopicStatus> {
    status.map(|status| TopicStatus { missing_since: Some(since), ..status })
}

fn plan(wanted: &WantedTopic, found: Option<Topic>, retained: &[TopicId], moment: Moment) -> Plan {
    match sight::of(wanted.recorded, wanted.status.as_ref(), found.as_ref(), moment) {
        Sight::Missed { since } => Plan::Await { since },
        Sight::Clear | Sight::Gone => decided(wanted.recorded, found, retained),
    }
}

/// What is done where nobody has to look once more.
fn decided(recorded: Recorded, found: Option<Topic>, retained: &[TopicId]) -> Plan {
    match (recorded, found) {
        (Recorded::Nothing | Recorded::Intended, None) => Plan::Create,
        (Recorded::Incarnation(lost), None) => Plan::Recreate { lost },
        (Recorded::Incarnation(recorded), Some(found)) if recorded == found.id => Plan::Keep(found),
        (Recorded::Nothing | Recorded::Incarnation(_), Some(found)) if retained.contains(&found.id) => {
            Plan::Adopt(found)
        }
        (Recorded::Incarnation(recorded), Some(found)) => {
            Plan::Refuse(Refusal::Replaced { topic: found.name, recorded, found: found.id })
        }
        (Recorded::Intended, Some(found)) => Plan::Keep(found),
        (Recorded::Nothing, Some(found)) => {
            Plan::Refuse(Refusal::Foreign { topic: found.name, found: found.id })
        }
    }
}

impl Planned {
    fn is_refused(&self) -> bool {
        match &self.plan {
            Ok(Plan::Refuse(_)) => true,
            Ok(
                Plan::Create | Plan::Recreate { .. } | Plan::Keep(_) | Plan::Await { .. } | Plan::Adopt(_),
            ) => false,
            // What a look refused, one without an answer does not permit.
            Err(_) => self.was_gone,
        }
    }

    /// Whether the status has to tell of the intention before the topic is made or taken over.
    pub(crate) fn needs_intention(&self) -> bool {
        let is_noted = match self.wanted.recorded {
            Recorded::Intended => true,
            Recorded::Nothing | Recorded::Incarnation(_) => false,
        };
        match &self.plan {
            Ok(Plan::Create | Plan::Recreate { .. } | Plan::Adopt(_)) => !is_noted,
            Ok(Plan::Keep(_) | Plan::Await { .. } | Plan::Refuse(_)) | Err(_) => false,
        }
    }

    /// The incarnation that this Pipeline leaves for another one, with records that are perhaps not stored.
    pub(crate) fn given_up(&self) -> Option<TopicId> {
        match (&self.plan, self.wanted.recorded) {
            (Ok(Plan::Recreate { .. } | Plan::Adopt(_)), Recorded::Incarnation(id)) => Some(id),
            (Ok(_), Recorded::Nothing | Recorded::Intended)
            | (Ok(Plan::Create | Plan::Keep(_) | Plan::Await { .. } | Plan::Refuse(_)) | Err(_), _) => None,
        }
    }

    /// What the status says of a topic before Kafka did anything: what it said, or that the topic is about to be made or
    /// taken over.
    pub(crate) fn intention(&self) -> Option<TopicStatus> {
        match &self.plan {
            Ok(Plan::Create | Plan::Recreate { .. } | Plan::Adopt(_)) => Some(TopicStatus {
                name: self.wanted.spec.name.to_string(),
                id: String::new(),
                partitions: 0,
                missing_since: None,
            }),
            Ok(Plan::Keep(_)) => {
                self.wanted.status.clone().map(|status| TopicStatus { missing_since: None, ..status })
            }
            Ok(Plan::Await { since }) => missed(self.wanted.status.clone(), since.clone()),
            Ok(Plan::Refuse(_)) | Err(_) => self.wanted.status.clone(),
        }
    }

    /// What the status says of a topic that was not made, since Kafka refused or the name is another's: what it said,
    /// without any intention.
    pub(crate) fn withdrawn(&self) -> Option<TopicStatus> {
        match self.wanted.recorded {
            Recorded::Nothing | Recorded::Intended => None,
            Recorded::Incarnation(_) => self.wanted.status.clone(),
        }
    }

    /// The incarnation to go on with when Kafka cannot be asked or does not do all that is wanted.
    pub(crate) fn known_id(&self) -> Option<TopicId> {
        match (&self.plan, self.wanted.recorded) {
            (Ok(Plan::Keep(topic) | Plan::Adopt(topic)), _) => Some(topic.id),
            (Ok(Plan::Await { .. }) | Err(_), Recorded::Incarnation(id)) => Some(id),
            (Ok(Plan::Await { .. }) | Err(_), Recorded::Nothing | Recorded::Intended)
            | (Ok(Plan::Create | Plan::Recreate { .. } | Plan::Refuse(_)), _) => None,
        }
    }
}

#[cfg(test)]
mod tests;
