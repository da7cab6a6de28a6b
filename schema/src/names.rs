//! Every name that more than one process uses: topics, groups, databases, tables.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::tenant_id::TenantId;

/// The table that holds what was inserted, copies included, until ClickHouse merges them.
pub const STORAGE_TABLE: &str = "events_raw";
/// The view that users read: each event once.
pub const EVENTS_VIEW: &str = "events";
/// The view of events per hour and name.
pub const HOURLY_VIEW: &str = "hourly_event_stats";
/// The table that records which migrations were applied.
pub const MIGRATIONS_TABLE: &str = "_migrations";

/// The longest pipeline name: a tenant's name of 40 characters and `-default`.
pub const MAX_PIPELINE_NAME_LENGTH: usize = 48;
/// The longest topic prefix: with the longest tenant id, pipeline and `.dlq` a topic stays below Kafka's 249.
pub const MAX_TOPIC_PREFIX_LENGTH: usize = 64;

/// The longest name that a user gives to a topic: with `.dlq` it has Kafka's 249.
pub const MAX_GIVEN_TOPIC_NAME_LENGTH: usize = MAX_TOPIC_NAME_LENGTH - DEAD_LETTER_ENDING.len();
/// Kafka's bound.
const MAX_TOPIC_NAME_LENGTH: usize = 249;
const DEAD_LETTER_ENDING: &str = ".dlq";

/// Why a text is not a name of this kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("a {kind} must not be empty")]
    Empty { kind: &'static str },
    #[error("a {kind} has at most {max} characters, this one has {length}")]
    TooLong { kind: &'static str, max: usize, length: usize },
    #[error("a {kind} consists of {allowed}, found `{found}`")]
    Character { kind: &'static str, allowed: &'static str, found: char },
    #[error("a {kind} must not end with `{ending}`")]
    Ending { kind: &'static str, ending: &'static str },
}

fn checked(
    text: &str,
    kind: &'static str,
    max: usize,
    allowed: &'static str,
    is_allowed: fn(char) -> bool,
) -> Result<String, NameError> {
    if text.is_empty() {
        return Err(NameError::Empty { kind });
    }
    if let Some(found) = text.chars().find(|c| !is_allowed(*c)) {
        return Err(NameError::Character { kind, allowed, found });
    }
    if text.len() > max {
        return Err(NameError::TooLong { kind, max, length: text.len() });
    }
    Ok(text.to_owned())
}

macro_rules! text_name {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_name! {
    /// The first part of every topic of an installation: `a-z`, `A-Z`, `0-9`, `-` and `_`, no dot.
    TopicPrefix
}

impl TopicPrefix {
    /// # Errors
    /// When the text is empty, longer than [`MAX_TOPIC_PREFIX_LENGTH`] or holds another character.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        checked(text, "topic prefix", MAX_TOPIC_PREFIX_LENGTH, "`a-z`, `A-Z`, `0-9`, `-` and `_`", |c| {
            c.is_ascii_alphanumeric() || c == '-' || c == '_'
        })
        .map(Self)
    }
}

text_name! {
    /// The name of a Pipeline resource: `a-z`, `0-9` and `-`.
    PipelineName
}

impl PipelineName {
    /// # Errors
    /// When the text is empty, longer than [`MAX_PIPELINE_NAME_LENGTH`] or holds another character.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        checked(text, "pipeline name", MAX_PIPELINE_NAME_LENGTH, "`a-z`, `0-9` and `-`", |c| {
            c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'
        })
        .map(Self)
    }
}

text_name! {
    /// A Kafka topic.
    TopicName
}

impl TopicName {
    /// A topic's name as it was written down: `a-z`, `A-Z`, `0-9`, `.`, `-` and `_`.
    ///
    /// # Errors
    /// When the text is empty, longer than Kafka's 249 or holds another character.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        Self::of_at_most(MAX_TOPIC_NAME_LENGTH, text)
    }

    /// The name that a user gives to a pipeline's topic, which has a dead-letter topic beside it.
    ///
    /// # Errors
    /// As [`Self::parse`], and when the text is longer than [`MAX_GIVEN_TOPIC_NAME_LENGTH`] or ends with `.dlq`.
    pub fn parse_given(text: &str) -> Result<Self, NameError> {
        if text.ends_with(DEAD_LETTER_ENDING) {
            return Err(NameError::Ending { kind: "topic name", ending: DEAD_LETTER_ENDING });
        }
        Self::of_at_most(MAX_GIVEN_TOPIC_NAME_LENGTH, text)
    }

    fn of_at_most(max: usize, text: &str) -> Result<Self, NameError> {
        checked(text, "topic name", max, "`a-z`, `A-Z`, `0-9`, `.`, `-` and `_`", |c| {
            c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_')
        })
        .map(Self)
    }

    /// Whether the name is one that an installation may give to a topic of any tenant.
    #[must_use]
    pub fn is_below(&self, prefix: &TopicPrefix) -> bool {
        self.0.strip_prefix(prefix.as_str()).is_some_and(|rest| rest.starts_with('.'))
    }

    /// Whether the name is one that an installation may give to a topic of this tenant. No other tenant has such a
    /// name, since neither a prefix nor a tenant id has a dot.
    #[must_use]
    pub fn is_of(&self, prefix: &TopicPrefix, tenant: &TenantId) -> bool {
        let rest = self.0.strip_prefix(&format!("{prefix}.{tenant}."));
        rest.is_some_and(|rest| !rest.is_empty())
    }

    /// Whether this is the topic that a pipeline of this name has where no other name was given, or its dead-letter
    /// topic, in an installation.
    #[must_use]
    pub fn belongs_to(&self, prefix: &TopicPrefix, pipeline: &PipelineName) -> bool {
        let name = self.0.strip_suffix(DEAD_LETTER_ENDING).unwrap_or(&self.0);
        let mut parts = name.split('.');
        let is_ours = parts.next() == Some(prefix.as_str());
        let (tenant, last) = (parts.next(), parts.next());
        is_ours && tenant.is_some() && last == Some(pipeline.as_str()) && parts.next().is_none()
    }

    /// The topic of a pipeline: `<prefix>.<tenant id>.<pipeline>`.
    #[must_use]
    pub fn of(prefix: &TopicPrefix, tenant: &TenantId, pipeline: &PipelineName) -> Self {
        Self(format!("{prefix}.{tenant}.{pipeline}"))
    }

    /// The topic of the records that could not be stored: `<topic>.dlq`.
    #[must_use]
    pub fn dead_letter(&self) -> Self {
        Self(format!("{}{DEAD_LETTER_ENDING}", self.0))
    }
}

text_name! {
    /// A ClickHouse database of ours: `t_` and the tenant id with `_` for `-`.
    DatabaseName
}

impl DatabaseName {
    /// The database of a tenant. A tenant id holds no `_`, so two tenants never share one.
    #[must_use]
    pub fn of(tenant: &TenantId) -> Self {
        Self(format!("t_{}", tenant.as_str().replace('-', "_")))
    }
}

text_name! {
    /// A user of ClickHouse that we make for a tenant: `a-z`, `0-9` and `_`. Its settings profile and its quota bear the
    /// same name.
    UserName
}

impl UserName {
    /// The user as whom a tenant's consumers write.
    #[must_use]
    pub fn writer(tenant: &TenantId, owner_uid: &str) -> Self {
        Self::of(tenant, owner_uid, "writer")
    }

    /// The user as whom a tenant's people read.
    #[must_use]
    pub fn reader(tenant: &TenantId, owner_uid: &str) -> Self {
        Self::of(tenant, owner_uid, "reader")
    }

    /// A user has no comment that could name its owner, so its name carries a hash of the owner's UID: the users of a
    /// tenant that is gone are never taken for those of another one of the same id.
    fn of(tenant: &TenantId, owner_uid: &str, role: &str) -> Self {
        let digest = Sha256::digest(owner_uid.as_bytes());
        let owner: String = digest.iter().take(OWNER_BYTES).map(|byte| format!("{byte:02x}")).collect();
        Self(format!("{}_{owner}_{role}", DatabaseName::of(tenant)))
    }
}

/// Bytes of the hash of a UID that a user's name carries: enough to tell two tenants of one id apart.
const OWNER_BYTES: usize = 4;

text_name! {
    /// A Kafka consumer group of ours.
    ConsumerGroup
}

impl ConsumerGroup {
    /// The group of a pipeline: `<topic>.<topic id>.<table generation>`.
    ///
    /// A re-created topic and a re-created table are new incarnations whose old offsets mean nothing,
    /// so the name carries both and a new incarnation starts at the earliest record.
    #[must_use]
    pub fn of(topic: &TopicName, topic_id: TopicId, generation: TableGeneration) -> Self {
        Self(format!("{topic}.{topic_id}.{generation}"))
    }
}

/// Kafka's own id of a topic's incarnation (KIP-516).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TopicId(pub Uuid);

impl fmt::Display for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

/// The incarnation of a storage table: ClickHouse's UUID of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TableGeneration(pub Uuid);

impl fmt::Display for TableGeneration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic() -> TopicName {
        TopicName::of(
            &TopicPrefix::parse("millrace").unwrap(),
            &TenantId::parse("team-acme").unwrap(),
            &PipelineName::parse("web").unwrap(),
        )
    }

    #[test]
    fn a_topic_names_prefix_tenant_and_pipeline() {
        assert_eq!(topic().as_str(), "millrace.team-acme.web");
    }

    #[test]
    fn a_dead_letter_topic_is_the_topic_with_dlq() {
        assert_eq!(topic().dead_letter().as_str(), "millrace.team-acme.web.dlq");
    }

    #[test]
    fn a_topic_tells_whose_it_is() {
        let prefix = TopicPrefix::parse("millrace").unwrap();
        let web = PipelineName::parse("web").unwrap();
        let is_webs = |text: &str| TopicName::parse(text).unwrap().belongs_to(&prefix, &web);
        assert!(topic().belongs_to(&prefix, &web) && topic().dead_letter().belongs_to(&prefix, &web));
        for other in ["millrace.a.web2", "other.a.web", "millrace.web", "millrace.a.b.web", "web"] {
            assert!(!is_webs(other), "{other}");
        }
    }

    #[test]
    fn a_topic_is_below_a_prefix_that_ends_at_a_dot() {
        let prefix = TopicPrefix::parse("millrace").unwrap();
        let is_below = |text: &str| TopicName::parse(text).unwrap().is_below(&prefix);
        assert!(is_below("millrace.a.web") && is_below("millrace.anything"));
        assert!(!is_below("millrace") && !is_below("millrace2.a.web") && !is_below("a.millrace.web"));
    }

    #[test]
    fn a_database_has_underscores() {
        let tenant = TenantId::parse("team-acme").unwrap();
        assert_eq!(DatabaseName::of(&tenant).as_str(), "t_team_acme");
    }

    #[test]
    fn a_user_names_its_tenant_and_the_owner() {
        let tenant = TenantId::parse("team-acme").unwrap();
        assert_eq!(UserName::writer(&tenant, "u1").as_str(), "t_team_acme_bb82030d_writer");
        assert_eq!(UserName::reader(&tenant, "u1").as_str(), "t_team_acme_bb82030d_reader");
        assert_ne!(UserName::reader(&tenant, "u1"), UserName::reader(&tenant, "u2"));
    }

    #[test]
    fn a_group_carries_both_incarnations() {
        let group =
            ConsumerGroup::of(&topic(), TopicId(Uuid::from_u128(1)), TableGeneration(Uuid::from_u128(2)));
        assert_eq!(
            group.as_str(),
            "millrace.team-acme.web.00000000-0000-0000-0000-000000000001.00000000-0000-0000-0000-000000000002"
        );
    }

    #[test]
    fn the_longest_topic_fits_into_kafka() {
        let longest = TopicName::of(
            &TopicPrefix::parse(&"p".repeat(MAX_TOPIC_PREFIX_LENGTH)).unwrap(),
            &TenantId::parse(&"t".repeat(crate::tenant_id::MAX_LENGTH)).unwrap(),
            &PipelineName::parse(&"n".repeat(MAX_PIPELINE_NAME_LENGTH)).unwrap(),
        );
        assert!(longest.dead_letter().as_str().len() <= MAX_TOPIC_NAME_LENGTH);
    }

    #[test]
    fn the_longest_given_name_leaves_room_for_the_dead_letters() {
        let longest = TopicName::parse_given(&"n".repeat(MAX_GIVEN_TOPIC_NAME_LENGTH)).unwrap();
        assert!(TopicName::parse(longest.dead_letter().as_str()).is_ok());
        let longer = TopicName::parse_given(&"n".repeat(MAX_GIVEN_TOPIC_NAME_LENGTH + 1));
        assert!(matches!(longer, Err(NameError::TooLong { max: 245, length: 246, .. })), "{longer:?}");
    }

    #[test]
    fn a_given_name_is_not_that_of_dead_letters() {
        assert!(matches!(TopicName::parse_given("millrace.a.web.dlq"), Err(NameError::Ending { .. })));
        assert!(TopicName::parse_given("millrace.a.dlq.web").is_ok());
    }

    #[test]
    fn a_name_is_of_the_tenant_whose_id_is_its_second_part() {
        let (prefix, acme) = (TopicPrefix::parse("millrace").unwrap(), TenantId::parse("acme").unwrap());
        let is_acmes = |text: &str| TopicName::parse(text).unwrap().is_of(&prefix, &acme);
        assert!(is_acmes("millrace.acme.web") && is_acmes("millrace.acme.web.eu"));
        for other in ["millrace.acme.", "millrace.acme", "millrace.acme2.web", "other.acme.web", "acme.web"] {
            assert!(!is_acmes(other), "{other}");
        }
    }

    #[test]
    fn a_prefix_with_a_dot_is_refused() {
        assert!(matches!(TopicPrefix::parse("a.b"), Err(NameError::Character { found: '.', .. })));
    }

    #[test]
    fn an_empty_pipeline_name_is_refused() {
        assert_eq!(PipelineName::parse(""), Err(NameError::Empty { kind: "pipeline name" }));
    }
}
