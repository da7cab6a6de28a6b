//! The commands of README.md and of docs/operations, run as they are written.
//!
//! Those for the local stack follow one release and one tenant from `helm install` to the end, while the shared
//! operator is away; the others are run on an API server of their own.

mod lost_cluster;
pub(super) mod parts;
pub(super) mod reader;

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use crds::AnalyticsTenant;
use crds::condition::kind;
use harness::private_cluster::PrivateCluster;
use harness::shared;
use harness::stand_in::StandIn;
use harness::wait::{Look, until, within};
use harness::{chart, kafka::Kafka};
use kube::ResourceExt as _;
use serde_json::json;

use super::rendered::smallest;
use crate::documents::{Block, Commands, DOCUMENTS, Document, Place, is_target};
use reader::{ApiServerReader, Reader, Servers};

const TEST: Duration = Duration::from_secs(720);
const STORED: Duration = Duration::from_secs(60);
const READY: Duration = Duration::from_secs(180);

/// The topic that `examples/foreign-topic.yaml` names; its owners are somebody else.
const FOREIGN_TOPIC: &str = "octane.events";

#[tokio::test]
async fn every_command_of_the_documents_works_as_it_is_written() -> anyhow::Result<()> {
    let shared_operator = chart::no_operator().await?;
    let reader = Reader::make().await?;
    let read = within(TEST, Journey { reader: &reader }.make()).await;
    // Whatever became of it: two operators must never work on one cluster.
    let uninstalled = chart::uninstall(&reader.release, &reader.namespace).await;
    let back = match &uninstalled {
        Ok(()) => shared_operator.bring_back().await,
        Err(_) => Ok(()),
    };
    let left = reader.leave().await;
    read.and(uninstalled).and(back).and(left)
}

#[tokio::test]
async fn every_other_command_of_the_documents_works_on_an_api_server() -> anyhow::Result<()> {
    within(TEST, async {
        let cluster = PrivateCluster::start().await?;
        let _available = StandIn::start(&cluster.client().await?);
        let reader = ApiServerReader::make(&cluster, Servers::absent())?;
        reader.write("millrace-values.yaml", &smallest().to_string())?;
        // What is removed has to be there, and one of these is Argo CD's.
        for namespace in ["millrace-system", "argocd"] {
            cluster.kubectl(&["create", "namespace", namespace]).await?;
        }
        let mut run = 0;
        for document in DOCUMENTS {
            for block in document.blocks_in(Place::ApiServer) {
                let Commands::Script(script) = block.commands() else { continue };
                reader.run(script).await?;
                run += 1;
            }
        }
        ensure!(run > 0, "no document has a command for an API server alone");
        Ok(())
    })
    .await
}

/// One release and one tenant, from their beginning to their end.
struct Journey<'a> {
    reader: &'a Reader,
}

impl Journey<'_> {
    async fn make(&self) -> anyhow::Result<()> {
        let kafka = shared::kafka()?;
        kafka.make_topic(FOREIGN_TOPIC, 1).await?;
        let outcome = self.read_all().await;
        outcome.and(Kafka::delete_topic(&kafka, FOREIGN_TOPIC).await)
    }

    async fn read_all(&self) -> anyhow::Result<()> {
        for document in DOCUMENTS {
            for block in document.blocks_in(Place::Stack) {
                if block.says("recreate-database=") {
                    self.lose_the_database().await?;
                }
                self.follow(&block).await?;
            }
            self.look_after(&document).await?;
        }
        Ok(())
    }

    /// What a document promises beside that its commands succeed.
    async fn look_after(&self, document: &Document) -> anyhow::Result<()> {
        match document.path {
            "README.md" => self.expect_events(1).await,
            // The table is another one, and Kafka still has the event. Its consumers are rolled out while somebody counts.
            "docs/operations/recover.md" => {
                self.expect_events(1).await?;
                self.reader.ground.tenant_with("acme", kind::READY, "True", READY).await.map(drop)
            }
            "docs/operations/uninstall.md" => self.live_without_an_operator().await,
            "docs/operations/delete.md" => self.expect_nothing_left().await,
            _ => Ok(()),
        }
    }

    async fn follow(&self, block: &Block) -> anyhow::Result<()> {
        match block.commands() {
            Commands::Make(targets) => {
                for target in targets {
                    ensure!(is_target(&target), "Makefile has no target `{target}`");
                }
                Ok(())
            }
            Commands::Script(script) => {
                let said = self.reader.run(script).await?;
                let is_answer = !block.says("/events") || said.contains(r#""status":"success""#);
                ensure!(is_answer, "an event of a document was not accepted: {said}");
                Ok(())
            }
        }
    }

    /// The blocks of a document that say this, once more.
    async fn follow_again(&self, path: &str, words: &str) -> anyhow::Result<()> {
        let document = DOCUMENTS.iter().find(|document| document.path == path);
        let blocks = document.context("a document of this name")?.blocks_in(Place::Stack);
        let mut blocks = blocks.iter().filter(|block| block.says(words)).peekable();
        ensure!(blocks.peek().is_some(), "{path} does not say `{words}` any more");
        for block in blocks {
            self.follow(block).await?;
        }
        Ok(())
    }

    async fn database(&self) -> anyhow::Result<String> {
        let tenant = self.reader.ground.api::<AnalyticsTenant>().get("acme").await?;
        Ok(tenant.status.and_then(|status| status.database).context("acme has a database")?.name)
    }

    /// "It is in `events` about a second later."
    async fn expect_events(&self, number: u64) -> anyhow::Result<()> {
        let query =
            format!("SELECT count() FROM {}.events WHERE event_name = 'page_view'", self.database().await?);
        let clickhouse = shared::clickhouse()?;
        until(STORED, "the events of the documents", || async {
            let events = clickhouse.number(&query).await?;
            Ok(Look::at(events == number, events))
        })
        .await
    }

    async fn lose_the_database(&self) -> anyhow::Result<()> {
        let statement = format!("DROP DATABASE {} SYNC", self.database().await?);
        shared::clickhouse()?.run(&statement).await.map(drop)
    }

    /// Events are taken and stored while there is no operator, and the next one takes over all without a new pod.
    async fn live_without_an_operator(&self) -> anyhow::Result<()> {
        let ground = &self.reader.ground;
        let pods = async || -> anyhow::Result<BTreeSet<_>> {
            let pods = ground.pods("acme-default-").await?.into_iter();
            Ok(pods
                .filter(|pod| pod.metadata.deletion_timestamp.is_none())
                .filter_map(|pod| pod.uid())
                .collect())
        };
        let before = pods().await?;
        ensure!(!before.is_empty(), "the pods of acme went with the release");
        self.follow_again("README.md", "/events").await?;
        self.expect_events(2).await?;

        self.follow_again("docs/operations/install.md", "helm upgrade --install").await?;
        // The tier's plan is what the tenant has; its generation shows that the new operator looked at it.
        ground.tenant("acme", json!({"tier": "Paid"})).await?;
        ground.tenant_with("acme", kind::READY, "True", READY).await?;
        let after = pods().await?;
        ensure!(after == before, "an operator that takes over replaces no pod: {before:?}, then {after:?}");
        self.expect_events(2).await
    }

    async fn expect_nothing_left(&self) -> anyhow::Result<()> {
        let left = self.reader.ground.api::<AnalyticsTenant>().get_opt("acme").await?;
        ensure!(left.is_none(), "acme is still there");
        let name = format!("t_{}_acme", self.reader.ground.name.replace('-', "_"));
        let databases = format!("SELECT count() FROM system.databases WHERE name = '{name}'");
        ensure!(shared::clickhouse()?.number(&databases).await? == 0, "`{name}` is still there");
        Ok(())
    }
}
