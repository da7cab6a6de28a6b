//! The salt of the hashes on the pods. Pure: randomness is a parameter.
//!
//! Settings hold passwords. Who may read Deployments may not read Secrets, and could try passwords against a plain hash
//! of settings that are otherwise known. The salt is random and lies beside the settings, where only those can read it
//! who can read the passwords as well. No pod mounts it.

use std::fmt::Write as _;

use k8s_openapi::{
    ByteString,
    api::{apps::v1::Deployment, core::v1::Secret},
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::HASH_BYTES;
use crate::labels::SETTINGS_HASH;

/// Random bytes of a salt, as many as SHA-256 gives. It is written in hexadecimal digits.
const ENTROPY_BYTES: usize = 32;
/// The entry of the settings Secret.
const ENTRY: &str = "salt";

/// What nobody knows who cannot read the settings.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Salt(String);

impl std::fmt::Debug for Salt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Salt")
    }
}

impl Salt {
    pub(crate) fn new(entropy: [u8; ENTROPY_BYTES]) -> Self {
        Self(hexadecimal(&entropy))
    }

    /// That of a settings Secret, if it has one that is long enough.
    pub(crate) fn of(settings: &Secret) -> Option<Self> {
        let text = str::from_utf8(&settings.data.as_ref()?.get(ENTRY)?.0).ok()?;
        (text.len() >= 2 * ENTROPY_BYTES).then(|| Self(text.to_owned()))
    }

    /// The change that puts it into a settings Secret.
    pub(crate) fn change(&self) -> Value {
        json!({ "data": { ENTRY: ByteString(self.0.clone().into_bytes()) } })
    }

    /// The same Deployment, where the hash on its pods is salted.
    pub(crate) fn over(&self, deployment: &Deployment) -> Deployment {
        let mut salted = deployment.clone();
        let annotations = salted
            .spec
            .as_mut()
            .and_then(|spec| spec.template.metadata.as_mut())
            .and_then(|metadata| metadata.annotations.as_mut());
        if let Some(hash) = annotations.and_then(|annotations| annotations.get_mut(SETTINGS_HASH)) {
            let digest = Sha256::new().chain_update(&self.0).chain_update(hash.as_bytes()).finalize();
            *hash = shown(&digest);
        }
        salted
    }
}

/// The first bytes of a digest, as they stand on the pods.
pub(super) fn shown(digest: &[u8]) -> String {
    hexadecimal(&digest[..HASH_BYTES.min(digest.len())])
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing into a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deployment(hash: &str) -> Deployment {
        let template = json!({"metadata": {"annotations": {SETTINGS_HASH: hash, "other": "o"}}});
        serde_json::from_value(json!({"spec": {"selector": {}, "template": template}})).unwrap()
    }

    fn hash(deployment: &Deployment) -> String {
        let metadata = deployment.spec.as_ref().unwrap().template.metadata.as_ref().unwrap();
        let annotations = metadata.annotations.as_ref().unwrap();
        assert_eq!(annotations["other"], "o");
        annotations[SETTINGS_HASH].clone()
    }

    #[test]
    fn a_hash_follows_from_salt_and_settings_together() {
        let (salt, other) = (Salt::new([1; ENTROPY_BYTES]), Salt::new([2; ENTROPY_BYTES]));
        let salted = hash(&salt.over(&deployment("a")));
        assert_eq!(salted, hash(&salt.over(&deployment("a"))), "nothing rolls the pods but a change");
        assert_ne!(salted, hash(&salt.over(&deployment("b"))));
        assert_ne!(salted, hash(&other.over(&deployment("a"))));
        assert_eq!(salted.len(), 2 * HASH_BYTES);
    }

    #[test]
    fn a_salt_is_read_as_it_was_written_and_a_short_one_is_none() {
        let salt = Salt::new([7; ENTROPY_BYTES]);
        let secret: Secret = serde_json::from_value(salt.change()).unwrap();
        assert_eq!(Salt::of(&secret), Some(salt));
        let short = json!({"data": {ENTRY: ByteString(vec![b'7'; 2 * ENTROPY_BYTES - 1])}});
        assert_eq!(Salt::of(&serde_json::from_value(short).unwrap()), None);
        assert_eq!(Salt::of(&Secret::default()), None);
    }
}
