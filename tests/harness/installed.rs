//! The chart on a private API server: all that it makes, and what its operator may do there and is told to do.
//!
//! Nothing runs the operator's Deployment. A test starts the operator in its own process, as the user whom the chart's
//! roles are for.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Seek as _, SeekFrom, Write as _};
use std::path::PathBuf;

use anyhow::Context as _;
use k8s_openapi::api::apps::v1::Deployment;
use kube::Client;
use kube::api::Api;
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use crate::chart::{NAMESPACE, RELEASE, template};
use crate::private_cluster::PrivateCluster;

/// What of the operator's flags says where it works; all others are about backends, which a test has of its own.
const PLACES: [&str; 2] = ["--watch-namespace=", "--lease-name="];

/// What of the requests has to be in the audit log for [`Requests`]: all of them, without their bodies.
#[must_use]
pub fn audit_policy() -> Value {
    // A policy knows the user who speaks for another, and not the other.
    json!({
        "apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"],
        "rules": [{"level": "Metadata"}],
    })
}

/// What the operator asked of the API server, refused requests included. An entry may come a moment after its answer,
/// and that of a watch comes twice.
#[derive(Debug)]
pub struct Requests {
    log: PathBuf,
    read: u64,
}

impl Requests {
    #[must_use]
    pub fn of(cluster: &PrivateCluster) -> Self {
        Self { log: cluster.audit_log(), read: 0 }
    }

    /// Those that were added since the last call.
    ///
    /// # Errors
    /// When there is no log.
    pub fn more(&mut self) -> anyhow::Result<Vec<Value>> {
        let account = account();
        let mut log = BufReader::new(File::open(&self.log).context("no audit log")?);
        log.seek(SeekFrom::Start(self.read))?;
        let (mut line, mut more) = (String::new(), Vec::new());
        // The last line may be half a one.
        while log.read_line(&mut line)? > 0 && line.ends_with('\n') {
            self.read += u64::try_from(line.len())?;
            if line.contains(&account) {
                let entry: Value = serde_json::from_str(&line)?;
                more.extend((entry["impersonatedUser"]["username"] == account.as_str()).then_some(entry));
            }
            line.clear();
        }
        Ok(more)
    }
}

/// The user that the operator's pod has.
fn account() -> String {
    format!("system:serviceaccount:{NAMESPACE}:{RELEASE}")
}

/// Applies what the chart makes of these values. The definitions are there already.
///
/// # Errors
/// When the chart or the API server refuses.
pub async fn install(cluster: &PrivateCluster, values: &Value) -> anyhow::Result<()> {
    let mut values = values.clone();
    values["crds"] = json!({"install": false});
    let mut file = NamedTempFile::with_suffix(".yaml")?;
    file.write_all(template(NAMESPACE, &values).await?.as_bytes())?;
    let path = file.path().display().to_string();
    let namespaces = cluster.kubectl(&["get", "namespaces", "-o", "name"]).await?;
    if !namespaces.lines().any(|name| name == format!("namespace/{NAMESPACE}")) {
        cluster.kubectl(&["create", "namespace", NAMESPACE]).await?;
    }
    cluster.kubectl(&["apply", "--server-side", "-f", &path]).await.map(drop)
}

/// A client with the rights of the installed operator and no other.
///
/// # Errors
/// When the cluster's kubeconfig cannot be read.
pub async fn client(cluster: &PrivateCluster) -> anyhow::Result<Client> {
    let mut config = cluster.config().await?;
    config.auth_info.impersonate = Some(account());
    NAMESPACE.clone_into(&mut config.default_namespace);
    Ok(Client::try_from(config)?)
}

/// Where the installed operator is told to work.
///
/// # Errors
/// When the chart was not installed.
pub async fn flags(cluster: &PrivateCluster) -> anyhow::Result<Vec<String>> {
    let deployments: Api<Deployment> = Api::namespaced(cluster.client().await?, NAMESPACE);
    let pods = deployments.get(RELEASE).await?.spec.and_then(|spec| spec.template.spec);
    let containers = pods.context("a Deployment has pods")?.containers;
    let arguments = containers.into_iter().flat_map(|container| container.args.unwrap_or_default());
    Ok(arguments.filter(|flag| PLACES.iter().any(|place| flag.starts_with(place))).collect())
}
