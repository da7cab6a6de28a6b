//! The tag of an image: the hash of what goes into it.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use sha2::{Digest, Sha256};

use super::Error;

/// 64 bits: no two builds of a developer meet, and a tag still fits into a line.
const DIGITS: usize = 16;

/// Read at once while hashing; larger is not faster.
const CHUNK: usize = 128 * 1024;

/// The tag of an image that is made of these files by this recipe.
pub(crate) fn of_files(files: &[&Path], recipe: &str) -> Result<String, Error> {
    let mut hash = Sha256::new();
    hash.update(recipe.as_bytes());
    for path in files {
        let content = hash_of(path).map_err(|source| Error::Read { path: path.to_path_buf(), source })?;
        hash.update(content);
    }
    Ok(shortened(hash))
}

/// The tag of an image that is made of these texts.
pub(crate) fn of_texts(texts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for text in texts {
        hash.update(Sha256::digest(text.as_bytes()));
    }
    shortened(hash)
}

fn hash_of(path: &Path) -> io::Result<impl AsRef<[u8]> + use<>> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut chunk = vec![0; CHUNK];
    loop {
        let read = file.read(&mut chunk)?;
        if read == 0 {
            return Ok(hash.finalize());
        }
        hash.update(&chunk[..read]);
    }
}

fn shortened(hash: Sha256) -> String {
    let mut text: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    text.truncate(DIGITS);
    text
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_same_content_has_the_same_tag_wherever_it_lies() {
        let home = tempfile::tempdir().unwrap();
        let (one, two) = (home.path().join("one"), home.path().join("two"));
        fs::write(&one, "bytes").unwrap();
        fs::write(&two, "bytes").unwrap();
        assert_eq!(of_files(&[&one], "1").unwrap(), of_files(&[&two], "1").unwrap());
    }

    #[test]
    fn a_changed_binary_or_recipe_has_another_tag() {
        let home = tempfile::tempdir().unwrap();
        let binary = home.path().join("binary");
        fs::write(&binary, "bytes").unwrap();
        let before = of_files(&[&binary], "1").unwrap();
        assert_ne!(of_files(&[&binary], "2").unwrap(), before);
        fs::write(&binary, "other bytes").unwrap();
        assert_ne!(of_files(&[&binary], "1").unwrap(), before);
    }

    #[test]
    fn a_missing_binary_is_named() {
        let error = of_files(&[Path::new("/nowhere/operator")], "1").unwrap_err();
        assert!(error.to_string().contains("/nowhere/operator"), "{error}");
    }

    #[test]
    fn texts_are_not_glued_together() {
        assert_ne!(of_texts(&["ab", "c"]), of_texts(&["a", "bc"]));
    }
}
