//! Which topics of other applications Pipelines may read.

use serde::Deserialize;

/// More of them belong into the ACLs of Kafka.
const MAX_PATTERNS: usize = 256;

/// The longest name that Kafka gives a topic.
const MAX_NAME: usize = 249;

/// The topics that may be read. None at all if there are no patterns.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Vec<String>")]
pub struct SourceTopics(Vec<Pattern>);

/// Topics, by name or by how their names begin.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Pattern {
    Name(String),
    Beginning(String),
}

impl SourceTopics {
    /// Whether a Pipeline may read the topic of this name.
    #[must_use]
    pub fn allow(&self, topic: &str) -> bool {
        self.0.iter().any(|pattern| match pattern {
            Pattern::Name(name) => topic == name,
            Pattern::Beginning(beginning) => topic.starts_with(beginning),
        })
    }
}

impl TryFrom<Vec<String>> for SourceTopics {
    type Error = String;

    fn try_from(patterns: Vec<String>) -> Result<Self, Self::Error> {
        if patterns.len() > MAX_PATTERNS {
            return Err(format!("{} patterns are more than {MAX_PATTERNS}", patterns.len()));
        }
        patterns.iter().map(|text| pattern(text)).collect::<Result<_, _>>().map(Self)
    }
}

fn pattern(text: &str) -> Result<Pattern, String> {
    let (name, is_beginning) = match text.strip_suffix('*') {
        Some(beginning) => (beginning, true),
        None => (text, false),
    };
    let is_of_a_name = |byte: u8| byte.is_ascii_alphanumeric() || [b'.', b'_', b'-'].contains(&byte);
    if text.is_empty() || name.len() > MAX_NAME || !name.bytes().all(is_of_a_name) {
        return Err(format!(
            "`{text}` is no topic: a name has 1 to {MAX_NAME} of a-z, A-Z, 0-9, `.`, `_` and `-`, and `*` stands at the end alone"
        ));
    }
    let name = name.to_owned();
    Ok(if is_beginning { Pattern::Beginning(name) } else { Pattern::Name(name) })
}

pub(super) fn parse(text: &str) -> Result<SourceTopics, serde_json::Error> {
    serde_json::from_str(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_allowed_by_its_name_or_by_how_it_begins() {
        let topics = parse(r#"["octane.events","shop.*"]"#).unwrap();
        for allowed in ["octane.events", "shop.", "shop.orders", "shop.a.b"] {
            assert!(topics.allow(allowed), "{allowed}");
        }
        for refused in ["octane", "octane.events.dlq", "shop", "my.shop.orders", "Shop.orders", "*"] {
            assert!(!topics.allow(refused), "{refused}");
        }
    }

    #[test]
    fn an_empty_list_allows_none_and_a_star_allows_all() {
        assert!(!parse("[]").unwrap().allow("octane.events"));
        assert!(parse(r#"["*"]"#).unwrap().allow("octane.events"));
    }

    #[test]
    fn what_is_no_topic_is_refused_in_words() {
        let long = format!("[\"{}\"]", "x".repeat(MAX_NAME + 1));
        for text in [r#"[""]"#, r#"["a*b"]"#, r#"["**"]"#, r#"["a b"]"#, r#"["a/b"]"#, &long] {
            let said = parse(text).unwrap_err().to_string();
            assert!(said.contains("is no topic"), "{text}: {said}");
        }
        assert!(parse(r#""octane""#).is_err());
        let many = serde_json::to_string(&vec!["x"; MAX_PATTERNS + 1]).unwrap();
        assert!(parse(&many).unwrap_err().to_string().contains("more than 256"));
    }
}
