//! The chart as one plain manifest, for clusters that are not managed with Helm.

use std::path::PathBuf;
use std::time::Duration;

use harness::chart::{self, NAMESPACE};
use harness::private_cluster::PrivateCluster;
use harness::wait::within;
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::Api;
use serde_json::json;

use super::rendered::smallest;
use crate::checkout::{root, text};

const TEST: Duration = Duration::from_secs(60);

const MANIFEST: &str = "charts/millrace.yaml";

/// What a reader has to know, and the namespace that Helm would make.
const HEAD: &str = "\
# Millrace without Helm. Generated from charts/millrace by
# `UPDATE=1 cargo test -p tests --features tests/live --test it -- live::manifest`.
#
# Before it is applied, three addresses have to be replaced: registry.example.com, kafka.example.com:9092 and
# http://clickhouse.example.com:8123. docs/operations/manifest.md has the commands.
# `kubectl delete -f` of this file deletes the definitions, and with them every tenant.
apiVersion: v1
kind: Namespace
metadata:
  name: millrace-system
";

/// Labels that are only true of what Helm installs.
const HELMS: [&str; 2] = ["app.kubernetes.io/managed-by: Helm", "helm.sh/chart: "];

/// The manifest as the chart of now makes it.
async fn generated() -> anyhow::Result<String> {
    let mut values = smallest();
    values["crds"] = json!({"keep": false});
    let rendered = chart::template(NAMESPACE, &values).await?;
    let is_kept = |line: &&str| !HELMS.iter().any(|label| line.trim_start().starts_with(label));
    Ok([HEAD.trim_end()].into_iter().chain(rendered.lines().filter(is_kept)).fold(
        String::new(),
        |mut text, line| {
            text.extend([line.trim_end(), "\n"]);
            text
        },
    ))
}

#[tokio::test]
#[allow(clippy::disallowed_methods, reason = "the environment says whether the file is written")]
async fn the_manifest_is_what_the_chart_makes() -> anyhow::Result<()> {
    within(TEST, async {
        let manifest = generated().await?;
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(root().join(MANIFEST), &manifest)?;
        }
        assert!(text(MANIFEST) == manifest, "{MANIFEST} is outdated; its first lines say how it is written");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn the_manifest_can_be_applied_and_applied_again() -> anyhow::Result<()> {
    within(TEST, async {
        let cluster = PrivateCluster::start().await?;
        let path: PathBuf = root().join(MANIFEST);
        let path = path.display().to_string();
        // The definitions are there already, under another name.
        let words = ["apply", "--server-side", "--force-conflicts", "-f", &path];
        cluster.kubectl(&words).await?;
        let deployments: Api<Deployment> = Api::namespaced(cluster.client().await?, NAMESPACE);
        let first = deployments.get("millrace").await?.metadata;
        cluster.kubectl(&words).await?;
        let second = deployments.get("millrace").await?.metadata;
        assert_eq!(second.resource_version, first.resource_version);
        Ok(())
    })
    .await
}
