//! One pass over the text of a JSON value, for what serde_json does not check in a `RawValue`: the depth, NUL
//! characters and halves of surrogate pairs. It never recurses, so that depth costs no stack.

use schema::limits::MAX_DEPTH;

use crate::refusal::Refusal;

/// What the pass saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    /// Nested arrays and objects; a number has 0, `{}` has 1.
    pub(super) depth: usize,
    /// Members of the outermost object.
    pub(super) members: usize,
    /// Whether there is white space between tokens: it may hold the line feed that separates events in a record.
    pub(super) is_spaced: bool,
}

/// Looks at a value that serde_json has found to be JSON; other text gives some answer, but never a panic.
pub(super) fn inspect(json: &str) -> Result<Shape, Refusal> {
    let bytes = json.as_bytes();
    let mut shape = Shape { depth: 0, members: 0, is_spaced: false };
    let (mut level, mut at) = (0_usize, 0_usize);
    while let Some(byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'"' => at = end_of_text(bytes, at)?,
            b'{' | b'[' => {
                level += 1;
                shape.depth = shape.depth.max(level);
                if level > MAX_DEPTH {
                    return Err(Refusal::TooDeep);
                }
            }
            b'}' | b']' => level = level.saturating_sub(1),
            b':' if level == 1 => shape.members += 1,
            b' ' | b'\n' | b'\r' | b'\t' => shape.is_spaced = true,
            _ => {}
        }
    }
    Ok(shape)
}

/// Appends a value without the white space between its tokens.
pub(super) fn compact(json: &str, out: &mut String) {
    let bytes = json.as_bytes();
    let (mut from, mut at) = (0, 0);
    while let Some(byte) = bytes.get(at) {
        match byte {
            // The texts were looked at before; a refusal here could only come from text that is not JSON.
            b'"' => at = end_of_text(bytes, at + 1).unwrap_or(bytes.len()),
            b' ' | b'\n' | b'\r' | b'\t' => {
                out.push_str(&json[from..at]);
                at += 1;
                from = at;
            }
            _ => at += 1,
        }
    }
    out.push_str(&json[from.min(json.len())..]);
}

/// The position after the closing quote of a text that begins at `at`.
fn end_of_text(bytes: &[u8], mut at: usize) -> Result<usize, Refusal> {
    loop {
        match bytes.get(at) {
            None => return Ok(bytes.len()),
            Some(b'"') => return Ok(at + 1),
            Some(b'\\') if bytes.get(at + 1) == Some(&b'u') => at = end_of_unicode_escape(bytes, at)?,
            Some(b'\\') => at += 2,
            Some(_) => at += 1,
        }
    }
}

/// The position after `\uXXXX` at `at`, or after both halves of a surrogate pair.
fn end_of_unicode_escape(bytes: &[u8], at: usize) -> Result<usize, Refusal> {
    match code_unit(bytes, at) {
        Some(0) => Err(Refusal::Nul),
        Some(0xd800..=0xdbff) => match code_unit(bytes, at + 6) {
            Some(0xdc00..=0xdfff) => Ok(at + 12),
            Some(_) | None => Err(Refusal::LoneSurrogate),
        },
        Some(0xdc00..=0xdfff) => Err(Refusal::LoneSurrogate),
        Some(_) | None => Ok(at + 6),
    }
}

/// The number in `\uXXXX` at `at`.
fn code_unit(bytes: &[u8], at: usize) -> Option<u32> {
    let escape = bytes.get(at..at + 6)?;
    let digits = escape.strip_prefix(b"\\u")?;
    digits.iter().try_fold(0, |unit, digit| Some(unit << 4 | char::from(*digit).to_digit(16)?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(json: &str, depth: usize, members: usize, is_spaced: bool) {
        assert_eq!(inspect(json), Ok(Shape { depth, members, is_spaced }), "{json}");
    }

    #[test]
    fn depth_members_and_spaces_are_seen() {
        check("1", 0, 0, false);
        check("{}", 1, 0, false);
        check(r#"{"a":1,"b":{"c":[2]}}"#, 3, 2, false);
        check(r#"{"a:{[":"b :}\"{"}"#, 1, 1, false);
        check("{\"a\":\n1}", 1, 1, true);
        check(r#"{"a b":"\\"}"#, 1, 1, false);
        check(r#"{"a":"\ud83e\udd80"}"#, 1, 1, false);
    }

    #[test]
    fn sixty_four_levels_are_the_deepest() {
        let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        check(&nested(64), 64, 0, false);
        assert_eq!(inspect(&nested(65)), Err(Refusal::TooDeep));
        assert_eq!(inspect(&nested(1_000_000)), Err(Refusal::TooDeep));
    }

    #[test]
    fn texts_that_are_not_unicode_are_refused() {
        for (json, refusal) in [
            (r#"{"a":"\u0000"}"#, Refusal::Nul),
            (r#"{"\u0000":1}"#, Refusal::Nul),
            (r#""\ud83e""#, Refusal::LoneSurrogate),
            (r#""\ud83ea""#, Refusal::LoneSurrogate),
            (r#""\ud83e\u0041""#, Refusal::LoneSurrogate),
            (r#""\uDD80""#, Refusal::LoneSurrogate),
        ] {
            assert_eq!(inspect(json), Err(refusal), "{json}");
        }
        check(r#""\\u0000""#, 0, 0, false);
    }

    #[test]
    fn compacting_keeps_texts() {
        let mut out = String::new();
        compact("{ \"a b\" :\n[1,\t2, \"x \\\" y\"] }\r\n", &mut out);
        assert_eq!(out, r#"{"a b":[1,2,"x \" y"]}"#);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in r#"[{}\[\]":, \\u0dD8\nX🦀]{0,60}"#) {
            let _ = inspect(&text);
            compact(&text, &mut String::new());
        }
    }
}
