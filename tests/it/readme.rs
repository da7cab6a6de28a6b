//! The commands of README.md: its shell blocks, and what stands in for what a reader fills in. Pure.

use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::checkout::text;

/// The fence of a block with commands.
const SHELL: &str = "sh";

/// The fences of blocks without commands.
const OTHERS: [&str; 2] = ["text", "yaml"];

/// What README.md says, and what the local stack has in its place. The variables are set in `live/readme.rs`.
///
/// Everything else is run as it is written. None of them adds or removes a line.
const PLACEHOLDERS: [(&str, &str); 9] = [
    // The programs are there, in the profile of the tests; another profile takes many minutes.
    (
        "cargo build --release -p operator -p ingester -p consumer",
        r#"for name in operator ingester consumer; do strip --strip-debug -o "$BINARIES/$name" "$BUILT/$name"; done"#,
    ),
    ("target/release", r#""$BINARIES""#),
    // The default base is on the internet.
    ("buildah build ", r#"buildah build --pull-never --layers=false --build-arg=BASE="$BASE" "#),
    // There is no registry: the image goes where the node looks before it asks one.
    (
        "buildah push registry.example.com/millrace/$name:0.1.0",
        concat!(
            r#"buildah push --quiet registry.example.com/millrace/$name:0.1.0 "#,
            r#"oci-archive:"$BINARIES/$name.tar":registry.example.com/millrace/$name:0.1.0; "#,
            r#"ctr images import "$BINARIES/$name.tar""#,
        ),
    ),
    (
        "--from-literal=username=millrace --from-literal=password=...",
        r#"--from-literal=username="$CLICKHOUSE_USER" --from-literal=password="$CLICKHOUSE_PASSWORD""#,
    ),
    // The definitions belong to the release that all tests share, and the local Kafka is one broker.
    (
        "helm install millrace charts/millrace -n millrace-system",
        concat!(
            r#"helm install "$RELEASE" charts/millrace -n "$NAMESPACE" --set crds.install=false "#,
            "--set kafka.replicationFactor=1 --set kafka.minInsyncReplicas=1",
        ),
    ),
    ("millrace-system", r#""$NAMESPACE""#),
    ("kafka.example.com:9092", r#""$KAFKA""#),
    ("http://clickhouse.example.com:8123", r#""$CLICKHOUSE_URL""#),
];

/// The commands between two fences.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Block {
    /// The line of the opening fence, counted from one.
    line: usize,
    text: String,
}

/// What is done with a block.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Commands {
    /// Nothing but `make`, which runs all of this: the targets exist, and that is all.
    Make(Vec<String>),
    /// A script for bash, which names the line of README.md that fails.
    Script(String),
}

impl Block {
    pub(crate) fn commands(&self) -> Commands {
        let lines: Vec<&str> = self.text.lines().filter(|line| !line.trim().is_empty()).collect();
        let targets: Option<Vec<String>> =
            lines.iter().map(|line| line.strip_prefix("make ").map(str::to_owned)).collect();
        match targets {
            Some(targets) => Commands::Make(targets),
            None => Commands::Script(self.script()),
        }
    }

    /// The preamble is one line, as the fence is, so that line numbers differ by those above the fence.
    fn script(&self) -> String {
        let above = self.line - 1;
        let tell =
            format!(r#"echo "README.md, line $((LINENO + {above})): failed with $?: $BASH_COMMAND" >&2"#);
        format!("set -Eeuo pipefail; trap '{tell}' ERR\n{}", filled(&self.text))
    }
}

/// Every shell block of README.md.
pub(crate) fn blocks() -> Vec<Block> {
    blocks_of(&text("README.md"))
}

fn blocks_of(markdown: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<(&str, Block)> = None;
    for (line, content) in (1..).zip(markdown.lines()) {
        match (content.strip_prefix("```"), &mut open) {
            (Some(kind), None) => open = Some((kind, Block { line, text: String::new() })),
            (Some(_), Some(_)) => {
                blocks.extend(open.take().filter(|(kind, _)| *kind == SHELL).map(|(_, block)| block));
            }
            (None, Some((_, block))) => block.text.extend([content, "\n"]),
            (None, None) => {}
        }
    }
    blocks
}

fn filled(text: &str) -> String {
    PLACEHOLDERS.iter().fold(text.to_owned(), |text, (written, local)| text.replace(written, local))
}

#[test]
fn a_block_is_known_by_its_fence_and_its_line() {
    let markdown = "a\n```sh\nmake up\nmake down\n```\n```yaml\nb: c\n```\n```sh\nmake up\nls x\n```\n";
    let [make, mixed] = blocks_of(markdown).try_into().unwrap();
    assert_eq!(make.commands(), Commands::Make(vec!["up".to_owned(), "down".to_owned()]));
    assert_eq!(mixed, Block { line: 9, text: "make up\nls x\n".to_owned() });
    assert!(matches!(mixed.commands(), Commands::Script(_)));
}

#[test]
fn the_line_that_fails_is_named_as_it_is_written() {
    let block = Block { line: 9, text: "KEY=secret\ntrue \\\n  && test $KEY = other\n".to_owned() };
    let Commands::Script(script) = block.commands() else { panic!("it has no make") };
    let output = Command::new("bash").args(["-c", &script]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    assert_eq!(said, "README.md, line 12: failed with 1: test $KEY = other\n");
}

#[test]
fn every_block_of_the_readme_is_known() {
    let markdown = text("README.md");
    let fences: Vec<&str> =
        markdown.lines().filter_map(|line| line.trim_start().strip_prefix("```")).step_by(2).collect();
    for fence in &fences {
        assert!(*fence == SHELL || OTHERS.contains(fence), "a block of README.md begins with ```{fence}");
    }
    let shell = fences.iter().filter(|fence| **fence == SHELL).count();
    assert_eq!(blocks().len(), shell, "a shell block is indented, or not closed");
}

#[test]
fn every_placeholder_stands_in_the_readme() {
    let all: String = blocks().iter().map(|block| block.text.as_str()).collect();
    for (written, local) in PLACEHOLDERS {
        assert!(all.contains(written), "README.md does not say `{written}` any more");
        assert!(!local.contains('\n'), "`{written}` would move the lines below it");
    }
    assert!(!filled(&all).contains("..."), "README.md leaves something out that no placeholder fills in");
}

#[test]
fn every_script_of_the_readme_is_bash() {
    for block in blocks() {
        let Commands::Script(script) = block.commands() else { continue };
        let mut bash = Command::new("bash").args(["-n"]).stdin(Stdio::piped()).spawn().unwrap();
        bash.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
        assert!(bash.wait().unwrap().success(), "{script}");
    }
}
