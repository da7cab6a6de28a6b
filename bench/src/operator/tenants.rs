//! The tenants of the measurement, all in one namespace.

use anyhow::Context as _;
use crds::condition::{ConditionStatus, kind};
use crds::{AnalyticsTenant, Condition, Pipeline};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt as _};
use serde_json::{Value, json};

/// Requests at a time, as a tool that applies many files would have.
const AT_ONCE: usize = 8;

pub(super) struct Tenants {
    tenants: Api<AnalyticsTenant>,
    pipelines: Api<Pipeline>,
}

/// What one look at all of them saw.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Ready tenants.
    pub(super) tenants: u32,
    /// Ready Pipelines.
    pub(super) pipelines: u32,
    /// What one that is not ready says of itself.
    pub(super) example: String,
}

impl Tenants {
    pub(super) fn on(client: Client) -> Self {
        Self { tenants: Api::default_namespaced(client.clone()), pipelines: Api::default_namespaced(client) }
    }

    /// Makes so many tenants with every default.
    pub(super) async fn create(&self, number: u32) -> anyhow::Result<()> {
        stream::iter(1..=number)
            .map(|number| async move {
                let spec = serde_json::from_value(json!({})).context("every field has a default")?;
                let tenant = AnalyticsTenant::new(&format!("tenant-{number:04}"), spec);
                let made = self.tenants.create(&PostParams::default(), &tenant).await;
                made.map(drop).context("failed to make a tenant")
            })
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await
    }

    /// Counts the ready ones, and scales new Pipelines to no pods, as an administrator would.
    pub(super) async fn look(&self) -> anyhow::Result<Seen> {
        let pipelines = self.pipelines.list(&ListParams::default()).await?.items;
        let (idle, busy): (Vec<_>, Vec<_>) = pipelines.into_iter().partition(has_no_pods);
        stream::iter(&busy)
            .map(|pipeline| self.scale_to_zero(pipeline))
            .buffer_unordered(AT_ONCE)
            .try_collect::<()>()
            .await?;
        let tenants = self.tenants.list(&ListParams::default()).await?.items;
        let mut seen = Seen::default();
        for tenant in tenants {
            let status = tenant.status.clone().unwrap_or_default();
            let is_current = status.observed_generation == tenant.metadata.generation;
            seen.tenants += seen.count(&tenant.name_any(), is_current, &status.conditions);
        }
        for pipeline in idle {
            let status = pipeline.status.clone().unwrap_or_default();
            let is_current = status.observed_generation == pipeline.metadata.generation;
            seen.pipelines += seen.count(&pipeline.name_any(), is_current, &status.conditions);
        }
        Ok(seen)
    }

    async fn scale_to_zero(&self, pipeline: &Pipeline) -> anyhow::Result<()> {
        let none: Value = json!({"spec": {"ingester": {"replicas": 0}, "consumer": {"replicas": 0}}});
        let name = pipeline.name_any();
        let scaled = self.pipelines.patch(&name, &PatchParams::default(), &Patch::Merge(none)).await;
        scaled.map(drop).context("failed to scale a Pipeline")
    }
}

impl Seen {
    /// One for a resource that is ready, else none.
    fn count(&mut self, name: &str, is_current: bool, conditions: &[Condition]) -> u32 {
        let ready = conditions.iter().find(|condition| condition.kind == kind::READY);
        match ready.filter(|condition| is_current && condition.status == ConditionStatus::True) {
            Some(_) => 1,
            None => {
                let said = ready.map_or("nothing", |condition| condition.message.as_str());
                self.example = format!("{name} says: {said}");
                0
            }
        }
    }
}

fn has_no_pods(pipeline: &Pipeline) -> bool {
    pipeline.spec.ingester.replicas == 0 && pipeline.spec.consumer.replicas == 0
}
