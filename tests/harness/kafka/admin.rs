//! What people and retention do to a topic and a group: delete, shorten, set back.

use std::collections::BTreeMap;

use anyhow::Context as _;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, NewPartitions, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::{Offset, TopicPartitionList};

use super::{EXCHANGE, Kafka, blocking};

fn options() -> AdminOptions {
    AdminOptions::new().operation_timeout(Some(EXCHANGE)).request_timeout(Some(EXCHANGE))
}

fn list(topic: &str, offsets: &BTreeMap<i32, i64>) -> anyhow::Result<TopicPartitionList> {
    let mut list = TopicPartitionList::new();
    for (partition, offset) in offsets {
        list.add_partition_offset(topic, *partition, Offset::Offset(*offset))?;
    }
    Ok(list)
}

impl Kafka {
    /// Deletes a topic with its records.
    ///
    /// # Errors
    /// When there is none, or the broker does not answer.
    pub async fn delete_topic(&self, name: &str) -> anyhow::Result<()> {
        let admin: AdminClient<DefaultClientContext> = self.config().create()?;
        for result in admin.delete_topics(&[name], &options()).await? {
            result.map_err(|(name, code)| anyhow::anyhow!("failed to delete the topic `{name}`: {code}"))?;
        }
        Ok(())
    }

    /// Adds partitions to a topic, up to this number.
    ///
    /// # Errors
    /// When there is none, or the broker does not answer.
    pub async fn grow_topic(&self, name: &str, partitions: usize) -> anyhow::Result<()> {
        let admin: AdminClient<DefaultClientContext> = self.config().create()?;
        let wanted = NewPartitions::new(name, partitions);
        for result in admin.create_partitions([&wanted], &options()).await? {
            result.map_err(|(name, code)| anyhow::anyhow!("failed to grow the topic `{name}`: {code}"))?;
        }
        Ok(())
    }

    /// The settings that count for a topic: its own, and else the brokers' defaults.
    ///
    /// # Errors
    /// When there is none, or the broker does not answer.
    pub async fn topic_settings(&self, name: &str) -> anyhow::Result<BTreeMap<String, String>> {
        let admin: AdminClient<DefaultClientContext> = self.config().create()?;
        let described = admin.describe_configs([&ResourceSpecifier::Topic(name)], &options()).await?;
        let mut settings = BTreeMap::new();
        for resource in described {
            let entries =
                resource.map_err(|code| anyhow::anyhow!("failed to describe `{name}`: {code}"))?.entries;
            settings.extend(entries.into_iter().map(|entry| (entry.name, entry.value.unwrap_or_default())));
        }
        Ok(settings)
    }

    /// Gives a topic these settings and no others of its own, as `AlterConfigs` does.
    ///
    /// # Errors
    /// When there is none, or the broker refuses or does not answer.
    pub async fn replace_topic_settings(&self, name: &str, settings: &[(&str, &str)]) -> anyhow::Result<()> {
        let admin: AdminClient<DefaultClientContext> = self.config().create()?;
        let mut wanted = AlterConfig::new(ResourceSpecifier::Topic(name));
        for (setting, value) in settings {
            wanted = wanted.set(setting, value);
        }
        for result in admin.alter_configs([&wanted], &options()).await? {
            result
                .map_err(|(_, code)| anyhow::anyhow!("failed to change the settings of `{name}`: {code}"))?;
        }
        Ok(())
    }

    /// Removes what lies before these offsets, as retention does.
    ///
    /// # Errors
    /// When the broker refuses for a partition, or does not answer.
    pub async fn delete_records(&self, topic: &str, before: &BTreeMap<i32, i64>) -> anyhow::Result<()> {
        let admin: AdminClient<DefaultClientContext> = self.config().create()?;
        let done = admin.delete_records(&list(topic, before)?, &options()).await?;
        for element in done.elements() {
            element
                .error()
                .with_context(|| format!("failed to shorten partition {}", element.partition()))?;
        }
        Ok(())
    }

    /// Sets what a group has committed. It must have no members.
    ///
    /// # Errors
    /// When the broker refuses or does not answer.
    pub async fn set_committed(
        &self,
        group: &str,
        topic: &str,
        offsets: &BTreeMap<i32, i64>,
    ) -> anyhow::Result<()> {
        let mut config = self.config();
        config.set("group.id", group);
        let list = list(topic, offsets)?;
        blocking(move || {
            let consumer: BaseConsumer = config.create()?;
            Ok(consumer.commit(&list, CommitMode::Sync)?)
        })
        .await
    }
}
