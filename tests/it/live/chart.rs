//! The chart: linted, rendered, checked by the API server, installed, upgraded to itself.

use std::io::Write as _;
use std::time::Duration;

use harness::chart::{self, NAMESPACE, RELEASE};
use harness::kubernetes::{helm, kubectl};
use harness::names::unique;
use harness::wait::within;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams};
use serde_json::{Value, json};

const TEST: Duration = Duration::from_secs(300);

#[tokio::test]
async fn helm_finds_nothing_to_say_about_the_chart() -> anyhow::Result<()> {
    within(TEST, async {
        let mut file = tempfile::NamedTempFile::with_suffix(".json")?;
        file.write_all(chart::values().await?.to_string().as_bytes())?;
        let values = file.path().display().to_string();
        let said = helm(&["lint", "--strict", "--values", &values, &chart::path()?]).await?;
        assert!(said.contains("1 chart(s) linted, 0 chart(s) failed"), "{said}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn the_rendered_chart_passes_a_strict_server_side_dry_run() -> anyhow::Result<()> {
    let _operator = chart::operator().await?;
    within(TEST, async {
        let mut file = tempfile::NamedTempFile::with_suffix(".yaml")?;
        file.write_all(chart::template(NAMESPACE, &chart::values().await?).await?.as_bytes())?;
        let path = file.path().display().to_string();
        let said = kubectl(&["apply", "--dry-run=server", "--validate=strict", "-f", &path]).await?;
        for kind in ["deployment.apps", "serviceaccount", "clusterrole.rbac", "customresourcedefinition"] {
            assert!(said.contains(kind), "{said}");
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn values_that_cannot_work_are_refused_with_a_reason() -> anyhow::Result<()> {
    within(TEST, async {
        let cases = [
            ("/clickhouse/allowSharedCredentials", json!(false), "allowSharedCredentials"),
            ("/clickhouse/url", json!(""), "url"),
            ("/kafka/bootstrapServers", json!(""), "bootstrapServers"),
            ("/kafka/replicationFactor", json!(0), "replicationFactor"),
        ];
        let good = chart::values().await?;
        chart::template(NAMESPACE, &good).await?;
        for (pointer, value, expected) in cases {
            let mut values = good.clone();
            if let Some(place) = values.pointer_mut(pointer) {
                *place = value;
            }
            let refused =
                chart::template(NAMESPACE, &values).await.map(drop).map_err(|error| error.to_string());
            assert!(refused.as_ref().is_err_and(|said| said.contains(expected)), "{pointer}: {refused:?}");
        }
        let mut unknown = good;
        unknown["kafka"]["bootstrapServer"] = json!("a typo");
        assert!(chart::template(NAMESPACE, &unknown).await.is_err(), "a value that nobody reads is refused");
        Ok(())
    })
    .await
}

/// The shared release runs, and stays the only one.
#[tokio::test]
async fn a_second_release_beside_a_running_operator_is_refused() -> anyhow::Result<()> {
    let _operator = chart::operator().await?;
    let (release, namespace) = (unique("release"), unique("system"));
    let refused = within(TEST, async {
        let mut values = chart::values().await?;
        values["crds"] = json!({"install": false});
        chart::upgrade(&release, &namespace, &values).await
    })
    .await;
    // It may have been taken, and would work beside the shared one.
    chart::uninstall(&release, &namespace).await?;
    let said = refused.map_err(|error| format!("{error:#}"));
    let names_the_other = |said: &String| said.contains(NAMESPACE) && said.contains("another Millrace");
    assert!(said.as_ref().is_err_and(names_the_other), "{said:?}");
    Ok(())
}

#[tokio::test]
async fn an_upgrade_to_the_same_values_changes_nothing() -> anyhow::Result<()> {
    let _operator = chart::operator().await?;
    within(TEST, async {
        let client = harness::kubernetes::client().await?;
        let deployments: Api<Deployment> = Api::namespaced(client.clone(), NAMESPACE);
        let before = deployments.get(RELEASE).await?.metadata.generation;
        chart::upgrade(RELEASE, NAMESPACE, &chart::values().await?).await?;
        assert_eq!(deployments.get(RELEASE).await?.metadata.generation, before);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn the_operator_is_restricted_and_its_pod_never_restarted() -> anyhow::Result<()> {
    let _operator = chart::operator().await?;
    within(TEST, async {
        let client = harness::kubernetes::client().await?;
        let label = ListParams::default().labels("app.kubernetes.io/component=operator");
        let pods = Api::<Pod>::namespaced(client, NAMESPACE).list(&label).await?.items;
        assert_eq!(pods.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()).count(), 1);
        for pod in &pods {
            crate::live::walking_line::assert_restricted(pod);
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn the_definitions_outlive_the_release() -> anyhow::Result<()> {
    within(TEST, async {
        let rendered = chart::template(NAMESPACE, &chart::values().await?).await?;
        let definitions: Vec<&str> =
            rendered.split("\n---").filter(|text| text.contains("kind: CustomResourceDefinition")).collect();
        assert_eq!(definitions.len(), 2);
        for definition in definitions {
            assert!(definition.contains("helm.sh/resource-policy: keep"), "{definition}");
        }
        let mut without: Value = chart::values().await?;
        without["crds"] = json!({"install": false});
        assert!(!chart::template(NAMESPACE, &without).await?.contains("kind: CustomResourceDefinition"));
        Ok(())
    })
    .await
}
