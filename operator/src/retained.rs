//! The topics that outlive their Pipeline: their ids stand in the tenant's status, and a Pipeline takes over an
//! existing topic only when its id stands there. Both controllers write the list.

use crds::AnalyticsTenant;
use schema::names::TopicId;
use serde_json::json;
use uuid::Uuid;

use crate::kubernetes::{Error, Kubernetes};

/// Adds topics to those that a tenant may take over. Fails with a conflict if the tenant changed since it was read.
pub(crate) async fn note(
    kubernetes: &Kubernetes,
    tenant: &AnalyticsTenant,
    topics: &[TopicId],
) -> Result<(), Error> {
    match with(recorded(tenant), topics) {
        Some(all) => kubernetes.merge_status(tenant, &json!({ "retainedTopics": all })).await,
        None => Ok(()),
    }
}

/// The topics that a tenant may take over.
pub(crate) fn topics(tenant: &AnalyticsTenant) -> Vec<TopicId> {
    recorded(tenant).iter().filter_map(|id| Uuid::try_parse(id).ok()).map(TopicId).collect()
}

fn recorded(tenant: &AnalyticsTenant) -> &[String] {
    tenant.status.as_ref().map_or(&[], |status| &status.retained_topics)
}

/// The list with more topics, sorted; none if it has them all.
fn with(recorded: &[String], more: &[TopicId]) -> Option<Vec<String>> {
    let mut all = recorded.to_vec();
    all.extend(more.iter().map(ToString::to_string));
    all.sort();
    all.dedup();
    (all.len() > recorded.len()).then_some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u128) -> TopicId {
        TopicId(Uuid::from_u128(number))
    }

    #[test]
    fn a_new_topic_is_added_once() {
        let first = with(&[], &[id(2), id(1), id(2)]).unwrap();
        assert_eq!(first, [id(1).to_string(), id(2).to_string()]);
        assert_eq!(with(&first, &[id(1)]), None);
    }
}
