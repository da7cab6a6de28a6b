//! Reads SPDX licence expressions (<https://spdx.github.io/spdx-spec/v2.3/SPDX-license-expressions/>).

/// Licences that ask for no more than their text beside the binary, and MPL-2.0, whose duty ends at its files.
const ALLOWED: [&str; 13] = [
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MPL-2.0",
    "Unicode-3.0",
    "Zlib",
];

/// Whether the expression can be satisfied with allowed licences alone. What cannot be read is refused.
pub(crate) fn is_allowed(expression: &str) -> bool {
    // The old way of some manifests to say OR.
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    let result = either(&mut rest);
    rest.is_empty() && result == Some(true)
}

fn either(rest: &mut &[&str]) -> Option<bool> {
    let mut result = both(rest)?;
    while next_if(rest, "OR") {
        result |= both(rest)?;
    }
    Some(result)
}

fn both(rest: &mut &[&str]) -> Option<bool> {
    let mut result = single(rest)?;
    while next_if(rest, "AND") {
        result &= single(rest)?;
    }
    Some(result)
}

fn single(rest: &mut &[&str]) -> Option<bool> {
    if next_if(rest, "(") {
        let result = either(rest)?;
        return next_if(rest, ")").then_some(result);
    }
    let mut name = next(rest)?.to_owned();
    if next_if(rest, "WITH") {
        name = format!("{name} WITH {}", next(rest)?);
    }
    Some(ALLOWED.contains(&name.as_str()))
}

fn next<'a>(rest: &mut &[&'a str]) -> Option<&'a str> {
    let (first, others) = rest.split_first()?;
    *rest = others;
    Some(first)
}

fn next_if(rest: &mut &[&str], word: &str) -> bool {
    let is_next = rest.first() == Some(&word);
    if is_next {
        *rest = &rest[1..];
    }
    is_next
}

#[test]
fn one_allowed_alternative_is_enough() {
    assert!(is_allowed("GPL-3.0-only OR MIT"));
    assert!(is_allowed("MIT/Apache-2.0"));
    assert!(is_allowed("Apache-2.0 WITH LLVM-exception"));
}

#[test]
fn every_licence_of_a_sum_must_be_allowed() {
    assert!(is_allowed("(MIT OR GPL-3.0-only) AND Unicode-3.0"));
    assert!(!is_allowed("MIT AND GPL-3.0-only"));
    assert!(!is_allowed("MIT AND (GPL-3.0-only OR AGPL-3.0-only)"));
}

#[test]
fn what_cannot_be_read_is_refused() {
    for expression in ["", "MIT OR", "(MIT", "MIT MIT", "MIT WITH", "LicenseRef-ours"] {
        assert!(!is_allowed(expression), "{expression}");
    }
}
