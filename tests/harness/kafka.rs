//! A Kafka client for tests: makes topics, writes any record, reads a topic from its start to its end.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use dev::kafka::SecuredKafka;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{BorrowedMessage, Header, Headers as _, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use schema::secret::Secret;
use schema::settings::{KafkaSettings, SaslMechanism, SaslSettings, SecurityProtocol};

pub mod acls;
mod admin;
pub mod metadata;
mod wire;

/// Time for one exchange with the broker; it runs on the same machine.
const EXCHANGE: Duration = Duration::from_secs(20);

/// A cluster and how it is reached.
#[derive(Debug, Clone)]
pub struct Kafka {
    pub settings: KafkaSettings,
}

/// A record as it lies in a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    pub partition: i32,
    pub offset: i64,
    pub key: Option<Vec<u8>>,
    pub headers: BTreeMap<String, String>,
    pub value: Vec<u8>,
}

impl Kafka {
    /// A cluster without encryption and users.
    #[must_use]
    pub fn plain(bootstrap_servers: &str) -> Self {
        Self {
            settings: KafkaSettings {
                bootstrap_servers: bootstrap_servers.to_owned(),
                security_protocol: SecurityProtocol::Plaintext,
                sasl: None,
                ca_pem: None,
            },
        }
    }

    /// A cluster behind TLS and a user.
    #[must_use]
    pub fn secured(secured: &SecuredKafka) -> Self {
        Self {
            settings: KafkaSettings {
                bootstrap_servers: secured.bootstrap_servers.clone(),
                security_protocol: SecurityProtocol::SaslSsl,
                sasl: Some(SaslSettings {
                    mechanism: SaslMechanism::ScramSha512,
                    username: secured.username.clone(),
                    password: Secret::new(secured.password.clone()),
                }),
                ca_pem: Some(secured.ca_pem.clone()),
            },
        }
    }

    pub(crate) fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        for (name, value) in self.settings.properties() {
            config.set(name, value);
        }
        config
    }

    /// Makes a topic with one copy of each partition.
    ///
    /// # Errors
    /// When it exists already, or the broker does not answer.
    pub async fn make_topic(&self, name: &str, partitions: i32) -> anyhow::Result<()> {
        let admin: AdminClient<DefaultClientContext> = self.config().create()?;
        let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        let options = AdminOptions::new().operation_timeout(Some(EXCHANGE)).request_timeout(Some(EXCHANGE));
        let results = admin.create_topics([&topic], &options).await?;
        for result in results {
            result.map_err(|(name, code)| anyhow::anyhow!("failed to make the topic `{name}`: {code}"))?;
        }
        Ok(())
    }

    /// Writes a record with these headers, and waits until the broker has it.
    ///
    /// # Errors
    /// When the broker does not acknowledge it.
    pub async fn write(&self, topic: &str, headers: &[(&str, &str)], value: &[u8]) -> anyhow::Result<()> {
        let config = self.config();
        let (topic, value) = (topic.to_owned(), value.to_owned());
        let headers = headers.iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
            headers.insert(Header { key, value: Some(*value) })
        });
        blocking(move || {
            let producer: BaseProducer = config.clone().set("acks", "all").create()?;
            let record = BaseRecord::<(), [u8]>::to(&topic).payload(&value).headers(headers);
            producer.send(record).map_err(|(error, _)| error)?;
            producer.flush(EXCHANGE)?;
            Ok(())
        })
        .await
    }

    /// Every record of a topic, partition by partition, up to the end it had when this began.
    ///
    /// # Errors
    /// When the topic is absent, or its end is not reached in time.
    pub async fn read(&self, topic: &str) -> anyhow::Result<Vec<Read>> {
        let mut config = self.config();
        config.set("group.id", "tests").set("enable.auto.commit", "false");
        let topic = topic.to_owned();
        blocking(move || read_to_end(&config.create()?, &topic)).await
    }

    /// What a consumer group has committed, by partition; partitions without a commit are absent.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn committed(&self, group: &str, topic: &str) -> anyhow::Result<BTreeMap<i32, i64>> {
        let mut config = self.config();
        config.set("group.id", group);
        let topic = topic.to_owned();
        blocking(move || {
            let consumer: BaseConsumer = config.create()?;
            let list = list(partitions(&consumer, &topic)?, &topic);
            let committed = consumer.committed_offsets(list, EXCHANGE)?;
            let position = |element: &rdkafka::topic_partition_list::TopicPartitionListElem<'_>| {
                element
                    .offset()
                    .to_raw()
                    .filter(|offset| *offset >= 0)
                    .map(|offset| (element.partition(), offset))
            };
            Ok(committed.elements().iter().filter_map(position).collect())
        })
        .await
    }

    /// The end of each partition.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn ends(&self, topic: &str) -> anyhow::Result<BTreeMap<i32, i64>> {
        let config = self.config();
        let topic = topic.to_owned();
        blocking(move || {
            let consumer: BaseConsumer = config.create()?;
            let ids = partitions(&consumer, &topic)?;
            ids.into_iter()
                .map(|id| Ok((id, consumer.fetch_watermarks(&topic, id, EXCHANGE)?.1)))
                .collect::<anyhow::Result<_>>()
        })
        .await
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    tokio::task::spawn_blocking(work).await.context("the Kafka client panicked")?
}

fn partitions(consumer: &BaseConsumer, topic: &str) -> anyhow::Result<Vec<i32>> {
    let metadata = consumer.fetch_metadata(Some(topic), EXCHANGE)?;
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    let ids: Vec<i32> =
        found.map(|topic| topic.partitions().iter().map(|p| p.id()).collect()).unwrap_or_default();
    ensure!(!ids.is_empty(), "there is no topic `{topic}`");
    Ok(ids)
}

fn list(ids: Vec<i32>, topic: &str) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for id in ids {
        list.add_partition(topic, id);
    }
    list
}

#[allow(clippy::disallowed_methods, reason = "bounds how long a real broker may take")]
fn read_to_end(consumer: &BaseConsumer, topic: &str) -> anyhow::Result<Vec<Read>> {
    let begin = Instant::now();
    let mut records = Vec::new();
    for id in partitions(consumer, topic)? {
        let (mut next, end) = consumer.fetch_watermarks(topic, id, EXCHANGE)?;
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, id, Offset::Offset(next))?;
        consumer.assign(&list)?;
        while next < end {
            if begin.elapsed() > EXCHANGE {
                bail!("`{topic}` was read to {next} of {end} in partition {id} only");
            }
            let Some(message) = consumer.poll(Duration::from_millis(200)) else { continue };
            let record = read(&message?);
            next = record.offset + 1;
            records.push(record);
        }
    }
    Ok(records)
}

fn read(message: &BorrowedMessage<'_>) -> Read {
    let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
    let headers = message
        .headers()
        .map(|headers| headers.iter().map(|header| (header.key.to_owned(), text(header.value))).collect());
    Read {
        partition: message.partition(),
        offset: message.offset(),
        key: message.key().map(<[u8]>::to_vec),
        headers: headers.unwrap_or_default(),
        value: message.payload().unwrap_or_default().to_vec(),
    }
}
