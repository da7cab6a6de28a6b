//! Who may depend on whom, and on what: the Cargo graph is the architecture.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

use serde::Deserialize;

use crate::checkout::{root, text, texts};

mod licence;

/// Our crates that each of ours may import. `tests`, `dev` and `bench` are imported by none of the others.
const IMPORTS: [(&str, &[&str]); 9] = [
    ("schema", &[]),
    ("crds", &[]),
    ("runtime", &[]),
    ("operator", &["crds", "runtime", "schema"]),
    ("ingester", &["runtime", "schema"]),
    ("consumer", &["runtime", "schema"]),
    ("dev", &["schema", "crds"]),
    ("bench", &["consumer", "crds", "dev", "schema"]),
    ("tests", &["consumer", "crds", "dev", "ingester", "operator", "runtime", "schema"]),
];

/// Crates that must not be reached from one of ours, by whatever way.
const ABSENT: [(&str, &[&str]); 5] = [
    ("schema", &["tokio", "futures", "hyper", "kube", "rdkafka", "clickhouse", "axum"]),
    ("crds", &["tokio", "hyper", "kube-client", "kube-runtime", "rdkafka", "clickhouse", "axum"]),
    ("runtime", &["kube", "rdkafka", "clickhouse", "schema", "crds"]),
    ("ingester", &["kube", "kube-core", "k8s-openapi", "crds", "clickhouse"]),
    ("consumer", &["kube", "kube-core", "k8s-openapi", "crds", "clickhouse"]),
];

/// Crates that are there in more than one version, and why that is not ours to change.
const DUPLICATES: [(&str, &str); 8] = [
    ("base64", "k8s-openapi and the Prometheus exporter are at 0.22, kube-client at 0.23"),
    ("getrandom", "ring is at 0.2, ahash at 0.3, rand 0.10 and uuid at 0.4"),
    ("hashbrown", "kube-runtime and metrics-util are at 0.16, indexmap at 0.17"),
    ("rand", "clickhouse and metrics-util are at 0.9"),
    ("rand_core", "follows rand"),
    ("serde_derive_internals", "clickhouse-macros is at 0.29, schemars at 0.30; build time only"),
    ("syn", "derive macros move from 2 to 3 one by one; build time only"),
    ("synstructure", "follows syn; build time only"),
];

/// Dependencies that only the code of a derive macro names.
const NAMED_BY_MACROS: [(&str, &str); 1] = [("crds", "serde_json")];

/// What `cargo metadata` says
/// (<https://doc.rust-lang.org/cargo/commands/cargo-metadata.html#json-format>), as far as the gates need it.
/// The crate that reads all of it would switch on a feature of serde_json, and with it build half of the
/// dependencies again for the tests.
#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_members: BTreeSet<String>,
    resolve: Resolve,
}

#[derive(Debug, Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Debug, Deserialize)]
struct Node {
    id: String,
}

#[derive(Debug, Deserialize)]
struct Package {
    id: String,
    name: String,
    version: String,
    license: Option<String>,
    source: Option<String>,
    manifest_path: String,
    dependencies: Vec<Dependency>,
}

#[derive(Debug, Deserialize)]
struct Dependency {
    name: String,
    rename: Option<String>,
    /// `None` for a normal one, else `dev` or `build`.
    kind: Option<String>,
}

impl Metadata {
    fn members(&self) -> Vec<&Package> {
        self.packages.iter().filter(|package| self.workspace_members.contains(&package.id)).collect()
    }
}

static METADATA: LazyLock<Metadata> = LazyLock::new(|| {
    let platform = ["--filter-platform", "x86_64-unknown-linux-gnu"];
    let text = cargo(&[&["metadata", "--format-version", "1"], platform.as_slice()].concat());
    serde_json::from_str(&text).expect("cargo writes its format")
});

/// What cargo prints, without a look at the network or a change of the lock file.
fn cargo(words: &[&str]) -> String {
    let ran = Command::new(env!("CARGO"))
        .current_dir(root())
        .args(words)
        .args(["--locked", "--offline"])
        .output()
        .expect("cargo runs");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).expect("cargo writes UTF-8")
}

/// The packages that are really built, as opposed to those the lock file mentions for other platforms.
fn built() -> Vec<&'static Package> {
    let ids: BTreeSet<&str> = METADATA.resolve.nodes.iter().map(|node| node.id.as_str()).collect();
    METADATA.packages.iter().filter(|package| ids.contains(package.id.as_str())).collect()
}

fn folder(package: &Package) -> String {
    let folder = Path::new(&package.manifest_path).parent().expect("a manifest is in a folder");
    folder.strip_prefix(root()).expect("members are in the checkout").display().to_string()
}

#[track_caller]
fn assert_none(what: &str, offenders: &[String]) {
    assert!(offenders.is_empty(), "{what}:\n  {}", offenders.join("\n  "));
}

#[test]
fn our_crates_import_each_other_as_the_architecture_says() {
    let members = METADATA.members();
    let names: BTreeSet<&str> = members.iter().map(|package| package.name.as_str()).collect();
    assert_eq!(names, IMPORTS.iter().map(|(name, _)| *name).collect(), "the members of the workspace");
    let mut wrong = Vec::new();
    for (name, allowed) in IMPORTS {
        let package = members.iter().find(|package| package.name == name).expect("compared above");
        for dependency in &package.dependencies {
            let import = dependency.name.as_str();
            if names.contains(import) && !allowed.contains(&import) {
                wrong.push(format!("{name} imports {import}"));
            }
        }
    }
    assert_none("imports that docs/ARCHITECTURE.md does not allow", &wrong);
}

#[test]
fn what_must_be_absent_is_absent() {
    let mut wrong = Vec::new();
    for (name, absent) in ABSENT {
        let reached = reached_from(name);
        assert!(reached.contains(name), "cargo lists nothing for {name}");
        wrong.extend(
            absent
                .iter()
                .filter(|other| reached.contains(**other))
                .map(|other| format!("{name} has {other}")),
        );
    }
    assert_none("crates that docs/ARCHITECTURE.md excludes", &wrong);
}

/// What one crate is built from when it is built alone. `cargo metadata` would tell of the features that
/// its neighbours switch on.
fn reached_from(name: &str) -> BTreeSet<String> {
    let text =
        cargo(&["tree", "--edges", "normal", "--prefix", "none", "--format", "{p}", "--package", name]);
    text.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

#[test]
fn members_inherit_the_lints_and_every_dependency() {
    let mut wrong = Vec::new();
    for package in METADATA.members() {
        let manifest = text(&format!("{}/Cargo.toml", folder(package)));
        if !manifest.contains("[lints]\nworkspace = true") {
            wrong.push(format!("{} does not inherit the lints", package.name));
        }
        let mut is_dependency_section = false;
        for line in manifest.lines().map(str::trim) {
            if line.starts_with('[') {
                is_dependency_section = line.ends_with("dependencies]");
            } else if is_dependency_section && line.contains('=') && !is_inherited(line) {
                wrong.push(format!("{}: {line}", package.name));
            }
        }
    }
    assert_none("versions that stand in a member instead of the workspace", &wrong);
}

fn is_inherited(line: &str) -> bool {
    line.ends_with(".workspace = true") || line.contains("= { workspace = true")
}

#[test]
fn every_declared_dependency_is_used() {
    let mut unused = Vec::new();
    for package in METADATA.members() {
        let folder = format!("{}/", folder(package));
        let code: String = texts(&[".rs"])
            .into_iter()
            .filter(|(path, _)| path.starts_with(&folder))
            .flat_map(|(_, text)| {
                text.lines().filter(|line| !is_comment(line)).map(str::to_owned).collect::<Vec<_>>()
            })
            .collect::<Vec<_>>()
            .join("\n");
        for dependency in &package.dependencies {
            let name = dependency.rename.as_ref().unwrap_or(&dependency.name).replace('-', "_");
            let is_excused = NAMED_BY_MACROS.contains(&(&package.name, &dependency.name));
            if !is_excused && !names_word(&code, &name) {
                unused.push(format!("{} declares {}", package.name, dependency.name));
            }
        }
    }
    assert_none("dependencies that no source file names", &unused);
}

#[test]
fn every_dependency_of_the_workspace_is_some_members() {
    let used: BTreeSet<&str> = METADATA
        .members()
        .into_iter()
        .flat_map(|package| package.dependencies.iter().map(|dependency| dependency.name.as_str()))
        .collect();
    let manifest = text("Cargo.toml");
    let section = manifest.split("[workspace.dependencies]").nth(1).expect("the root has the section");
    let unused: Vec<String> = section
        .lines()
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| line.split_once('='))
        .map(|(name, _)| name.trim())
        .filter(|name| !name.starts_with('#') && !used.contains(name))
        .map(str::to_owned)
        .collect();
    assert_none("dependencies of the workspace that no member has", &unused);
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with("//")
}

/// Whether `word` stands in the text as an identifier.
fn names_word(text: &str, word: &str) -> bool {
    let is_boundary = |c: Option<char>| !c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    text.match_indices(word).any(|(at, _)| {
        is_boundary(text[..at].chars().next_back()) && is_boundary(text[at + word.len()..].chars().next())
    })
}

#[test]
fn every_licence_is_one_we_may_ship_with() {
    let refused: Vec<String> = built()
        .into_iter()
        .filter(|package| !package.license.as_deref().is_some_and(licence::is_allowed))
        .map(|package| {
            format!("{} {}: {}", package.name, package.version, package.license.as_deref().unwrap_or("none"))
        })
        .collect();
    assert_none("licences that are not on the list", &refused);
}

#[test]
fn a_crate_is_there_in_one_version_or_with_a_reason() {
    let mut versions: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for package in built() {
        versions.entry(&package.name).or_default().insert(package.version.clone());
    }
    let doubled: BTreeSet<&str> =
        versions.iter().filter(|(_, versions)| versions.len() > 1).map(|(name, _)| *name).collect();
    let excused: BTreeSet<&str> = DUPLICATES.iter().map(|(name, _)| *name).collect();
    let unexcused: Vec<String> =
        doubled.difference(&excused).map(|name| format!("{name} {:?}", versions[name])).collect();
    assert_none("crates in several versions; unify them or write the reason down", &unexcused);
    let outdated: Vec<String> = excused.difference(&doubled).map(|name| (*name).to_owned()).collect();
    assert_none("reasons for duplicates that are gone", &outdated);
}

/// How the lock file begins the name of the public registry, whatever mirror a machine uses.
const REGISTRY: &str = "registry+https://github.com/rust-lang/";

#[test]
fn cargo_packages_come_from_the_public_registry_or_from_here() {
    let foreign: Vec<String> = METADATA
        .packages
        .iter()
        .filter(|package| !package.source.as_deref().is_none_or(|source| source.starts_with(REGISTRY)))
        .map(|package| format!("{} {:?}", package.name, package.source))
        .collect();
    assert_none("packages from elsewhere", &foreign);
}

/// An address in the lock file would bind everyone to the mirror of whoever wrote it.
#[test]
fn npm_lock_files_name_no_download_address() {
    let bound: Vec<String> = texts(&["package-lock.json", "npm-shrinkwrap.json"])
        .iter()
        .filter(|(_, text)| text.contains("\"resolved\""))
        .map(|(path, _)| path.display().to_string())
        .collect();
    assert_none("lock files with addresses (`npm config set omit-lockfile-registry-resolved true`)", &bound);
}

#[test]
fn binaries_do_not_import_what_only_tests_use() {
    let only_for_tests = ["insta", "proptest", "cargo_metadata"];
    let wrong: Vec<String> = METADATA
        .members()
        .into_iter()
        .flat_map(|package| package.dependencies.iter().map(move |dependency| (package, dependency)))
        .filter(|(_, dependency)| dependency.kind.is_none())
        .filter(|(_, dependency)| only_for_tests.contains(&dependency.name.as_str()))
        .map(|(package, dependency)| format!("{} imports {}", package.name, dependency.name))
        .collect();
    assert_none("tools of tests among the dependencies", &wrong);
}
