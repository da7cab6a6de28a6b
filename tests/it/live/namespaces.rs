//! An operator that serves some namespaces, with exactly the rights that the chart gives it.

use std::io::Write as _;
use std::time::Duration;

use crds::AnalyticsTenant;
use crds::condition::kind;
use harness::chart::{NAMESPACE, path};
use harness::installed::{Requests, audit_policy, client, flags as places, install};
use harness::kubernetes::Ground;
use harness::operator::{Operator, flags as backends};
use harness::private::PrivateClickHouse;
use harness::private_cluster::PrivateCluster;
use harness::process::free_port;
use harness::wait::{Look, until, within};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use k8s_openapi::api::rbac::v1::Role;
use kube::ResourceExt as _;
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use serde_json::{Value, json};

use super::documents::parts::{SERVE_THE_CLUSTER, TAKE_THE_RIGHTS_BACK};
use super::documents::reader::{ApiServerReader, Servers};
use super::rendered::smallest;

const TEST: Duration = Duration::from_secs(240);
const SEEN: Duration = Duration::from_secs(60);

fn watching(namespaces: &[&str]) -> Value {
    let mut values = smallest();
    values["watchNamespaces"] = json!(namespaces);
    values["rbac"] = json!({"roles": false});
    values["crds"] = json!({"install": false});
    values
}

/// Makes a namespace of this name.
async fn namespace(cluster: &PrivateCluster, name: &str) -> anyhow::Result<Ground> {
    let client = cluster.client().await?;
    let manifest = json!({"metadata": {"name": name}});
    Api::<Namespace>::all(client.clone())
        .create(&PostParams::default(), &serde_json::from_value(manifest)?)
        .await?;
    Ok(Ground { client, name: name.to_owned() })
}

/// Makes a tenant with data of its own and waits until it is served.
async fn serve(ground: &Ground, name: &str) -> anyhow::Result<()> {
    // Ids are one installation's, whatever the namespace.
    let spec = json!({"tenantId": format!("{}-{name}", ground.name), "defaultPipeline": "None"});
    ground.tenant(name, spec).await?;
    ground.tenant_with(name, kind::READY, "True", SEEN).await?;
    anyhow::ensure!(ground.api::<Secret>().get_opt(&format!("{name}-api-keys")).await?.is_some());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_namespaces_of_the_chart_are_served_and_nothing_else_is_touched() -> anyhow::Result<()> {
    within(TEST, async {
        let cluster = PrivateCluster::start_audited(audit_policy()).await?;
        let [red, blue, other] = [
            namespace(&cluster, "red").await?,
            namespace(&cluster, "blue").await?,
            namespace(&cluster, "other").await?,
        ];
        install(&cluster, &watching(&["red", "blue"])).await?;
        let (clickhouse, folder) = (PrivateClickHouse::start().await?, tempfile::TempDir::new()?);
        let mut flags = backends(&format!("127.0.0.1:{}", free_port()?), &clickhouse, folder.path())?;
        flags.extend(places(&cluster).await?);
        // There is none yet, and no Role in it.
        flags.push("--watch-namespace=late".to_owned());
        let operator = Operator::start(client(&cluster).await?, &flags)?;

        other.tenant("acme", json!({"tenantId": "untouched"})).await?;
        serve(&red, "acme").await?;
        serve(&blue, "acme").await?;

        let late = namespace(&cluster, "late").await?;
        install(&cluster, &watching(&["red", "blue", "late"])).await?;
        serve(&late, "acme").await?;

        end(&cluster, "blue").await?;
        serve(&red, "second").await?;

        let untouched = other.api::<AnalyticsTenant>().get("acme").await?;
        assert!(untouched.finalizers().is_empty(), "{:?}", untouched.metadata);
        assert!(operator.is_running());
        operator.stop().await?;
        assert_stayed_in(&["red", "blue", "late", NAMESPACE], &Requests::of(&cluster).more()?);
        Ok(())
    })
    .await
}

/// Deletes the tenant of a namespace, and then the namespace, and waits until both are gone.
async fn end(cluster: &PrivateCluster, name: &str) -> anyhow::Result<()> {
    let ground = Ground { client: cluster.client().await?, name: name.to_owned() };
    ground.delete_tenant("acme", SEEN).await?;
    delete(cluster, name).await?;
    until_gone(cluster, name).await
}

async fn delete(cluster: &PrivateCluster, name: &str) -> anyhow::Result<()> {
    let namespaces = Api::<Namespace>::all(cluster.client().await?);
    namespaces.delete(name, &DeleteParams::default()).await?;
    Ok(())
}

async fn until_gone(cluster: &PrivateCluster, name: &str) -> anyhow::Result<()> {
    until(SEEN, "end of the namespace", || async {
        let found = Api::<Namespace>::all(cluster.client().await?).get_opt(name).await?;
        Ok(Look::at(found.is_none(), "it is still there"))
    })
    .await
}

/// The Role goes with the first things in the namespace, and no other can be made there. The rights of an operator
/// of the whole cluster, for as long as it takes, let the namespace end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_that_went_with_its_role_ends_once_the_operator_may_work_there() -> anyhow::Result<()> {
    within(TEST, async {
        let cluster = PrivateCluster::start().await?;
        let red = namespace(&cluster, "red").await?;
        install(&cluster, &watching(&["red"])).await?;
        let (clickhouse, folder) = (PrivateClickHouse::start().await?, tempfile::TempDir::new()?);
        let mut flags = backends(&format!("127.0.0.1:{}", free_port()?), &clickhouse, folder.path())?;
        flags.extend(places(&cluster).await?);
        let operator = Operator::start(client(&cluster).await?, &flags)?;
        serve(&red, "acme").await?;

        delete(&cluster, "red").await?;
        until(SEEN, "end of the Role", || async {
            let roles = red.api::<Role>().list(&ListParams::default()).await?.items;
            Ok(Look::at(roles.is_empty(), "it is still there"))
        })
        .await?;
        operator.stop().await?;
        let reader = ApiServerReader::make(&cluster, Servers::absent())?;
        reader.write("millrace-values.yaml", &watching(&["red"]).to_string())?;
        SERVE_THE_CLUSTER.follow(&reader).await?;
        let operator = Operator::start(client(&cluster).await?, &flags)?;
        until_gone(&cluster, "red").await?;
        operator.stop().await?;
        TAKE_THE_RIGHTS_BACK.follow(&reader).await
    })
    .await
}

/// No request was about the cluster or another namespace, refused ones included.
fn assert_stayed_in(namespaces: &[&str], log: &[Value]) {
    let place = |entry: &Value| entry["objectRef"]["namespace"].as_str().unwrap_or_default().to_owned();
    let strayed: Vec<&Value> =
        log.iter().filter(|entry| !namespaces.contains(&place(entry).as_str())).collect();
    assert!(strayed.is_empty(), "{strayed:#?}");
    assert!(log.iter().any(|entry| place(entry) == "red" && entry["verb"] == "watch"), "{}", log.len());
}

/// Gives a user everything in a namespace.
async fn own(cluster: &PrivateCluster, user: &str, namespace: &str) -> anyhow::Result<()> {
    let (user, here) = (format!("--user={user}"), format!("--namespace={namespace}"));
    let words = ["create", "rolebinding", "owner", "--clusterrole=cluster-admin", &user, &here];
    cluster.kubectl(&words).await.map(drop)
}

/// Installs a release in a namespace of its own, as this user.
async fn helm(cluster: &PrivateCluster, user: &str, release: &str, values: &Value) -> anyhow::Result<String> {
    let mut file = tempfile::NamedTempFile::with_suffix(".json")?;
    file.write_all(values.to_string().as_bytes())?;
    let (file, chart) = (file.path().display().to_string(), path()?);
    let words =
        ["install", release, &chart, "--namespace", release, "--kube-as-user", user, "--values", &file];
    cluster.helm(&words).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn owners_of_namespaces_install_the_chart_and_no_operator_gets_the_namespace_of_another()
-> anyhow::Result<()> {
    within(TEST, async {
        let cluster = PrivateCluster::start().await?;
        for name in ["red", "blue", "first", "second", "third"] {
            namespace(&cluster, name).await?;
        }
        for name in ["red", "first"] {
            own(&cluster, "ada", name).await?;
        }
        let admin = "system:admin";
        cluster
            .kubectl(&[
                "create",
                "clusterrolebinding",
                "admin",
                "--clusterrole=cluster-admin",
                "--user",
                admin,
            ])
            .await?;
        helm(&cluster, "ada", "first", &watching(&["red"])).await?;

        let taken =
            "another Millrace operator runs in this cluster, deployment first-millrace in namespace first";
        let mut everywhere = watching(&[]);
        for values in [watching(&["blue", "red"]), std::mem::take(&mut everywhere)] {
            let said = helm(&cluster, admin, "second", &values).await.map_err(|error| error.to_string());
            assert!(said.as_ref().is_err_and(|said| said.contains(taken)), "{values}: {said:?}");
        }
        helm(&cluster, admin, "second", &watching(&["blue"])).await?;

        // The first one's other bindings, in its own namespace, let it serve nothing there.
        helm(&cluster, admin, "third", &watching(&["first"])).await?;
        Ok(())
    })
    .await
}
