//! The life of a tenant with its pipelines, step by step, each of which is done when the operator has brought it about.

use std::collections::BTreeMap;

use anyhow::ensure;
use crds::condition::kind;
use crds::{AnalyticsTenant, Condition, Pipeline};
use harness::kubernetes::{Ground, shown};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams};
use schema::api_key::{ENTROPY_BYTES, KeyKind, generate};
use serde_json::{Value, json};

/// What is done in a namespace. They follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// A tenant with a managed Pipeline and a key brought along.
    Tenant,
    /// A Pipeline with an Ingress and disruption budgets.
    Pipeline,
    /// The same without them.
    Smaller,
    Pause,
    Stop,
    Go,
    StopAgain,
    /// The tenant wants no managed Pipeline any longer.
    Unmanaged,
    /// The operator makes no NetworkPolicies any longer, which is no step of the namespace's own.
    Open,
    DeletePipeline,
    DeleteTenant,
    Done,
}

impl Step {
    pub(super) fn next(self) -> Self {
        match self {
            Self::Tenant => Self::Pipeline,
            Self::Pipeline => Self::Smaller,
            Self::Smaller => Self::Pause,
            Self::Pause => Self::Stop,
            Self::Stop => Self::Go,
            Self::Go => Self::StopAgain,
            Self::StopAgain => Self::Unmanaged,
            Self::Unmanaged => Self::Open,
            Self::Open => Self::DeletePipeline,
            Self::DeletePipeline => Self::DeleteTenant,
            Self::DeleteTenant | Self::Done => Self::Done,
        }
    }

    /// What a user does.
    pub(super) async fn begin(self, ground: &Ground) -> anyhow::Result<()> {
        match self {
            Self::Tenant => {
                ground.apply::<Secret>("own", &brought_key()).await?;
                ground.tenant("acme", tenant(&ground.name, "Managed")).await.map(drop)
            }
            Self::Pipeline => {
                let ingress = json!({"hostname": "events.example.com"});
                let mut spec = pipeline("Running");
                spec["ingester"] = json!({"replicas": 2, "ingress": ingress});
                spec["consumer"] = json!({"replicas": 2});
                ground.pipeline("app", spec).await.map(drop)
            }
            Self::Smaller | Self::Go => ground.pipeline("app", pipeline("Running")).await.map(drop),
            Self::Pause => ground.pipeline("app", pipeline("Paused")).await.map(drop),
            Self::Stop | Self::StopAgain => ground.pipeline("app", pipeline("Stopped")).await.map(drop),
            Self::Open | Self::Done => Ok(()),
            Self::Unmanaged => ground.tenant("acme", tenant(&ground.name, "None")).await.map(drop),
            Self::DeletePipeline => {
                ground.api::<Pipeline>().delete("app", &DeleteParams::default()).await?;
                Ok(())
            }
            Self::DeleteTenant => {
                ground.api::<AnalyticsTenant>().delete("acme", &DeleteParams::default()).await?;
                Ok(())
            }
        }
    }

    /// Whether the operator has done its part.
    pub(super) fn is_done(self, seen: &Seen) -> bool {
        let app = |reason: &str| seen.pipeline("app").is_some_and(|app| is_ready(app, reason));
        match self {
            Self::Tenant => seen.tenant.as_ref().is_some_and(|tenant| is_ready(tenant, "Ready")),
            Self::Pipeline | Self::Smaller | Self::Go => app("Ready"),
            Self::Pause => app("Paused"),
            Self::Stop | Self::StopAgain => app("Stopped"),
            Self::Open => seen.network_policies == 0,
            Self::Unmanaged => seen.pipeline("acme-default").is_none(),
            Self::DeletePipeline => seen.pipeline("app").is_none(),
            Self::DeleteTenant => seen.tenant.is_none(),
            Self::Done => false,
        }
    }
}

fn tenant(id: &str, default_pipeline: &str) -> Value {
    json!({
        "tenantId": id,
        "defaultPipeline": default_pipeline,
        "deletionPolicy": {"kafka": "Delete", "clickhouse": "Delete"},
        "apiKeys": [{"name": "own", "scopes": ["Ingest"], "secretRef": {"name": "own", "key": "token"}}],
    })
}

fn pipeline(state: &str) -> Value {
    json!({
        "tenantRef": {"name": "acme"},
        "state": state,
        "topic": {"partitions": 2},
        "ingester": {"replicas": 1},
        "consumer": {"replicas": 1},
        "deletionPolicy": {"kafka": "Delete"},
    })
}

fn brought_key() -> Value {
    let key = generate(KeyKind::Write, [7; ENTROPY_BYTES]).expose().to_owned();
    json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": "own", "labels": {"analytics.millrace.dev/api-key": "true"}},
        "stringData": {"token": key},
    })
}

/// A resource with conditions of a generation.
trait Conditioned: ResourceExt {
    fn conditions(&self) -> (&[Condition], Option<i64>);
}

impl Conditioned for AnalyticsTenant {
    fn conditions(&self) -> (&[Condition], Option<i64>) {
        let status = self.status.as_ref();
        (
            status.map_or(&[], |status| &status.conditions),
            status.and_then(|status| status.observed_generation),
        )
    }
}

impl Conditioned for Pipeline {
    fn conditions(&self) -> (&[Condition], Option<i64>) {
        let status = self.status.as_ref();
        (
            status.map_or(&[], |status| &status.conditions),
            status.and_then(|status| status.observed_generation),
        )
    }
}

fn is_ready(resource: &impl Conditioned, reason: &str) -> bool {
    let (conditions, observed) = resource.conditions();
    let is_meant =
        |condition: &&Condition| condition.kind == kind::READY && format!("{:?}", condition.status) == "True";
    observed == resource.meta().generation
        && conditions.iter().find(is_meant).is_some_and(|ready| ready.reason == reason)
}

/// What there is in a namespace.
#[derive(Debug, Default)]
pub(super) struct Seen {
    tenant: Option<AnalyticsTenant>,
    pipelines: Vec<Pipeline>,
    network_policies: usize,
}

impl Seen {
    fn pipeline(&self, name: &str) -> Option<&Pipeline> {
        self.pipelines.iter().find(|pipeline| pipeline.name_any() == name)
    }

    /// All conditions, for an error.
    pub(super) fn told(&self) -> String {
        let tenant = self.tenant.iter().map(|tenant| shown(tenant.conditions().0));
        let pipelines = self.pipelines.iter().map(|pipeline| shown(pipeline.conditions().0));
        tenant.chain(pipelines).collect::<Vec<_>>().join("\n")
    }
}

/// What there is in every namespace, with one list for each kind.
pub(super) async fn look(client: &kube::Client) -> anyhow::Result<BTreeMap<String, Seen>> {
    let all = ListParams::default();
    let mut seen: BTreeMap<String, Seen> = BTreeMap::new();
    for tenant in Api::<AnalyticsTenant>::all(client.clone()).list(&all).await? {
        let place = seen.entry(tenant.namespace().unwrap_or_default()).or_default();
        ensure!(place.tenant.replace(tenant).is_none(), "two tenants in one namespace");
    }
    for pipeline in Api::<Pipeline>::all(client.clone()).list(&all).await? {
        seen.entry(pipeline.namespace().unwrap_or_default()).or_default().pipelines.push(pipeline);
    }
    for policy in Api::<NetworkPolicy>::all(client.clone()).list_metadata(&all).await? {
        seen.entry(policy.namespace().unwrap_or_default()).or_default().network_policies += 1;
    }
    Ok(seen)
}
