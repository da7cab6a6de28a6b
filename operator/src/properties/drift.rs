//! Every leaf of every child that the operator owns, overwritten or removed by hand, comes back.

use serde_json::{Value, json};

use super::{
    rest::{Order, rest},
    runner::block_on,
};
use crate::testing::World;

const WEB: &str = "pipelines/team/web";
/// Fewer leaves than this mean that children were not looked at.
const FEWEST: usize = 500;

/// A tenant and a Pipeline with every kind of child.
async fn world() -> World {
    let world = World::default();
    world.state().network_policies =
        Some(serde_json::from_value(json!({"kafkaPorts": [9092], "clickhousePorts": [8123]})).unwrap());
    world.apply(
        "
apiVersion: analytics.millrace.dev/v1alpha1
kind: AnalyticsTenant
metadata: {name: acme, namespace: team}
spec: {defaultPipeline: None}
",
    );
    world.apply(
        "
apiVersion: analytics.millrace.dev/v1alpha1
kind: Pipeline
metadata: {name: web, namespace: team}
spec:
  tenantRef: {name: acme}
  ingester:
    replicas: 3
    resources: {requests: {cpu: 250m, memory: 128Mi}, limits: {memory: 128Mi}}
    service: {type: NodePort, annotations: {example.com/a: b}}
    ingress: {hostname: events.example.com, className: nginx, tlsSecretName: tls, annotations: {example.com/a: b}}
  consumer: {replicas: 2, audit: {}}
",
    );
    rest(&world, Order::Tenants).await.unwrap();
    world
}

/// The JSON pointers of the leaves of a child.
fn leaves(child: &Value, pointer: &str, found: &mut Vec<String>) {
    let escaped = |field: &str| field.replace('~', "~0").replace('/', "~1");
    match child {
        Value::Object(fields) if !fields.is_empty() => {
            for (field, below) in fields {
                leaves(below, &format!("{pointer}/{}", escaped(field)), found);
            }
        }
        Value::Array(values) if !values.is_empty() => {
            for (index, below) in values.iter().enumerate() {
                leaves(below, &format!("{pointer}/{index}"), found);
            }
        }
        Value::Null => {}
        Value::Object(_) | Value::Array(_) | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            found.push(pointer.to_owned());
        }
    }
}

/// Another value of the same kind.
fn another(value: &Value) -> Value {
    match value {
        Value::Bool(is) => json!(!is),
        Value::Number(_) => json!(4_711),
        Value::String(_) => json!("dGhlaXJz"),
        Value::Array(_) => json!(["theirs"]),
        Value::Object(_) => json!({"theirs": "theirs"}),
        Value::Null => Value::Null,
    }
}

/// The parts of a child that are applied, but for what says whose it is: one that says otherwise is somebody else's. A
/// salt is random, so that another one takes its place.
fn wanted(world: &World, key: &str) -> Value {
    let mut child = world.object(key).unwrap();
    let fields = child.as_object_mut().unwrap();
    fields.retain(|field, _| !["apiVersion", "kind", "status"].contains(&field.as_str()));
    let metadata = fields["metadata"].as_object_mut().unwrap();
    metadata.retain(|field, _| ["labels", "annotations"].contains(&field.as_str()));
    if let Some(entries) = fields.get_mut("data").and_then(Value::as_object_mut) {
        entries.remove("salt");
    }
    child
}

#[test]
fn every_leaf_of_every_child_comes_back() {
    block_on(async {
        let world = world().await;
        let keys: Vec<String> = world.state().objects.keys().cloned().collect();
        let is_child = |key: &&String| key.contains("/team/web-");
        let (mut tried, mut stays) = (0, Vec::new());
        for key in keys.iter().filter(is_child) {
            let before = wanted(&world, key);
            let mut all = Vec::new();
            leaves(&before, "", &mut all);
            for leaf in all {
                for is_removed in [false, true] {
                    spoil(&world, key, &leaf, is_removed);
                    // What comes of it is what is looked at.
                    let _ = world.reconcile_pipeline(WEB).await;
                    tried += 1;
                    if wanted(&world, key) != before {
                        stays.push(format!("{key}{leaf} removed: {is_removed}"));
                    }
                }
            }
        }
        assert!(tried >= FEWEST, "{tried} leaves");
        assert!(stays.is_empty(), "{} of {tried} stay: {stays:#?}", stays.len());
    });
}

fn spoil(world: &World, key: &str, leaf: &str, is_removed: bool) {
    let (parent, last) = leaf.rsplit_once('/').unwrap();
    let last = last.replace("~1", "/").replace("~0", "~");
    world.edit(key, |child| {
        let parent = child.pointer_mut(parent).unwrap();
        match parent {
            Value::Object(fields) if is_removed => drop(fields.remove(&last)),
            Value::Array(values) if is_removed => drop(values.remove(last.parse().unwrap())),
            parent => {
                let value = match parent {
                    Value::Array(values) => &mut values[last.parse::<usize>().unwrap()],
                    parent => &mut parent[last.as_str()],
                };
                *value = another(value);
            }
        }
    });
}
