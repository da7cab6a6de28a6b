//! The comment of a database: who it belongs to, kept where the data is. Pure.
//!
//! ```text
//! owned <namespace>/<name> uid=<uid>
//! released <namespace>/<name> topics=<topic id>,<topic id>
//! ```
//!
//! Kubernetes' names and UIDs consist of `a-z`, `0-9`, `-` and `.` and stand as they are; any other byte is written as
//! `%` and two hexadecimal digits, so that no name can pretend to be another comment.
//! A comment that we would not write ourselves, to the letter, is foreign.

use std::fmt;

use schema::names::TopicId;
use uuid::Uuid;

/// The AnalyticsTenant that a database belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DatabaseOwner {
    pub(crate) uid: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl DatabaseOwner {
    /// Whether another tenant bears the same name in the same namespace. Of two in one cluster, one is gone.
    pub(crate) fn is_namesake_of(&self, other: &Self) -> bool {
        self.namespace == other.namespace && self.name == other.name && self.uid != other.uid
    }
}

/// What the comment of a database says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DatabaseComment {
    /// It belongs to a tenant that lives.
    Owned(DatabaseOwner),
    /// Its tenant was deleted and left it behind with these topics; one of the same name may take it over.
    Released { namespace: String, name: String, topics: Vec<TopicId> },
    /// It is none of ours.
    Foreign(String),
}

impl DatabaseComment {
    /// Reads a comment. Every text is one.
    pub(crate) fn parse(text: &str) -> Self {
        match owned(text).or_else(|| released(text)) {
            Some(comment) if comment.to_string() == text => comment,
            Some(_) | None => Self::Foreign(text.to_owned()),
        }
    }

    /// Whether it belongs to this very tenant, not to one of the same name before it.
    pub(crate) fn is_owned_by(&self, owner: &DatabaseOwner) -> bool {
        match self {
            Self::Owned(found) => found.uid == owner.uid,
            Self::Released { .. } | Self::Foreign(_) => false,
        }
    }
}

impl DatabaseComment {
    /// What the owner leaves behind.
    pub(crate) fn released_by(owner: &DatabaseOwner, topics: &[TopicId]) -> Self {
        Self::Released {
            namespace: owner.namespace.clone(),
            name: owner.name.clone(),
            topics: topics.to_vec(),
        }
    }

    /// Whether this tenant may take it over: it was left behind by one of the same name in the same namespace.
    pub(crate) fn is_released_to(&self, owner: &DatabaseOwner) -> bool {
        match self {
            Self::Released { namespace, name, .. } => *namespace == owner.namespace && *name == owner.name,
            Self::Owned(_) | Self::Foreign(_) => false,
        }
    }
}

impl fmt::Display for DatabaseComment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Owned(DatabaseOwner { uid, namespace, name }) => {
                write!(f, "owned {}/{} uid={}", Escaped(namespace), Escaped(name), Escaped(uid))
            }
            Self::Released { namespace, name, topics } => {
                write!(f, "released {}/{}", Escaped(namespace), Escaped(name))?;
                for (index, topic) in topics.iter().enumerate() {
                    f.write_str(if index == 0 { " topics=" } else { "," })?;
                    topic.fmt(f)?;
                }
                Ok(())
            }
            Self::Foreign(text) => f.write_str(text),
        }
    }
}

fn owned(text: &str) -> Option<DatabaseComment> {
    let (who, uid) = text.strip_prefix("owned ")?.split_once(" uid=")?;
    let (namespace, name) = who.split_once('/')?;
    let owner =
        DatabaseOwner { uid: unescaped(uid)?, namespace: unescaped(namespace)?, name: unescaped(name)? };
    Some(DatabaseComment::Owned(owner))
}

fn released(text: &str) -> Option<DatabaseComment> {
    let rest = text.strip_prefix("released ")?;
    let (who, topics) = match rest.split_once(" topics=") {
        Some((who, topics)) => (who, topics.split(',').map(topic_id).collect::<Option<Vec<_>>>()?),
        None => (rest, Vec::new()),
    };
    let (namespace, name) = who.split_once('/')?;
    Some(DatabaseComment::Released { namespace: unescaped(namespace)?, name: unescaped(name)?, topics })
}

fn topic_id(text: &str) -> Option<TopicId> {
    Uuid::try_parse(text).ok().map(TopicId)
}

/// A name with all but the bytes of Kubernetes' names written as `%` and two digits.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0.bytes() {
            match byte {
                b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' => write!(f, "{}", char::from(byte))?,
                other => write!(f, "%{other:02x}")?,
            }
        }
        Ok(())
    }
}

fn unescaped(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next()?, rest.next()?];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Just, Strategy, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};

    use super::*;

    const UID: &str = "0f6d5fc6-7a53-4f4c-9d9f-1f6f0f3f8a11";

    fn acme() -> DatabaseOwner {
        DatabaseOwner { uid: UID.to_owned(), namespace: "team-acme".to_owned(), name: "acme".to_owned() }
    }

    fn released(topics: &[u128]) -> DatabaseComment {
        DatabaseComment::Released {
            namespace: "team-acme".to_owned(),
            name: "acme".to_owned(),
            topics: topics.iter().map(|id| TopicId(Uuid::from_u128(*id))).collect(),
        }
    }

    #[track_caller]
    fn check(comment: &DatabaseComment, text: &str) {
        assert_eq!(comment.to_string(), text);
        assert_eq!(&DatabaseComment::parse(text), comment);
    }

    #[test]
    fn an_owner_is_named_with_its_uid() {
        check(&DatabaseComment::Owned(acme()), &format!("owned team-acme/acme uid={UID}"));
    }

    #[test]
    fn a_released_database_names_its_topics() {
        check(
            &released(&[1, 2]),
            "released team-acme/acme \
             topics=00000000-0000-0000-0000-000000000001,00000000-0000-0000-0000-000000000002",
        );
    }

    #[test]
    fn a_released_database_may_have_no_topics() {
        check(&released(&[]), "released team-acme/acme");
    }

    #[test]
    fn what_we_would_not_write_is_foreign() {
        for text in [
            "",
            "owned by the finance team",
            "owned team-acme/acme",
            "owned team-acme/acme uid=x ",
            "OWNED team-acme/acme uid=x",
            "owned Team/acme uid=x",
            "owned a%2/b uid=x",
            "released team-acme/acme topics=",
            "released team-acme/acme topics=1",
            "released team-acme/acme topics=00000000-0000-0000-0000-00000000000A",
        ] {
            check(&DatabaseComment::Foreign(text.to_owned()), text);
        }
    }

    #[test]
    fn a_tenant_of_the_same_name_is_not_the_owner() {
        let successor = DatabaseOwner { uid: "another".to_owned(), ..acme() };
        assert!(DatabaseComment::Owned(acme()).is_owned_by(&acme()));
        assert!(!DatabaseComment::Owned(acme()).is_owned_by(&successor));
        assert!(!released(&[]).is_owned_by(&acme()));
    }

    #[test]
    fn only_a_tenant_of_the_same_name_and_namespace_takes_over() {
        let elsewhere = DatabaseOwner { namespace: "team-other".to_owned(), ..acme() };
        let successor = DatabaseOwner { uid: "another".to_owned(), ..acme() };
        let released = DatabaseComment::released_by(&acme(), &[]);
        assert!(released.is_released_to(&successor));
        assert!(!released.is_released_to(&elsewhere));
        assert!(!DatabaseComment::Owned(acme()).is_released_to(&successor));
    }

    fn any_comment() -> impl Strategy<Value = DatabaseComment> {
        let text = || prop_oneof![any::<String>(), "[a-z/ =%,']{0,12}", Just(String::new())];
        let topics = prop::collection::vec(any::<u128>().prop_map(|id| TopicId(Uuid::from_u128(id))), 0..4);
        prop_oneof![
            (text(), text(), text()).prop_map(|(uid, namespace, name)| {
                DatabaseComment::Owned(DatabaseOwner { uid, namespace, name })
            }),
            (text(), text(), topics).prop_map(|(namespace, name, topics)| DatabaseComment::Released {
                namespace,
                name,
                topics
            }),
        ]
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(comment in any_comment()) {
            prop_assert_eq!(DatabaseComment::parse(&comment.to_string()), comment);
        }

        #[test]
        fn a_comment_of_ours_is_one_line_without_quotes(comment in any_comment()) {
            let is_plain = |c: char| c.is_ascii_graphic() && !matches!(c, '\'' | '"' | '`' | '\\') || c == ' ';
            prop_assert!(comment.to_string().chars().all(is_plain));
        }

        #[test]
        fn any_text_is_kept_as_it_is(text in ".*") {
            prop_assert_eq!(DatabaseComment::parse(&text).to_string(), text);
        }
    }
}
