use rdkafka::{mocking::MockCluster, producer::DefaultProducerContext, types::RDKafkaRespErr};

use super::*;
use crate::{
    counted::Counted,
    scripted::{ClickHouse, settings, topic},
};

/// The id that the topic has.
pub(crate) fn id_of(settings: &ConsumerSettings) -> TopicId {
    current(&connect(settings).unwrap(), settings).unwrap().unwrap()
}

/// Settings for a topic of others of these brokers.
async fn foreign(cluster: &MockCluster<'_, DefaultProducerContext>) -> ConsumerSettings {
    let server = ClickHouse::answering(&[]).await;
    let format = RecordFormat::Json(Box::default());
    ConsumerSettings { format, ..settings(&cluster.bootstrap_servers(), &server) }
}

#[tokio::test]
async fn a_topic_that_kafka_does_not_know_has_not_been_made_anew() {
    let cluster = MockCluster::new(1).unwrap();
    let mut incarnation = Incarnation::new(Arc::new(foreign(&cluster).await));
    assert_eq!(incarnation.ask().await.unwrap(), None);
    tokio::time::timeout(QUESTION_TIMEOUT, incarnation.confirm()).await.unwrap();
}

#[tokio::test]
async fn a_client_that_was_closed_is_made_again() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic(topic().as_str(), 1, 1).unwrap();
    let mut settings = foreign(&cluster).await;
    settings.topic_id = id_of(&settings);
    let mut incarnation = Incarnation::new(Arc::new(settings));
    for _ in 0..2 {
        tokio::time::timeout(QUESTION_TIMEOUT, incarnation.confirm()).await.unwrap();
        incarnation.close().await;
        assert!(incarnation.client.is_none());
    }
}

#[tokio::test]
async fn a_kafka_that_never_says_calls_somebody_and_is_asked_again() {
    let counted = Counted::default();
    let _guard = metrics::set_default_local_recorder(&counted);
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic(topic().as_str(), 1, 1).unwrap();
    let mut settings = foreign(&cluster).await;
    settings.topic_id = id_of(&settings);
    cluster
        .topic_error(topic().as_str(), RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED)
        .unwrap();
    let mut incarnation = Incarnation::new(Arc::new(settings));
    let mut confirming = Box::pin(incarnation.confirm());
    while counted.gauge(names::INSERT_BLOCKED) != 1.0 {
        assert!(tokio::time::timeout(Duration::from_millis(100), &mut confirming).await.is_err());
        assert!(counted.counter(names::PIPELINE_ERRORS) <= u64::from(PATIENCE));
    }
    assert_eq!(counted.counter(names::PIPELINE_ERRORS), u64::from(PATIENCE));
    cluster.topic_error(topic().as_str(), RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR).unwrap();
    tokio::time::timeout(Duration::from_secs(20), confirming).await.unwrap();
    assert_eq!(counted.gauge(names::INSERT_BLOCKED), 0.0);
}
