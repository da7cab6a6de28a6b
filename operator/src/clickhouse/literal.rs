//! Text inside of a statement. Pure.

/// A string literal of ClickHouse's SQL
/// (<https://clickhouse.com/docs/sql-reference/syntax#string>): backslash and quote escaped, NUL as `\0`.
pub(crate) fn literal(text: &str) -> String {
    let mut literal = String::with_capacity(text.len() + 2);
    literal.push('\'');
    for character in text.chars() {
        match character {
            '\'' | '\\' => literal.extend(['\\', character]),
            '\0' => literal.push_str("\\0"),
            other => literal.push(other),
        }
    }
    literal.push('\'');
    literal
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

    use super::*;

    /// Reads a literal as ClickHouse does: the text, and what stands behind the closing quote.
    fn read(literal: &str) -> Option<(String, &str)> {
        let mut text = String::new();
        let mut characters = literal.strip_prefix('\'')?.char_indices();
        while let Some((index, character)) = characters.next() {
            match character {
                '\'' => return Some((text, &literal[index + 2..])),
                '\\' => match characters.next()?.1 {
                    '0' => text.push('\0'),
                    escaped => text.push(escaped),
                },
                other => text.push(other),
            }
        }
        None
    }

    proptest! {
        #[test]
        fn hostile_text_stays_inside_its_literal(text in "(?s)(.|[\\\\'\0\n\r`;-])*") {
            let literal = literal(&text);
            let (inside, behind) = read(&literal).expect("the literal ends");
            prop_assert_eq!(inside, text);
            prop_assert!(behind.is_empty(), "{behind}");
        }
    }
}
