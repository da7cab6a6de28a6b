//! The commands of the documents: their shell blocks, and what stands in for what a reader fills in. Pure.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::checkout::{root, text, texts};

/// The fence of a block with commands.
const SHELL: &str = "sh";

/// The fences of blocks without commands.
const OTHERS: [&str; 2] = ["text", "yaml"];

/// Where the commands of a document are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// On the local stack, in the order of [`DOCUMENTS`], in one release and with one tenant.
    Stack,
    /// On an API server without nodes, where every Deployment is said to be available.
    ApiServer,
    /// On such an API server with an operator, a Kafka and a ClickHouse of its own.
    Parts,
    /// Not here; [`UNRUN`] says why.
    Nowhere,
}

/// A file with commands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Document {
    pub(crate) path: &'static str,
    place: Place,
}

/// Every document with commands, in the order in which one release and one tenant meet them.
pub(crate) const DOCUMENTS: [Document; 17] = [
    on_the_stack("README.md"),
    on_the_stack("docs/operations/install.md"),
    on_the_stack("docs/foreign-topics.md"),
    on_the_stack("docs/operations/pause.md"),
    on_the_stack("docs/operations/scale.md"),
    on_the_stack("docs/operations/monitor.md"),
    on_the_stack("docs/operations/protection.md"),
    on_the_stack("docs/operations/upgrade.md"),
    on_the_stack("docs/operations/recover.md"),
    on_the_stack("docs/operations/uninstall.md"),
    on_the_stack("docs/operations/delete.md"),
    // Its file names the namespace, and roles of the cluster, that the release of all tests has.
    on_an_api_server("docs/operations/manifest.md"),
    // Argo CD's own namespace, of which only the ConfigMap is needed.
    on_an_api_server("docs/operations/argocd.md"),
    on_parts("docs/operations/keys.md"),
    on_parts("docs/operations/pipelines.md"),
    on_parts("docs/operations/namespaces.md"),
    Document { path: "docs/operations/clickhouse-users.md", place: Place::Nowhere },
];

/// The documents whose commands are not run, and why.
const UNRUN: [(&str, &str); 1] = [(
    "docs/operations/clickhouse-users.md",
    "the ClickHouse of the local stack takes no users by statement",
)];

/// Blocks that are not run where their document is: the line of the document that begins them, where they are run
/// instead, and why.
const ELSEWHERE: [(&str, &str, Place, &str); 4] = [
    (
        "docs/operations/uninstall.md",
        "This is for a cluster where both lists are empty:",
        Place::ApiServer,
        "the definitions of the stack are those of every other test",
    ),
    (
        "docs/operations/recover.md",
        "Where no operator will run again, this lets resources go that were deleted; name each Pipeline of the tenant, and then the tenant:",
        Place::Parts,
        "the stack has an operator",
    ),
    (
        "docs/operations/recover.md",
        "Its message has the statement that releases the database, which a user of ClickHouse with `ALTER DATABASE` runs:",
        Place::Parts,
        "the database of the stack's tenant is its own",
    ),
    (
        "docs/operations/recover.md",
        "If its records are this tenant's, as after the loss of the cluster or of a Pipeline's finalizer, add its id, which the message has:",
        Place::Parts,
        "the topics of the stack's tenant are its own",
    ),
];

/// Commands in the prose of a document, which nothing runs: the document, the command, and why it is in no block.
const IN_PROSE: [(&str, &str, &str); 5] = [
    ("docs/operations/manifest.md", "kubectl delete -f millrace.yaml", "what not to do"),
    ("docs/operations/protection.md", "kubectl delete --cascade=foreground", "what not to do"),
    ("docs/operations/upgrade.md", "helm upgrade --values", "the name of a flag, which a block has"),
    (
        "docs/operations/upgrade.md",
        r#"kubectl -n NAMESPACE patch apl/NAME --type=merge -p '{"spec": {"consumer": {"replicas": N}}}'"#,
        "no Pipeline of the stack has too many consumers",
    ),
    (
        "docs/operations/pipelines.md",
        "kubectl get deployment acme-default-consumer -o yaml --show-managed-fields",
        "it reads and changes nothing",
    ),
];

/// What the documents say, and what the local stack has in its place. The variables are set in `live/documents.rs`.
///
/// Everything else is run as it is written. None of them adds or removes a line.
const PLACEHOLDERS: [(&str, &str); 17] = [
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
    ("--user millrace:...", r#"--user "$CLICKHOUSE_USER:$CLICKHOUSE_PASSWORD""#),
    // The definitions belong to the release that all tests share, and the local Kafka is one broker.
    ("helm install millrace charts/millrace ", r#"helm install "$RELEASE" charts/millrace $LOCALLY "#),
    (
        "helm upgrade --install millrace charts/millrace ",
        r#"helm upgrade --install "$RELEASE" charts/millrace $LOCALLY "#,
    ),
    ("helm upgrade millrace charts/millrace ", r#"helm upgrade "$RELEASE" charts/millrace $LOCALLY "#),
    ("helm rollback millrace ", r#"helm rollback "$RELEASE" "#),
    ("helm uninstall millrace ", r#"helm uninstall "$RELEASE" "#),
    ("kafka.example.com:9092", r#""$KAFKA""#),
    ("http://clickhouse.example.com:8123", r#""$CLICKHOUSE_URL""#),
    // Files of the reader, which have no place in the checkout.
    ("millrace-values.yaml", r#""$FOLDER"/millrace-values.yaml"#),
    ("default.key", r#""$FOLDER"/default.key"#),
    (" >millrace.yaml", r#" >"$FOLDER"/millrace.yaml"#),
    ("-f millrace.yaml", r#"-f "$FOLDER"/millrace.yaml"#),
];

const fn on_the_stack(path: &'static str) -> Document {
    Document { path, place: Place::Stack }
}

const fn on_an_api_server(path: &'static str) -> Document {
    Document { path, place: Place::ApiServer }
}

const fn on_parts(path: &'static str) -> Document {
    Document { path, place: Place::Parts }
}

/// The commands between two fences.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Block {
    path: &'static str,
    /// The line of the opening fence, counted from one.
    line: usize,
    /// The last line with a text before it.
    before: String,
    text: String,
}

/// What is done with a block.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Commands {
    /// Nothing but `make`, which runs all of this: the targets exist, and that is all.
    Make(Vec<String>),
    /// A script for bash, which names the line of the document that fails.
    Script(String),
}

impl Document {
    /// Its shell blocks.
    pub(crate) fn blocks(&self) -> Vec<Block> {
        blocks_of(self.path, &text(self.path))
    }

    fn place_of(&self, block: &Block) -> Place {
        let moved = ELSEWHERE.iter().find(|(path, before, ..)| *path == self.path && *before == block.before);
        moved.map_or(self.place, |(_, _, place, _)| *place)
    }

    /// Those that are run in a place.
    pub(crate) fn blocks_in(&self, place: Place) -> Vec<Block> {
        self.blocks().into_iter().filter(|block| self.place_of(block) == place).collect()
    }
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

    /// Whether one of its lines says this.
    pub(crate) fn says(&self, words: &str) -> bool {
        self.text.contains(words)
    }

    /// The preamble is one line, as the fence is, so that line numbers differ by those above the fence.
    fn script(&self) -> String {
        let (path, above) = (self.path, self.line - 1);
        let tell = format!(r#"echo "{path}, line $((LINENO + {above})): failed with $?: $BASH_COMMAND" >&2"#);
        format!("set -Eeuo pipefail; trap '{tell}' ERR\n{}", filled(&self.text))
    }
}

fn blocks_of(path: &'static str, markdown: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<(&str, Block)> = None;
    let mut before = "";
    for (line, content) in (1..).zip(markdown.lines()) {
        match (content.strip_prefix("```"), &mut open) {
            (Some(kind), None) => {
                let block = Block { path, line, before: before.to_owned(), text: String::new() };
                open = Some((kind, block));
            }
            (Some(_), Some(_)) => {
                blocks.extend(open.take().filter(|(kind, _)| *kind == SHELL).map(|(_, block)| block));
            }
            (None, Some((_, block))) => block.text.extend([content, "\n"]),
            (None, None) if content.is_empty() => {}
            (None, None) => before = content,
        }
    }
    blocks
}

/// Whether the Makefile has a target of this name.
pub(crate) fn is_target(name: &str) -> bool {
    text("Makefile").lines().any(|line| line.starts_with(&format!("{name}:")))
}

/// The commands between grave accents outside of blocks.
fn commands_in_prose(markdown: &str) -> Vec<String> {
    let mut is_prose = true;
    let mut commands = Vec::new();
    for line in markdown.lines() {
        if line.starts_with("```") {
            is_prose = !is_prose;
        } else if is_prose {
            let spans = line.split('`').skip(1).step_by(2);
            commands.extend(spans.filter(|span| is_command(span)).map(str::to_owned));
        }
    }
    commands
}

/// Whether somebody would type it. `helm install` alone is the name of a command.
fn is_command(span: &str) -> bool {
    let words: Vec<&str> = span.split_whitespace().collect();
    matches!(words[..], ["kubectl" | "helm", _, _, ..] | ["curl" | "make", _, ..])
}

fn filled(text: &str) -> String {
    let text =
        PLACEHOLDERS.iter().fold(text.to_owned(), |text, (written, local)| text.replace(written, local));
    installed(&text)
}

/// The names of the release's own objects and of its namespace. Longer words that begin or end with them stay.
fn installed(text: &str) -> String {
    let text = text.replace("deployment/millrace ", r#"deployment/"$RELEASE" "#);
    let text = text.replace(" restart deployment/millrace\n", " restart deployment/\"$RELEASE\"\n");
    let text = text.replace(" history millrace\n", " history \"$RELEASE\"\n");
    let text = text.replace(" get values millrace\n", " get values \"$RELEASE\"\n");
    let text = text.replace(" get lease millrace ", " get lease \"$RELEASE\" ");
    text.replace("millrace-system", r#""$NAMESPACE""#)
}

#[test]
fn a_block_is_known_by_its_fence_its_line_and_what_stands_before_it() {
    let markdown = "a\n```sh\nmake up\nmake down\n```\n```yaml\nb: c\n```\nd:\n\n```sh\nmake up\nls x\n```\n";
    let [make, mixed] = blocks_of("A.md", markdown).try_into().unwrap();
    assert_eq!(make.commands(), Commands::Make(vec!["up".to_owned(), "down".to_owned()]));
    let (before, text) = ("d:".to_owned(), "make up\nls x\n".to_owned());
    assert_eq!(mixed, Block { path: "A.md", line: 11, before, text });
    assert!(matches!(mixed.commands(), Commands::Script(_)));
}

#[test]
fn the_line_that_fails_is_named_as_it_is_written() {
    let text = "KEY=secret\ntrue \\\n  && test $KEY = other\n".to_owned();
    let block = Block { path: "README.md", line: 9, before: String::new(), text };
    let Commands::Script(script) = block.commands() else { panic!("it has no make") };
    let output = Command::new("bash").args(["-c", &script]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    assert_eq!(said, "README.md, line 12: failed with 1: test $KEY = other\n");
}

#[test]
fn every_shell_block_of_every_document_is_run_or_has_a_reason() {
    for (path, markdown) in texts(&[".md"]) {
        let fences: Vec<&str> =
            markdown.lines().filter_map(|line| line.trim_start().strip_prefix("```")).step_by(2).collect();
        let path = path.to_string_lossy();
        for fence in &fences {
            assert!(*fence == SHELL || OTHERS.contains(fence), "a block of {path} begins with ```{fence}");
        }
        let shell = fences.iter().filter(|fence| **fence == SHELL).count();
        let known = DOCUMENTS.iter().find(|document| document.path == path);
        let run = known.map_or(0, |document| {
            [Place::Stack, Place::ApiServer, Place::Parts, Place::Nowhere]
                .map(|place| document.blocks_in(place).len())
                .iter()
                .sum()
        });
        assert_eq!(run, shell, "a shell block of {path} is indented, not closed, or not in DOCUMENTS");
        let indented =
            markdown.lines().find(|line| line.starts_with("    kubectl ") || line.starts_with("    helm "));
        assert_eq!(indented, None, "{path} has a command outside of a block that is run");
    }
}

#[test]
fn every_block_that_is_run_elsewhere_is_there_and_has_a_reason() {
    for (path, before, place, reason) in ELSEWHERE {
        let document = DOCUMENTS.iter().find(|document| document.path == path).unwrap();
        let blocks = document.blocks();
        let moved = blocks.iter().filter(|block| block.before == before).count();
        assert_eq!(moved, 1, "{path} has no block after `{before}`");
        assert!(document.place != place && !reason.is_empty());
    }
}

#[test]
fn a_command_in_prose_has_an_argument_and_stands_outside_of_blocks() {
    let markdown =
        "`make up` and `helm install` and `kubectl get a`:\n```sh\n`make down`\n```\n- `curl b`, `c`\n";
    assert_eq!(commands_in_prose(markdown), ["make up", "kubectl get a", "curl b"]);
}

#[test]
fn every_command_in_prose_is_a_target_or_has_a_reason() {
    let found = DOCUMENTS.iter().flat_map(|document| {
        let commands = commands_in_prose(&text(document.path));
        commands.into_iter().map(|command| (document.path, command))
    });
    let is_tried = |command: &str| command.strip_prefix("make ").is_some_and(is_target);
    let untried: BTreeSet<(&str, String)> = found.filter(|(_, command)| !is_tried(command)).collect();
    let excepted: BTreeSet<(&str, String)> =
        IN_PROSE.iter().map(|(path, command, _)| (*path, (*command).to_owned())).collect();
    assert_eq!(untried, excepted, "what the documents have in prose, and what IN_PROSE has");
    assert!(IN_PROSE.iter().all(|(_, _, reason)| !reason.is_empty()));
}

#[test]
fn every_document_that_is_not_run_has_a_reason() {
    let unrun = DOCUMENTS.iter().filter(|document| document.place == Place::Nowhere);
    let paths: Vec<&str> = unrun.map(|document| document.path).collect();
    assert_eq!(paths, UNRUN.map(|(path, _)| path));
    assert!(UNRUN.iter().all(|(_, reason)| !reason.is_empty()));
}

#[test]
fn every_placeholder_stands_in_a_document() {
    let blocks = DOCUMENTS.iter().flat_map(Document::blocks);
    let all: String = blocks.map(|block| block.text).collect();
    for (written, local) in PLACEHOLDERS {
        assert!(all.contains(written), "no document says `{written}` any more");
        assert!(!local.contains('\n'), "`{written}` would move the lines below it");
    }
    let filled = filled(&all);
    assert!(!filled.contains("..."), "a document leaves something out that no placeholder fills in");
    assert!(!filled.contains("millrace-system"));
}

#[test]
fn every_script_of_a_document_is_bash() {
    for block in DOCUMENTS.iter().flat_map(Document::blocks) {
        let Commands::Script(script) = block.commands() else { continue };
        let mut bash = Command::new("bash").args(["-n"]).stdin(Stdio::piped()).spawn().unwrap();
        bash.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
        assert!(bash.wait().unwrap().success(), "{script}");
    }
}

/// Messages and remedies send their readers there.
#[test]
fn every_document_that_a_source_names_is_there() {
    let is_of_a_path = |letter: char| letter.is_ascii_alphanumeric() || "/-_.".contains(letter);
    let mut found = 0;
    for (path, source) in texts(&[".rs", ".yaml"]) {
        for (at, _) in source.match_indices("docs/") {
            let name: String = source[at..].chars().take_while(|letter| is_of_a_path(*letter)).collect();
            let Some((name, _)) = name.split_once(".md") else { continue };
            assert!(root().join(format!("{name}.md")).is_file(), "{} names {name}.md", path.display());
            found += 1;
        }
    }
    assert!(found > 10, "{found} names were read");
}

#[test]
fn every_example_is_applied_by_a_document() {
    let blocks: Vec<Block> = DOCUMENTS.iter().flat_map(|document| document.blocks_in(Place::Stack)).collect();
    let examples = texts(&[".yaml"]).into_iter().filter(|(path, _)| path.starts_with("examples"));
    for (path, _) in examples {
        let applied = format!("kubectl apply -f {}", path.display());
        let is_waited_for =
            |block: &Block| block.says(&applied) && block.says("kubectl wait --for=condition=Ready");
        assert!(blocks.iter().any(is_waited_for), "no document applies {} and waits for it", path.display());
    }
}
