//! The private API server itself: that it is alone, and does what tests of deletions and rights rely on.

use std::net::Ipv4Addr;
use std::time::Duration;

use crds::AnalyticsTenant;
use harness::kubernetes::{Ground, manifest};
use harness::private_cluster::PrivateCluster;
use harness::stand_in::StandIn;
use harness::wait::{Look, until, within};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::ResourceExt as _;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

const TEST: Duration = Duration::from_secs(240);
/// The API server and its controllers need some tenths of a second each, and the end of a namespace several.
const DONE: Duration = Duration::from_secs(60);

const HELD: &str = "tests.millrace.dev/held";

/// Lets go of a resource that the finalizer of these tests holds.
fn free() -> Patch<Value> {
    Patch::Merge(json!({"metadata": {"finalizers": null}}))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_private_clusters_start_at_once_and_share_nothing() -> anyhow::Result<()> {
    within(TEST, async {
        let (first, second) = tokio::try_join!(PrivateCluster::start(), PrivateCluster::start())?;
        let ground = first.ground("only-here").await?;
        ground.tenant("acme", json!({})).await?;
        let elsewhere = Api::<Namespace>::all(second.client().await?);
        assert!(elsewhere.get_opt(&ground.name).await?.is_none());
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreground_deletion_waits_for_what_belongs_to_the_resource() -> anyhow::Result<()> {
    within(TEST, async {
        let cluster = PrivateCluster::start().await?;
        let ground = cluster.ground("foreground").await?;
        let tenant = ground.tenant("acme", json!({})).await?;
        let owner = json!({
            "apiVersion": "analytics.millrace.dev/v1alpha1", "kind": "AnalyticsTenant", "name": "acme",
            "uid": tenant.uid(), "controller": true, "blockOwnerDeletion": true,
        });
        let child = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "child", "ownerReferences": [owner], "finalizers": [HELD]},
        });
        ground.apply::<ConfigMap>("child", &child).await?;
        let (tenants, children) = (ground.api::<AnalyticsTenant>(), ground.api::<ConfigMap>());

        tenants.delete("acme", &DeleteParams::foreground()).await?;
        until(DONE, "deletion of the child", || async {
            let child = children.get("child").await?;
            Ok(Look::at(child.metadata.deletion_timestamp.is_some(), "nobody deleted it"))
        })
        .await?;
        let waiting = tenants.get("acme").await?;
        assert_eq!(waiting.finalizers(), ["foregroundDeletion"]);

        children.patch("child", &PatchParams::default(), &free()).await?;
        gone(&tenants, "acme").await?;
        assert!(children.get_opt("child").await?.is_none());
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_ends_when_the_last_resource_in_it_is_let_go() -> anyhow::Result<()> {
    within(TEST, async {
        let cluster = PrivateCluster::start().await?;
        let ground = cluster.ground("ending").await?;
        let mut tenant = manifest("AnalyticsTenant", "acme", json!({}));
        tenant["metadata"]["finalizers"] = json!([HELD]);
        ground.apply::<AnalyticsTenant>("acme", &tenant).await?;
        let namespaces = Api::<Namespace>::all(ground.client.clone());

        namespaces.delete(&ground.name, &DeleteParams::default()).await?;
        until(DONE, "namespace that waits for its tenant", || async {
            let status = namespaces.get(&ground.name).await?.status.unwrap_or_default();
            let waits = status.conditions.iter().flatten().any(|condition| {
                condition.type_ == "NamespaceFinalizersRemaining" && condition.status == "True"
            });
            Ok(Look::at(waits, status))
        })
        .await?;
        let tenants = ground.api::<AnalyticsTenant>();
        assert!(tenants.get("acme").await?.metadata.deletion_timestamp.is_some());

        tenants.patch("acme", &PatchParams::default(), &free()).await?;
        gone(&namespaces, &ground.name).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_may_do_what_a_role_gives_and_the_audit_log_has_it() -> anyhow::Result<()> {
    let policy = json!({
        "apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"],
        "rules": [
            {"level": "Metadata", "resources": [{"group": crds::GROUP}]},
            {"level": "None"},
        ],
    });
    within(TEST, async {
        let cluster = PrivateCluster::start_audited(policy).await?;
        let ground = cluster.ground("rights").await?;
        let ada = Ground { client: cluster.client_as("ada").await?, name: ground.name.clone() };
        let list = async || ada.api::<AnalyticsTenant>().list(&ListParams::default()).await;
        match list().await {
            Err(kube::Error::Api(answer)) => {
                assert_eq!((answer.code, answer.reason.as_str()), (403, "Forbidden"))
            }
            other => anyhow::bail!("without a role: {other:?}"),
        }

        let here = format!("--namespace={}", ground.name);
        let tenants = format!("--resource=analyticstenants.{}", crds::GROUP);
        cluster.kubectl(&["create", "role", "reader", "--verb=list", &tenants, &here]).await?;
        cluster.kubectl(&["create", "rolebinding", "reader", "--role=reader", "--user=ada", &here]).await?;
        until(DONE, "right to list", || async {
            Ok(Look::at(list().await?.items.is_empty(), "a tenant that nobody made"))
        })
        .await?;
        until(DONE, "both answers in the audit log", || async {
            let codes = answers_to("ada", &cluster.audited()?);
            Ok(Look::at(codes.contains(&403) && codes.contains(&200), codes))
        })
        .await
    })
    .await
}

/// The status codes of a user's requests to list tenants.
fn answers_to(user: &str, log: &[Value]) -> Vec<u64> {
    log.iter()
        .filter(|entry| entry["impersonatedUser"]["username"] == user && entry["verb"] == "list")
        .filter_map(|entry| entry["responseStatus"]["code"].as_u64())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deployment_is_available_when_the_stand_in_says_so_and_survives_the_api_server()
-> anyhow::Result<()> {
    let labels = json!({"app": "web"});
    let deployment = |replicas: i32| {
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {"containers": [{"name": "web", "image": "localhost/none:none"}]},
                },
            },
        })
    };
    within(TEST, async {
        let cluster = PrivateCluster::start().await?;
        let ground = cluster.ground("available").await?;
        let _stand_in = StandIn::start(&ground.client);
        let here = format!("--namespace={}", ground.name);
        let rolled_out = ["rollout", "status", "deployment/web", "--timeout=60s", here.as_str()];
        ground.apply::<k8s_openapi::api::apps::v1::Deployment>("web", &deployment(2)).await?;
        cluster.kubectl(&rolled_out).await?;

        cluster.kill().await?;
        cluster.start_again().await?;
        ground.apply::<k8s_openapi::api::apps::v1::Deployment>("web", &deployment(3)).await?;
        cluster.kubectl(&rolled_out).await?;
        assert!(ground.pods("").await?.is_empty(), "it makes no pods");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_that_is_taken_is_left_for_another_and_a_failed_start_says_why() -> anyhow::Result<()> {
    let stranger = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let port = stranger.local_addr()?.port();
    let test = within(TEST, async {
        let mut attempts = 0;
        PrivateCluster::with(move |options| {
            attempts += 1;
            if attempts == 1 {
                options.etcd_port = port;
            }
        })
        .await?;
        let Err(error) = PrivateCluster::with(move |options| options.etcd_port = port).await else {
            anyhow::bail!("two programs listen on one port");
        };
        let text = error.to_string();
        assert!(text.starts_with("failed to see `etcd` ready: it ended; last lines of"), "{text}");
        assert!(text.contains("bind: address already in use"), "{text}");
        Ok(())
    });
    tokio::select! {
        outcome = test => outcome,
        ended = answer_as_an_etcd_that_is_well(stranger) => ended,
    }
}

/// It must not be taken for the etcd that was started.
async fn answer_as_an_etcd_that_is_well(stranger: TcpListener) -> anyhow::Result<()> {
    loop {
        let (mut connection, _) = stranger.accept().await?;
        let _asked = connection.read(&mut [0; 1024]).await?;
        connection.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
    }
}

/// Waits until there is none of this name.
async fn gone<K>(resources: &Api<K>, name: &str) -> anyhow::Result<()>
where
    K: Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    until(DONE, &format!("end of `{name}`"), || async {
        Ok(Look::at(resources.get_opt(name).await?.is_none(), "it is still there"))
    })
    .await
}
