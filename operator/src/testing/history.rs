//! Every version that a tenant or a Pipeline had: what a cache that lags behind may still show.

use std::collections::BTreeMap;

use serde_json::Value;

use super::World;

#[derive(Debug, Clone, Default)]
pub(super) struct History {
    versions: BTreeMap<String, Vec<Value>>,
}

impl History {
    /// Notes the versions of now that are new.
    pub(super) fn note(&mut self, objects: &BTreeMap<String, Value>) {
        for (key, object) in objects {
            if !key.starts_with("analyticstenants/") && !key.starts_with("pipelines/") {
                continue;
            }
            let versions = self.versions.entry(key.clone()).or_default();
            if versions.last() != Some(object) {
                versions.push(object.clone());
            }
        }
    }
}

impl World {
    /// All versions of each resource of a kind, those that are gone included.
    pub(crate) fn versions(&self, plural: &str) -> Vec<Vec<Value>> {
        let state = self.state();
        let of_kind = state.history.versions.iter().filter(|(key, _)| key.split('/').next() == Some(plural));
        of_kind.map(|(_, versions)| versions.clone()).collect()
    }
}
