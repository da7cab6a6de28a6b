//! The blocks that are followed on parts of a test's own, and how one is.

use anyhow::Context as _;

use super::reader::ApiServerReader;
use crate::documents::{Block, Commands, DOCUMENTS, Place};

/// A block, by its document and words that no other one of these says.
#[derive(Debug, Clone, Copy)]
pub(in crate::live) struct Step(&'static str, &'static str);

pub(super) const ADD_PODS: Step = Step("docs/operations/pipelines.md", r#""replicas": 2"#);
pub(super) const ADD_AN_INGRESS: Step = Step("docs/operations/pipelines.md", r#""ingress": {"#);
pub(super) const RESTART_THE_PODS: Step = Step("docs/operations/pipelines.md", "kubectl rollout restart");
pub(super) const SAVE_THE_KEY: Step = Step("docs/operations/keys.md", ">default.key");
pub(super) const BRING_THE_KEY: Step =
    Step("docs/operations/keys.md", "create secret generic acme-default-key");
pub(super) const TAKE_THE_FINALIZERS: Step = Step("docs/operations/recover.md", r#""finalizers": null"#);
pub(super) const RELEASE_THE_DATABASE: Step = Step("docs/operations/recover.md", "grep -o 'ALTER DATABASE");
pub(super) const ADD_A_TOPIC: Step = Step("docs/operations/recover.md", "retainedTopics");
pub(in crate::live) const SERVE_THE_CLUSTER: Step =
    Step("docs/operations/namespaces.md", "--set-json 'watchNamespaces=[]'");
pub(in crate::live) const TAKE_THE_RIGHTS_BACK: Step =
    Step("docs/operations/namespaces.md", "kubectl delete clusterrolebinding");

const STEPS: [Step; 10] = [
    ADD_PODS,
    ADD_AN_INGRESS,
    RESTART_THE_PODS,
    SAVE_THE_KEY,
    BRING_THE_KEY,
    TAKE_THE_FINALIZERS,
    RELEASE_THE_DATABASE,
    ADD_A_TOPIC,
    SERVE_THE_CLUSTER,
    TAKE_THE_RIGHTS_BACK,
];

impl Step {
    /// Runs the block.
    pub(in crate::live) async fn follow(self, reader: &ApiServerReader) -> anyhow::Result<()> {
        let Self(path, words) = self;
        let document = DOCUMENTS.iter().find(|document| document.path == path);
        let blocks = document.context("a document of this name")?.blocks_in(Place::Parts);
        let blocks: Vec<&Block> = blocks.iter().filter(|block| block.says(words)).collect();
        let [block] = blocks[..] else { anyhow::bail!("{path} says `{words}` {} times", blocks.len()) };
        match block.commands() {
            Commands::Script(script) => reader.run(script).await.map(drop),
            Commands::Make(targets) => anyhow::bail!("{path} has only `make {targets:?}`"),
        }
    }
}

#[test]
fn every_block_for_parts_is_a_step() {
    for block in DOCUMENTS.iter().flat_map(|document| document.blocks_in(Place::Parts)) {
        let steps = STEPS.iter().filter(|Step(_, words)| block.says(words)).count();
        assert_eq!(steps, 1, "{block:?}");
    }
}
