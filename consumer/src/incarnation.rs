//! The check before a batch of a topic of others is stored: its records are of the topic that the settings name.
//!
//! Ids of events without one are made of the topic's id and of where the record lies. When a topic is deleted and made
//! anew under a running consumer, its new records would be taken for those of the old one at the same offsets. An id of
//! a topic never comes back, so a topic that has the id of the settings after the last record of a batch was read has
//! had it for each of them.

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
};

/// A question that is not answered is given up after this time, and asked again.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(5);
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// Log lines and errors of the client that are taken before each question. It says a few a second at most.
const SERVED: usize = 100;
/// The operator looks at the topic every five minutes and replaces this process by one that reads the new topic.
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

    /// Returns when what was read until now is of the topic of the settings: at once if its records name their topic
    /// themselves, never if the topic was made anew. A topic that is gone has not been made anew.
    pub(crate) async fn confirm(&mut self) {
        if matches!(self.settings.format, RecordFormat::Events) {
            return;
        }
        let _unblock = Unblock;
        loop {
            match self.ask().await {
                Ok(None) => return,
                Ok(Some(id)) if id == self.settings.topic_id => return,
                Ok(Some(id)) => {
                    gauge!(names::INSERT_BLOCKED).set(1.0);
                    let (topic, expected) = (&self.settings.topic, self.settings.topic_id);
                    error!(
                        %topic, %expected, %id,
                        "the topic was made anew, nothing of it is stored until the operator has replaced this process"
                    );
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
                Err(cause) => {
                    count_error(Stage::Poll, "describe_topic");
                    warn!(error = %cause, "failed to ask for the topic's id, asking again");
                    tokio::time::sleep(ASK_AGAIN).await;
                }
            }
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
            topic_id(client.client(), &settings.topic, QUESTION_TIMEOUT)
        });
        asking.await.unwrap_or(Err(KafkaError::Canceled))
    }
}

/// A client of which nothing but its connections is used.
fn connect(settings: &ConsumerSettings) -> KafkaResult<BaseConsumer<Listener>> {
    let config = reader_config(settings, "millrace-consumer-describe");
    BaseConsumer::from_config_and_context(&config, Listener)
}

/// The id that the topic has.
#[cfg(test)]
pub(crate) fn current(settings: &ConsumerSettings) -> TopicId {
    let client = connect(settings).unwrap();
    topic_id(client.client(), &settings.topic, QUESTION_TIMEOUT).unwrap().unwrap()
}
