//! What holds for every tenant of this installation: where Kafka and ClickHouse are, and how pods are made.

use std::path::Path;

use anyhow::Context as _;
use runtime::telemetry::LogFormat;
use schema::{
    access::Policy,
    names::{DatabaseName, TopicPrefix},
    secret::Secret,
    settings::{ClickHouseSettings, KafkaSettings, SaslSettings},
};

use crate::{
    args::{self, DataPlaneOptions, Options, SourceTopics},
    plans::Plans,
    scope::Scope,
};

/// The options with the files they name read.
#[derive(Debug, Clone)]
pub(crate) struct Installation {
    /// Where tenants and Pipelines are served.
    pub(crate) scope: Scope,
    pub(crate) topic_prefix: TopicPrefix,
    pub(crate) kafka: KafkaSettings,
    /// The topics of other applications that Pipelines may read, if not all.
    pub(crate) source_topics: Option<SourceTopics>,
    pub(crate) replication_factor: i32,
    pub(crate) min_insync_replicas: i32,
    pub(crate) clickhouse: ClickHouseAccess,
    /// How long each tier of tenants keeps events.
    pub(crate) plans: Plans,
    pub(crate) data_plane: DataPlaneOptions,
    /// Pods of the data plane write their logs as the operator does.
    pub(crate) log_format: LogFormat,
}

/// How the operator reaches ClickHouse.
#[derive(Debug, Clone)]
pub(crate) struct ClickHouseAccess {
    pub(crate) url: String,
    pub(crate) user: String,
    pub(crate) password: Secret,
    pub(crate) ca_pem: Option<String>,
    pub(crate) management: AccessManagement,
}

/// As whom consumers and people come to ClickHouse.
#[derive(Debug, Clone)]
pub(crate) enum AccessManagement {
    /// Consumers as the operator's own user, and people as nobody.
    Shared,
    /// As users of their tenant, which the operator makes.
    Sql(Policy),
}

impl ClickHouseAccess {
    /// The way of the operator's own user to a database.
    pub(crate) fn shared(&self, database: &DatabaseName) -> ClickHouseSettings {
        self.of_user(self.user.clone(), self.password.clone(), database)
    }

    /// The way of a user to a database.
    pub(crate) fn of_user(
        &self,
        user: String,
        password: Secret,
        database: &DatabaseName,
    ) -> ClickHouseSettings {
        ClickHouseSettings {
            url: self.url.clone(),
            user,
            password,
            database: database.clone(),
            ca_pem: self.ca_pem.clone(),
        }
    }
}

impl Installation {
    /// Reads the password and certificate files.
    ///
    /// # Errors
    /// When a file cannot be read, or holds no text, or there are too many namespaces.
    pub(crate) fn load(options: &Options) -> anyhow::Result<Self> {
        let (kafka, clickhouse) = (&options.kafka, &options.clickhouse);
        let sasl = match (kafka.sasl_mechanism, &kafka.sasl_username, &kafka.sasl_password_file) {
            (Some(mechanism), Some(username), Some(file)) => {
                Some(SaslSettings { mechanism, username: username.clone(), password: password(file)? })
            }
            _ => None,
        };
        Ok(Self {
            scope: Scope::of(&options.watch_namespaces)?,
            topic_prefix: options.topic_prefix.clone(),
            kafka: KafkaSettings {
                bootstrap_servers: kafka.bootstrap_servers.clone(),
                security_protocol: kafka.security_protocol,
                sasl,
                ca_pem: kafka.ca_file.as_deref().map(text).transpose()?,
            },
            source_topics: kafka.source_topics.clone(),
            replication_factor: kafka.replication_factor,
            min_insync_replicas: kafka.min_insync_replicas,
            clickhouse: ClickHouseAccess {
                url: clickhouse.url.clone(),
                user: clickhouse.user.clone(),
                password: clickhouse
                    .password_file
                    .as_deref()
                    .map_or_else(|| Ok(Secret::new(String::new())), password)?,
                ca_pem: clickhouse.ca_file.as_deref().map(text).transpose()?,
                management: match clickhouse.access_management {
                    args::AccessManagement::None => AccessManagement::Shared,
                    args::AccessManagement::Sql => AccessManagement::Sql(clickhouse.users.clone()),
                },
            },
            plans: options.plans.clone(),
            data_plane: options.data_plane.clone(),
            log_format: options.log.log_format,
        })
    }
}

fn text(file: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(file).with_context(|| format!("failed to read `{}`", file.display()))
}

/// Editors and shells put a line end after the last line; it is no part of a password.
fn password(file: &Path) -> anyhow::Result<Secret> {
    let text = text(file)?;
    let line = text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
    Ok(Secret::new(line.to_owned()))
}

#[cfg(test)]
pub(crate) mod tests {
    use clap::Parser as _;

    use super::*;

    /// An installation without secrets, for the tests of whatever needs one.
    pub(crate) fn plain() -> Installation {
        let options = Options::parse_from([
            "operator",
            "--kafka-bootstrap-servers=kafka:9092",
            "--clickhouse-url=http://clickhouse:8123",
            "--clickhouse-user=millrace",
            "--ingester-image=registry.example.com/ingester:1",
            "--consumer-image=registry.example.com/consumer:1",
        ]);
        Installation::load(&options).unwrap()
    }

    fn written(content: &str) -> Secret {
        let file = std::env::temp_dir().join(format!("millrace-{}", uuid::Uuid::new_v4()));
        std::fs::write(&file, content).unwrap();
        let read = password(&file).unwrap();
        std::fs::remove_file(&file).unwrap();
        read
    }

    #[test]
    fn one_line_end_is_no_part_of_a_password() {
        assert_eq!(written("a b \n").expose(), "a b ");
        assert_eq!(written("a\r\n").expose(), "a");
        assert_eq!(written("a\n\n").expose(), "a\n");
        assert_eq!(written("a").expose(), "a");
    }

    #[test]
    fn a_missing_password_file_is_named() {
        let failure = password(Path::new("/does/not/exist")).unwrap_err();
        assert!(failure.to_string().contains("/does/not/exist"));
    }
}
