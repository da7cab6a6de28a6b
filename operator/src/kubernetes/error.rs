//! What can go wrong with the Kubernetes API, and what kind of failure it is.

use crds::Reason;

use tracing::debug;

use crate::failure::Failure;

/// A call that failed. `object` is the kind and the name.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("failed to read {object}")]
    Read { object: String, source: CallError },
    #[error("failed to list objects of kind {kind}")]
    List { kind: String, source: CallError },
    #[error("failed to create {object}")]
    Create { object: String, source: CallError },
    #[error("failed to apply {object}")]
    Apply { object: String, source: CallError },
    #[error("failed to change {object}")]
    Change { object: String, source: CallError },
    #[error("failed to delete {object}")]
    Delete { object: String, source: CallError },
    #[error("failed to write the status of {object}")]
    WriteStatus { object: String, source: CallError },
    #[error("failed to add the finalizer to {object}")]
    AddFinalizer { object: String, source: CallError },
    #[error("failed to remove the finalizer from {object}")]
    RemoveFinalizer { object: String, source: CallError },
    #[error("{object} exists and belongs to {owner}; rename or delete it")]
    Foreign { object: String, owner: String },
    #[error(
        "this version of the operator cannot read `{field}` of {object}: correct it, or run a newer version"
    )]
    Unreadable { object: String, field: String },
    #[error("the status of {object} does not keep what was written: {}", OLDER_DEFINITION)]
    Dropped { object: String },
    #[error("{object} is on its way out, and is made anew when it is gone")]
    Leftover { object: String },
}

/// What to do where the API server knows a kind by a definition that lacks a field of ours.
const OLDER_DEFINITION: &str = "the definition of its kind is older than this operator, so apply the definitions of this operator's chart";

/// Why a call failed. It has no cause: kube's errors cite the whole answer, once more in each of theirs.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    #[error("{words}")]
    Api { words: String, code: Option<u16> },
    /// Which field it is differs from answer to answer, where there are several.
    #[error("a field is not declared in the schema: {}", OLDER_DEFINITION)]
    Undeclared,
    #[error("the API server did not answer within {seconds} s")]
    Deadline { seconds: u64 },
}

/// How the API server answers an applied field that its definition of the kind lacks, with status 500.
const UNDECLARED: &str = "field not declared in schema";

/// The API server's own words, or what kept them away.
impl From<kube::Error> for CallError {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) if status.message.contains(UNDECLARED) => {
                debug!(answer = status.message, "a definition is older than this operator");
                Self::Undeclared
            }
            kube::Error::Api(status) => Self::Api { code: Some(status.code), words: status.message },
            // Its text cites the answer.
            kube::Error::SerdeError(_) => {
                Self::Api { code: None, words: "the answer of the API server cannot be read".to_owned() }
            }
            other => Self::Api { code: None, words: each_once(&other) },
        }
    }
}

/// An error with its causes, without those that it cites.
fn each_once(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        cause = error.source();
    }
    text
}

impl CallError {
    fn code(&self) -> Option<u16> {
        match self {
            Self::Api { code, .. } => *code,
            Self::Undeclared | Self::Deadline { .. } => None,
        }
    }

    pub(super) fn says_it_is_absent(&self) -> bool {
        self.code() == Some(404)
    }

    /// The answer to what only makes an object.
    pub(super) fn says_it_exists(&self) -> bool {
        self.code() == Some(409)
    }

    fn failure(&self) -> Failure {
        match self {
            // Somebody has to apply a definition, and nothing tells of it.
            Self::Undeclared => Failure::Permission,
            Self::Deadline { .. } => Failure::Transient,
            Self::Api { code, .. } => match code {
                Some(401 | 403) => Failure::Permission,
                Some(400 | 413 | 422) => Failure::Refused,
                // 404 is a namespace or resource that just went, 409 one that just changed: both are read anew.
                Some(_) | None => Failure::Transient,
            },
        }
    }

    fn reason(&self) -> Reason {
        match self.failure() {
            Failure::Permission if matches!(self, Self::Undeclared) => Reason::KubernetesRefused,
            Failure::Permission => Reason::KubernetesPermissionDenied,
            Failure::Refused | Failure::Conflict | Failure::Bug => Reason::KubernetesRefused,
            Failure::Transient if self.code() == Some(409) => Reason::KubernetesChanged,
            Failure::Transient => Reason::KubernetesUnreachable,
        }
    }
}

impl Error {
    /// What helps.
    pub(crate) fn failure(&self) -> Failure {
        match self {
            Self::Read { source, .. }
            | Self::List { source, .. }
            | Self::Create { source, .. }
            | Self::Apply { source, .. }
            | Self::Change { source, .. }
            | Self::Delete { source, .. }
            | Self::WriteStatus { source, .. }
            | Self::AddFinalizer { source, .. }
            | Self::RemoveFinalizer { source, .. } => source.failure(),
            Self::Foreign { .. } => Failure::Conflict,
            Self::Leftover { .. } => Failure::Transient,
            Self::Unreadable { .. } => Failure::Refused,
            Self::Dropped { .. } => Failure::Permission,
        }
    }

    /// The reason of the condition, the label of the metric and the field of the log.
    pub(crate) fn reason(&self) -> Reason {
        match self {
            Self::Read { source, .. }
            | Self::List { source, .. }
            | Self::Create { source, .. }
            | Self::Apply { source, .. }
            | Self::Change { source, .. }
            | Self::Delete { source, .. }
            | Self::WriteStatus { source, .. }
            | Self::AddFinalizer { source, .. }
            | Self::RemoveFinalizer { source, .. } => source.reason(),
            Self::Foreign { .. } => Reason::ChildConflict,
            Self::Leftover { .. } => Reason::ChildBeingDeleted,
            Self::Unreadable { .. } => Reason::UnreadableObject,
            Self::Dropped { .. } => Reason::KubernetesRefused,
        }
    }
}
