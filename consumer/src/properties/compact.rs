//! Reads an object of JSON that has no white space between its parts and holds no escapes, in one pass that also
//! checks it. Pure.

use schema::limits::{MAX_DEPTH, MAX_PROPERTIES};

use super::Entry;
use crate::parse::plain_length;

/// Appends where keys and values lie, and says how long the object is; none if it is anything else, valid or not.
pub(super) fn read(text: &str, entries: &mut Vec<Entry>) -> Option<usize> {
    let bytes = text.as_bytes();
    if bytes.first() != Some(&b'{') {
        return None;
    }
    if bytes.get(1) == Some(&b'}') {
        return Some(2);
    }
    let mut at = 1;
    loop {
        let key_end = end_of_text(bytes, at)?;
        if bytes.get(key_end) != Some(&b':') {
            return None;
        }
        let value = key_end + 1;
        let (value, end) = if bytes.get(value) == Some(&b'"') {
            let end = end_of_text(bytes, value)?;
            (value + 1..end - 1, end)
        } else {
            let end = value + nested_or_literal_length(&bytes[value..])?;
            // The text of a null is empty.
            (if bytes[value] == b'n' { end..end } else { value..end }, end)
        };
        entries.push(Entry { key: at + 1..key_end - 1, value });
        match bytes.get(end) {
            Some(b'}') if entries.len() <= MAX_PROPERTIES => return Some(end + 1),
            Some(b',') if entries.len() < MAX_PROPERTIES => at = end + 1,
            _other => return None,
        }
    }
}

/// Where the text that begins here ends, its quotes included.
fn end_of_text(bytes: &[u8], start: usize) -> Option<usize> {
    if bytes.get(start) != Some(&b'"') {
        return None;
    }
    let end = start + 1 + plain_length(&bytes[start + 1..]);
    (bytes.get(end) == Some(&b'"')).then_some(end + 1)
}

/// How long the array, object or literal here is. Which of the open brackets are braces is kept as bits.
fn nested_or_literal_length(bytes: &[u8]) -> Option<usize> {
    let (mut at, mut depth, mut braces) = (0, 0, 0_u64);
    loop {
        match bytes.get(at)? {
            bracket @ (b'{' | b'[') => {
                (at, depth, braces) = (at + 1, depth + 1, braces << 1 | u64::from(*bracket == b'{'));
                // The properties themselves are the first level.
                if depth >= MAX_DEPTH {
                    return None;
                }
                if bytes.get(at) != Some(&closing(braces)) {
                    at = start_of_value(bytes, at, braces)?;
                    continue;
                }
            }
            b'"' => at = end_of_text(bytes, at)?,
            _literal => at += literal_length(&bytes[at..])?,
        }
        while depth > 0 && bytes.get(at) == Some(&closing(braces)) {
            (at, depth, braces) = (at + 1, depth - 1, braces >> 1);
        }
        if depth == 0 {
            return Some(at);
        }
        if bytes.get(at) != Some(&b',') {
            return None;
        }
        at = start_of_value(bytes, at + 1, braces)?;
    }
}

fn closing(braces: u64) -> u8 {
    if braces & 1 == 1 { b'}' } else { b']' }
}

/// Where the next value begins: in an object behind its key.
fn start_of_value(bytes: &[u8], at: usize, braces: u64) -> Option<usize> {
    if braces & 1 == 0 {
        return Some(at);
    }
    let end = end_of_text(bytes, at)?;
    (bytes.get(end) == Some(&b':')).then_some(end + 1)
}

/// How long the number, `true`, `false` or `null` here is (RFC 8259, sections 3 and 6).
fn literal_length(bytes: &[u8]) -> Option<usize> {
    for word in ["true", "false", "null"] {
        if bytes.starts_with(word.as_bytes()) {
            return Some(word.len());
        }
    }
    let digits = |at: usize| bytes[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut at = usize::from(bytes.first() == Some(&b'-'));
    let whole = digits(at);
    if whole == 0 || (whole > 1 && bytes[at] == b'0') {
        return None;
    }
    at += whole;
    if bytes.get(at) == Some(&b'.') {
        let decimals = digits(at + 1);
        at = (decimals > 0).then_some(at + 1 + decimals)?;
    }
    if matches!(bytes.get(at), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
        let exponent = digits(at + 1 + sign);
        at = (exponent > 0).then_some(at + 1 + sign + exponent)?;
    }
    Some(at)
}
