//! An operator with everything it works on, all private: API server, Kafka and ClickHouse.
//!
//! The tests of one process that run at the same time share one, each in a namespace of its own. The operator has a
//! runtime of its own, since a test's ends with the test, and a user of its own, so that the audit log tells what it
//! did. No pods are made: a test whose Deployments should become available starts a [`crate::stand_in::StandIn`].

use std::sync::{Arc, Weak};

use anyhow::Context as _;
use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use kube::Client;
use kube::api::{Api, PostParams};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::Mutex;

use crate::kubernetes::Ground;
use crate::operator::{Operator, flags};
use crate::private::{PrivateClickHouse, PrivateKafka};
use crate::private_cluster::PrivateCluster;

/// The user that the operator works as.
const USER: &str = "operator";

static SHARED: Mutex<Weak<ControlPlane>> = Mutex::const_new(Weak::new());

/// It ends with the last of those who hold it.
#[derive(Debug)]
pub struct ControlPlane {
    operator: Option<Operator>,
    runtime: Option<Runtime>,
    pub cluster: PrivateCluster,
    pub kafka: PrivateKafka,
    pub clickhouse: PrivateClickHouse,
    _folder: TempDir,
}

impl ControlPlane {
    /// The one of this process, started if there is none.
    ///
    /// # Errors
    /// When a part does not become ready.
    pub async fn shared() -> anyhow::Result<Arc<Self>> {
        let mut shared = SHARED.lock().await;
        if let Some(running) = shared.upgrade() {
            return Ok(running);
        }
        let started = Arc::new(Self::start().await?);
        *shared = Arc::downgrade(&started);
        Ok(started)
    }

    async fn start() -> anyhow::Result<Self> {
        let (cluster, kafka, clickhouse) = tokio::try_join!(
            PrivateCluster::start_audited(audit_policy()),
            PrivateKafka::start(),
            PrivateClickHouse::start()
        )?;
        let bindings: Api<ClusterRoleBinding> = Api::all(cluster.client().await?);
        bindings.create(&PostParams::default(), &serde_json::from_value(administrator())?).await?;

        let folder = TempDir::new()?;
        let mut flags = flags(&kafka.address(), &clickhouse, folder.path())?;
        flags.push(r#"--network-policies={"kafkaPorts":[9092],"clickhousePorts":[8123]}"#.to_owned());
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let mut config = cluster.config().await?;
        config.auth_info.impersonate = Some(USER.to_owned());
        let operator = async move { Operator::start(Client::try_from(config)?, &flags) };
        let operator = runtime.spawn(operator).await.context("the operator panicked")??;
        Ok(Self {
            operator: Some(operator),
            runtime: Some(runtime),
            cluster,
            kafka,
            clickhouse,
            _folder: folder,
        })
    }

    /// What the operator asked of the API server in a namespace until now, as the audit log has it: every write with
    /// its body, and reads of our own kinds. An entry may come a moment after its answer.
    ///
    /// # Errors
    /// When there is no log.
    pub fn requests(&self, ground: &Ground) -> anyhow::Result<Vec<Value>> {
        let is_meant = |entry: &Value| {
            entry["impersonatedUser"]["username"] == USER && entry["objectRef"]["namespace"] == ground.name
        };
        Ok(self.cluster.audited()?.into_iter().filter(is_meant).collect())
    }

    /// As `requests`, the writes alone.
    ///
    /// # Errors
    /// As `requests`.
    pub fn writes(&self, ground: &Ground) -> anyhow::Result<Vec<Value>> {
        let is_write = |entry: &Value| entry["verb"] != "get";
        Ok(self.requests(ground)?.into_iter().filter(is_write).collect())
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        drop(self.operator.take());
        // Whoever drops this may be on another runtime, where nothing may block.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn audit_policy() -> Value {
    let writes = ["create", "update", "patch", "delete", "deletecollection"];
    json!({
        "apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"],
        "rules": [
            {"level": "Metadata", "verbs": writes, "resources": [{"group": "", "resources": ["secrets"]}]},
            {"level": "Request", "verbs": writes},
            {"level": "Metadata", "verbs": ["get"], "resources": [{"group": crds::GROUP}]},
            {"level": "None"},
        ],
    })
}

fn administrator() -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": USER},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": USER}],
    })
}
