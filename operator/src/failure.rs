//! What kind of failure a backend's error is, for whoever decides when to try again.

/// The kinds of failure of Kafka, ClickHouse, Kubernetes and our own. Every kind has its own answer to "what helps?".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Waiting helps: unreachable, overloaded, too slow, or on the way to another state.
    Transient,
    /// An administrator helps: the operator's credential is wrong or may not do this.
    Permission,
    /// A change of the spec or of the backend's configuration helps: the request itself was refused.
    Refused,
    /// Nothing but a person helps: what bears this name belongs to somebody else.
    Conflict,
    /// Nothing but a new version of the operator helps.
    Bug,
}
