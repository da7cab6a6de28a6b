//! The topics that outlive their Pipeline: their ids stand in the tenant's status, and a Pipeline takes over an
//! existing topic only when its id stands there. Both controllers write the list.

use crds::AnalyticsTenant;
use schema::names::TopicId;
use serde_json::json;
use tracing::debug;
use uuid::Uuid;

use crate::{
    context::{Backends, Context},
    kubernetes::Error,
    progress::told,
    topics::Topics as _,
};

/// Adds topics to those that a tenant may take over, and drops those that are gone, so that the list does not grow for
/// ever. Gives the tenant as it is then, if that changed it; fails with a conflict if it changed since it was read.
pub(crate) async fn note<B: Backends>(
    ctx: &Context<B>,
    tenant: &AnalyticsTenant,
    topics: &[TopicId],
) -> Result<Option<AnalyticsTenant>, Error> {
    let before = recorded(tenant);
    match with(before, &living(ctx, before, topics).await, topics) {
        Some(all) => ctx.kubernetes.merge_status(tenant, &json!({ "retainedTopics": all })).await.map(Some),
        None => Ok(None),
    }
}

/// What is known of the topics that there are.
#[derive(Debug)]
enum Living {
    These(Vec<TopicId>),
    /// Kafka could not say. A list that is too long harms nobody, one that lacks a topic strands it.
    Unknown,
}

async fn living<B: Backends>(ctx: &Context<B>, recorded: &[String], witnesses: &[TopicId]) -> Living {
    if recorded.is_empty() {
        return Living::Unknown;
    }
    match ctx.topics.ids().await {
        Ok(ids) => Living::seen_by(ids, witnesses),
        Err(error) => {
            debug!(error = %told(&error), "retained topics that are gone stay in the list for now");
            Living::Unknown
        }
    }
}

impl Living {
    /// What a listing tells. Kafka leaves out what our user may not see, so a listing without the topics that were in
    /// use until now says nothing of others.
    fn seen_by(ids: Vec<TopicId>, witnesses: &[TopicId]) -> Self {
        if !witnesses.is_empty() && witnesses.iter().all(|witness| ids.contains(witness)) {
            Self::These(ids)
        } else {
            Self::Unknown
        }
    }

    fn may_have(&self, id: &str) -> bool {
        match self {
            Self::These(ids) => ids.iter().any(|living| living.to_string() == id),
            Self::Unknown => true,
        }
    }
}

/// The topics that a tenant may take over.
pub(crate) fn topics(tenant: &AnalyticsTenant) -> Vec<TopicId> {
    recorded(tenant).iter().filter_map(|id| Uuid::try_parse(id).ok()).map(TopicId).collect()
}

fn recorded(tenant: &AnalyticsTenant) -> &[String] {
    tenant.status.as_ref().map_or(&[], |status| &status.retained_topics)
}

/// The living ones of the list and more topics, sorted; none if that is the list.
fn with(recorded: &[String], living: &Living, more: &[TopicId]) -> Option<Vec<String>> {
    let mut all: Vec<String> = recorded.iter().filter(|id| living.may_have(id)).cloned().collect();
    all.extend(more.iter().map(ToString::to_string));
    all.sort();
    all.dedup();
    (all != recorded).then_some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u128) -> TopicId {
        TopicId(Uuid::from_u128(number))
    }

    #[test]
    fn a_new_topic_is_added_once() {
        let first = with(&[], &Living::Unknown, &[id(2), id(1), id(2)]).unwrap();
        assert_eq!(first, [id(1).to_string(), id(2).to_string()]);
        assert_eq!(with(&first, &Living::Unknown, &[id(1)]), None);
    }

    #[test]
    fn a_topic_that_is_gone_is_dropped() {
        let recorded = [id(1).to_string(), id(2).to_string()];
        let living = Living::seen_by(vec![id(2), id(3), id(5)], &[id(3)]);
        assert_eq!(with(&recorded, &living, &[id(3)]).unwrap(), [id(2).to_string(), id(3).to_string()]);
        assert_eq!(with(&recorded[1..], &living, &[]), None);
    }

    #[test]
    fn a_listing_without_the_topics_in_use_drops_none() {
        let recorded = [id(1).to_string(), id(2).to_string()];
        let in_use = [id(3), id(4)];
        for listed in [vec![], vec![id(2)], vec![id(2), id(3)], vec![id(2), id(4)]] {
            let all = with(&recorded, &Living::seen_by(listed.clone(), &in_use), &in_use).unwrap();
            assert_eq!(all, [1, 2, 3, 4].map(|number| id(number).to_string()), "{listed:?}");
        }
        assert_eq!(with(&recorded, &Living::seen_by(vec![id(5)], &[]), &[]), None);
    }
}
