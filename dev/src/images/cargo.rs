//! Compiles the binaries that go into the images, in the profile of the tests, so that a cold machine builds once.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::{Error, NAMES};
use crate::command::finish;

/// A cold build on two cores takes several minutes; an hour means that it hangs.
const DEADLINE: Duration = Duration::from_secs(3600);

/// Builds the binaries and returns the folder that holds them.
pub(crate) fn build(checkout: &Path) -> Result<PathBuf, Error> {
    let mut cargo = Command::new("cargo");
    cargo
        .current_dir(checkout)
        .args(["build", "--quiet", "--locked", "--message-format=json-render-diagnostics"])
        // As the Makefile does: these three alone would be built with other features, and OpenSSL once more.
        .args(["--workspace", "--bins"]);
    let messages = finish(&mut cargo, DEADLINE).map_err(|source| Error::Compile { source })?;
    let mut folder = None;
    for name in NAMES {
        let executable = executable(&messages, name).ok_or(Error::FindBinary { name })?;
        folder = executable.parent().map(Path::to_owned);
    }
    folder.ok_or(Error::FindBinary { name: NAMES[0] })
}

/// The path of the binary `name`, from cargo's messages
/// (<https://doc.rust-lang.org/cargo/reference/external-tools.html#artifact-messages>).
fn executable(messages: &str, name: &str) -> Option<PathBuf> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["target"]["name"] == name)
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binary_is_found_among_libraries_of_the_same_name() {
        let messages = concat!(
            r#"{"reason":"compiler-artifact","target":{"kind":["lib"],"name":"operator"},"executable":null}"#,
            "\n",
            r#"{"reason":"compiler-artifact","target":{"kind":["bin"],"name":"operator"},"executable":"/target/debug/operator"}"#,
            "\nnot json\n",
        );
        assert_eq!(executable(messages, "operator"), Some(PathBuf::from("/target/debug/operator")));
        assert_eq!(executable(messages, "ingester"), None);
    }
}
