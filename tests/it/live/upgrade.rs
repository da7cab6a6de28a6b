//! From the first chart to the one of now.
//!
//! The first chart is `tests/fixtures/first-chart`. It runs the images of now, since those of then are not to be had,
//! so its definitions are tested apart from its release: the operator of now writes what they do not know.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::ensure;
use crds::condition::kind;
use crds::{AnalyticsTenant, Condition, Pipeline, Reason};
use harness::chart;
use harness::kubernetes::{Ground, shown};
use harness::names::unique;
use harness::operator::{Operator, flags};
use harness::private::{PrivateClickHouse, PrivateKafka};
use harness::private_cluster::PrivateCluster;
use harness::stand_in::StandIn;
use harness::wait::{Look, until, within};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use kube::ResourceExt as _;
use kube::api::{Api, DeleteParams, PostParams};
use serde_json::json;
use tempfile::TempDir;

use super::walking_line::{onboard, send_and_find};
use crate::checkout::root;

const TEST: Duration = Duration::from_secs(420);
const READY: Duration = Duration::from_secs(180);

const FIRST_CHART: &str = "tests/fixtures/first-chart";

/// Seconds of events, in which the operator is replaced.
const LOAD: u64 = 12;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_from_the_first_chart_replaces_no_pod_and_loses_nothing() -> anyhow::Result<()> {
    let shared_operator = chart::no_operator().await?;
    let (release, namespace) = (unique("millrace"), unique("system"));
    let outcome = within(TEST, upgrade(&release, &namespace)).await;
    chart::uninstall(&release, &namespace).await?;
    shared_operator.bring_back().await?;
    outcome
}

async fn upgrade(release: &str, namespace: &str) -> anyhow::Result<()> {
    let mut values = chart::values().await?;
    // They belong to the shared release.
    values["crds"] = json!({"install": false});
    chart::make_secret(namespace).await?;
    let rights = Rights::grant(release, namespace).await?;
    let first = root().join(FIRST_CHART).display().to_string();
    chart::upgrade_to(&first, release, namespace, &values).await?;
    let ground = Ground::make("upgrade").await?;
    let site = onboard(&ground, "acme", json!({})).await?;
    let before = pods(&ground).await?;
    ensure!(before.len() == 3, "two ingesters and a consumer: {before:?}");
    rights.take_back().await?;

    let upgraded = async { chart::upgrade(release, namespace, &values).await.map(drop) };
    let (sent, upgraded) = tokio::join!(send_and_find(&site, LOAD), upgraded);
    upgraded?;
    ensure!(sent? > 0, "events were sent while the operator was replaced");
    // A change of the tenant, which the new operator has to have looked at.
    ground.tenant("acme", json!({"retention": {"days": 91}})).await?;
    ground.tenant_with("acme", kind::READY, "True", READY).await?;
    ensure!(pods(&ground).await? == before, "no pod was replaced: {:?} and {before:?}", pods(&ground).await?);
    ground.delete_tenant("acme", READY).await?;
    ground.leave().await
}

/// Each pod of the tenant `acme` with its UID.
pub(crate) async fn pods(ground: &Ground) -> anyhow::Result<BTreeMap<String, Option<String>>> {
    Ok(ground.pods("acme-default-").await?.iter().map(|pod| (pod.name_any(), pod.uid())).collect())
}

/// The rights that the images of now need beside those that the first chart grants.
struct Rights {
    role: String,
    client: kube::Client,
}

impl Rights {
    async fn grant(release: &str, namespace: &str) -> anyhow::Result<Self> {
        let (role, client) = (unique("rights"), harness::kubernetes::client().await?);
        let rules = json!([
            {"apiGroups": ["networking.k8s.io"], "resources": ["networkpolicies"], "verbs": ["get", "list", "watch"]},
            {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create", "get", "update"]},
        ]);
        let made: ClusterRole = serde_json::from_value(json!({"metadata": {"name": role}, "rules": rules}))?;
        Api::all(client.clone()).create(&PostParams::default(), &made).await?;
        let binding: ClusterRoleBinding = serde_json::from_value(json!({
            "metadata": {"name": role},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"kind": "ServiceAccount", "name": release, "namespace": namespace}],
        }))?;
        Api::all(client.clone()).create(&PostParams::default(), &binding).await?;
        Ok(Self { role, client })
    }

    async fn take_back(self) -> anyhow::Result<()> {
        let (bindings, roles): (Api<ClusterRoleBinding>, Api<ClusterRole>) =
            (Api::all(self.client.clone()), Api::all(self.client));
        bindings.delete(&self.role, &DeleteParams::default()).await?;
        roles.delete(&self.role, &DeleteParams::default()).await?;
        Ok(())
    }
}

/// What was accepted by the definitions of the first chart is brought about under those of now.
#[tokio::test]
async fn resources_of_the_first_chart_pass_the_definitions_of_now() -> anyhow::Result<()> {
    within(TEST, async {
        let (cluster, kafka, clickhouse) =
            tokio::try_join!(PrivateCluster::start(), PrivateKafka::start(), PrivateClickHouse::start())?;
        define(&cluster, FIRST_CHART).await?;
        let ground = cluster.ground("first").await?;
        settle(&ground).await?;
        ground
            .tenant(
                "acme",
                json!({"retention": {"days": 30}, "apiKeys": [{"name": "web", "scopes": ["Ingest"]}]}),
            )
            .await?;
        let wide =
            json!({"tenantRef": {"name": "acme"}, "topic": {"partitions": 2}, "consumer": {"replicas": 3}});
        ground.pipeline("wide", wide.clone()).await?;

        let folder = TempDir::new()?;
        let flags = flags(&kafka.address(), &clickhouse, folder.path())?;
        let client = cluster.client().await?;
        let _available = StandIn::start(&client);
        let too_early = Operator::start(client.clone(), &flags)?;
        says_what_is_older(&ground).await?;
        too_early.stop().await?;

        define(&cluster, "charts/millrace").await?;
        let operator = Operator::start(client, &flags)?;
        ground.tenant_with("acme", kind::READY, "True", READY).await?;
        ground.pipeline_with("wide", kind::READY, "True", READY).await?;

        let annotate = ["annotate", "apl/wide", "example.com/edited=elsewhere", "-n", &ground.name];
        cluster.kubectl(&annotate).await?;
        let mut wider = wide.clone();
        wider["consumer"]["replicas"] = json!(4);
        let refused = ground.pipeline("wide", wider).await.map(drop).map_err(|error| error.to_string());
        ensure!(refused.as_ref().is_err_and(|said| said.contains("topic.partitions")), "{refused:?}");
        let mut narrow = wide;
        narrow["consumer"]["replicas"] = json!(2);
        ground.pipeline("wide", narrow).await?;
        ground.pipeline_with("wide", kind::READY, "True", READY).await?;
        operator.stop().await
    })
    .await
}

/// Waits until both resources say that their definitions are older than the operator.
async fn says_what_is_older(ground: &Ground) -> anyhow::Result<()> {
    let says_so = |conditions: &[Condition]| {
        conditions.iter().any(|condition| {
            condition.kind == kind::READY
                && condition.reason == Reason::KubernetesRefused.as_str()
                && condition.message.contains("older than this operator")
        })
    };
    let (tenants, pipelines): (Api<AnalyticsTenant>, Api<Pipeline>) = (ground.api(), ground.api());
    until(READY, "both resources say that their definitions are older", || async {
        let of_tenant = tenants.get("acme").await?.status.unwrap_or_default().conditions;
        let of_pipeline = pipelines.get("wide").await?.status.unwrap_or_default().conditions;
        let both = says_so(&of_tenant) && says_so(&of_pipeline);
        Ok(Look::at(both, format!("{}; {}", shown(&of_tenant), shown(&of_pipeline))))
    })
    .await
}

/// Replaces both definitions by those of a chart.
async fn define(cluster: &PrivateCluster, chart: &str) -> anyhow::Result<()> {
    let folder = root().join(chart).join("files/crds").display().to_string();
    cluster.kubectl(&["apply", "--server-side", "--force-conflicts", "-f", &folder]).await.map(drop)
}

/// Waits until the API server serves the kinds as they were defined last: without the fields of now.
async fn settle(ground: &Ground) -> anyhow::Result<()> {
    let tenants: Api<AnalyticsTenant> = ground.api();
    until(READY, "the definitions of the first chart", || async {
        let probe = ground.tenant("probe", json!({"suspend": "All"})).await;
        let is_first = probe.is_err();
        if !is_first {
            tenants.delete("probe", &DeleteParams::default()).await?;
        }
        Ok(Look::at(is_first, probe.map(|tenant| tenant.spec)))
    })
    .await
}
