//! Shreds the JSON object of an event's properties into texts, for the column `properties Map(String, String)`.
//!
//! The rule, frozen with the schema version:
//! - a text becomes the text it stands for; an unpaired surrogate in it becomes U+FFFD;
//! - a number, `true` and `false` keep their own text, so that `19.90` stays `19.90` and no digit is lost;
//! - `null` becomes the empty text, its key is kept;
//! - an object or an array becomes its JSON text as it was sent, without the white space between its parts;
//! - the last of several equal keys wins, in the place of the first; an empty key is a key;
//! - a NUL anywhere, deeper nesting or more properties than the limits refuse the event.
//!
//! Pure. The text is valid JSON already, so that only its shape is left to follow.

mod compact;

use std::{collections::HashMap, ops::Range};

use schema::limits::{MAX_DEPTH, MAX_PROPERTIES};

use crate::refused::Refused;

/// Up to this many keys, comparing each with those before it is cheaper than hashing them all.
const FEW: usize = 32;

/// The properties of one event. It is filled again for the next, so that no event allocates.
#[derive(Debug, Default)]
pub(crate) struct Properties {
    text: String,
    entries: Vec<Entry>,
}

#[derive(Debug, Clone)]
struct Entry {
    key: Range<usize>,
    value: Range<usize>,
}

impl Properties {
    /// Replaces what is held by the members of `json`, an object of valid JSON.
    pub(crate) fn shred(&mut self, json: &str) -> Result<(), Refused> {
        self.text.clear();
        self.entries.clear();
        let mut scan = Scan { json, at: 0 };
        scan.skip_space();
        if scan.next() != b'{' {
            return Err(Refused::PropertiesNotObject);
        }
        loop {
            scan.skip_space();
            match scan.next() {
                b'}' => break,
                b',' => continue,
                _quote => {}
            }
            let key = scan.string_into(&mut self.text)?;
            scan.skip_space();
            scan.at += 1; // the colon
            scan.skip_space();
            let value = scan.value_into(&mut self.text)?;
            self.entries.push(Entry { key, value });
            if self.entries.len() > MAX_PROPERTIES {
                return Err(Refused::TooManyProperties);
            }
        }
        self.fold_equal_keys();
        Ok(())
    }

    /// The same of an object at the beginning of `text` that holds neither white space between its parts nor escapes,
    /// and says how long it is; none if it is anything else, valid or not.
    pub(crate) fn shred_compact(&mut self, text: &str) -> Option<usize> {
        self.text.clear();
        self.entries.clear();
        let length = compact::read(text, &mut self.entries)?;
        self.text.push_str(&text[..length]);
        self.fold_equal_keys();
        Some(length)
    }

    /// Keys and values, in order.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.entries.iter().map(|entry| (&self.text[entry.key.clone()], &self.text[entry.value.clone()]))
    }

    fn has_equal_keys(&self) -> bool {
        let text = self.text.as_bytes();
        let key = |entry: &Entry| &text[entry.key.clone()];
        self.entries.iter().enumerate().any(|(n, entry)| {
            self.entries[..n]
                .iter()
                .any(|other| other.key.len() == entry.key.len() && key(other) == key(entry))
        })
    }

    fn fold_equal_keys(&mut self) {
        if self.entries.len() <= FEW && !self.has_equal_keys() {
            return;
        }
        let text = &self.text;
        let mut kept: Vec<Entry> = std::mem::take(&mut self.entries);
        let (mut count, mut index) = (0, HashMap::new());
        let is_many = kept.len() > FEW;
        for next in 0..kept.len() {
            let entry = kept[next].clone();
            let key = &text[entry.key.clone()];
            let before = if is_many {
                index.insert(key, count)
            } else {
                kept[..count].iter().position(|other| &text[other.key.clone()] == key)
            };
            match before {
                Some(first) => {
                    kept[first].value = entry.value;
                    if is_many {
                        index.insert(key, first);
                    }
                }
                None => {
                    kept[count] = entry;
                    count += 1;
                }
            }
        }
        kept.truncate(count);
        self.entries = kept;
    }
}

/// A place in valid JSON.
struct Scan<'a> {
    json: &'a str,
    at: usize,
}

impl Scan<'_> {
    fn peek(&self) -> u8 {
        self.json.as_bytes().get(self.at).copied().unwrap_or(b'}')
    }

    fn next(&mut self) -> u8 {
        let byte = self.peek();
        self.at += 1;
        byte
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), b' ' | b'\t' | b'\n' | b'\r') && self.at < self.json.len() {
            self.at += 1;
        }
    }

    /// Appends the value here in the form of the rule and says where.
    fn value_into(&mut self, out: &mut String) -> Result<Range<usize>, Refused> {
        match self.peek() {
            b'"' => {
                self.at += 1;
                self.string_into(out)
            }
            b'{' | b'[' => self.nested_into(out),
            _literal => Ok(self.literal_into(out)),
        }
    }

    /// Appends the string whose opening quote was just passed, decoded.
    fn string_into(&mut self, out: &mut String) -> Result<Range<usize>, Refused> {
        let start = out.len();
        loop {
            let plain = self.at;
            self.at += plain_length(&self.json.as_bytes()[plain..]);
            out.push_str(&self.json[plain..self.at]);
            if self.next() == b'"' {
                return Ok(start..out.len());
            }
            match self.escape() {
                '\0' => return Err(Refused::Nul),
                decoded => out.push(decoded),
            }
        }
    }

    /// The character of the escape whose backslash was just passed.
    fn escape(&mut self) -> char {
        match self.next() {
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => self.unicode(),
            other => char::from(other),
        }
    }

    fn unicode(&mut self) -> char {
        let first = self.hex(self.at);
        self.at += 4;
        let is_pair = (0xd800..0xdc00).contains(&first) && self.json[self.at..].starts_with("\\u");
        if is_pair {
            let second = self.hex(self.at + 2);
            if (0xdc00..0xe000).contains(&second) {
                self.at += 6;
                let scalar = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                return char::from_u32(scalar).unwrap_or(char::REPLACEMENT_CHARACTER);
            }
        }
        char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER)
    }

    fn hex(&self, at: usize) -> u32 {
        self.json.get(at..at + 4).and_then(|digits| u32::from_str_radix(digits, 16).ok()).unwrap_or(0xfffd)
    }

    /// Appends the number, `true` or `false` here as it stands, and nothing for `null`.
    fn literal_into(&mut self, out: &mut String) -> Range<usize> {
        let start = self.at;
        while !matches!(self.peek(), b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r') {
            self.at += 1;
        }
        let from = out.len();
        match &self.json[start..self.at] {
            "null" => {}
            literal => out.push_str(literal),
        }
        from..out.len()
    }

    /// Appends the object or array here without the white space between its parts.
    fn nested_into(&mut self, out: &mut String) -> Result<Range<usize>, Refused> {
        let from = out.len();
        // The properties themselves are the first level.
        let mut depth = 1;
        loop {
            let start = self.at;
            match self.next() {
                b' ' | b'\t' | b'\n' | b'\r' => continue,
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                b'"' => self.pass_string()?,
                _other => self.at += unstructured_length(&self.json.as_bytes()[self.at..]),
            }
            out.push_str(&self.json[start..self.at]);
            if depth > MAX_DEPTH {
                return Err(Refused::TooDeep);
            }
            if depth == 1 {
                return Ok(from..out.len());
            }
        }
    }

    /// Moves behind the string whose opening quote was just passed.
    fn pass_string(&mut self) -> Result<(), Refused> {
        loop {
            self.at += plain_length(&self.json.as_bytes()[self.at..]);
            if self.next() == b'"' {
                return Ok(());
            }
            if self.json[self.at..].starts_with("u0000") {
                return Err(Refused::Nul);
            }
            self.at += 1;
        }
    }
}

/// Bytes before the next quote or backslash.
fn plain_length(bytes: &[u8]) -> usize {
    bytes.iter().position(|byte| matches!(byte, b'"' | b'\\')).unwrap_or(bytes.len())
}

/// Bytes before the next one that means something to the walk over nested JSON.
fn unstructured_length(bytes: &[u8]) -> usize {
    let is_structure =
        |byte: &u8| matches!(byte, b'"' | b'{' | b'}' | b'[' | b']') || byte.is_ascii_whitespace();
    bytes.iter().position(is_structure).unwrap_or(bytes.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn shred(json: &str) -> Result<Vec<(String, String)>, Refused> {
        serde_json::from_str::<&serde_json::value::RawValue>(json).unwrap();
        let mut properties = Properties::default();
        properties.shred(json)?;
        Ok(properties.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect())
    }

    #[track_caller]
    fn check(json: &str, expected: &[(&str, &str)]) {
        let expected: Vec<_> = expected.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        assert_eq!(shred(json).unwrap(), expected, "{json}");
    }

    #[test]
    fn each_kind_of_value_has_its_text() {
        check("{}", &[]);
        check(" { } ", &[]);
        check(r#"{"a":"text"}"#, &[("a", "text")]);
        check(r#"{"a":19.90,"b":-0,"c":1e400}"#, &[("a", "19.90"), ("b", "-0"), ("c", "1e400")]);
        check(r#"{"a":123456789012345678901234567890}"#, &[("a", "123456789012345678901234567890")]);
        check(r#"{"a":true,"b":false}"#, &[("a", "true"), ("b", "false")]);
        check(r#"{"a":null,"b":1}"#, &[("a", ""), ("b", "1")]);
        check(r#"{"":"empty"}"#, &[("", "empty")]);
    }

    #[test]
    fn nested_values_are_compact_and_otherwise_as_sent() {
        check(
            r#"{"a": { "b" : [ 1 , 2.0, "x y" , {} ] , "b":3 } }"#,
            &[("a", r#"{"b":[1,2.0,"x y",{}],"b":3}"#)],
        );
        check(r#"{"a":["\"\\ \u00e9"]}"#, &[("a", r#"["\"\\ \u00e9"]"#)]);
        check("{\"a\":[\n\t1 ],\"b\":[]}", &[("a", "[1]"), ("b", "[]")]);
    }

    #[test]
    fn escapes_are_decoded() {
        check(r#"{"\u0061\n":"\"\\\/\b\f\n\r\t\u00e9\ud83e\udd80"}"#, &[("a\n", "\"\\/\u{8}\u{c}\n\r\té🦀")]);
    }

    #[test]
    fn an_unpaired_surrogate_becomes_the_replacement_character() {
        check(
            r#"{"a":"\ud83e!","b":"\udd80","c":"\ud83e\u0041"}"#,
            &[("a", "\u{fffd}!"), ("b", "\u{fffd}"), ("c", "\u{fffd}A")],
        );
    }

    #[test]
    fn the_last_of_equal_keys_wins_in_the_place_of_the_first() {
        check(r#"{"a":1,"b":2,"\u0061":3}"#, &[("a", "3"), ("b", "2")]);
        check(r#"{"a":1,"a":2,"a":null}"#, &[("a", "")]);
    }

    #[test]
    fn many_equal_keys_fold_as_few_do() {
        let members: Vec<String> = (0..200).map(|n| format!(r#""k{}":{n}"#, n % 100)).collect();
        let shredded = shred(&format!("{{{}}}", members.join(","))).unwrap();
        assert_eq!(shredded.len(), 100);
        assert_eq!(shredded[3], ("k3".to_owned(), "103".to_owned()));
    }

    #[test]
    fn a_nul_refuses() {
        for json in [r#"{"a":"\u0000"}"#, r#"{"\u0000":1}"#, r#"{"a":["\u0000"]}"#, r#"{"a":{"\\\u0000":1}}"#]
        {
            assert_eq!(shred(json), Err(Refused::Nul), "{json}");
        }
        check(r#"{"a":["\\u0000"]}"#, &[("a", r#"["\\u0000"]"#)]);
    }

    #[test]
    fn what_is_not_an_object_refuses() {
        for json in ["[]", "1", "null", r#""{}""#] {
            assert_eq!(shred(json), Err(Refused::PropertiesNotObject), "{json}");
        }
    }

    #[test]
    fn the_limits_are_inclusive() {
        let nested = |levels: usize| format!("{{\"a\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
        assert!(shred(&nested(MAX_DEPTH - 1)).is_ok());
        assert_eq!(shred(&nested(MAX_DEPTH)), Err(Refused::TooDeep));
        let wide =
            |n: usize| format!("{{{}}}", (0..n).map(|n| format!(r#""{n}":1"#)).collect::<Vec<_>>().join(","));
        assert_eq!(shred(&wide(MAX_PROPERTIES)).unwrap().len(), MAX_PROPERTIES);
        assert_eq!(shred(&wide(MAX_PROPERTIES + 1)), Err(Refused::TooManyProperties));
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[^\0]{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(5, 40, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map("[^\0]{0,5}", inner, 0..5)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        /// serde_json's own value tree is the witness; the pretty form has white space everywhere.
        #[test]
        fn it_agrees_with_a_value_tree(members in prop::collection::btree_map("[^\0]{0,8}", any_json(), 0..40)) {
            let expected: Vec<(String, String)> = members
                .iter()
                .map(|(key, value)| match value {
                    Value::Null => (key.clone(), String::new()),
                    Value::String(text) => (key.clone(), text.clone()),
                    Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => (key.clone(), value.to_string()),
                })
                .collect();
            prop_assert_eq!(shred(&serde_json::to_string_pretty(&members).unwrap()).unwrap(), expected.clone());
            prop_assert_eq!(shred(&serde_json::to_string(&members).unwrap()).unwrap(), expected);
        }
    }
}
