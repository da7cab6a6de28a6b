//! The options of the operator: flags, then environment, then defaults. Read once, here.
//!
//! Passwords come as files, so that they stand in no process list, environment or manifest.

use std::{net::SocketAddr, path::PathBuf};

use clap::{
    Args, Parser, ValueEnum,
    builder::{NonEmptyStringValueParser, PossibleValuesParser, TypedValueParser as _},
};
use k8s_openapi::api::core::v1::Toleration;
use runtime::telemetry::LogOptions;
use schema::{
    access::Policy,
    names::TopicPrefix,
    settings::{SaslMechanism, SecurityProtocol},
};

use crate::retries::RECHECK_SECONDS;

use std::collections::BTreeMap;

mod lease;
mod network_policies;
mod source_topics;

pub use lease::LeaseOptions;
pub use network_policies::{NetworkPolicies, Ports};
pub use source_topics::SourceTopics;

use crate::plans::Plans;

/// Turns AnalyticsTenant and Pipeline resources into Kafka topics, ClickHouse databases, keys and pods.
///
/// Every option is a flag or an environment variable; the flag wins.
/// The Kubernetes API is the one of the pod's service account, or of the current kubeconfig.
#[derive(Debug, Clone, Parser)]
#[command(name = "operator", max_term_width = 100)]
pub struct Options {
    /// Where metrics and probes are served.
    #[arg(long, env = "MILLRACE_LISTEN", default_value = "0.0.0.0:9090")]
    pub listen: SocketAddr,

    /// A namespace whose tenants and Pipelines are served. It may be repeated; in the environment, names are separated
    /// by commas. Without any, those of the whole cluster are.
    #[arg(
        id = "watch_namespace",
        long = "watch-namespace",
        env = "MILLRACE_WATCH_NAMESPACES",
        value_delimiter = ',',
        value_name = "NAME",
        value_parser = namespace
    )]
    pub watch_namespaces: Vec<String>,

    /// The first part of every topic; two installations on one Kafka need different ones.
    #[arg(long, env = "MILLRACE_TOPIC_PREFIX", default_value = "millrace", value_parser = TopicPrefix::parse)]
    pub topic_prefix: TopicPrefix,

    /// Seconds until every resource is looked at again although nothing tells of a change: Kafka and ClickHouse
    /// cannot be watched.
    #[arg(
        long,
        env = "MILLRACE_RECHECK_SECONDS",
        default_value_t = RECHECK_SECONDS,
        value_name = "SECONDS",
        value_parser = clap::value_parser!(u16).range(1..=3600)
    )]
    pub recheck_seconds: u16,

    /// How long each tier of tenants keeps events, as the JSON of the chart's `plans`.
    #[arg(long, env = "MILLRACE_PLANS", default_value = Plans::DEFAULT, value_name = "JSON", value_parser = Plans::parse)]
    pub plans: Plans,

    #[command(flatten)]
    pub kafka: KafkaOptions,

    #[command(flatten)]
    pub clickhouse: ClickHouseOptions,

    #[command(flatten)]
    pub data_plane: DataPlaneOptions,

    #[command(flatten)]
    pub lease: LeaseOptions,

    #[command(flatten)]
    pub log: LogOptions,
}

/// The Kafka cluster of this installation.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Kafka")]
pub struct KafkaOptions {
    /// Brokers to start from: `host:port`, separated by commas.
    #[arg(
        long = "kafka-bootstrap-servers",
        env = "MILLRACE_KAFKA_BOOTSTRAP_SERVERS",
        value_name = "HOST:PORT"
    )]
    pub bootstrap_servers: String,

    /// How connections are secured.
    #[arg(
        long = "kafka-security-protocol",
        env = "MILLRACE_KAFKA_SECURITY_PROTOCOL",
        default_value = "PLAINTEXT",
        value_parser = security_protocols()
    )]
    pub security_protocol: SecurityProtocol,

    /// How the user's password is checked. It needs a username and a password file.
    #[arg(
        long = "kafka-sasl-mechanism",
        env = "MILLRACE_KAFKA_SASL_MECHANISM",
        value_parser = sasl_mechanisms(),
        requires_all = ["sasl_username", "sasl_password_file"]
    )]
    pub sasl_mechanism: Option<SaslMechanism>,

    /// The user at Kafka.
    #[arg(long = "kafka-sasl-username", env = "MILLRACE_KAFKA_SASL_USERNAME", requires = "sasl_mechanism")]
    pub sasl_username: Option<String>,

    /// The file with the user's password; one line end after it does not belong to it.
    #[arg(
        long = "kafka-sasl-password-file",
        env = "MILLRACE_KAFKA_SASL_PASSWORD_FILE",
        value_name = "FILE",
        requires = "sasl_mechanism"
    )]
    pub sasl_password_file: Option<PathBuf>,

    /// PEM file of the authority that signed the brokers' certificates. Without it, the system's.
    #[arg(long = "kafka-ca-file", env = "MILLRACE_KAFKA_CA_FILE", value_name = "FILE")]
    pub ca_file: Option<PathBuf>,

    /// The topics of other applications that Pipelines may read, as a JSON list of names, or of beginnings of names with
    /// a `*` behind. Without it, all that the user may read.
    #[arg(
        long = "source-topics",
        env = "MILLRACE_SOURCE_TOPICS",
        value_name = "JSON",
        value_parser = source_topics::parse
    )]
    pub source_topics: Option<SourceTopics>,

    /// Copies of each partition of a topic whose Pipeline does not say.
    #[arg(
        long = "kafka-replication-factor",
        env = "MILLRACE_KAFKA_REPLICATION_FACTOR",
        default_value_t = 3,
        value_parser = clap::value_parser!(i32).range(1..=7)
    )]
    pub replication_factor: i32,

    /// Copies that must have a record before it counts as written, where the Pipeline does not say.
    #[arg(
        long = "kafka-min-insync-replicas",
        env = "MILLRACE_KAFKA_MIN_INSYNC_REPLICAS",
        default_value_t = 2,
        value_parser = clap::value_parser!(i32).range(1..=7)
    )]
    pub min_insync_replicas: i32,
}

/// The ClickHouse of this installation.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "ClickHouse")]
pub struct ClickHouseOptions {
    /// ClickHouse's HTTP interface: `http://host:8123` or `https://host:8443`.
    #[arg(
        id = "clickhouse_url",
        long = "clickhouse-url",
        env = "MILLRACE_CLICKHOUSE_URL",
        value_name = "URL"
    )]
    pub url: String,

    /// The operator's user; consumers get it too, unless the operator makes users for them.
    #[arg(
        id = "clickhouse_user",
        long = "clickhouse-user",
        env = "MILLRACE_CLICKHOUSE_USER",
        default_value = "default",
        value_name = "USER"
    )]
    pub user: String,

    /// The file with the user's password; one line end after it does not belong to it. Without it, none.
    #[arg(
        id = "clickhouse_password_file",
        long = "clickhouse-password-file",
        env = "MILLRACE_CLICKHOUSE_PASSWORD_FILE",
        value_name = "FILE"
    )]
    pub password_file: Option<PathBuf>,

    /// PEM file of the authority that signed the server's certificate. Without it, the system's.
    #[arg(
        id = "clickhouse_ca_file",
        long = "clickhouse-ca-file",
        env = "MILLRACE_CLICKHOUSE_CA_FILE",
        value_name = "FILE"
    )]
    pub ca_file: Option<PathBuf>,

    /// Whether the operator makes users in ClickHouse for each tenant.
    #[arg(
        long = "clickhouse-access-management",
        env = "MILLRACE_CLICKHOUSE_ACCESS_MANAGEMENT",
        value_enum,
        default_value_t = AccessManagement::None
    )]
    pub access_management: AccessManagement,

    /// Where these users may come from and what those who read may take, as the JSON of the chart's `clickhouse.users`.
    #[arg(
        id = "clickhouse_users",
        long = "clickhouse-users",
        env = "MILLRACE_CLICKHOUSE_USERS",
        default_value = "{}",
        value_name = "JSON",
        value_parser = users
    )]
    pub users: Policy,
}

/// How users come into ClickHouse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AccessManagement {
    /// Not by the operator: consumers have its own user.
    #[value(name = "None")]
    None,
    /// By statements: each tenant has a user that writes and one that reads.
    #[value(name = "Sql")]
    Sql,
}

/// The pods of ingesters and consumers.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Ingester and consumer pods")]
pub struct DataPlaneOptions {
    /// The ingester's image.
    #[arg(long, env = "MILLRACE_INGESTER_IMAGE", value_name = "IMAGE")]
    pub ingester_image: String,

    /// The consumer's image.
    #[arg(long, env = "MILLRACE_CONSUMER_IMAGE", value_name = "IMAGE")]
    pub consumer_image: String,

    /// When images are pulled.
    #[arg(long, env = "MILLRACE_IMAGE_PULL_POLICY", value_enum, default_value_t = PullPolicy::IfNotPresent)]
    pub image_pull_policy: PullPolicy,

    /// A Secret to pull images with, by name, in the namespace of each Pipeline. It may be repeated; in the
    /// environment, names are separated by commas.
    #[arg(
        id = "image_pull_secret",
        long = "image-pull-secret",
        env = "MILLRACE_IMAGE_PULL_SECRETS",
        value_delimiter = ',',
        value_name = "NAME"
    )]
    pub image_pull_secrets: Vec<String>,

    /// The labels of the nodes to run on, as a JSON object.
    #[arg(long, env = "MILLRACE_NODE_SELECTOR", default_value = "{}", value_name = "JSON", value_parser = node_selector)]
    pub node_selector: NodeSelector,

    /// The taints to bear, as a JSON list of Kubernetes tolerations.
    #[arg(long, env = "MILLRACE_TOLERATIONS", default_value = "[]", value_name = "JSON", value_parser = tolerations)]
    pub tolerations: Tolerations,

    /// The PriorityClass of the pods. Without it, the cluster's default.
    #[arg(
        long,
        env = "MILLRACE_PRIORITY_CLASS_NAME",
        value_name = "NAME",
        value_parser = NonEmptyStringValueParser::new()
    )]
    pub priority_class_name: Option<String>,

    /// What the pods may reach, as a JSON object with `kafkaPorts`, `clickhousePorts` and, if only its pods may read
    /// metrics, `monitoringNamespace`. Without it, no NetworkPolicies are made.
    #[arg(long, env = "MILLRACE_NETWORK_POLICIES", value_name = "JSON", value_parser = network_policies::parse)]
    pub network_policies: Option<NetworkPolicies>,
}

/// Kubernetes' `imagePullPolicy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PullPolicy {
    #[value(name = "IfNotPresent")]
    IfNotPresent,
    #[value(name = "Always")]
    Always,
    #[value(name = "Never")]
    Never,
}

impl PullPolicy {
    /// The value as Kubernetes spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::IfNotPresent => "IfNotPresent",
            Self::Always => "Always",
            Self::Never => "Never",
        }
    }
}

/// The labels of the nodes to run on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NodeSelector(pub BTreeMap<String, String>);

/// The taints to bear.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Tolerations(pub Vec<Toleration>);

fn users(text: &str) -> Result<Policy, serde_json::Error> {
    serde_json::from_str(text)
}

fn node_selector(text: &str) -> Result<NodeSelector, serde_json::Error> {
    serde_json::from_str(text).map(NodeSelector)
}

fn tolerations(text: &str) -> Result<Tolerations, serde_json::Error> {
    serde_json::from_str(text).map(Tolerations)
}

/// A name as Kubernetes takes it for a namespace: a label of RFC 1123.
fn namespace(text: &str) -> Result<String, &'static str> {
    let is_alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    let has_good_ends =
        [bytes.first(), bytes.last()].iter().all(|end| end.is_some_and(|end| is_alphanumeric(*end)));
    if has_good_ends && bytes.len() <= 63 && bytes.iter().all(|byte| is_alphanumeric(*byte) || *byte == b'-')
    {
        Ok(text.to_owned())
    } else {
        Err(
            "a namespace's name has 1 to 63 characters of a-z, 0-9 and -, and begins and ends with none of the last",
        )
    }
}

const SECURITY_PROTOCOLS: [SecurityProtocol; 4] = [
    SecurityProtocol::Plaintext,
    SecurityProtocol::Ssl,
    SecurityProtocol::SaslPlaintext,
    SecurityProtocol::SaslSsl,
];

const SASL_MECHANISMS: [SaslMechanism; 3] =
    [SaslMechanism::Plain, SaslMechanism::ScramSha256, SaslMechanism::ScramSha512];

fn security_protocols() -> impl clap::builder::TypedValueParser<Value = SecurityProtocol> {
    PossibleValuesParser::new(SECURITY_PROTOCOLS.map(SecurityProtocol::as_str)).try_map(|text| {
        SECURITY_PROTOCOLS.into_iter().find(|known| known.as_str() == text).ok_or("no such protocol")
    })
}

fn sasl_mechanisms() -> impl clap::builder::TypedValueParser<Value = SaslMechanism> {
    PossibleValuesParser::new(SASL_MECHANISMS.map(SaslMechanism::as_str)).try_map(|text| {
        SASL_MECHANISMS.into_iter().find(|known| known.as_str() == text).ok_or("no such mechanism")
    })
}

#[cfg(test)]
mod tests;
