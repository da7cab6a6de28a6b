//! What the end of a run is compared by.

use std::collections::BTreeMap;

use crate::{perturbation::end_state, tables::DatabaseComment, testing::World};

/// The end without what only tells of the way: topics that were left behind by a Pipeline that went, which another
/// order of looks does not let come to be, or which a resource that was made at once never had.
pub(super) fn end(world: &World) -> BTreeMap<String, String> {
    let world = world.fork();
    {
        let mut state = world.state();
        let used: Vec<String> = state
            .objects
            .values()
            .flat_map(|object| [&object["status"]["topic"], &object["status"]["deadLetterTopic"]])
            .filter_map(|topic| Some(topic["name"].as_str()?.to_owned()))
            .collect();
        state.topics.retain(|name, _| used.contains(name));
        for object in state.objects.values_mut() {
            if let Some(status) = object["status"].as_object_mut() {
                status.remove("retainedTopics");
            }
        }
        for database in state.databases.values_mut() {
            if let DatabaseComment::Released { topics, .. } = &mut database.comment {
                topics.clear();
            }
        }
    }
    end_state(&world)
}
