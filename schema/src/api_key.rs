//! API keys: how they look, and the digest that stands for them everywhere but in the tenant's own Secret.
//!
//! `mrw_` or `mrq_`, 27 characters of base62 (160 bits), 6 characters of base62 of the CRC-32 of all before.
//! The prefix lets secret scanners find a leaked key and the checksum lets a typo be refused without a look-up.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::secret::Secret;

/// Random bytes that a new key needs.
pub const ENTROPY_BYTES: usize = 20;
const BODY_LENGTH: usize = 27;
const CHECKSUM_LENGTH: usize = 6;
const LENGTH: usize = 4 + BODY_LENGTH + CHECKSUM_LENGTH;
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Scope {
    /// Send events.
    Ingest,
    /// Read events.
    Query,
}

/// The kind of a key, told by its prefix: a write key may sit in a browser and never reads anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    Write,
    Query,
}

impl KeyKind {
    /// The kind of a key with these scopes: one that may read is secret, whatever else it may do.
    #[must_use]
    pub fn for_scopes(scopes: &[Scope]) -> Self {
        if scopes.contains(&Scope::Query) { Self::Query } else { Self::Write }
    }

    fn prefix(self) -> &'static str {
        match self {
            Self::Write => "mrw_",
            Self::Query => "mrq_",
        }
    }
}

/// Makes a key of 160 random bits.
#[must_use]
pub fn generate(kind: KeyKind, entropy: [u8; ENTROPY_BYTES]) -> Secret {
    let mut text = String::with_capacity(LENGTH);
    text.push_str(kind.prefix());
    text.push_str(&base62(entropy.to_vec(), BODY_LENGTH));
    let checksum = crc32fast::hash(text.as_bytes());
    text.push_str(&base62(checksum.to_be_bytes().to_vec(), CHECKSUM_LENGTH));
    Secret::new(text)
}

/// Whether a text has the form of a key: prefix, length, alphabet and checksum.
#[must_use]
pub fn is_well_formed(text: &str) -> bool {
    let Some(body) = text.strip_prefix("mrw_").or_else(|| text.strip_prefix("mrq_")) else { return false };
    if text.len() != LENGTH || !body.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return false;
    }
    let (signed, checksum) = text.split_at(LENGTH - CHECKSUM_LENGTH);
    base62(crc32fast::hash(signed.as_bytes()).to_be_bytes().to_vec(), CHECKSUM_LENGTH) == checksum
}

/// A big-endian number in base 62, with zeros in front up to `digits`.
fn base62(mut number: Vec<u8>, digits: usize) -> String {
    let mut text = vec![b'0'; digits];
    for digit in text.iter_mut().rev() {
        let mut remainder = 0_u32;
        for byte in &mut number {
            let value = remainder << 8 | u32::from(*byte);
            *byte = (value / 62) as u8;
            remainder = value % 62;
        }
        *digit = ALPHABET[remainder as usize];
    }
    text.into_iter().map(char::from).collect()
}

/// The SHA-256 of a whole key. A slow hash is for passwords; a key has 160 random bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyDigest([u8; 32]);

/// A text that is not 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a key digest is 64 hexadecimal digits")]
pub struct KeyDigestError;

impl KeyDigest {
    /// The digest of a key.
    #[must_use]
    pub fn of(key: &str) -> Self {
        Self(Sha256::digest(key.as_bytes()).into())
    }

    /// The digest's bytes, for a comparison in constant time.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyDigest({:02x}{:02x}..)", self.0[0], self.0[1])
    }
}

impl TryFrom<String> for KeyDigest {
    type Error = KeyDigestError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let mut digest = [0_u8; 32];
        if text.len() != 64 || !text.is_ascii() {
            return Err(KeyDigestError);
        }
        for (byte, pair) in digest.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| KeyDigestError)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| KeyDigestError)?;
        }
        Ok(Self(digest))
    }
}

impl From<KeyDigest> for String {
    fn from(digest: KeyDigest) -> Self {
        digest.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_key_has_its_frozen_form() {
        assert_eq!(generate(KeyKind::Write, [0; 20]).expose(), "mrw_00000000000000000000000000049DUTh");
        assert_eq!(generate(KeyKind::Query, [0xff; 20]).expose(), "mrq_aWgEPTl1tmebfsQzFP4bxwgy80V1laxcz");
    }

    #[test]
    fn a_key_that_may_read_is_a_query_key() {
        assert_eq!(KeyKind::for_scopes(&[Scope::Ingest]), KeyKind::Write);
        assert_eq!(KeyKind::for_scopes(&[Scope::Ingest, Scope::Query]), KeyKind::Query);
    }

    #[test]
    fn texts_without_the_form_are_told_apart() {
        for text in ["", "mrw_", "secret", "mrx_000000000000000000000000000000000", "mrw_é"] {
            assert!(!is_well_formed(text), "{text}");
        }
    }

    #[test]
    fn a_digest_is_the_sha_256_in_hex() {
        let text = KeyDigest::of("abc").to_string();
        assert_eq!(text, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(KeyDigest::try_from(text), Ok(KeyDigest::of("abc")));
        assert_eq!(KeyDigest::try_from("zz".repeat(32)), Err(KeyDigestError));
    }

    proptest! {
        #[test]
        fn a_new_key_is_well_formed_and_one_changed_character_is_not(
            entropy: [u8; 20], position in 4..LENGTH, replacement in "[0-9A-Za-z]",
        ) {
            let key = generate(KeyKind::Write, entropy);
            prop_assert!(is_well_formed(key.expose()));
            let mut changed = key.expose().to_owned();
            changed.replace_range(position..=position, &replacement);
            prop_assert_eq!(is_well_formed(&changed), changed == key.expose());
        }
    }
}
