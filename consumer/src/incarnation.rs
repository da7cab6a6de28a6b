//! The check before a batch of a topic of others is stored: its records are of the topic that the settings name.
//!
//! Ids of events without one are made of the topic's id and of where the record lies. When a topic is deleted and made
//! anew under a running consumer, its new records would be taken for those of the old one at the same offsets. An id of
//! a topic never comes back, so a topic that has the id of the settings after the last record of a batch was read has
//! had it for each of them. Whoever looks such records up again asks the same.

mod describe;

use std::{sync::Arc, time::Duration};

use metrics::gauge;
use rdkafka::{
    config::FromClientConfigAndContext as _,
    consumer::{BaseConsumer, Consumer as _},
    error::{KafkaError, KafkaResult},
};
use schema::{names::TopicId, settings::ConsumerSettings, settings::RecordFormat};
use tracing::{error, warn};

use crate::{
    incarnation::describe::topic_id,
    metrics::{self as names, Stage, Unblock, count_error},
    poll::{Listener, reader_config},
    retry::PATIENCE,
};

/// A question that is not answered is given up after this time, and asked again.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(5);
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// Log lines and errors of the client that are taken before each question. It says a few a second at most.
const SERVED: usize = 100;
/// The operator replaces this process, at its next look at the topic, by one that reads the new topic.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// The topic that is read.
pub(crate) struct Incarnation {
    settings: Arc<ConsumerSettings>,
    client: Option<Arc<BaseConsumer<Listener>>>,
}

impl Incarnation {
    pub(crate) fn new(settings: Arc<ConsumerSettings>) -> Self {
        Self { settings, client: None }
    }

    /// Whether ids of records are made of the topic's id, so that another topic of the name is another one.
    pub(crate) fn matters(settings: &ConsumerSettings) -> bool {
        match settings.format {
            RecordFormat::Events => false,
            RecordFormat::Json(_) => true,
        }
    }

    /// Returns when what was read until now is of the topic of the settings: at once if its records name their topic
    /// themselves, never if the topic was made anew. A topic that is gone has not been made anew.
    pub(crate) async fn confirm(&mut self) {
        if !Self::matters(&self.settings) {
            return;
        }
        let _unblock = Unblock;
        let mut failures = 0;
        loop {
            match self.ask().await {
                Ok(None) => return,
                Ok(Some(id)) if id == self.settings.topic_id => return,
                Ok(Some(id)) => {
                    failures = 0;
                    gauge!(names::INSERT_BLOCKED).set(1.0);
                    let (topic, expected) = (&self.settings.topic, self.settings.topic_id);
                    error!(
                        %topic, %expected, %id,
                        "the topic was made anew, nothing of it is stored until the operator has replaced this process"
                    );
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
                Err(cause) => {
                    failures += 1;
                    report_unknown(&cause, failures);
                    tokio::time::sleep(ASK_AGAIN).await;
                }
            }
        }
    }

    /// Gives the connections back. Without questions nobody would take what the client has to say.
    pub(crate) async fn close(&mut self) {
        if let Some(client) = self.client.take() {
            // Ending a client waits for its threads.
            let ended = tokio::task::spawn_blocking(move || drop(client)).await;
            debug_assert!(ended.is_ok(), "ending a client does not panic");
        }
    }

    async fn ask(&mut self) -> KafkaResult<Option<TopicId>> {
        let client = match &self.client {
            Some(client) => Arc::clone(client),
            None => Arc::clone(self.client.insert(Arc::new(connect(&self.settings)?))),
        };
        let settings = Arc::clone(&self.settings);
        let asking = tokio::task::spawn_blocking(move || {
            // Serves what the client has to say, which would pile up otherwise; a poll serves one thing.
            (0..SERVED).for_each(|_| drop(client.poll(Duration::ZERO)));
            current(&client, &settings)
        });
        asking.await.unwrap_or(Err(KafkaError::Canceled))
    }
}

/// The id that the topic has now; none if there is no such topic. It blocks.
///
/// # Errors
/// When Kafka does not say.
pub(crate) fn current(
    client: &BaseConsumer<Listener>,
    settings: &ConsumerSettings,
) -> KafkaResult<Option<TopicId>> {
    topic_id(client.client(), &settings.topic, QUESTION_TIMEOUT)
}

/// Nothing is stored while Kafka does not say: what does not pass is for somebody to mend, such as a missing right.
fn report_unknown(cause: &KafkaError, failures: u32) {
    count_error(Stage::Poll, "describe_topic");
    if failures < PATIENCE {
        warn!(error = %cause, failures, "failed to ask for the topic's id, asking again");
    } else {
        gauge!(names::INSERT_BLOCKED).set(1.0);
        error!(error = %cause, failures, "failed to ask for the topic's id, without which nothing is stored");
    }
}

/// A client of which nothing but its connections is used.
fn connect(settings: &ConsumerSettings) -> KafkaResult<BaseConsumer<Listener>> {
    let config = reader_config(settings, "millrace-consumer-describe");
    BaseConsumer::from_config_and_context(&config, Listener)
}

#[cfg(test)]
pub(crate) mod tests;
