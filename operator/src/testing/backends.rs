//! Kafka and ClickHouse: what they keep, and being away.

use schema::names::{ConsumerGroup, DatabaseName, TableGeneration, TopicId, TopicName};
use uuid::Uuid;

use super::{State, World};
use crate::{
    context::Backends,
    retention::Kept,
    tables::{Database, DatabaseComment, DatabaseOwner, Migrated, Tables, TablesError, WantedRetention},
    topics::{Ensured, Expected, Topic, TopicSpec, Topics, TopicsError},
};

/// The fakes as the context takes them.
pub(crate) struct Fakes;

impl Backends for Fakes {
    type Topics = FakeTopics;
    type Tables = FakeTables;
}

pub(crate) struct FakeTopics(pub(super) World);
pub(crate) struct FakeTables(pub(super) World);

/// How often a topic is looked for.
const SEARCH_LOOKS: usize = 5;

fn kafka_away(name: &TopicName) -> TopicsError {
    TopicsError::NotVisible { topic: name.clone() }
}

fn clickhouse_away(name: &DatabaseName) -> TablesError {
    TablesError::Vanished { database: name.clone() }
}

/// Keeps a topic's records as long as wanted, or longer where that is not allowed.
fn keep_for(state: &mut State, spec: &TopicSpec) -> Option<Kept> {
    let wanted = spec.retention_ms;
    let has = state.topic_retentions.entry(spec.name.to_string()).or_insert(wanted);
    let stays = Kept::Hours(u64::try_from(*has / 3_600_000).unwrap());
    let is_held = *has > wanted && !spec.shortening.permits(stays);
    let kept = is_held.then_some(stays);
    if kept.is_none() {
        *has = wanted;
    }
    kept
}

impl Topics for FakeTopics {
    async fn describe(&self, name: &TopicName) -> Result<Option<Topic>, TopicsError> {
        self.0.panic_if_buggy();
        let mut state = self.0.state();
        if state.is_kafka_away || state.has_crashed {
            return Err(kafka_away(name));
        }
        if state.lagging_looks > 0 {
            state.lagging_looks -= 1;
            return Ok(None);
        }
        Ok(state.topics.get(name.as_str()).cloned())
    }

    async fn ids(&self) -> Result<Vec<TopicId>, TopicsError> {
        let state = self.0.state();
        if state.is_kafka_away {
            let name = TopicName::parse("any").unwrap();
            return Err(kafka_away(&name));
        }
        if state.are_topics_hidden {
            return Ok(Vec::new());
        }
        Ok(state.topics.values().map(|topic| topic.id).collect())
    }

    async fn search(&self, name: &TopicName, id: TopicId) -> Result<Option<Topic>, TopicsError> {
        for _ in 0..SEARCH_LOOKS {
            let found = self.describe(name).await?;
            if found.as_ref().is_some_and(|found| found.id == id) {
                return Ok(found);
            }
        }
        self.describe(name).await
    }

    async fn ensure(&self, spec: &TopicSpec, expected: Expected) -> Result<Ensured, TopicsError> {
        let away = |code| match code {
            500 => kafka_away(&spec.name),
            _ => TopicsError::refused_creation(spec.name.clone()),
        };
        let mut state = self.0.state();
        if let (Expected::Incarnation(expected), Some(found)) =
            (expected, state.topics.get(spec.name.as_str()))
        {
            assert_eq!(found.id, expected, "another incarnation was touched");
        }
        let kept = keep_for(&mut state, spec);
        if let Some(topic) =
            state.topics.get(spec.name.as_str()).filter(|topic| topic.partitions == spec.partitions)
        {
            return Ok(Ensured { topic: topic.clone(), kept });
        }
        state.begin(format!("ENSURE {}", spec.name)).map_err(away)?;
        let fresh = TopicId(Uuid::from_u128(state.number()));
        let topic = state.topics.entry(spec.name.to_string()).or_insert_with(|| Topic {
            name: spec.name.clone(),
            id: fresh,
            partitions: spec.partitions,
            replication_factor: spec.replication_factor,
        });
        topic.partitions = spec.partitions;
        let topic = topic.clone();
        state.end().map_err(away)?;
        Ok(Ensured { topic, kept })
    }

    async fn delete(&self, topic: &Topic) -> Result<(), TopicsError> {
        let away = |_| kafka_away(&topic.name);
        let mut state = self.0.state();
        state.begin(format!("DELETE TOPIC {}", topic.name)).map_err(away)?;
        let found = state.topics.remove(topic.name.as_str());
        assert_eq!(found.map(|found| found.id), Some(topic.id), "another incarnation was deleted");
        state.end().map_err(away)
    }

    async fn unstored(&self, topic: &Topic, group: &ConsumerGroup) -> Result<u64, TopicsError> {
        let state = self.0.state();
        if state.is_kafka_away || state.has_crashed {
            return Err(kafka_away(&topic.name));
        }
        Ok(state.unstored.get(group.as_str()).copied().unwrap_or(0))
    }
}

impl FakeTables {
    /// Changes the comment of a database.
    fn comment(&self, line: &str, name: &DatabaseName, comment: DatabaseComment) -> Result<(), TablesError> {
        let away = |_| clickhouse_away(name);
        let mut state = self.0.state();
        state.begin(format!("{line} {name}")).map_err(away)?;
        state.databases.get_mut(name.as_str()).unwrap().comment = comment;
        state.end().map_err(away)
    }
}

impl Tables for FakeTables {
    async fn describe(&self, name: &DatabaseName) -> Result<Option<Database>, TablesError> {
        self.0.panic_if_buggy();
        self.0.hang_if_asked(name).await;
        let state = self.0.state();
        if state.is_clickhouse_away || state.has_crashed {
            return Err(clickhouse_away(name));
        }
        Ok(state.databases.get(name.as_str()).cloned())
    }

    async fn create(&self, name: &DatabaseName, owner: &DatabaseOwner) -> Result<Database, TablesError> {
        let away = |_| clickhouse_away(name);
        self.0.hang_if_asked(name).await;
        let mut state = self.0.state();
        state.begin(format!("CREATE DATABASE {name}")).map_err(away)?;
        let uuid = Uuid::from_u128(state.number());
        let comment = DatabaseComment::Owned(owner.clone());
        let database = Database { name: name.clone(), uuid, comment };
        let database = state.databases.entry(name.to_string()).or_insert(database).clone();
        state.end().map_err(away)?;
        Ok(database)
    }

    async fn claim(&self, database: &Database, owner: &DatabaseOwner) -> Result<(), TablesError> {
        self.comment("CLAIM", &database.name, DatabaseComment::Owned(owner.clone()))
    }

    async fn migrate(&self, name: &DatabaseName, wanted: WantedRetention) -> Result<Migrated, TablesError> {
        self.0.hang_if_asked(name).await;
        let mut state = self.0.state();
        let Some(database) = state.databases.get(name.as_str()) else { return Err(clickhouse_away(name)) };
        let generation = TableGeneration(Uuid::from_u128(database.uuid.as_u128() + 1_000));
        let has = state.retentions.entry(name.to_string()).or_insert(wanted.retention);
        let stays = Kept::Hours(has.hours().into());
        let is_held = has.hours() > wanted.retention.hours() && !wanted.shortening.permits(stays);
        let kept = is_held.then_some(stays);
        if kept.is_none() {
            *has = wanted.retention;
        }
        Ok(Migrated { generation, kept })
    }

    async fn release(
        &self,
        database: &Database,
        owner: &DatabaseOwner,
        topics: &[TopicId],
    ) -> Result<(), TablesError> {
        let released = DatabaseComment::Released {
            namespace: owner.namespace.clone(),
            name: owner.name.clone(),
            topics: topics.to_vec(),
        };
        self.comment("RELEASE", &database.name, released)
    }

    async fn drop(&self, database: &Database, owner: &DatabaseOwner) -> Result<(), TablesError> {
        let away = |_| clickhouse_away(&database.name);
        let mut state = self.0.state();
        state.begin(format!("DROP DATABASE {}", database.name)).map_err(away)?;
        let found = state.databases.remove(database.name.as_str()).unwrap();
        assert!(found.comment.is_owned_by(owner), "somebody else's database was dropped");
        state.end().map_err(away)
    }
}
