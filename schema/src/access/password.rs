//! What ClickHouse is told of a password.

use std::fmt;

use sha2::{Digest as _, Sha256};

use crate::secret::Secret;

/// Bytes of a fingerprint.
const FINGERPRINT_BYTES: usize = 8;

/// The SHA-256 of a password. It goes into a statement, and nowhere else.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash([u8; 32]);

impl PasswordHash {
    /// The hash of a password. One hash is enough for a password of 160 random bits, and for no other.
    #[must_use]
    pub fn of(password: &Secret) -> Self {
        Self(Sha256::digest(password.expose().as_bytes()).into())
    }

    /// As ClickHouse wants it: 64 hexadecimal digits.
    pub(super) fn hexadecimal(&self) -> String {
        hexadecimal(&self.0)
    }

    /// What tells two passwords apart and helps nobody to log in: a part of a hash of the hash.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        hexadecimal(&Sha256::digest(self.0)[..FINGERPRINT_BYTES])
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PasswordHash({})", self.fingerprint())
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_no_part_of_the_hash() {
        let hash = PasswordHash::of(&Secret::new("hunter2".to_owned()));
        assert_eq!(hash.hexadecimal(), "f52fbd32b2b3b86ff88ef6c490628285f482af15ddcb29541f94bcf526a3f6c7");
        assert_eq!(hash.fingerprint().len(), 2 * FINGERPRINT_BYTES);
        assert!(!hash.hexadecimal().contains(&hash.fingerprint()));
        assert!(!format!("{hash:?}").contains(&hash.hexadecimal()));
    }
}
