//! How far one aspect of a resource came. Aspects are brought about independently of each other.

use crds::Reason;

use crate::failure::Failure;

/// How far one aspect came.
#[derive(Debug)]
pub(crate) enum Progress<T, E> {
    /// It is as it should be.
    Done(T),
    /// It becomes so by itself.
    Waiting(Waiting),
    /// An attempt failed.
    Failed(E),
    /// It needs another aspect that is not done.
    Untried,
}

/// What is waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) reason: Reason,
    pub(crate) message: String,
}

/// A failure as conditions, metrics and the retry policy see it.
pub(crate) trait Problem: std::error::Error {
    /// What helps.
    fn failure(&self) -> Failure;
    /// One word for programs.
    fn reason(&self) -> Reason;
}

impl<T, E> Progress<T, E> {
    /// The result, if there is one.
    pub(crate) fn done(&self) -> Option<&T> {
        match self {
            Self::Done(result) => Some(result),
            Self::Waiting(_) | Self::Failed(_) | Self::Untried => None,
        }
    }

    /// The failure, if there is one.
    pub(crate) fn failed(&self) -> Option<&E> {
        match self {
            Self::Failed(error) => Some(error),
            Self::Done(_) | Self::Waiting(_) | Self::Untried => None,
        }
    }
}

impl<T, E> Progress<T, E> {
    /// The failure, if there is one, and nothing else of it.
    pub(crate) fn into_failed(self) -> Option<E> {
        match self {
            Self::Failed(error) => Some(error),
            Self::Done(_) | Self::Waiting(_) | Self::Untried => None,
        }
    }
}

impl<T, E> From<Result<T, E>> for Progress<T, E> {
    fn from(outcome: Result<T, E>) -> Self {
        match outcome {
            Ok(result) => Self::Done(result),
            Err(error) => Self::Failed(error),
        }
    }
}

/// A failure and all its causes in one line, for people.
pub(crate) fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("failed to write")]
    struct Outer(#[source] std::num::ParseIntError);

    #[test]
    fn a_failure_is_told_with_its_causes() {
        let cause = "x".parse::<u8>().unwrap_err();
        assert_eq!(told(&Outer(cause)), "failed to write: invalid digit found in string");
    }
}
