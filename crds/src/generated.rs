//! Files that are written from the types: `UPDATE=1 cargo test -p crds` writes them, without it the tests verify them.

use std::path::Path;

#[allow(clippy::disallowed_methods, reason = "the switch of these tests is an environment variable")]
fn is_updating() -> bool {
    std::env::var("UPDATE").is_ok_and(|value| value == "1")
}

/// Writes or verifies a file, whose path is below this crate.
#[track_caller]
pub(crate) fn verify(path: &str, text: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if is_updating() {
        std::fs::write(&file, text).unwrap();
    }
    let written = std::fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(written, text, "{}: run `UPDATE=1 cargo test -p crds`", file.display());
}
