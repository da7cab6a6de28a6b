//! Calls of the Kubernetes API: server-side apply, deletes with preconditions, finalizers and status, each in time.
//!
//! Invariants:
//! - Every call has a deadline.
//! - Every write to an object that was seen names its incarnation, by UID, so that one made from old knowledge harms
//!   nothing new.
//! - An object that was seen to be somebody else's is not written to, and one that is as it should be is only read.
//! - An object that this version cannot read is not written to, and hides no other.
//! - What was seen to be absent is made without force: an object that somebody makes meanwhile keeps its values. One
//!   that has no other value for a field of ours gets that field, since server-side apply knows no "only if absent".
//! - To server-side apply two operators are one, so each overwrites what the other applied. That is harmless where both
//!   apply the same. What is random is made empty by `create`, and filled under the version that was seen.

mod applied;
mod error;
mod guarded;

use std::{fmt::Debug, future::Future, time::Duration};

use kube::{
    Api, Client, Resource, ResourceExt as _,
    api::{DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams, Preconditions},
    core::NamespaceResourceScope,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;

use crate::labels;

use applied::{has, is_applied};
use error::CallError;
pub(crate) use {
    error::Error,
    guarded::{Guarded, Unreadable},
};

/// A healthy API server answers within milliseconds; one that hangs must not hold up other tenants.
const CALL_DEADLINE: Duration = Duration::from_secs(15);

/// The Kubernetes API in the name of one controller.
#[derive(Clone)]
pub(crate) struct Kubernetes {
    client: Client,
    /// The one field manager under which the controller owns what it applies.
    manager: &'static str,
    deadline: Duration,
}

/// A namespaced kind, ours or Kubernetes' own.
pub(crate) trait Kind:
    Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + Serialize + DeserializeOwned
{
}

impl<K> Kind for K where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + Debug
        + Serialize
        + DeserializeOwned
{
}

impl Kubernetes {
    pub(crate) fn new(client: Client, manager: &'static str) -> Self {
        Self { client, manager, deadline: CALL_DEADLINE }
    }

    /// The same, where a call has another deadline.
    #[cfg(test)]
    pub(crate) fn within(self, deadline: Duration) -> Self {
        Self { deadline, ..self }
    }

    fn api<K: Kind>(&self, namespace: &str) -> Api<K> {
        Api::namespaced(self.client.clone(), namespace)
    }

    fn guarded<K: Kind>(&self, namespace: &str) -> Api<Guarded<K>> {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// What the API server holds now, not what some cache remembers.
    ///
    /// # Errors
    /// [`Error::Unreadable`] when there is one that this version cannot read.
    pub(crate) async fn get<K: Kind>(&self, namespace: &str, name: &str) -> Result<Option<K>, Error> {
        let found = self
            .in_time(self.guarded::<K>(namespace).get_opt(name))
            .await
            .map_err(|source| Error::Read { object: object::<K>(name), source })?;
        found
            .map(|found| found.0)
            .transpose()
            .map_err(|unreadable| Error::Unreadable { object: object::<K>(name), field: unreadable.field })
    }

    /// The metadata of what the API server holds now.
    pub(crate) async fn get_metadata<K: Kind>(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<Option<ObjectMeta>, Error> {
        self.in_time(self.api::<K>(namespace).get_metadata_opt(name))
            .await
            .map(|found| found.map(|found| found.metadata))
            .map_err(|source| Error::Read { object: object::<K>(name), source })
    }

    /// All objects of a kind in a namespace, as the API server holds them now, readable or not.
    pub(crate) async fn list<K: Kind>(&self, namespace: &str) -> Result<Vec<Guarded<K>>, Error> {
        self.in_time(self.guarded::<K>(namespace).list(&ListParams::default()))
            .await
            .map(|list| list.items)
            .map_err(|source| Error::List { kind: K::kind(&()).into_owned(), source })
    }

    /// Makes a child, or brings the fields that we own back to what they should be. Gives the child as it is then.
    /// One that is as it should be is only read. A manifest with a UID changes that incarnation and makes nothing; one
    /// with a resource version changes that version.
    ///
    /// # Errors
    /// [`Error::Foreign`] when the name belongs to an object of somebody else.
    pub(crate) async fn apply<K: Kind>(&self, child: &(impl Serialize + Debug)) -> Result<K, Error> {
        let mut manifest = serde_json::to_value(child).expect("a manifest of string keys is always JSON");
        let wanted: ObjectMeta = serde_json::from_value(manifest["metadata"].clone())
            .expect("every manifest is built with metadata");
        let (namespace, name) = (wanted.namespace.as_deref().unwrap_or_default(), wanted.name.as_deref());
        let name = name.unwrap_or_default();
        let mut meant = None;
        if let Some(found) = self.get::<K>(namespace, name).await? {
            may_take(found.meta(), &wanted).map_err(|refusal| refusal.into_error(object::<K>(name)))?;
            let as_found = serde_json::to_value(&found).expect("an object of the API server is always JSON");
            if is_applied(&as_found, &manifest, self.manager) {
                return Ok(found);
            }
            meant.clone_from(&found.meta().uid);
        }
        // With the UID, an object that goes meanwhile is not made anew, and one that takes its place not written to.
        let mut params = PatchParams::apply(self.manager);
        if let Some(uid) = wanted.uid.as_ref().or(meant.as_ref()) {
            manifest["metadata"]["uid"] = json!(uid);
            params = params.force();
        }
        self.in_time(self.api::<K>(namespace).patch(name, &params, &Patch::Apply(&manifest)))
            .await
            .map_err(|source| Error::Apply { object: object::<K>(name), source })
    }

    /// Makes a child where nothing bears its name. What bears it by now is given as it is, whoever made it.
    ///
    /// The child may hold only what it holds for ever: server-side apply removes what was applied before, and no field
    /// that an object was made with.
    pub(crate) async fn create<K: Kind>(&self, child: &K) -> Result<K, Error> {
        let (namespace, name) = (child.namespace().unwrap_or_default(), child.name_any());
        let params = PostParams { field_manager: Some(self.manager.to_owned()), ..PostParams::default() };
        let failed = |source| Error::Create { object: object::<K>(&name), source };
        match self.in_time(self.api::<K>(&namespace).create(&params, child)).await {
            Err(error) if error.says_it_exists() => {
                self.get(&namespace, &name).await?.ok_or_else(|| failed(error))
            }
            outcome => outcome.map_err(failed),
        }
    }

    /// Asks for the deletion of exactly this incarnation of an object; one that is gone is deleted.
    /// It stays visible until all that it owns is gone.
    pub(crate) async fn delete<K: Kind>(&self, found: &ObjectMeta) -> Result<(), Error> {
        let (namespace, name) = (found.namespace.as_deref().unwrap_or_default(), found.name.as_deref());
        let name = name.unwrap_or_default();
        let params = DeleteParams::foreground().preconditions(Preconditions {
            uid: found.uid.clone(),
            resource_version: found.resource_version.clone(),
        });
        match self.in_time(self.api::<K>(namespace).delete(name, &params)).await {
            Err(error) if error.says_it_is_absent() => Ok(()),
            outcome => {
                outcome.map(|_| ()).map_err(|source| Error::Delete { object: object::<K>(name), source })
            }
        }
    }

    /// Changes some fields of exactly this incarnation and version of an object, and leaves all others.
    pub(crate) async fn change<K: Kind>(
        &self,
        found: &ObjectMeta,
        fields: serde_json::Value,
    ) -> Result<(), Error> {
        let name = found.name.as_deref().unwrap_or_default();
        let mut patch = fields;
        patch["metadata"] = expected(found);
        let api = self.api::<K>(found.namespace.as_deref().unwrap_or_default());
        self.in_time(api.patch(name, &self.merging(), &Patch::Merge(&patch)))
            .await
            .map(|_| ())
            .map_err(|source| Error::Change { object: object::<K>(name), source })
    }

    /// Writes our fields of the status of exactly this incarnation and version of a resource: what was made of an old
    /// one must not stand over what was made of a newer one. Gives the resource as it is then.
    pub(crate) async fn write_status<K: Kind>(
        &self,
        resource: &K,
        status: &impl Serialize,
    ) -> Result<K, Error> {
        let name = resource.name_any();
        let mut patch = json!({
            "apiVersion": K::api_version(&()),
            "kind": K::kind(&()),
            "metadata": expected(resource.meta()),
            "status": status,
        });
        patch["metadata"]["name"] = json!(name);
        let params = PatchParams::apply(self.manager).force();
        let api = self.api::<K>(&resource.namespace().unwrap_or_default());
        self.in_time(api.patch_status(&name, &params, &Patch::Apply(&patch)))
            .await
            .map_err(|source| Error::WriteStatus { object: object::<K>(&name), source })
    }

    /// Merges fields into the status of a resource, unless it changed since it was read. Gives the resource as it is
    /// then.
    ///
    /// # Errors
    /// [`Error::Dropped`] when the definition of the kind lacks a field: a merge answers that with silence.
    pub(crate) async fn merge_status<K: Kind>(
        &self,
        resource: &K,
        status: &(impl Serialize + Debug),
    ) -> Result<K, Error> {
        let name = resource.name_any();
        let patch = json!({ "metadata": expected(resource.meta()), "status": status });
        let api = self.api::<K>(&resource.namespace().unwrap_or_default());
        let merged = self
            .in_time(api.patch_status(&name, &self.merging(), &Patch::Merge(&patch)))
            .await
            .map_err(|source| Error::WriteStatus { object: object::<K>(&name), source })?;
        let as_merged = serde_json::to_value(&merged).expect("a resource of the API server is always JSON");
        if !has(&as_merged["status"], &patch["status"]) {
            return Err(Error::Dropped { object: object::<K>(&name) });
        }
        Ok(merged)
    }

    /// Holds a resource until its outside traces were dealt with. Gives the resource as it is then.
    pub(crate) async fn add_finalizer<K: Kind>(&self, resource: &K) -> Result<K, Error> {
        let mut finalizers = resource.finalizers().to_vec();
        finalizers.push(labels::FINALIZER.to_owned());
        self.set_finalizers(resource, finalizers)
            .await
            .map_err(|source| Error::AddFinalizer { object: object::<K>(&resource.name_any()), source })
    }

    /// Lets a resource go. One that is gone needs nothing.
    pub(crate) async fn remove_finalizer<K: Kind>(&self, resource: &K) -> Result<(), Error> {
        let mut finalizers = resource.finalizers().to_vec();
        finalizers.retain(|finalizer| finalizer != labels::FINALIZER);
        match self.set_finalizers(resource, finalizers).await {
            Err(error) if error.says_it_is_absent() => Ok(()),
            outcome => outcome.map(|_| ()).map_err(|source| Error::RemoveFinalizer {
                object: object::<K>(&resource.name_any()),
                source,
            }),
        }
    }

    async fn set_finalizers<K: Kind>(&self, resource: &K, finalizers: Vec<String>) -> Result<K, CallError> {
        let mut metadata = expected(resource.meta());
        metadata["finalizers"] = json!(finalizers);
        let api = self.api::<K>(&resource.namespace().unwrap_or_default());
        let patch = Patch::Merge(json!({ "metadata": metadata }));
        self.in_time(api.patch(&resource.name_any(), &self.merging(), &patch)).await
    }

    async fn in_time<T>(&self, call: impl Future<Output = Result<T, kube::Error>>) -> Result<T, CallError> {
        match tokio::time::timeout(self.deadline, call).await {
            Ok(answer) => answer.map_err(CallError::from),
            Err(_) => Err(CallError::Deadline { seconds: self.deadline.as_secs() }),
        }
    }

    fn merging(&self) -> PatchParams {
        PatchParams { field_manager: Some(self.manager.to_owned()), ..PatchParams::default() }
    }
}

/// Whether a resource is held by our finalizer.
pub(crate) fn is_held(resource: &impl Resource) -> bool {
    resource.finalizers().iter().any(|finalizer| finalizer == labels::FINALIZER)
}

/// Whether the object with this metadata is controlled by the resource with this UID.
pub(crate) fn is_controlled_by(metadata: &ObjectMeta, uid: &str) -> bool {
    controller(metadata).is_some_and(|owner| owner.uid == uid)
}

fn controller(
    metadata: &ObjectMeta,
) -> Option<&k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference> {
    metadata.owner_references.iter().flatten().find(|owner| owner.controller == Some(true))
}

/// Why an object of a child's name is left alone.
#[derive(Debug, PartialEq, Eq)]
enum Refusal {
    Foreign { owner: String },
    Leftover,
}

impl Refusal {
    fn into_error(self, object: String) -> Error {
        match self {
            Self::Foreign { owner } => Error::Foreign { object, owner },
            Self::Leftover => Error::Leftover { object },
        }
    }
}

/// Whether an existing object may become the wanted child: ours already, or nobody's and labelled as ours.
fn may_take(found: &ObjectMeta, wanted: &ObjectMeta) -> Result<(), Refusal> {
    match (controller(found), controller(wanted)) {
        (Some(has), Some(ours)) if has.uid == ours.uid => {}
        // The child of a deleted namesake goes away by itself.
        (Some(has), Some(ours)) if has.kind == ours.kind && has.name == ours.name => {
            return Err(Refusal::Leftover);
        }
        (Some(has), _) => return Err(Refusal::Foreign { owner: format!("{} `{}`", has.kind, has.name) }),
        (None, _) if labels::are_ours(found.labels.as_ref()) => {}
        (None, _) => return Err(Refusal::Foreign { owner: "nobody".to_owned() }),
    }
    if found.deletion_timestamp.is_some() { Err(Refusal::Leftover) } else { Ok(()) }
}

/// The incarnation and version that a patch is made for; the API server answers 409 when it is another by now.
fn expected(metadata: &ObjectMeta) -> serde_json::Value {
    json!({ "uid": metadata.uid, "resourceVersion": metadata.resource_version })
}

fn object<K: Kind>(name: &str) -> String {
    format!("{} `{name}`", K::kind(&()))
}

#[cfg(test)]
mod tests;
