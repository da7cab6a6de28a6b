//! Random valid specs on a real API server, whose defaults, list merges and rules nothing in memory knows: each is
//! accepted, and one that was walked to is as one that was made at once.

use std::time::Duration;

use crds::condition::kind;
use crds::{AnalyticsTenant, Pipeline};
use harness::control_plane::ControlPlane;
use harness::kubernetes::{Ground, manifest};
use harness::private_cluster::PrivateCluster;
use harness::stand_in::StandIn;
use harness::wait::{Look, until, within};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::networking::v1::{Ingress, NetworkPolicy};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::Resource;
use kube::api::{ListParams, Patch, PatchParams};
use proptest::strategy::{Strategy, ValueTree as _};
use proptest::test_runner::{Config, RngSeed, TestRunner};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// The same as in the tests of the operator; it knows nothing but JSON.
#[path = "../../../operator/src/testing/arbitrary.rs"]
mod arbitrary;

const TEST: Duration = Duration::from_secs(240);
const SEEN: Duration = Duration::from_secs(60);
/// Specs of each kind that are offered to the API server.
const OFFERED: usize = 60;
const WALKS: usize = 3;
const STEPS: usize = 3;

/// A source of specs, the same ones each time.
fn runner() -> TestRunner {
    TestRunner::new(Config { rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..Config::default() })
}

fn draw(runner: &mut TestRunner, specs: &impl Strategy<Value = Value>) -> anyhow::Result<Value> {
    Ok(specs.new_tree(runner).map_err(|reason| anyhow::anyhow!("no spec: {reason}"))?.current())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_31_every_spec_that_keeps_the_rules_is_accepted() -> anyhow::Result<()> {
    within(TEST, async {
        let cluster = PrivateCluster::start().await?;
        let ground = cluster.ground("offered").await?;
        let (mut runner, mut before) = (runner(), None);
        let (tenants, pipelines) = (ground.api::<AnalyticsTenant>(), ground.api::<Pipeline>());
        let params = PatchParams::apply("tests").force();
        for _ in 0..OFFERED {
            let spec = draw(&mut runner, &arbitrary::tenant_spec())?;
            let tenant = manifest("AnalyticsTenant", "acme", spec);
            tenants.patch("acme", &params, &Patch::Apply(&tenant)).await?;
            let spec = draw(&mut runner, &arbitrary::pipeline_spec("acme"))?;
            let spec = match &before {
                Some(before) => arbitrary::following(before, spec),
                None => spec,
            };
            let pipeline = manifest("Pipeline", "web", spec.clone());
            pipelines.patch("web", &params, &Patch::Apply(&pipeline)).await?;
            before = Some(spec);
        }
        Ok(())
    })
    .await
}

/// Without what only tells of the way: a retention that was longer, and Secrets of one's own.
fn walkable(mut spec: Value) -> Value {
    if let Some(topic) = spec.get_mut("topic").and_then(Value::as_object_mut) {
        topic.remove("retentionHours");
    }
    if let Some(fields) = spec.as_object_mut() {
        fields.retain(|field, _| !["retention", "tier", "apiKeys"].contains(&field.as_str()));
        // An apply drops what it leaves empty, and keeps what it makes empty.
        fields.retain(|field, value| field != "deletionPolicy" || *value != json!({}));
    }
    spec
}

async fn edit(ground: &Ground, (tenant, pipeline): &(Value, Value)) -> anyhow::Result<()> {
    ground.tenant("acme", tenant.clone()).await?;
    ground.pipeline("web", pipeline.clone()).await?;
    ground.pipeline_with("web", kind::READY, "True", SEEN).await?;
    ground.tenant_with("acme", kind::READY, "True", SEEN).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spec_that_was_walked_to_is_as_one_that_was_made_at_once() -> anyhow::Result<()> {
    within(TEST, async {
        let plane = ControlPlane::shared().await?;
        let _stand_in = StandIn::start(&plane.cluster.client().await?);
        let mut runner = runner();
        for _ in 0..WALKS {
            let walked = plane.cluster.ground("walked").await?;
            let mut last: Option<(Value, Value)> = None;
            for _ in 0..STEPS {
                let tenant = walkable(draw(&mut runner, &arbitrary::tenant_spec())?);
                let pipeline = walkable(draw(&mut runner, &arbitrary::pipeline_spec("acme"))?);
                let pipeline = match &last {
                    Some((_, before)) => arbitrary::following(before, pipeline),
                    None => pipeline,
                };
                let next = (tenant, pipeline);
                edit(&walked, &next).await?;
                last = Some(next);
            }
            let Some(last) = last else { continue };
            let fresh = plane.cluster.ground("fresh").await?;
            edit(&fresh, &last).await?;
            until(SEEN, &format!("the same objects as of {last:?}"), || async {
                let (here, there) = (children(&walked).await?, children(&fresh).await?);
                let mut differing = Vec::new();
                differences("", &json!(here), &json!(there), &mut differing);
                Ok(Look::at(differing.is_empty(), format!("{differing:#?}")))
            })
            .await?;
        }
        Ok(())
    })
    .await
}

/// All that belongs to the Pipeline, but for Secrets, whose keys are random.
async fn children(ground: &Ground) -> anyhow::Result<Vec<Value>> {
    let mut all = all_of::<Deployment>(ground).await?;
    all.extend(all_of::<Service>(ground).await?);
    all.extend(all_of::<Ingress>(ground).await?);
    all.extend(all_of::<PodDisruptionBudget>(ground).await?);
    all.extend(all_of::<NetworkPolicy>(ground).await?);
    all.extend(all_of::<Pipeline>(ground).await?);
    Ok(all)
}

async fn all_of<K>(ground: &Ground) -> anyhow::Result<Vec<Value>>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned
        + Serialize,
{
    let found = ground.api::<K>().list(&ListParams::default()).await?.items;
    let is_webs = |object: &K| object.meta().name.as_deref().is_some_and(|name| name.starts_with("web"));
    found
        .into_iter()
        .filter(is_webs)
        .map(|object| {
            let object = serde_json::to_string(&object)?;
            // Names of databases have it too, with underscores.
            let object = object.replace(&ground.name, "NAMESPACE");
            let object = object.replace(&ground.name.replace('-', "_"), "NAMESPACE");
            let mut object: Value = serde_json::from_str(&object)?;
            plain(&mut object);
            Ok(json!({ K::kind(&()): object }))
        })
        .collect()
}

/// Where two values differ, and in what.
fn differences(at: &str, one: &Value, other: &Value, found: &mut Vec<String>) {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            for field in one.keys().chain(other.keys().filter(|field| !one.contains_key(*field))) {
                let value = |of: &serde_json::Map<_, _>| of.get(field).cloned().unwrap_or_default();
                differences(&format!("{at}.{field}"), &value(one), &value(other), found);
            }
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            for (place, (one, other)) in one.iter().zip(other).enumerate() {
                differences(&format!("{at}[{place}]"), one, other, found);
            }
        }
        (one, other) if one == other => {}
        (one, other) => found.push(format!("{at}: {one} and {other}")),
    }
}

/// Takes out what two objects of one spec may differ in: ids, versions, times, what the cluster hands out, and hashes of
/// settings with ids in them.
fn plain(value: &mut Value) {
    const DIFFERENT: [&str; 16] = [
        "uid",
        "uuid",
        "id",
        "resourceVersion",
        "generation",
        "observedGeneration",
        "creationTimestamp",
        "managedFields",
        "clusterIP",
        "clusterIPs",
        "nodePort",
        "healthCheckNodePort",
        "lastTransitionTime",
        "lastUpdateTime",
        "startedAt",
        "consumerGroup",
    ];
    match value {
        Value::Object(fields) => {
            fields
                .retain(|field, _| !DIFFERENT.contains(&field.as_str()) && !field.ends_with("settings-hash"));
            fields.values_mut().for_each(plain);
        }
        Value::Array(values) => values.iter_mut().for_each(plain),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
