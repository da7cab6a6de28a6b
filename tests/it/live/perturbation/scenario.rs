//! What users do.

use crds::condition::kind;
use crds::{AnalyticsTenant, Pipeline};
use harness::kubernetes::{Ground, shown};
use harness::wait::Look;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

/// What happens in a namespace with or without the tenant `acme`.
pub(super) struct Scenario {
    pub(super) name: &'static str,
    /// The spec of the tenant that was there before, and at rest.
    given: Option<Value>,
    steps: Vec<Step>,
    end: End,
}

enum Step {
    Apply(Value),
    EditTenant(Value),
    EditPipeline(Value),
    Delete,
}

/// Where a scenario leads to.
enum End {
    Ready,
    Gone,
}

const TENANT: &str = "acme";
const PIPELINE: &str = "acme-default";

pub(super) fn all() -> Vec<Scenario> {
    let fleeting = json!({"deletionPolicy": {"kafka": "Delete", "clickhouse": "Delete"}});
    vec![
        Scenario { name: "made", given: None, steps: vec![Step::Apply(json!({}))], end: End::Ready },
        Scenario {
            name: "edited",
            given: Some(json!({})),
            steps: vec![
                Step::EditTenant(json!({
                    "retention": {"days": 100},
                    "apiKeys": [
                        {"name": "default", "scopes": ["Ingest"]}, {"name": "reports", "scopes": ["Query"]},
                    ],
                })),
                Step::EditPipeline(json!({
                    "topic": {"partitions": 12},
                    "ingester": {"replicas": 2, "ingress": {"hostname": "events.example.com"}},
                })),
            ],
            end: End::Ready,
        },
        Scenario {
            name: "stopped",
            given: Some(json!({})),
            steps: vec![Step::EditPipeline(json!({"state": "Stopped"}))],
            end: End::Ready,
        },
        Scenario { name: "kept", given: Some(json!({})), steps: vec![Step::Delete], end: End::Gone },
        Scenario { name: "deleted", given: Some(fleeting), steps: vec![Step::Delete], end: End::Gone },
    ]
}

impl Scenario {
    /// Makes what was there before, if something was.
    pub(super) async fn make_given(&self, ground: &Ground) -> anyhow::Result<bool> {
        let Some(spec) = &self.given else { return Ok(false) };
        ground.tenant(TENANT, spec.clone()).await?;
        Ok(true)
    }

    pub(super) async fn take_steps(&self, ground: &Ground) -> anyhow::Result<()> {
        let edit = |spec: &Value| Patch::Merge(json!({ "spec": spec }));
        let params = PatchParams::default();
        for step in &self.steps {
            match step {
                Step::Apply(spec) => drop(ground.tenant(TENANT, spec.clone()).await?),
                Step::EditTenant(spec) => {
                    ground.api::<AnalyticsTenant>().patch(TENANT, &params, &edit(spec)).await?;
                }
                Step::EditPipeline(spec) => {
                    ground.api::<Pipeline>().patch(PIPELINE, &params, &edit(spec)).await?;
                }
                Step::Delete => {
                    ground.api::<AnalyticsTenant>().delete(TENANT, &DeleteParams::default()).await?;
                }
            }
        }
        Ok(())
    }

    /// Whether it is where it leads to.
    pub(super) async fn look(&self, ground: &Ground) -> anyhow::Result<Look<()>> {
        match self.end {
            End::Ready => Ok(Look::at(is_ready(ground).await?, told(ground).await?)),
            End::Gone => {
                let tenant = ground.api::<AnalyticsTenant>().get_opt(TENANT).await?;
                Ok(Look::at(tenant.is_none(), told(ground).await?))
            }
        }
    }
}

/// Whether both resources are Ready as their specs are now.
pub(super) async fn is_ready(ground: &Ground) -> anyhow::Result<bool> {
    let tenant = ground.api::<AnalyticsTenant>().get_opt(TENANT).await?;
    let pipeline = ground.api::<Pipeline>().get_opt(PIPELINE).await?;
    let (Some(tenant), Some(pipeline)) = (tenant, pipeline) else { return Ok(false) };
    let of_tenant = tenant.status.clone().unwrap_or_default();
    let of_pipeline = pipeline.status.clone().unwrap_or_default();
    let is_current = of_tenant.observed_generation == tenant.metadata.generation
        && of_pipeline.observed_generation == pipeline.metadata.generation;
    let has = |conditions: &[crds::condition::Condition]| {
        conditions
            .iter()
            .any(|condition| condition.kind == kind::READY && format!("{:?}", condition.status) == "True")
    };
    Ok(is_current && has(&of_tenant.conditions) && has(&of_pipeline.conditions))
}

pub(super) async fn told(ground: &Ground) -> anyhow::Result<String> {
    let tenant = ground.api::<AnalyticsTenant>().get_opt(TENANT).await?.and_then(|tenant| tenant.status);
    let pipeline = ground.api::<Pipeline>().get_opt(PIPELINE).await?.and_then(|pipeline| pipeline.status);
    let of = |conditions: Option<String>| conditions.unwrap_or_else(|| "none".to_owned());
    Ok(format!(
        "tenant: {}; pipeline: {}",
        of(tenant.map(|status| shown(&status.conditions))),
        of(pipeline.map(|status| shown(&status.conditions)))
    ))
}
