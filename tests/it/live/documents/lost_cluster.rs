//! A tenant's Pipeline is changed, and then the cluster is lost and Kafka and ClickHouse are not: in a new one the tenant goes
//! on with its key, its database and its topics, by the commands of the documents alone.

use std::time::Duration;

use anyhow::ensure;
use crds::condition::kind;
use crds::{AnalyticsTenant, Pipeline};
use harness::kubernetes::{Ground, reason};
use harness::operator::{Operator, flags};
use harness::private::{PrivateClickHouse, PrivateKafka};
use harness::private_cluster::PrivateCluster;
use harness::stand_in::StandIn;
use harness::wait::{Look, until, within};
use serde_json::Value;

use super::parts::{
    ADD_A_TOPIC, ADD_AN_INGRESS, ADD_PODS, BRING_THE_KEY, RELEASE_THE_DATABASE, RESTART_THE_PODS,
    SAVE_THE_KEY, TAKE_THE_FINALIZERS,
};
use super::reader::{ApiServerReader, Servers};

const TEST: Duration = Duration::from_secs(240);
const DONE: Duration = Duration::from_secs(60);
const APPLY: &str = "kubectl apply -f examples/quickstart.yaml";
const DELETE: &str = "kubectl delete atn/acme apl/acme-default --wait=false";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_is_changed_and_outlives_its_cluster_as_the_documents_say() -> anyhow::Result<()> {
    within(TEST, async {
        let cluster = PrivateCluster::start().await?;
        let (kafka, clickhouse) = (PrivateKafka::start().await?, PrivateClickHouse::start().await?);
        let folder = tempfile::TempDir::new()?;
        let flags = flags(&kafka.address(), &clickhouse, folder.path())?;
        let site = Site {
            // The namespace of a command that names none.
            ground: Ground { client: cluster.client().await?, name: "default".to_owned() },
            reader: ApiServerReader::make(&cluster, Servers::of(&kafka, &clickhouse))?,
        };
        let _available = StandIn::start(&site.ground.client);

        let operator = Operator::start(cluster.client().await?, &flags)?;
        site.run(APPLY).await?;
        let before = site.possessions().await?;
        ADD_PODS.follow(&site.reader).await?;
        ADD_AN_INGRESS.follow(&site.reader).await?;
        RESTART_THE_PODS.follow(&site.reader).await?;
        let key = site.ground.secret("acme-api-keys", "default").await?;
        SAVE_THE_KEY.follow(&site.reader).await?;
        operator.vanish().await;
        site.run(DELETE).await?;
        TAKE_THE_FINALIZERS.follow(&site.reader).await?;
        site.wait_for_the_end().await?;

        let operator = Operator::start(cluster.client().await?, &flags)?;
        site.run(APPLY).await?;
        BRING_THE_KEY.follow(&site.reader).await?;
        let tenant = site.ground.tenant_with("acme", kind::DATABASE_READY, "False", DONE).await?;
        let conditions = tenant.status.unwrap_or_default().conditions;
        assert_eq!(reason(&conditions, kind::DATABASE_READY), Some("NameConflict"));
        RELEASE_THE_DATABASE.follow(&site.reader).await?;
        site.take_topics_over().await?;
        assert_eq!(site.possessions().await?, before);
        assert_eq!(site.ground.secret("acme-api-keys", "default").await?, key);
        operator.stop().await
    })
    .await
}

struct Site {
    ground: Ground,
    reader: ApiServerReader,
}

impl Site {
    async fn run(&self, command: &str) -> anyhow::Result<()> {
        self.reader.run(format!("set -e; {command}")).await.map(drop)
    }

    /// Ids of what the tenant has in Kafka and ClickHouse, once it is ready.
    async fn possessions(&self) -> anyhow::Result<Vec<Value>> {
        let tenant = self.ground.tenant_with("acme", kind::READY, "True", DONE).await?;
        let pipeline = self.ground.pipeline_with("acme-default", kind::READY, "True", DONE).await?;
        let (tenant, pipeline) = (serde_json::to_value(tenant)?, serde_json::to_value(pipeline)?);
        let found = [
            &tenant["status"]["database"],
            &pipeline["status"]["topic"],
            &pipeline["status"]["deadLetterTopic"],
            &pipeline["status"]["consumerGroup"],
        ];
        ensure!(found.iter().all(|value| !value.is_null()), "{found:?}");
        Ok(found.map(Value::clone).to_vec())
    }

    async fn wait_for_the_end(&self) -> anyhow::Result<()> {
        until(DONE, "end of tenant and pipeline", || async {
            let tenant = self.ground.api::<AnalyticsTenant>().get_opt("acme").await?.is_some();
            let pipeline = self.ground.api::<Pipeline>().get_opt("acme-default").await?.is_some();
            Ok(Look::at(!tenant && !pipeline, (tenant, pipeline)))
        })
        .await
    }

    /// Follows the document for the topic, and once more for the dead-letter topic.
    async fn take_topics_over(&self) -> anyhow::Result<()> {
        for topic in
            ["topic `millrace.default-acme.acme-default` ", "topic `millrace.default-acme.acme-default.dlq` "]
        {
            until(DONE, "question for a topic", || async {
                let pipeline = self.ground.api::<Pipeline>().get("acme-default").await?;
                let status = pipeline.status.unwrap_or_default();
                let said =
                    status.conditions.into_iter().find(|condition| condition.kind == kind::TOPIC_READY);
                let said = said.map_or_else(String::new, |said| format!("{} {}", said.reason, said.message));
                Ok(Look::at(said.starts_with("NameConflict") && said.contains(topic), said))
            })
            .await?;
            self.add_a_topic().await?;
        }
        Ok(())
    }

    /// The operator may write the tenant's status between the two halves of the command; the document says to repeat it
    /// then.
    async fn add_a_topic(&self) -> anyhow::Result<()> {
        until(DONE, "patch of the tenant as it is", || async {
            match ADD_A_TOPIC.follow(&self.reader).await {
                Ok(()) => Ok(Look::There(())),
                Err(error) if error.to_string().contains("(Conflict)") => Ok(Look::NotYet(error.to_string())),
                Err(error) => Err(error),
            }
        })
        .await
    }
}
