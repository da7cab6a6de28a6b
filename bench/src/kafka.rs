//! Topics of a benchmark.

use std::time::Duration;

use anyhow::{Context as _, bail};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication, TopicResult};
use rdkafka::client::DefaultClientContext;
use schema::names::TopicName;

/// Time for one order.
const DEADLINE: Duration = Duration::from_secs(30);

/// Makes and removes topics.
pub(crate) struct Topics(AdminClient<DefaultClientContext>);

impl Topics {
    pub(crate) fn connect(bootstrap_servers: &str) -> anyhow::Result<Self> {
        let client = ClientConfig::new().set("bootstrap.servers", bootstrap_servers).create();
        client.map(Self).context("failed to make a Kafka client")
    }

    pub(crate) async fn create(&self, names: &[TopicName], partitions: i32) -> anyhow::Result<()> {
        let topics: Vec<_> = names
            .iter()
            .map(|name| NewTopic::new(name.as_str(), partitions, TopicReplication::Fixed(1)))
            .collect();
        let results = self.0.create_topics(&topics, &options()).await.context("failed to create topics")?;
        all(results).context("failed to create a topic")
    }

    pub(crate) async fn delete(&self, names: &[TopicName]) -> anyhow::Result<()> {
        let names: Vec<_> = names.iter().map(TopicName::as_str).collect();
        let results = self.0.delete_topics(&names, &options()).await.context("failed to delete topics")?;
        all(results).context("failed to delete a topic")
    }
}

fn options() -> AdminOptions {
    AdminOptions::new().operation_timeout(Some(DEADLINE)).request_timeout(Some(DEADLINE))
}

fn all(results: Vec<TopicResult>) -> anyhow::Result<()> {
    for result in results {
        if let Err((name, code)) = result {
            bail!("Kafka answered `{code}` for `{name}`");
        }
    }
    Ok(())
}
