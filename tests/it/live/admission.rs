//! The admission policy that refuses the deletion of a protected tenant, on a real API server.

use std::time::Duration;

use crds::AnalyticsTenant;
use harness::installed::install;
use harness::kubernetes::Ground;
use harness::private_cluster::PrivateCluster;
use harness::wait::{until, within};
use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicy;
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

use super::rendered::smallest;

const TEST: Duration = Duration::from_secs(120);
/// The API server takes a new policy within a second or two.
const SEEN: Duration = Duration::from_secs(30);

/// Whether the API server would refuse the deletion, and what it says.
async fn refusal(ground: &Ground, name: &str) -> anyhow::Result<Option<String>> {
    let parameters = DeleteParams { dry_run: true, ..DeleteParams::default() };
    match ground.api::<AnalyticsTenant>().delete(name, &parameters).await {
        Ok(_) => Ok(None),
        Err(kube::Error::Api(answer)) if answer.code == 403 => Ok(Some(answer.message)),
        Err(error) => Err(error.into()),
    }
}

/// Tenants, their specs, and whether they are protected.
fn tenants() -> Vec<(&'static str, Value, bool)> {
    let year = json!({"days": 365});
    vec![
        ("plain", json!({}), false),
        ("said", json!({"deletionProtection": true}), true),
        ("denied", json!({"deletionProtection": false}), false),
        ("empty", json!({"deletionProtection": null}), false),
        ("free", json!({"tier": "Free"}), false),
        ("enterprise", json!({"tier": "Enterprise", "retention": year}), true),
        (
            "enterprise-empty",
            json!({"tier": "Enterprise", "retention": year, "deletionProtection": null}),
            true,
        ),
        (
            "enterprise-denied",
            json!({"tier": "Enterprise", "retention": year, "deletionProtection": false}),
            false,
        ),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_deletion_of_a_protected_tenant_is_refused_with_what_to_do() -> anyhow::Result<()> {
    within(TEST, async {
        let cluster = PrivateCluster::start().await?;
        let (served, elsewhere) = (cluster.ground("served").await?, cluster.ground("elsewhere").await?);
        for (name, spec, _) in tenants() {
            served.tenant(name, spec.clone()).await?;
            elsewhere.tenant(name, spec).await?;
        }
        let mut values = smallest();
        values["deletionProtection"] = json!({"admissionPolicy": true});
        values["watchNamespaces"] = json!([served.name]);
        install(&cluster, &values).await?;
        until(SEEN, "policy in force", || async { Ok(refusal(&served, "said").await?.into()) }).await?;

        for (name, spec, is_protected) in tenants() {
            let said = refusal(&served, name).await?;
            assert_eq!(said.is_some(), is_protected, "{name} {spec}: {said:?}");
            assert_eq!(refusal(&elsewhere, name).await?, None, "{name} is not served");
        }
        let said = refusal(&served, "said").await?.unwrap_or_default();
        let what_to_do =
            "tenant `said` is protected: set its spec.deletionProtection to false first, and delete it then";
        assert!(said.contains(what_to_do), "{said}");

        let allow = Patch::Merge(json!({"spec": {"deletionProtection": false}}));
        served.api::<AnalyticsTenant>().patch("said", &PatchParams::default(), &allow).await?;
        assert_eq!(refusal(&served, "said").await?, None);
        assert_types_fit(&cluster).await
    })
    .await
}

/// The API server checks the expressions against the definition a moment after it took them.
async fn assert_types_fit(cluster: &PrivateCluster) -> anyhow::Result<()> {
    let policies: Api<ValidatingAdmissionPolicy> = Api::all(cluster.client().await?);
    let name = "millrace-system-millrace-deletion-protection";
    let status = policies.get(name).await?.status.unwrap_or_default();
    let warnings = status.type_checking.and_then(|checked| checked.expression_warnings).unwrap_or_default();
    assert!(warnings.is_empty(), "{warnings:?}");
    Ok(())
}
