//! A line after its topic, its tables or its credentials have become others, as the operator's settings say then.

use std::time::Duration;

use schema::names::{ConsumerGroup, TableGeneration, TopicId};
use schema::retention::Retention;
use schema::secret::Secret;
use schema::settings::{ClickHouseSettings, ConsumerSettings};

use super::{Line, make_tables, topic_id};
use crate::clickhouse::ClickHouse;
use crate::wait::{Look, until};

/// Time until a deleted topic's name is free.
const DELETED: Duration = Duration::from_secs(30);

impl Line {
    /// The same line after somebody deleted the topic and made one of the same name.
    ///
    /// # Errors
    /// When Kafka does not answer.
    pub async fn with_topic_made_again(&self, partitions: i32) -> anyhow::Result<Self> {
        self.kafka.delete_topic(self.topic.as_str()).await?;
        until(DELETED, "topic of the same name", || async {
            // The name is taken until the broker has removed the other.
            Ok(Look::There(self.kafka.make_topic(self.topic.as_str(), partitions).await?))
        })
        .await?;
        let topic_id = TopicId(topic_id(&self.kafka, &self.topic).await?);
        let generation = self.settings.group.as_str().rsplit('.').next().unwrap_or_default().parse()?;
        let group = ConsumerGroup::of(&self.topic, topic_id, TableGeneration(generation));
        self.copy(ConsumerSettings { topic_id, group, ..self.settings.clone() })
    }

    /// The same line after its database was dropped and made again: another generation of the table.
    ///
    /// # Errors
    /// When ClickHouse refuses.
    pub async fn with_tables_made_again(&self) -> anyhow::Result<Self> {
        self.clickhouse.run(&format!("DROP DATABASE IF EXISTS {} SYNC", self.database)).await?;
        let retention = Retention::from_hours(Retention::MAX_HOURS.into())?;
        let generation = make_tables(&self.clickhouse, &self.database, retention).await?;
        let group = ConsumerGroup::of(&self.topic, self.settings.topic_id, generation);
        self.copy(ConsumerSettings { group, ..self.settings.clone() })
    }

    /// The same line, whose consumers and readers log in to ClickHouse as somebody else.
    ///
    /// # Errors
    /// When no folder for its settings can be made.
    pub fn with_clickhouse(&self, clickhouse: &ClickHouse) -> anyhow::Result<Self> {
        let settings = ClickHouseSettings {
            user: clickhouse.user.clone(),
            password: Secret::new(clickhouse.password.clone()),
            ..self.settings.clickhouse.clone()
        };
        let line = self.copy(ConsumerSettings { clickhouse: settings, ..self.settings.clone() })?;
        Ok(Self { clickhouse: clickhouse.clone(), ..line })
    }
}
