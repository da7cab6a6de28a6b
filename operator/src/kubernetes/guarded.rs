//! Objects that this version may not be able to read: a newer one wrote them, or somebody by hand.
//!
//! Such an object hides no other: whoever lists or watches gets it beside them, by its metadata. What stands in it is
//! not told to anybody, since it may be a secret; the path of the field is.

use std::{borrow::Cow, fmt};

use kube::{Resource, api::ObjectMeta};
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::Value;

/// An object, if it can be read.
#[derive(Debug, Clone)]
pub(crate) struct Guarded<K>(pub(crate) Result<K, Box<Unreadable>>);

/// What is known of an object that cannot be read.
#[derive(Clone)]
pub(crate) struct Unreadable {
    pub(crate) metadata: ObjectMeta,
    /// The path of the field that cannot be read, or of the one in which something is missing.
    pub(crate) field: String,
    content: Value,
}

/// The longest path of a field that is told; the keys of maps in it may be anything.
const MAX_FIELD_BYTES: usize = 200;

impl Unreadable {
    fn new(content: Value, path: &serde_path_to_error::Path) -> Self {
        let metadata = serde_json::from_value(content["metadata"].clone())
            .unwrap_or_else(|_| identity(&content["metadata"]));
        let mut field = path.to_string();
        field.truncate(field.floor_char_boundary(MAX_FIELD_BYTES));
        Self { metadata, field, content }
    }

    /// The text at a place, as a JSON pointer (RFC 6901).
    pub(crate) fn text(&self, pointer: &str) -> Option<&str> {
        self.content.pointer(pointer)?.as_str()
    }
}

/// What every object has, where the rest of its metadata cannot be read either.
fn identity(metadata: &Value) -> ObjectMeta {
    let text = |field: &str| metadata[field].as_str().map(str::to_owned);
    ObjectMeta {
        name: text("name"),
        namespace: text("namespace"),
        uid: text("uid"),
        resource_version: text("resourceVersion"),
        generation: metadata["generation"].as_i64(),
        ..ObjectMeta::default()
    }
}

/// Without its content.
impl fmt::Debug for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { metadata, field, content: _ } = self;
        let (namespace, name) = (&metadata.namespace, &metadata.name);
        f.debug_struct("Unreadable")
            .field("namespace", namespace)
            .field("name", name)
            .field("field", field)
            .finish_non_exhaustive()
    }
}

impl<'de, K: DeserializeOwned> Deserialize<'de> for Guarded<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let content = Value::deserialize(deserializer)?;
        let read = serde_path_to_error::deserialize(&content);
        Ok(Self(read.map_err(|failure| Box::new(Unreadable::new(content, failure.path())))))
    }
}

impl<K: Resource> Resource for Guarded<K> {
    type DynamicType = K::DynamicType;
    type Scope = K::Scope;

    fn kind(of: &Self::DynamicType) -> Cow<'_, str> {
        K::kind(of)
    }

    fn group(of: &Self::DynamicType) -> Cow<'_, str> {
        K::group(of)
    }

    fn version(of: &Self::DynamicType) -> Cow<'_, str> {
        K::version(of)
    }

    fn plural(of: &Self::DynamicType) -> Cow<'_, str> {
        K::plural(of)
    }

    fn meta(&self) -> &ObjectMeta {
        self.0.as_ref().map_or_else(|unreadable| &unreadable.metadata, K::meta)
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        self.0.as_mut().map_or_else(|unreadable| &mut unreadable.metadata, K::meta_mut)
    }
}

#[cfg(test)]
mod tests;
