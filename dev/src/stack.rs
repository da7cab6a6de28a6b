//! The running shared stack, as tests, demo and benchmarks use it.

use std::fmt;
use std::path::PathBuf;

use anyhow::Context;

use crate::folders::Folders;
use crate::kafka::SecuredKafka;
use crate::{artifacts, clickhouse, kafka, kubernetes};

/// How the parts of the running stack are reached.
#[derive(Clone)]
pub struct Stack {
    /// Kafka's bootstrap servers, in the clear.
    pub kafka: String,
    /// The same Kafka with TLS and SCRAM-SHA-512.
    pub secured_kafka: SecuredKafka,
    pub clickhouse_url: String,
    pub clickhouse_user: String,
    pub clickhouse_password: String,
    /// The administrator's access to the cluster.
    pub kubeconfig: PathBuf,
    pub kubectl: PathBuf,
    pub helm: PathBuf,
}

impl Stack {
    /// The stack of this user.
    ///
    /// # Errors
    /// When a part of it does not run or does not answer; the text says which, and what to do.
    pub fn running() -> anyhow::Result<Self> {
        let folders = Folders::of_this_user()?;
        Self::of(&folders).context("failed to find the local stack running; run `make up`")
    }

    fn of(folders: &Folders) -> anyhow::Result<Self> {
        kafka::status(folders).expect_healthy()?;
        clickhouse::status(folders).expect_healthy()?;
        for part in kubernetes::status(folders) {
            part.expect_healthy()?;
        }
        let user = clickhouse::user(folders)?;
        Ok(Self {
            kafka: kafka::bootstrap_servers(),
            secured_kafka: kafka::secured(folders)?,
            clickhouse_url: clickhouse::url(),
            clickhouse_user: user.name,
            clickhouse_password: user.password,
            kubeconfig: folders.state.join("kubeconfig"),
            kubectl: artifacts::kubernetes_programs(folders).join("kubectl"),
            helm: artifacts::helm(folders),
        })
    }
}

impl fmt::Debug for Stack {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("Stack");
        shown
            .field("kafka", &self.kafka)
            .field("clickhouse_url", &self.clickhouse_url)
            .finish_non_exhaustive()
    }
}
