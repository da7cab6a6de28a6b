//! The identifier of a tenant, as it stands in keys, topics, headers and database names.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The longest tenant id. A topic name holds it beside a prefix and a pipeline and must stay below Kafka's 249.
pub const MAX_LENGTH: usize = 40;

/// A tenant's id: 1 to 40 characters of `a-z`, `0-9` and `-`. A UUID in lower case is one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TenantId(String);

/// Why a text is not a tenant id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TenantIdError {
    #[error("a tenant id must not be empty")]
    Empty,
    #[error("a tenant id has at most 40 characters, this one has {length}")]
    TooLong { length: usize },
    #[error("a tenant id consists of `a-z`, `0-9` and `-`, found `{found}`")]
    Character { found: char },
}

impl TenantId {
    /// The only constructor.
    ///
    /// # Errors
    /// When the text is empty, longer than [`MAX_LENGTH`] or holds another character.
    pub fn parse(text: &str) -> Result<Self, TenantIdError> {
        if text.is_empty() {
            return Err(TenantIdError::Empty);
        }
        if let Some(found) = text.chars().find(|c| !matches!(c, 'a'..='z' | '0'..='9' | '-')) {
            return Err(TenantIdError::Character { found });
        }
        if text.len() > MAX_LENGTH {
            return Err(TenantIdError::TooLong { length: text.len() });
        }
        Ok(Self(text.to_owned()))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for TenantId {
    type Error = TenantIdError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<TenantId> for String {
    fn from(id: TenantId) -> Self {
        id.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<&str, TenantIdError>) {
        assert_eq!(TenantId::parse(text).as_ref().map(TenantId::as_str), expected.as_ref().copied());
    }

    #[test]
    fn a_word_is_fine() {
        check("acme", Ok("acme"));
    }
    #[test]
    fn a_uuid_is_fine() {
        check("00000000-0000-0000-0000-000000000000", Ok("00000000-0000-0000-0000-000000000000"));
    }
    #[test]
    fn forty_characters_are_fine() {
        check(&"a".repeat(40), Ok(&"a".repeat(40)));
    }
    #[test]
    fn forty_one_are_refused() {
        check(&"a".repeat(41), Err(TenantIdError::TooLong { length: 41 }));
    }
    #[test]
    fn nothing_is_refused() {
        check("", Err(TenantIdError::Empty));
    }
    #[test]
    fn capitals_are_refused() {
        check("Acme", Err(TenantIdError::Character { found: 'A' }));
    }
    #[test]
    fn an_underscore_is_refused() {
        check("a_b", Err(TenantIdError::Character { found: '_' }));
    }
    #[test]
    fn a_quote_is_refused() {
        check("a`b", Err(TenantIdError::Character { found: '`' }));
    }
}
