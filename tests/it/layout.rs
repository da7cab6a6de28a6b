//! What the tree looks like, and what must not be in it.

use std::collections::BTreeSet;
use std::path::Path;

use crate::checkout::{files, root, text, texts};

/// The top-level folders. A new one needs a line in docs/ARCHITECTURE.md.
const FOLDERS: [&str; 13] = [
    ".ci", "bench", "charts", "consumer", "crds", "dev", "docs", "examples", "ingester", "operator",
    "runtime", "schema", "tests",
];

/// Names that say nothing: a file is named after its verb or the noun it builds.
const EMPTY_NAMES: [&str; 6] = ["utils", "util", "common", "helpers", "types", "manager"];

/// A longer file does more than one thing.
const MAX_LINES: usize = 500;

#[track_caller]
fn assert_none(what: &str, offenders: &[String]) {
    assert!(offenders.is_empty(), "{what}:\n  {}", offenders.join("\n  "));
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

#[test]
fn every_top_level_folder_is_known() {
    let folders: BTreeSet<String> = files()
        .iter()
        .filter(|path| path.components().count() > 1)
        .filter_map(|path| path.components().next())
        .map(|component| component.as_os_str().to_string_lossy().into_owned())
        .collect();
    let unknown: Vec<String> =
        folders.into_iter().filter(|folder| !FOLDERS.contains(&folder.as_str())).collect();
    assert_none("folders that docs/ARCHITECTURE.md does not name", &unknown);
}

#[test]
fn file_names_say_what_is_inside() {
    let empty: Vec<String> = files()
        .iter()
        .filter(|path| {
            path.iter().any(|part| {
                let stem = Path::new(part).file_stem().unwrap_or_default().to_string_lossy();
                EMPTY_NAMES.contains(&stem.as_ref())
            })
        })
        .map(|path| shown(path))
        .collect();
    assert_none("names that say nothing", &empty);
}

#[test]
fn modules_are_not_in_files_called_mod() {
    let found: Vec<String> =
        files().iter().filter(|path| path.ends_with("mod.rs")).map(|path| shown(path)).collect();
    assert_none("use `x.rs` and `x/y.rs`", &found);
}

#[test]
fn files_are_short() {
    let long: Vec<String> = texts(&[".rs"])
        .iter()
        .filter(|(_, text)| text.lines().count() > MAX_LINES)
        .map(|(path, text)| format!("{} has {} lines", shown(path), text.lines().count()))
        .collect();
    assert_none("files of more than 500 lines", &long);
}

#[test]
fn no_test_is_switched_off_or_expected_to_panic() {
    // Put together here, so that this file does not contain them.
    let attributes = ["ignore", "should_panic"].map(|name| format!("#[{name}"));
    let found: Vec<String> = texts(&[".rs"])
        .iter()
        .filter(|(_, text)| attributes.iter().any(|attribute| text.contains(attribute)))
        .map(|(path, _)| shown(path))
        .collect();
    assert_none("tests that do not run, or pass by panicking", &found);
}

#[test]
#[allow(clippy::disallowed_methods, reason = "the home folder is what must not be in the files")]
fn no_file_names_a_path_of_this_machine() {
    let home = std::env::var("HOME").unwrap_or_default();
    // Below the home folder, since the folder itself stands in passwd files.
    let machine_paths = [root().display().to_string(), format!("{home}/")];
    let found: Vec<String> = texts(&[])
        .iter()
        .filter(|(_, text)| {
            machine_paths.iter().filter(|path| path.len() > 1).any(|path| names_path(text, path))
        })
        .map(|(path, _)| shown(path))
        .collect();
    assert_none("files with a path of this machine", &found);
}

/// Whether the text names this absolute path: `/src` is not named by `operator/src`, nor by `/srcset`.
fn names_path(text: &str, path: &str) -> bool {
    let is_outside = |neighbour: Option<char>| {
        neighbour.is_none_or(|c| !(c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '}' | '$')))
    };
    text.match_indices(path).any(|(at, _)| {
        let ends = path.ends_with('/') || is_outside(text[at + path.len()..].chars().next());
        ends && is_outside(text[..at].chars().next_back())
    })
}

#[test]
fn a_path_is_told_from_the_tail_of_another() {
    assert!(names_path("see /src/lib.rs", "/src"));
    assert!(names_path("\"/src\"", "/src"));
    assert!(!names_path("operator/src/lib.rs", "/src"));
    assert!(!names_path("/srcset", "/src"));
    assert!(names_path("/folks/a/b", "/folks/a/"));
    assert!(!names_path("a:x:0:0::/folks/a:/bin/sh", "/folks/a/"));
}

#[test]
fn the_chart_carries_the_generated_definitions() {
    for name in ["analyticstenant.yaml", "pipeline.yaml"] {
        let generated = text(&format!("crds/{name}"));
        let copies: Vec<_> = files()
            .into_iter()
            .filter(|path| path.starts_with("charts/millrace") && path.file_name().is_some_and(|n| n == name))
            .collect();
        assert!(!copies.is_empty(), "the chart has no `{name}`");
        for copy in copies {
            let copied = text(&shown(&copy));
            assert!(copied == generated, "copy crds/{name} to {}", copy.display());
        }
    }
}

#[test]
fn the_readme_names_targets_that_exist() {
    let makefile = text("Makefile");
    let targets: BTreeSet<&str> =
        makefile.lines().filter_map(|line| line.split_once(':')).map(|(target, _)| target.trim()).collect();
    let readme = text("README.md");
    let named: BTreeSet<String> = readme
        .split("make ")
        .skip(1)
        .map(|rest| rest.chars().take_while(|c| c.is_ascii_lowercase() || *c == '-').collect())
        .collect();
    assert!(named.contains("demo") && named.contains("test"), "README.md names `make demo` and `make test`");
    let missing: Vec<String> =
        named.into_iter().filter(|target| !targets.contains(target.as_str())).collect();
    assert_none("targets that README.md names and Makefile lacks", &missing);
}

#[test]
fn files_that_the_readme_names_exist() {
    let readme = text("README.md");
    let is_path = |word: &&str| {
        ["charts/", "examples/", "docs/", "crds/", "schema/"].iter().any(|folder| word.starts_with(folder))
    };
    let words = readme.split(|c: char| c.is_whitespace() || matches!(c, '(' | ')' | '[' | ']' | '`' | ','));
    let missing: Vec<String> = words
        .filter(is_path)
        .map(|word| word.trim_end_matches(['.', ';', ':']))
        .filter(|path| !root().join(path).exists())
        .map(str::to_owned)
        .collect();
    assert_none("files that README.md names and that are not there", &missing);
}
