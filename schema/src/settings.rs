//! What the operator tells the pods of a pipeline: one JSON file each for the ingester and the consumer.
//!
//! A reader ignores fields it does not know, so that an older pod survives a newer operator.

use serde::{Deserialize, Serialize};

use crate::{
    api_key::{KeyDigest, Scope},
    field_map::FieldMap,
    names::{ConsumerGroup, DatabaseName, PipelineName, TopicId, TopicName},
    secret::Secret,
    tenant_id::TenantId,
    timestamp::Timestamp,
};

/// The entry of the settings Secret that the ingester's pods mount.
pub const INGESTER_ENTRY: &str = "ingester.json";
/// The entry of the settings Secret that the consumer's pods mount.
pub const CONSUMER_ENTRY: &str = "consumer.json";
/// Where either entry lies inside a pod.
pub const MOUNTED_FILE: &str = "/etc/millrace/settings.json";

/// The settings of an ingester process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IngesterSettings {
    pub kafka: KafkaSettings,
    /// Base URL of ClickHouse's HTTP interface, whose `/ping` the health answer asks; nothing else of it is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clickhouse_url: Option<String>,
    /// PEM of the authority that signed ClickHouse's certificate; without it, the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clickhouse_ca_pem: Option<String>,
    /// Where events of a key go. One pipeline per process today; a shared ingester has several.
    pub pipelines: Vec<IngesterPipeline>,
}

/// One pipeline that an ingester serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IngesterPipeline {
    pub tenant_id: TenantId,
    pub name: PipelineName,
    pub topic: TopicName,
    /// The keys that may send to it, re-read while the process runs.
    pub keys: Vec<KeySettings>,
}

/// One key as the data plane knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeySettings {
    /// The key's name in the tenant's spec; it may be logged.
    pub name: String,
    pub sha256: KeyDigest,
    pub scopes: Vec<Scope>,
    /// From when on it is refused. Without it, as long as it stands here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

/// The settings of a consumer process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsumerSettings {
    pub tenant_id: TenantId,
    pub pipeline: PipelineName,
    pub kafka: KafkaSettings,
    pub topic: TopicName,
    /// The incarnation of the topic, stored with each row.
    pub topic_id: TopicId,
    pub dead_letter_topic: TopicName,
    pub group: ConsumerGroup,
    pub clickhouse: ClickHouseSettings,
    pub batch: BatchSettings,
    /// What a record of the topic holds.
    #[serde(default, skip_serializing_if = "RecordFormat::is_events")]
    pub format: RecordFormat,
    /// Where a group that has committed nothing begins: at the first record that Kafka dates here or later. Without
    /// it, at the earliest record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_at: Option<Timestamp>,
    /// How much of what is stored is looked up again.
    #[serde(default, skip_serializing_if = "AuditSettings::is_default")]
    pub audit: AuditSettings,
}

/// What a record of a topic holds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordFormat {
    /// Events as the ingester writes them, with its headers.
    #[default]
    Events,
    /// One JSON object of somebody else's making, without any header of ours.
    Json(Box<FieldMap>),
}

impl RecordFormat {
    fn is_events(&self) -> bool {
        match self {
            Self::Events => true,
            Self::Json(_) => false,
        }
    }
}

/// How much of what is stored is looked up again, and how often.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AuditSettings {
    /// Of a thousand stored records, those that are read again and looked up; 0 switches the audit off.
    pub share_per_mille: u32,
    /// How long one round comes after the other.
    pub interval_ms: u32,
}

impl Default for AuditSettings {
    /// One per cent, once a minute: a lookup costs less for each event the more are looked up together.
    fn default() -> Self {
        Self { share_per_mille: 10, interval_ms: 60_000 }
    }
}

impl AuditSettings {
    /// Whether there is an audit.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.share_per_mille > 0
    }

    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// When a batch is closed: by whichever bound is reached first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchSettings {
    pub max_rows: u32,
    pub max_bytes: u64,
    pub max_delay_ms: u32,
}

/// How to reach Kafka.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KafkaSettings {
    /// `host:port`, separated by commas.
    pub bootstrap_servers: String,
    #[serde(default)]
    pub security_protocol: SecurityProtocol,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sasl: Option<SaslSettings>,
    /// PEM of the authority that signed the brokers' certificates; without it, the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_pem: Option<String>,
}

/// Kafka's `security.protocol`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum SecurityProtocol {
    #[default]
    #[serde(rename = "PLAINTEXT")]
    Plaintext,
    #[serde(rename = "SSL")]
    Ssl,
    #[serde(rename = "SASL_PLAINTEXT")]
    SaslPlaintext,
    #[serde(rename = "SASL_SSL")]
    SaslSsl,
}

/// Kafka's `sasl.mechanism`, as far as a user and a password go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SaslMechanism {
    #[serde(rename = "PLAIN")]
    Plain,
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    #[serde(rename = "SCRAM-SHA-512")]
    ScramSha512,
}

/// A user of Kafka.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SaslSettings {
    pub mechanism: SaslMechanism,
    pub username: String,
    pub password: Secret,
}

/// How to reach ClickHouse's HTTP interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClickHouseSettings {
    /// `http://host:8123` or `https://host:8443`.
    pub url: String,
    pub user: String,
    pub password: Secret,
    pub database: DatabaseName,
    /// PEM of the authority that signed the server's certificate; without it, the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_pem: Option<String>,
}

impl SecurityProtocol {
    /// The value as librdkafka and the Java client spell it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plaintext => "PLAINTEXT",
            Self::Ssl => "SSL",
            Self::SaslPlaintext => "SASL_PLAINTEXT",
            Self::SaslSsl => "SASL_SSL",
        }
    }
}

impl SaslMechanism {
    /// The value as librdkafka and the Java client spell it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

impl KafkaSettings {
    /// The connection as librdkafka's properties
    /// (<https://github.com/confluentinc/librdkafka/blob/master/CONFIGURATION.md>), for every client that we make.
    #[must_use]
    pub fn properties(&self) -> Vec<(&'static str, String)> {
        let mut properties = vec![
            ("bootstrap.servers", self.bootstrap_servers.clone()),
            ("security.protocol", self.security_protocol.as_str().to_owned()),
        ];
        if let Some(sasl) = &self.sasl {
            properties.push(("sasl.mechanism", sasl.mechanism.as_str().to_owned()));
            properties.push(("sasl.username", sasl.username.clone()));
            properties.push(("sasl.password", sasl.password.expose().to_owned()));
        }
        match (&self.ca_pem, self.security_protocol) {
            (Some(ca_pem), _) => properties.push(("ssl.ca.pem", ca_pem.clone())),
            // The OpenSSL that is linked in looks for the system's authorities where it was built for.
            (None, SecurityProtocol::Ssl | SecurityProtocol::SaslSsl) => {
                properties.push(("ssl.ca.location", "probe".to_owned()));
            }
            (None, SecurityProtocol::Plaintext | SecurityProtocol::SaslPlaintext) => {}
        }
        properties
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secured_connection_becomes_librdkafka_properties() {
        let kafka = KafkaSettings {
            bootstrap_servers: "kafka:9093".to_owned(),
            security_protocol: SecurityProtocol::SaslSsl,
            sasl: Some(SaslSettings {
                mechanism: SaslMechanism::ScramSha512,
                username: "acme".to_owned(),
                password: Secret::new("pw".to_owned()),
            }),
            ca_pem: Some("PEM".to_owned()),
        };
        insta::assert_debug_snapshot!(kafka.properties());
    }

    #[test]
    fn without_an_authority_the_system_s_are_looked_for() {
        let ca_location = |security_protocol| {
            let kafka = KafkaSettings {
                bootstrap_servers: "kafka:9093".to_owned(),
                security_protocol,
                sasl: None,
                ca_pem: None,
            };
            kafka
                .properties()
                .into_iter()
                .find(|(name, _)| *name == "ssl.ca.location")
                .map(|(_, value)| value)
        };
        assert_eq!(ca_location(SecurityProtocol::Ssl).as_deref(), Some("probe"));
        assert_eq!(ca_location(SecurityProtocol::Plaintext), None);
    }

    #[test]
    fn a_key_of_an_older_operator_has_no_end() {
        let before = format!(r#"{{"name":"web","sha256":"{}","scopes":["Ingest"]}}"#, KeyDigest::of("key"));
        let key: KeySettings = serde_json::from_str(&before).unwrap();
        assert_eq!(key.expires_at, None);
        assert_eq!(serde_json::to_string(&key).unwrap(), before);
        let ending = KeySettings { expires_at: Some(Timestamp::from_millis(1_769_860_800_000)), ..key };
        let text = serde_json::to_string(&ending).unwrap();
        assert!(text.contains(r#""expires_at":"2026-01-31T12:00:00.000Z""#), "{text}");
        assert_eq!(serde_json::from_str::<KeySettings>(&text).unwrap(), ending);
    }

    /// The settings of a consumer as operators wrote them before topics of others were read.
    const BEFORE_FOREIGN_TOPICS: &str = r#"{
        "tenant_id":"acme","pipeline":"web","kafka":{"bootstrap_servers":"k:9092"},"topic":"millrace.acme.web",
        "topic_id":"00000000-0000-0000-0000-000000000007","dead_letter_topic":"millrace.acme.web.dlq","group":"g",
        "clickhouse":{"url":"http://c:8123","user":"u","password":"p","database":"t_acme"},
        "batch":{"max_rows":1,"max_bytes":1,"max_delay_ms":1}}"#;

    #[test]
    fn settings_of_an_older_operator_are_about_our_own_records_from_the_earliest() {
        let consumer: ConsumerSettings = serde_json::from_str(BEFORE_FOREIGN_TOPICS).unwrap();
        assert_eq!((&consumer.format, consumer.start_at), (&RecordFormat::Events, None));
        let written = serde_json::to_value(&consumer).unwrap();
        assert!(written.get("format").is_none() && written.get("start_at").is_none(), "{written}");
    }

    #[test]
    fn the_format_of_a_topic_of_others_round_trips() {
        let mut consumer: ConsumerSettings = serde_json::from_str(BEFORE_FOREIGN_TOPICS).unwrap();
        consumer.format = RecordFormat::Json(Box::default());
        consumer.start_at = Some(Timestamp::from_millis(1_769_860_800_000));
        let text = serde_json::to_string(&consumer).unwrap();
        assert!(text.contains(r#""format":{"json":{"event_name":"event_name","#), "{text}");
        assert!(text.contains(r#""start_at":"2026-01-31T12:00:00.000Z""#), "{text}");
        assert_eq!(serde_json::from_str::<ConsumerSettings>(&text).unwrap(), consumer);
    }

    #[test]
    fn settings_of_an_older_operator_audit_one_per_cent() {
        let consumer: ConsumerSettings = serde_json::from_str(BEFORE_FOREIGN_TOPICS).unwrap();
        assert_eq!(consumer.audit, AuditSettings { share_per_mille: 10, interval_ms: 60_000 });
        assert!(serde_json::to_value(&consumer).unwrap().get("audit").is_none());
    }

    #[test]
    fn an_audit_can_be_switched_off_alone() {
        let off: AuditSettings = serde_json::from_str(r#"{"share_per_mille":0}"#).unwrap();
        assert!(!off.is_on() && off.interval_ms == 60_000);
        let mut consumer: ConsumerSettings = serde_json::from_str(BEFORE_FOREIGN_TOPICS).unwrap();
        consumer.audit = off;
        let text = serde_json::to_string(&consumer).unwrap();
        assert_eq!(serde_json::from_str::<ConsumerSettings>(&text).unwrap(), consumer);
    }

    #[test]
    fn a_field_of_a_newer_operator_is_ignored() {
        let text = r#"{"bootstrap_servers":"k:9092","compression_of_the_future":"on"}"#;
        let kafka: KafkaSettings = serde_json::from_str(text).unwrap();
        assert_eq!(kafka.security_protocol, SecurityProtocol::Plaintext);
    }
}
