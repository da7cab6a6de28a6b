//! The topics that outlive their Pipeline: their ids stand in the tenant's status, and a Pipeline takes over an
//! existing topic only when its id stands there. Both controllers write the list.
//!
//! Invariant: what Kafka does not show is dropped only where the list has no room. Another Kafka may have been asked, and
//! what is away comes back.

use crds::{AnalyticsTenant, event::EventReason};
use kube::{Resource as _, ResourceExt as _};
use schema::names::TopicId;
use serde_json::json;
use tracing::{debug, warn};
use uuid::Uuid;

use crate::{
    context::{Backends, Context},
    kubernetes::Error,
    progress::told,
    topics::Topics as _,
};

/// The bound of the list in the definition of the AnalyticsTenant.
const MOST: usize = 1_000;

/// Adds topics to those that a tenant may take over. Where they have no room, those that are gone are dropped, and then
/// the oldest, which is told. Gives the tenant as it is then, if that changed it; fails with a conflict if it changed
/// since it was read.
pub(crate) async fn note<B: Backends>(
    ctx: &Context<B>,
    tenant: &AnalyticsTenant,
    topics: &[TopicId],
) -> Result<Option<AnalyticsTenant>, Error> {
    let Some(all) = with(recorded(tenant), topics) else { return Ok(None) };
    let List { kept, forgotten } = if all.len() > MOST {
        bounded(all, &living(ctx, topics).await)
    } else {
        List { kept: all, forgotten: Vec::new() }
    };
    let noted = ctx.kubernetes.merge_status(tenant, &json!({ "retainedTopics": kept })).await?;
    if !forgotten.is_empty() {
        let text = format!("forgot the topics with the ids {}: the list is full", forgotten.join(", "));
        warn!(tenant.namespace = tenant.namespace(), tenant.name = tenant.name_any(), "{text}");
        ctx.events.tell(tenant.object_ref(&()), EventReason::RetainedTopicsForgotten, text).await;
    }
    Ok(Some(noted))
}

/// What is known of the topics that there are.
#[derive(Debug)]
enum Living {
    These(Vec<TopicId>),
    /// Kafka could not say.
    Unknown,
}

async fn living<B: Backends>(ctx: &Context<B>, witnesses: &[TopicId]) -> Living {
    match ctx.topics.ids().await {
        Ok(ids) => Living::seen_by(ids, witnesses),
        Err(error) => {
            debug!(error = %told(&error), "which retained topics are gone is not known");
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

/// The topics that a tenant may take over, sorted.
pub(crate) fn topics(tenant: &AnalyticsTenant) -> Vec<TopicId> {
    let mut ids: Vec<Uuid> = recorded(tenant).iter().filter_map(|id| Uuid::try_parse(id).ok()).collect();
    ids.sort_unstable();
    ids.into_iter().map(TopicId).collect()
}

fn recorded(tenant: &AnalyticsTenant) -> &[String] {
    tenant.status.as_ref().map_or(&[], |status| &status.retained_topics)
}

/// The list and more topics behind it; none if it has them all.
fn with(recorded: &[String], more: &[TopicId]) -> Option<Vec<String>> {
    let mut all = recorded.to_vec();
    for id in more.iter().map(ToString::to_string) {
        if !all.contains(&id) {
            all.push(id);
        }
    }
    (all != recorded).then_some(all)
}

/// A list that fits, and what had to be dropped although it may be there.
#[derive(Debug, PartialEq, Eq)]
struct List {
    kept: Vec<String>,
    forgotten: Vec<String>,
}

/// The living ones of a list, without the first of them if they are too many.
fn bounded(all: Vec<String>, living: &Living) -> List {
    let mut kept: Vec<String> = all.into_iter().filter(|id| living.may_have(id)).collect();
    let forgotten = kept.drain(..kept.len().saturating_sub(MOST)).collect();
    List { kept, forgotten }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: usize) -> TopicId {
        TopicId(Uuid::from_u128(number.try_into().unwrap()))
    }

    fn texts(numbers: impl IntoIterator<Item = usize>) -> Vec<String> {
        numbers.into_iter().map(|number| id(number).to_string()).collect()
    }

    #[test]
    fn a_new_topic_is_added_once_and_last() {
        let first = with(&[], &[id(2), id(1), id(2)]).unwrap();
        assert_eq!(first, texts([2, 1]));
        assert_eq!(with(&first, &[id(1)]), None);
        assert_eq!(with(&first, &[id(1), id(0)]).unwrap(), texts([2, 1, 0]));
    }

    #[test]
    fn topics_that_are_gone_make_room() {
        let living = Living::seen_by((0..900).chain([MOST, MOST + 1]).map(id).collect(), &[id(MOST)]);
        let List { kept, forgotten } = bounded(texts(0..MOST + 2), &living);
        assert_eq!(kept, texts((0..900).chain([MOST, MOST + 1])));
        assert_eq!(forgotten, [""; 0]);
    }

    #[test]
    fn the_oldest_topics_give_way_where_all_are_there_or_nobody_knows() {
        let all = || (0..MOST + 2).map(id).collect();
        for living in [Living::Unknown, Living::seen_by(all(), &[id(MOST)])] {
            let List { kept, forgotten } = bounded(texts(0..MOST + 2), &living);
            assert_eq!((kept, forgotten), (texts(2..MOST + 2), texts([0, 1])), "{living:?}");
        }
    }

    #[test]
    fn a_listing_without_the_topics_in_use_says_nothing_of_others() {
        let in_use = [id(3), id(4)];
        for listed in [vec![], vec![id(2)], vec![id(2), id(3)], vec![id(2), id(4)]] {
            assert!(Living::seen_by(listed.clone(), &in_use).may_have(&id(1).to_string()), "{listed:?}");
        }
        assert!(Living::seen_by(vec![id(5)], &[]).may_have(&id(1).to_string()));
        let listed = vec![id(2), id(3), id(4)];
        assert!(!Living::seen_by(listed, &in_use).may_have(&id(1).to_string()));
    }
}
