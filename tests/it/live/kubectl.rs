//! What `kubectl` shows of both resources, and what it does with them beside applying.

use std::time::Duration;

use anyhow::Context as _;
use crds::Pipeline;
use crds::condition::kind;
use harness::control_plane::ControlPlane;
use harness::kubernetes::Ground;
use harness::private_cluster::PrivateCluster;
use harness::stand_in::StandIn;
use harness::wait::{Look, until, within};
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Api, PostParams};
use serde_json::json;

const TEST: Duration = Duration::from_secs(240);
const SEEN: Duration = Duration::from_secs(60);

/// Its service account is what reads and writes the scale of a HorizontalPodAutoscaler's target.
const AUTOSCALER: &str = "system:serviceaccount:kube-system:horizontal-pod-autoscaler";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_resources_are_listed_with_what_is_asked_of_them_first() -> anyhow::Result<()> {
    within(TEST, async {
        let plane = ControlPlane::shared().await?;
        // A name that stands in the listing.
        plane.cluster.kubectl(&["create", "namespace", "team-shop"]).await?;
        let ground = Ground { client: plane.cluster.client().await?, name: "team-shop".to_owned() };
        let _stand_in = StandIn::start_in(&ground);
        let keys = json!([
            {"name": "web", "scopes": ["Ingest"]},
            {"name": "old", "scopes": ["Ingest"], "expiresAt": "2020-01-01T00:00:00Z"},
        ]);
        ground.tenant("shop", json!({"displayName": "Shop", "tier": "Free", "apiKeys": keys})).await?;
        ground.tenant("lab", json!({"defaultPipeline": "None"})).await?;
        ground.pipeline("lost", json!({"tenantRef": {"name": "nobody"}, "state": "Paused"})).await?;
        for tenant in ["shop", "lab"] {
            ground.tenant_with(tenant, kind::READY, "True", SEEN).await?;
        }
        ground.pipeline_with("lost", kind::READY, "False", SEEN).await?;
        let ours = "--field-selector=metadata.namespace=team-shop";
        let listed = plane.cluster.kubectl(&["get", "atn,apl", "-A", ours, "-o", "wide"]).await?;
        insta::assert_snapshot!(without_ages(&listed));
        Ok(())
    })
    .await
}

/// The same tables with one age in all lines, as wide as `kubectl` would make them.
fn without_ages(listed: &str) -> String {
    let tables: Vec<String> = listed.trim_end().split("\n\n").map(table_without_ages).collect();
    tables.join("\n\n")
}

fn table_without_ages(table: &str) -> String {
    let heading = table.lines().next().unwrap_or_default();
    let names: Vec<&str> = heading.split("   ").map(str::trim).filter(|name| !name.is_empty()).collect();
    let mut from = 0;
    let starts: Vec<usize> = names
        .iter()
        .map(|name| {
            let at = from + heading[from..].find(name).unwrap_or_default();
            from = at + name.len();
            at
        })
        .collect();
    let cells = |line: &str| -> Vec<String> {
        let ends = starts.iter().skip(1).copied().chain([line.len()]);
        let cells = starts.iter().zip(ends).map(|(from, to)| line.get(*from..to).unwrap_or_default().trim());
        cells.zip(&names).map(|(cell, name)| age_masked(name, cell)).collect()
    };
    let rows: Vec<Vec<String>> = table.lines().map(cells).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or_default();
    let line = |row: &Vec<String>| {
        let padded = row.iter().enumerate().map(|(column, cell)| format!("{cell:0$}   ", width(column)));
        padded.collect::<String>().trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn age_masked(column: &str, cell: &str) -> String {
    if column == "AGE" && cell != "AGE" { "1m".to_owned() } else { cell.to_owned() }
}

#[tokio::test]
async fn every_field_is_explained() -> anyhow::Result<()> {
    within(TEST, async {
        let cluster = PrivateCluster::start().await?;
        // What kubectl remembered when it made the definitions does not have them.
        let cache = tempfile::TempDir::new()?;
        let cache = format!("--cache-dir={}", cache.path().display());
        for kind in ["atn", "apl"] {
            let spec = format!("{kind}.spec");
            let names = cluster.kubectl(&["explain", &spec, "--recursive", &cache]).await?;
            insta::assert_snapshot!(format!("{kind}_names"), names);
            let words = cluster.kubectl(&["explain", &spec, &cache]).await?;
            insta::assert_snapshot!(format!("{kind}_words"), words);
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipeline_is_scaled_by_hand_and_by_an_autoscaler() -> anyhow::Result<()> {
    within(TEST, async {
        let plane = ControlPlane::shared().await?;
        let ground = plane.cluster.ground("scale").await?;
        let _stand_in = StandIn::start_in(&ground);
        ground.tenant("acme", json!({"defaultPipeline": "None"})).await?;
        ground.pipeline("web", json!({"tenantRef": {"name": "acme"}, "topic": {"partitions": 3}})).await?;
        ground.pipeline_with("web", kind::READY, "True", SEEN).await?;

        scale(&plane, &ground, 3).await?;
        wait_for_consumers(&ground, 3).await?;
        let refusal = scale(&plane, &ground, 4).await.err().context("4 consumers of 3 partitions")?;
        let rule = "consumer.replicas must not be greater than topic.partitions";
        assert!(refusal.to_string().contains(rule), "{refusal}");

        let theirs: Api<Pipeline> = Api::namespaced(plane.cluster.client_as(AUTOSCALER).await?, &ground.name);
        let mut found = theirs.get_scale("web").await?;
        let status = found.status.clone().context("a status of the scale")?;
        assert_eq!((status.replicas, found.spec.as_ref().and_then(|spec| spec.replicas)), (3, Some(3)));
        let selector = "app.kubernetes.io/instance=web,app.kubernetes.io/name=millrace-consumer";
        assert_eq!(status.selector.as_deref(), Some(selector));

        found.spec.get_or_insert_default().replicas = Some(2);
        theirs.replace_scale("web", &PostParams::default(), &found).await?;
        wait_for_consumers(&ground, 2).await?;
        let mut found = theirs.get_scale("web").await?;
        found.spec.get_or_insert_default().replicas = Some(4);
        let refusal = theirs.replace_scale("web", &PostParams::default(), &found).await;
        assert!(refusal.is_err_and(|refusal| refusal.to_string().contains(rule)));
        Ok(())
    })
    .await
}

async fn scale(plane: &ControlPlane, ground: &Ground, replicas: u32) -> anyhow::Result<()> {
    let replicas = format!("--replicas={replicas}");
    let words = ["scale", "apl/web", &replicas, "--namespace", &ground.name];
    plane.cluster.kubectl(&words).await.map(drop)
}

/// Waits until the Deployment and the status have this number.
async fn wait_for_consumers(ground: &Ground, wanted: i32) -> anyhow::Result<()> {
    let (pipelines, deployments) = (ground.api::<Pipeline>(), ground.api::<Deployment>());
    until(SEEN, &format!("{wanted} consumers"), || async {
        let spec = deployments.get("web-consumer").await?.spec.unwrap_or_default();
        let status = pipelines.get("web").await?.status.unwrap_or_default();
        let counts = [spec.replicas, status.desired_replicas, status.replicas, status.ready_replicas];
        Ok(Look::at(counts == [Some(wanted); 4], format!("{counts:?}")))
    })
    .await
}
