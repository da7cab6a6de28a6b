//! The topics of Kafka: described, brought to what is wanted, deleted.
//!
//! ```text
//! ensure:  describe* -> create* -> check -> grow* -> describe configs* -> compare -> alter configs*
//! delete:  describe* -> compare the id -> delete* -> describe until it is gone*
//! unstored:  commits of the group* -> starts and ends of the partitions* -> subtract
//! ```
//!
//! Invariants:
//! - A topic is never shrunk, never moved, and not changed or deleted once it was seen under another id than the
//!   caller's. Kafka's admin calls name a topic and not its id, so that one made anew between the look and the call is
//!   not told apart: whoever makes and deletes topics of our prefix beside the operator takes that risk.
//! - No record is deleted by a shorter retention without consent.
//! - Every call has a deadline, and their number at one time is bounded. While Kafka does not answer one after the other
//!   tries, and the rest fail at once.
//! - Each step is decided from what the broker says now, so that a run after a crash goes on where it stopped.

mod admin;
mod connection;
mod error;
mod offsets;
mod settings;
mod silence;
mod topic_id;

use std::{
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use schema::{
    names::{ConsumerGroup, TopicId, TopicName},
    settings::KafkaSettings,
};
use tokio::{sync::Semaphore, time::Instant};

use crate::retention::{Kept, Shortening};
pub(crate) use error::TopicsError;
use {
    admin::Admin,
    error::{AdminError, ConfigureError},
    silence::Silence,
};

/// Calls to Kafka at one time. More would only queue up at the controller of the cluster.
const MAX_CALLS: usize = 4;
/// How long one call may take, the search for a broker included.
const REQUEST_DEADLINE: Duration = Duration::from_secs(10);
/// How long a created, grown or deleted topic may take to show in what brokers answer.
const VISIBILITY_DEADLINE: Duration = Duration::from_secs(10);
/// Between two looks at a topic that does not show yet.
const VISIBILITY_INTERVAL: Duration = Duration::from_millis(100);

/// A topic as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TopicSpec {
    pub(crate) name: TopicName,
    pub(crate) holds: Holds,
    pub(crate) partitions: i32,
    pub(crate) replication_factor: i32,
    pub(crate) min_insync_replicas: i32,
    pub(crate) retention_ms: i64,
    pub(crate) shortening: Shortening,
}

/// What a topic holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holds {
    /// Events on their way to ClickHouse.
    Events,
    /// Records that could not be stored, with the reason in their headers.
    DeadLetters,
}

/// A topic as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Topic {
    pub(crate) name: TopicName,
    /// Kafka's id of this incarnation: a topic that is deleted and made again has another.
    pub(crate) id: TopicId,
    pub(crate) partitions: i32,
    /// The copies of the partition that has the fewest.
    pub(crate) replication_factor: i32,
}

/// A topic after it was brought to what is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ensured {
    pub(crate) topic: Topic,
    /// The retention that stays, where the wanted one is shorter and may not be applied.
    pub(crate) kept: Option<Kept>,
}

/// What a caller knows of a topic that it wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expected {
    /// There was none, and the intention to make it is noted: what is there by now is ours.
    ToBeMade,
    /// There was this one, and no other is touched.
    Incarnation(TopicId),
}

/// What the controllers ask of Kafka. A trait, so that their tests can answer instead.
pub(crate) trait Topics: Send + Sync {
    /// The topic of this name, if there is one.
    fn describe(&self, name: &TopicName) -> impl Future<Output = Result<Option<Topic>, TopicsError>> + Send;

    /// The ids of all topics that our user may see, which may be fewer than there are.
    fn ids(&self) -> impl Future<Output = Result<Vec<TopicId>, TopicsError>> + Send;

    /// What bears this name, asked for until it is this incarnation or a while has passed: a broker may lag behind.
    fn search(
        &self,
        name: &TopicName,
        id: TopicId,
    ) -> impl Future<Output = Result<Option<Topic>, TopicsError>> + Send;

    /// Makes the topic, or adds partitions and corrects settings of the one that is there. Without consent a longer
    /// retention stays.
    ///
    /// # Errors
    /// [`TopicsError::Replaced`] and [`TopicsError::Missing`] when it is by now another than the expected one, or gone.
    /// [`TopicsError::Shrink`] when a topic of events has more partitions than wanted, [`TopicsError::TooFewReplicas`]
    /// when it has fewer copies than would have to acknowledge a write.
    fn ensure(
        &self,
        spec: &TopicSpec,
        expected: Expected,
    ) -> impl Future<Output = Result<Ensured, TopicsError>> + Send;

    /// Deletes the topic and waits until it is gone. A topic that is absent is deleted.
    ///
    /// # Errors
    /// [`TopicsError::Replaced`] when the name belongs to another incarnation by now.
    fn delete(&self, topic: &Topic) -> impl Future<Output = Result<(), TopicsError>> + Send;

    /// How many records of the topic the group has not stored: from its commit, or else the first record, to the end.
    fn unstored(
        &self,
        topic: &Topic,
        group: &ConsumerGroup,
    ) -> impl Future<Output = Result<u64, TopicsError>> + Send;
}

/// The topics of a real cluster.
#[derive(Clone)]
pub(crate) struct KafkaTopics {
    admin: Arc<Admin>,
    /// For clients that live as long as one question.
    settings: Arc<KafkaSettings>,
    calls: Arc<Semaphore>,
    silence: Arc<Mutex<Silence>>,
    deadline: Duration,
}

impl KafkaTopics {
    /// Makes the client. It connects by itself, now or when Kafka comes back.
    ///
    /// # Errors
    /// When librdkafka refuses a setting, for example a certificate that is none.
    pub(crate) fn new(settings: &KafkaSettings) -> Result<Self, ConfigureError> {
        Self::with_deadline(settings, REQUEST_DEADLINE)
    }

    fn with_deadline(settings: &KafkaSettings, deadline: Duration) -> Result<Self, ConfigureError> {
        let admin = Admin::new(settings, deadline).map_err(|source| ConfigureError { source })?;
        Ok(Self {
            admin: Arc::new(admin),
            settings: Arc::new(settings.clone()),
            deadline,
            calls: Arc::new(Semaphore::new(MAX_CALLS)),
            silence: Arc::new(Mutex::new(Silence::new(deadline / 2))),
        })
    }

    async fn create(&self, spec: &TopicSpec) -> Result<(), TopicsError> {
        let wanted = spec.clone();
        match self.call(move |admin| admin.create_topic(&wanted, &settings::wanted(&wanted))).await {
            // Somebody was faster, or our last answer got lost.
            Err(error) if error.says_it_exists() => Ok(()),
            outcome => outcome.map_err(|source| TopicsError::Create { topic: spec.name.clone(), source }),
        }
    }

    async fn grow(&self, spec: &TopicSpec) -> Result<(), TopicsError> {
        let (name, partitions) = (spec.name.clone(), spec.partitions);
        self.call(move |admin| admin.create_partitions(&name, partitions))
            .await
            .map_err(|source| TopicsError::Grow { topic: spec.name.clone(), source })
    }

    /// The retention that stays although a shorter one is wanted.
    async fn correct_settings(&self, spec: &TopicSpec) -> Result<Option<Kept>, TopicsError> {
        let name = spec.name.clone();
        let observed = self
            .call(move |admin| admin.describe_configs(&name))
            .await
            .map_err(|source| TopicsError::ReadSettings { topic: spec.name.clone(), source })?;
        let (changes, kept) =
            settings::without_held(settings::differing(settings::wanted(spec), &observed), &observed, spec);
        if changes.is_empty() {
            return Ok(kept);
        }
        tracing::info!(topic = %spec.name, ?changes, "correcting settings of topic `{}`", spec.name);
        let name = spec.name.clone();
        self.call(move |admin| admin.alter_configs(&name, &changes))
            .await
            .map_err(|source| TopicsError::ChangeSettings { topic: spec.name.clone(), source })?;
        Ok(kept)
    }

    /// Looks at the topic until it is as `expected`: brokers learn of a change a moment after the controller did it.
    async fn wait_until(
        &self,
        name: &TopicName,
        expected: impl Fn(Option<&Topic>) -> bool + Send,
    ) -> Result<Option<Topic>, TopicsError> {
        let looks = async {
            loop {
                let topic = self.describe(name).await?;
                if expected(topic.as_ref()) {
                    return Ok(topic);
                }
                tokio::time::sleep(VISIBILITY_INTERVAL).await;
            }
        };
        match tokio::time::timeout(VISIBILITY_DEADLINE, looks).await {
            Ok(outcome) => outcome,
            Err(_) => Err(TopicsError::NotVisible { topic: name.clone() }),
        }
    }

    /// Runs one blocking call of the admin client off the async threads. It ends by its own deadline, waits for its turn
    /// no longer than that either, and does not begin where it would wait for nothing.
    async fn call<T: Send + 'static>(
        &self,
        call: impl FnOnce(&Admin) -> Result<T, AdminError> + Send + 'static,
    ) -> Result<T, AdminError> {
        let turn = tokio::time::timeout(self.deadline, Arc::clone(&self.calls).acquire_owned());
        let permit =
            turn.await.map_err(|_| AdminError::without_turn())?.map_err(|_| AdminError::abandoned())?;
        locked(&self.silence).admit(Instant::now())?;
        let (admin, silence) = (Arc::clone(&self.admin), Arc::clone(&self.silence));
        // All of it goes into the thread: a caller that gives up does not make room for one call too many.
        let work = tokio::task::spawn_blocking(move || {
            let outcome = call(&admin);
            if !outcome.as_ref().is_err_and(AdminError::is_silence) {
                locked(&silence).answered(Instant::now());
            }
            drop(permit);
            outcome
        });
        work.await.unwrap_or_else(|_| Err(AdminError::abandoned()))
    }

    /// As `call`, for the questions that every look begins with: where nobody answers one, the next need not wait for the
    /// same. A call about one partition or one group may hang alone.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Admin) -> Result<T, AdminError> + Send + 'static,
    ) -> Result<T, AdminError> {
        let silence = Arc::clone(&self.silence);
        let asked = move |admin: &Admin| {
            let began = Instant::now();
            let outcome = question(admin);
            if let Err(cause) = &outcome
                && cause.is_silence()
            {
                locked(&silence).unanswered(cause.clone(), began, Instant::now());
            }
            outcome
        };
        self.call(asked).await
    }
}

fn locked(silence: &Mutex<Silence>) -> MutexGuard<'_, Silence> {
    silence.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Topics for KafkaTopics {
    async fn describe(&self, name: &TopicName) -> Result<Option<Topic>, TopicsError> {
        let wanted = name.clone();
        self.ask(move |admin| admin.describe_topic(&wanted))
            .await
            .map_err(|source| TopicsError::Describe { topic: name.clone(), source })
    }

    async fn ids(&self) -> Result<Vec<TopicId>, TopicsError> {
        self.ask(Admin::topic_ids).await.map_err(|source| TopicsError::List { source })
    }

    async fn search(&self, name: &TopicName, id: TopicId) -> Result<Option<Topic>, TopicsError> {
        match self.wait_until(name, |found| found.is_some_and(|found| found.id == id)).await {
            // It did not show up in time: what all brokers say by now counts.
            Err(TopicsError::NotVisible { .. }) => self.describe(name).await,
            outcome => outcome,
        }
    }

    async fn ensure(&self, spec: &TopicSpec, expected: Expected) -> Result<Ensured, TopicsError> {
        let topic = match as_expected(&spec.name, self.describe(&spec.name).await?, expected)? {
            Some(topic) => topic,
            None => {
                self.create(spec).await?;
                self.wait_until(&spec.name, |topic| topic.is_some_and(|topic| topic.partitions > 0))
                    .await?
                    .ok_or_else(|| TopicsError::NotVisible { topic: spec.name.clone() })?
            }
        };
        check(spec, &topic)?;
        if topic.partitions < spec.partitions {
            self.grow(spec).await?;
            let is_grown =
                |topic: Option<&Topic>| topic.is_some_and(|topic| topic.partitions >= spec.partitions);
            self.wait_until(&spec.name, is_grown).await?;
        }
        let kept = self.correct_settings(spec).await?;
        Ok(Ensured { topic: Topic { partitions: spec.partitions.max(topic.partitions), ..topic }, kept })
    }

    async fn delete(&self, topic: &Topic) -> Result<(), TopicsError> {
        let Some(found) = self.describe(&topic.name).await? else {
            return Ok(());
        };
        if found.id != topic.id {
            return Err(TopicsError::Replaced {
                topic: topic.name.clone(),
                expected: topic.id,
                found: found.id,
            });
        }
        let name = topic.name.clone();
        match self.call(move |admin| admin.delete_topic(&name)).await {
            Err(error) if error.says_it_is_absent() => {}
            outcome => outcome.map_err(|source| TopicsError::Delete { topic: topic.name.clone(), source })?,
        }
        let is_gone = |found: Option<&Topic>| found.is_none_or(|found| found.id != topic.id);
        self.wait_until(&topic.name, is_gone).await.map(|_| ())
    }

    async fn unstored(&self, topic: &Topic, group: &ConsumerGroup) -> Result<u64, TopicsError> {
        let (settings, deadline) = (Arc::clone(&self.settings), self.deadline);
        let (asked, group) = (topic.clone(), group.clone());
        self.call(move |_| offsets::unstored(&settings, deadline, &asked, &group))
            .await
            .map_err(|source| TopicsError::Count { topic: topic.name.clone(), source })
    }
}

/// The topic, unless it is another than the expected one.
fn as_expected(
    name: &TopicName,
    found: Option<Topic>,
    expected: Expected,
) -> Result<Option<Topic>, TopicsError> {
    match (expected, found) {
        (Expected::ToBeMade, found) => Ok(found),
        (Expected::Incarnation(id), Some(found)) if found.id == id => Ok(Some(found)),
        (Expected::Incarnation(expected), Some(found)) => {
            Err(TopicsError::Replaced { topic: name.clone(), expected, found: found.id })
        }
        (Expected::Incarnation(_), None) => Err(TopicsError::Missing { topic: name.clone() }),
    }
}

/// Whether the topic can become what the spec wants. Nobody asks for a number of partitions of dead letters, which have
/// no order and are read from all there are: more than wanted are taken as they are.
fn check(spec: &TopicSpec, topic: &Topic) -> Result<(), TopicsError> {
    let may_have_more = match spec.holds {
        Holds::Events => false,
        Holds::DeadLetters => true,
    };
    if topic.partitions > spec.partitions && !may_have_more {
        return Err(TopicsError::Shrink {
            topic: spec.name.clone(),
            has: topic.partitions,
            wants: spec.partitions,
        });
    }
    if topic.replication_factor < spec.min_insync_replicas {
        return Err(TopicsError::TooFewReplicas {
            topic: spec.name.clone(),
            has: topic.replication_factor,
            needs: spec.min_insync_replicas,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
