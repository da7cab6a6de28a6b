//! What the operator works on: an API server, a Kafka and a ClickHouse on loopback that nobody else uses.

use std::fs;
use std::path::Path;

use anyhow::Context as _;
use dev::clickhouse::PrivateClickHouse;
use dev::kafka::{Aim, PrivateKafka};
use dev::kubernetes::{Controllers, PrivateApiServer};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tempfile::TempDir;

use crate::process::{Running, free_port};

/// Some thousand partitions want more than the quarter of a gibibyte of a broker that is only tried.
const HEAP_MIB: u32 = 1_024;

pub(super) struct Bed {
    kubernetes: PrivateApiServer,
    kafka: PrivateKafka,
    clickhouse: PrivateClickHouse,
    folder: TempDir,
}

impl Bed {
    pub(super) fn start() -> anyhow::Result<Self> {
        let definitions = crds::manifests::definitions()
            .iter()
            .map(serde_json::to_value)
            .collect::<Result<Vec<_>, _>>()
            .context("failed to write the definitions")?;
        Ok(Self {
            kubernetes: PrivateApiServer::start(&definitions, |options| {
                options.controllers = Controllers::Deployments;
            })?,
            kafka: PrivateKafka::with(|kafka| (kafka.heap_mib, kafka.aim) = (HEAP_MIB, Aim::Throughput))?,
            clickhouse: PrivateClickHouse::start()?,
            folder: tempfile::tempdir().context("failed to make a temporary folder")?,
        })
    }

    /// A client of the administrator.
    pub(super) async fn client(&self) -> anyhow::Result<Client> {
        let kubeconfig = Kubeconfig::read_from(self.kubernetes.kubeconfig())?;
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        // It is on this machine, whatever the environment says.
        config.proxy_url = None;
        Ok(Client::try_from(config)?)
    }

    /// The operator's process with the defaults of its options, and its port for metrics.
    pub(super) fn start_operator(&self, program: &Path) -> anyhow::Result<(Running, u16)> {
        let (port, user) = (free_port()?, self.clickhouse.user());
        let password = self.folder.path().join("password");
        fs::write(&password, &user.password).context("failed to write the password")?;
        let words = [
            format!("--listen=127.0.0.1:{port}"),
            format!("--kafka-bootstrap-servers={}", self.kafka.bootstrap_servers()),
            "--kafka-replication-factor=1".to_owned(),
            "--kafka-min-insync-replicas=1".to_owned(),
            format!("--clickhouse-url={}", self.clickhouse.url()),
            format!("--clickhouse-user={}", user.name),
            format!("--clickhouse-password-file={}", password.display()),
            "--ingester-image=localhost/none:none".to_owned(),
            "--consumer-image=localhost/none:none".to_owned(),
        ];
        let kubeconfig = self.kubernetes.kubeconfig().display().to_string();
        let environment = [("KUBECONFIG", kubeconfig.as_str()), ("NO_PROXY", "*"), ("no_proxy", "*")];
        let operator = Running::start_with(program, self.folder.path(), &words, &environment)?;
        Ok((operator, port))
    }
}
