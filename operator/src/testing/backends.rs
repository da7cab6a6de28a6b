//! Kafka and ClickHouse: what they keep, and being away.

use schema::names::{ConsumerGroup, DatabaseName, TableGeneration, TopicId, TopicName};
use uuid::Uuid;

use super::{State, World, clickhouse_users::FakeUsers, guard};
use crate::{
    context::Backends,
    retention::Kept,
    tables::{Database, DatabaseComment, DatabaseOwner, Migrated, Tables, TablesError, WantedRetention},
    topics::{Ensured, Expected, Holds, Topic, TopicSpec, Topics, TopicsError},
};

/// The fakes as the context takes them.
pub(crate) struct Fakes;

impl Backends for Fakes {
    type Topics = FakeTopics;
    type Tables = FakeTables;
    type Users = FakeUsers;
}

pub(crate) struct FakeTopics(pub(super) World);
pub(crate) struct FakeTables(pub(super) World);

const HOUR_MS: i64 = 3_600_000;
/// How often a topic is looked for.
const SEARCH_LOOKS: usize = 5;

fn kafka_away(name: &TopicName) -> TopicsError {
    TopicsError::NotVisible { topic: name.clone() }
}

fn clickhouse_away(name: &DatabaseName) -> TablesError {
    TablesError::Vanished { database: name.clone() }
}

/// Brings a topic to what is wanted, step by step as the real client does.
fn ensure(state: &mut State, spec: &TopicSpec, expected: Expected) -> Result<Ensured, TopicsError> {
    let name = spec.name.to_string();
    let away = |code| match code {
        500 => kafka_away(&spec.name),
        _ => TopicsError::refused_creation(spec.name.clone()),
    };
    let found = state.topics.get(&name).map(|found| (found.id, found.partitions));
    match (expected, found) {
        (Expected::Incarnation(expected), Some((found, _))) if found != expected => {
            return Err(TopicsError::Replaced { topic: spec.name.clone(), expected, found });
        }
        (Expected::Incarnation(_), None) => return Err(TopicsError::Missing { topic: spec.name.clone() }),
        (Expected::Incarnation(_) | Expected::ToBeMade, _) => {}
    }
    if found.is_none() {
        state.begin(format!("ENSURE {name}")).map_err(away)?;
        let topic = Topic {
            name: spec.name.clone(),
            id: TopicId(Uuid::from_u128(state.number())),
            partitions: spec.partitions,
            replication_factor: spec.replication_factor,
        };
        state.topics.insert(name.clone(), topic);
        state.topic_retentions.insert(name.clone(), spec.retention_ms);
        state.end().map_err(away)?;
    }
    let has = state.topics[&name].partitions;
    if has > spec.partitions && spec.holds == Holds::Events {
        return Err(TopicsError::Shrink { topic: spec.name.clone(), has, wants: spec.partitions });
    }
    if has < spec.partitions {
        state.begin(format!("ENSURE {name}")).map_err(away)?;
        state.topics.get_mut(&name).unwrap().partitions = spec.partitions;
        state.end().map_err(away)?;
    }
    let kept = keep_for(state, spec)?;
    Ok(Ensured { topic: state.topics[&name].clone(), kept })
}

/// Keeps a topic's records as long as wanted, or longer where that is not allowed.
fn keep_for(state: &mut State, spec: &TopicSpec) -> Result<Option<Kept>, TopicsError> {
    let away = |_| kafka_away(&spec.name);
    let wanted = spec.retention_ms;
    let has = *state.topic_retentions.entry(spec.name.to_string()).or_insert(wanted);
    let stays = Kept::Hours(u64::try_from(has / HOUR_MS).unwrap());
    if has > wanted && !spec.shortening.permits(stays) {
        return Ok(Some(stays));
    }
    if has > wanted {
        state.violations.extend(guard::objection_to_less(state, spec.name.as_str(), has / HOUR_MS));
    }
    if has != wanted {
        state.begin(format!("CONFIGURE {}", spec.name)).map_err(away)?;
        state.topic_retentions.insert(spec.name.to_string(), wanted);
        state.end().map_err(away)?;
    }
    Ok(None)
}

fn delete(state: &mut State, topic: &Topic) -> Result<(), TopicsError> {
    let away = |_| kafka_away(&topic.name);
    let name = topic.name.as_str();
    match state.topics.get(name).map(|found| found.id) {
        None => return Ok(()),
        Some(found) if found != topic.id => {
            let (topic, expected) = (topic.name.clone(), topic.id);
            return Err(TopicsError::Replaced { topic, expected, found });
        }
        Some(_) => {}
    }
    state.begin(format!("DELETE TOPIC {name}")).map_err(away)?;
    state.topics.remove(name);
    state.topic_retentions.remove(name);
    state.end().map_err(away)
}

impl Topics for FakeTopics {
    async fn describe(&self, name: &TopicName) -> Result<Option<Topic>, TopicsError> {
        self.0.panic_if_buggy();
        let mut state = self.0.state();
        state.may_read(format!("DESCRIBE TOPIC {name}")).map_err(|_| kafka_away(name))?;
        if state.is_kafka_away || state.faults.has_crashed() {
            return Err(kafka_away(name));
        }
        if state.lagging_looks > 0 {
            state.lagging_looks -= 1;
            return Ok(None);
        }
        Ok(state.topics.get(name.as_str()).cloned())
    }

    async fn ids(&self) -> Result<Vec<TopicId>, TopicsError> {
        let mut state = self.0.state();
        let name = TopicName::parse("any").unwrap();
        state.may_read("LIST TOPICS".to_owned()).map_err(|_| kafka_away(&name))?;
        if state.is_kafka_away {
            return Err(kafka_away(&name));
        }
        if state.are_topics_hidden {
            return Ok(Vec::new());
        }
        Ok(state.topics.values().map(|topic| topic.id).collect())
    }

    async fn search(&self, name: &TopicName, id: TopicId) -> Result<Option<Topic>, TopicsError> {
        let is_endless = self.0.state().are_searches_endless;
        if is_endless {
            std::future::pending::<()>().await;
        }
        for _ in 0..SEARCH_LOOKS {
            let found = self.describe(name).await?;
            if found.as_ref().is_some_and(|found| found.id == id) {
                return Ok(found);
            }
        }
        self.describe(name).await
    }

    async fn ensure(&self, spec: &TopicSpec, expected: Expected) -> Result<Ensured, TopicsError> {
        self.0.change(|state| ensure(state, spec, expected)).await
    }

    async fn delete(&self, topic: &Topic) -> Result<(), TopicsError> {
        self.0.change(|state| delete(state, topic)).await
    }

    async fn unstored(&self, topic: &Topic, group: &ConsumerGroup) -> Result<u64, TopicsError> {
        let mut state = self.0.state();
        state.may_read(format!("UNSTORED {group}")).map_err(|_| kafka_away(&topic.name))?;
        if state.is_kafka_away || state.faults.has_crashed() {
            return Err(kafka_away(&topic.name));
        }
        Ok(state.unstored.get(group.as_str()).copied().unwrap_or(0))
    }
}

/// The database, unless it is gone or another one bears its name by now.
fn unchanged(state: &State, database: &Database) -> Result<Option<Database>, TablesError> {
    match state.databases.get(database.name.as_str()) {
        Some(found) if found.uuid != database.uuid => Err(TablesError::Replaced {
            database: database.name.clone(),
            expected: database.uuid,
            found: found.uuid,
        }),
        found => Ok(found.cloned()),
    }
}

fn not_ours(database: &Database) -> TablesError {
    TablesError::NotOurs { database: database.name.clone(), comment: "of somebody else".to_owned() }
}

/// Changes the comment of a database.
fn comment(
    state: &mut State,
    verb: &str,
    found: &Database,
    comment: DatabaseComment,
) -> Result<(), TablesError> {
    let away = |_| clickhouse_away(&found.name);
    state.begin(format!("{verb} {}", found.name)).map_err(away)?;
    state.databases.get_mut(found.name.as_str()).unwrap().comment = comment;
    state.end().map_err(away)
}

fn create(state: &mut State, name: &DatabaseName, owner: &DatabaseOwner) -> Result<Database, TablesError> {
    let away = |_| clickhouse_away(name);
    state.begin(format!("CREATE DATABASE {name}")).map_err(away)?;
    let uuid = Uuid::from_u128(state.number());
    let comment = DatabaseComment::Owned(owner.clone());
    let database = Database { name: name.clone(), uuid, comment };
    let database = state.databases.entry(name.to_string()).or_insert(database).clone();
    state.end().map_err(away)?;
    Ok(database)
}

fn migrate(state: &mut State, name: &DatabaseName, wanted: WantedRetention) -> Result<Migrated, TablesError> {
    let away = |_| TablesError::lost_answer(name.clone());
    let Some(database) = state.databases.get(name.as_str()) else { return Err(away(500)) };
    let generation = TableGeneration(Uuid::from_u128(database.uuid.as_u128() + 1_000));
    if state.changed_settings.contains(name.as_str()) {
        state.begin(format!("SET BACK {name}")).map_err(away)?;
        state.changed_settings.remove(name.as_str());
        state.end().map_err(away)?;
    }
    let verb = match state.retentions.get(name.as_str()).copied() {
        None => "MIGRATE",
        Some(has) if has == wanted.retention => return Ok(migrated(state, name, generation)),
        Some(has) => {
            let stays = Kept::Hours(has.hours().into());
            if has.hours() > wanted.retention.hours() && !wanted.shortening.permits(stays) {
                return Ok(Migrated { kept: Some(stays), ..migrated(state, name, generation) });
            }
            if has.hours() > wanted.retention.hours() {
                state.violations.extend(guard::objection_to_less(state, name.as_str(), has.hours().into()));
            }
            "CHANGE RETENTION"
        }
    };
    state.begin(format!("{verb} {name}")).map_err(away)?;
    state.retentions.insert(name.to_string(), wanted.retention);
    state.end().map_err(away)?;
    Ok(migrated(state, name, generation))
}

fn migrated(state: &State, name: &DatabaseName, generation: TableGeneration) -> Migrated {
    let differences = state.differences.get(name.as_str()).cloned().unwrap_or_default();
    Migrated { generation, kept: None, differences }
}

fn drop(state: &mut State, database: &Database, owner: &DatabaseOwner) -> Result<(), TablesError> {
    let away = |_| clickhouse_away(&database.name);
    let Some(found) = unchanged(state, database)? else { return Ok(()) };
    if !found.comment.is_owned_by(owner) {
        return Err(not_ours(database));
    }
    state.begin(format!("DROP DATABASE {}", database.name)).map_err(away)?;
    state.databases.remove(database.name.as_str());
    state.retentions.remove(database.name.as_str());
    state.end().map_err(away)
}

impl Tables for FakeTables {
    async fn describe(&self, name: &DatabaseName) -> Result<Option<Database>, TablesError> {
        self.0.panic_if_buggy();
        self.0.hang_if_asked(name).await;
        let mut state = self.0.state();
        state.may_read(format!("DESCRIBE DATABASE {name}")).map_err(|_| clickhouse_away(name))?;
        if state.is_clickhouse_away || state.faults.has_crashed() {
            return Err(clickhouse_away(name));
        }
        Ok(state.databases.get(name.as_str()).cloned())
    }

    async fn create(&self, name: &DatabaseName, owner: &DatabaseOwner) -> Result<Database, TablesError> {
        self.0.hang_if_asked(name).await;
        self.0.change(|state| create(state, name, owner)).await
    }

    async fn claim(&self, database: &Database, owner: &DatabaseOwner) -> Result<(), TablesError> {
        let claim = |state: &mut State| {
            let Some(found) = unchanged(state, database)? else {
                return Err(clickhouse_away(&database.name));
            };
            if found.comment.is_owned_by(owner) {
                return Ok(());
            }
            if !found.comment.is_released_to(owner) {
                return Err(not_ours(database));
            }
            comment(state, "CLAIM", &found, DatabaseComment::Owned(owner.clone()))
        };
        self.0.change(claim).await
    }

    async fn migrate(&self, name: &DatabaseName, wanted: WantedRetention) -> Result<Migrated, TablesError> {
        self.0.hang_if_asked(name).await;
        self.0.change(|state| migrate(state, name, wanted)).await
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
        let release = |state: &mut State| {
            let Some(found) = unchanged(state, database)? else { return Ok(()) };
            if found.comment.is_released_to(owner) {
                return Ok(());
            }
            if !found.comment.is_owned_by(owner) {
                return Err(not_ours(database));
            }
            comment(state, "RELEASE", &found, released)
        };
        self.0.change(release).await
    }

    async fn drop(&self, database: &Database, owner: &DatabaseOwner) -> Result<(), TablesError> {
        self.0.change(|state| drop(state, database, owner)).await
    }
}
