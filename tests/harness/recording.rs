//! Every version of the resources of one kind in a namespace, as a watch tells of them.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use futures::{StreamExt as _, TryStreamExt as _};
use kube::Resource;
use kube::api::{Api, ApiResource, DynamicObject, ListParams, WatchEvent, WatchParams};
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::kubernetes::Ground;

/// What the watch told of.
#[derive(Debug, Clone)]
pub enum Seen {
    There(Value),
    /// It is gone; this is what it was at last.
    Gone(Value),
}

/// A watch that goes on until this is dropped.
#[derive(Debug)]
pub struct Recording {
    seen: Arc<Mutex<Vec<Seen>>>,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Recording {
    /// Begins with what comes after this call.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn start<K: Resource<DynamicType = ()>>(ground: &Ground) -> anyhow::Result<Self> {
        let kind = ApiResource::erase::<K>(&());
        let api = Api::<DynamicObject>::namespaced_with(ground.client.clone(), &ground.name, &kind);
        let begin = api.list(&ListParams::default()).await?.metadata.resource_version;
        let begin = begin.context("a list has a version")?;
        let mut events = api.watch(&WatchParams::default(), &begin).await?.boxed();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let written = Arc::clone(&seen);
        #[allow(clippy::disallowed_methods, reason = "its owner is the value that is returned")]
        let task = tokio::spawn(async move {
            while let Some(event) = events.try_next().await? {
                let seen = match event {
                    WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                        Seen::There(serde_json::to_value(object)?)
                    }
                    WatchEvent::Deleted(object) => Seen::Gone(serde_json::to_value(object)?),
                    WatchEvent::Bookmark(_) => continue,
                    WatchEvent::Error(error) => anyhow::bail!("the watch ended: {error:?}"),
                };
                written.lock().unwrap_or_else(PoisonError::into_inner).push(seen);
            }
            anyhow::bail!("the watch ended")
        });
        Ok(Self { seen, task })
    }

    /// What was seen of the resource of this name until now.
    ///
    /// # Errors
    /// When the watch ended, so that something may be missing.
    pub fn of(&self, name: &str) -> anyhow::Result<Vec<Seen>> {
        anyhow::ensure!(!self.task.is_finished(), "the watch ended");
        let is_meant = |seen: &&Seen| {
            let (Seen::There(object) | Seen::Gone(object)) = seen;
            object["metadata"]["name"] == name
        };
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(seen.iter().filter(is_meant).cloned().collect())
    }

    /// The versions of the resource of this name until now, without its end.
    ///
    /// # Errors
    /// As `of`.
    pub fn versions(&self, name: &str) -> anyhow::Result<Vec<Value>> {
        let version = |seen| match seen {
            Seen::There(object) => Some(object),
            Seen::Gone(_) => None,
        };
        Ok(self.of(name)?.into_iter().filter_map(version).collect())
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        self.task.abort();
    }
}
