//! A random scene: what there was before, what users asked for, how far the operator came, and what happened then.

use proptest::{collection::vec, option, prelude::*, sample::select};
use serde_json::{Value, json};

use super::{found::Found, happening::Happening, rest::Order};
use crate::testing::{
    Fault, World,
    arbitrary::{pipeline_spec, tenant_spec},
};

/// The Pipelines that users make beside the managed one.
const PIPELINES: [&str; 2] = ["web", "app"];
/// More changes than the first run of a scene ever makes.
const MOST_CHANGES: usize = 40;

/// Everything before the run whose end is looked at.
#[derive(Debug, Clone)]
pub(super) struct Scene {
    found: Vec<Found>,
    tenant: Option<Value>,
    pipelines: Vec<(&'static str, Value)>,
    before: Before,
    happened: Vec<Happening>,
}

/// How far the operator came.
#[derive(Debug, Clone, Copy)]
enum Before {
    /// It was away until now.
    Nothing,
    /// It died at this change.
    Died {
        change: usize,
        fault: Fault,
    },
    Rested,
}

pub(super) fn scene() -> impl Strategy<Value = Scene> {
    let pipelines = PIPELINES.map(|name| option::of(pipeline(name).prop_map(move |spec| (name, spec))));
    let died = (1..=MOST_CHANGES, select(vec![Fault::CrashBefore, Fault::CrashAfter]))
        .prop_map(|(change, fault)| Before::Died { change, fault });
    let before = prop_oneof![1 => Just(Before::Nothing), 3 => died, 3 => Just(Before::Rested)];
    let found = prop_oneof![1 => Just(Vec::new()), 1 => vec(Found::any(), 1..=3)];
    (found, option::weighted(0.9, tenant_spec()), pipelines, before, vec(Happening::any(), 0..=5)).prop_map(
        |(found, tenant, pipelines, before, happened)| Scene {
            found,
            tenant,
            pipelines: pipelines.into_iter().flatten().collect(),
            before,
            happened,
        },
    )
}

/// Now and then one that reads a topic of somebody else.
fn pipeline(name: &'static str) -> impl Strategy<Value = Value> {
    let is_reader = prop::bool::weighted(if name == "app" { 0.5 } else { 0.0 });
    (pipeline_spec("acme"), is_reader).prop_map(|(mut spec, is_reader)| {
        if is_reader {
            spec["source"] = json!({"kafka": {"topic": "octane.events"}});
        }
        spec
    })
}

impl Scene {
    /// The world as the operator meets it.
    pub(super) async fn set(&self, world: &World) {
        self.found.iter().for_each(|found| found.put_into(world));
        for (name, spec) in &self.pipelines {
            world.apply(&manifest("Pipeline", name, spec));
        }
        if let Some(spec) = &self.tenant {
            world.apply(&manifest("AnalyticsTenant", "acme", spec));
        }
        match self.before {
            Before::Nothing => {}
            Before::Died { change, fault } => {
                world.fail_at(change, fault);
                for _ in 0..4 {
                    world.reconcile_tenants().await;
                    world.reconcile_pipelines().await;
                }
                world.restart();
            }
            Before::Rested => drop(super::rest::rest(world, Order::Tenants).await),
        }
        self.happened.iter().for_each(|happening| happening.happens_in(world));
    }
}

pub(super) fn manifest(kind: &str, name: &str, spec: &Value) -> String {
    json!({
        "apiVersion": "analytics.millrace.dev/v1alpha1", "kind": kind,
        "metadata": {"name": name, "namespace": "team"}, "spec": spec,
    })
    .to_string()
}
