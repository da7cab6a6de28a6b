//! Several operators on one API server: one leads, and the lead passes on.

use std::net::Ipv4Addr;
use std::time::Duration;

use crds::AnalyticsTenant;
use harness::chart::{self, NAMESPACE, RELEASE};
use harness::http::Http;
use harness::kubernetes::Ground;
use harness::operator::Operator;
use harness::private_cluster::PrivateCluster;
use harness::process::free_port;
use harness::wait::{Look, until, within};
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::json;
use tokio::net::TcpListener;

use super::rendered::smallest;

const TEST: Duration = Duration::from_secs(240);
const SEEN: Duration = Duration::from_secs(60);
/// The seconds of a Lease that nobody waits for.
const LONG: u16 = 120;
/// Those of one that lapses in a test. A leader on a busy machine can still renew it.
const SHORT: u16 = 10;
/// A lead that was given back passes on at the next look, long before a long Lease lapses.
const AT_ONCE: Duration = Duration::from_secs(40);
/// The namespace of a client that has no other.
const DEFAULT: &str = "default";
const LEASE: &str = "operators";

/// An operator of the shared Lease. Kafka and ClickHouse are away, unless a flag says where.
async fn operator(
    cluster: &PrivateCluster,
    identity: &str,
    seconds: u16,
    more: &[String],
) -> anyhow::Result<Operator> {
    let mut flags = vec![
        format!("--kafka-bootstrap-servers=127.0.0.1:{}", free_port()?),
        format!("--lease-name={LEASE}"),
        format!("--lease-identity={identity}"),
        format!("--lease-seconds={seconds}"),
    ];
    if more.is_empty() {
        flags.push(format!("--clickhouse-url=http://127.0.0.1:{}", free_port()?));
    }
    flags.extend(more.iter().cloned());
    Operator::start(cluster.client().await?, &flags)
}

async fn leases(cluster: &PrivateCluster) -> anyhow::Result<Api<Lease>> {
    Ok(Api::namespaced(cluster.client().await?, DEFAULT))
}

/// Who leads, as `kubectl get lease` shows it.
async fn holder(leases: &Api<Lease>) -> anyhow::Result<Option<String>> {
    let spec = leases.get_opt(LEASE).await?.and_then(|lease| lease.spec);
    Ok(spec.and_then(|spec| spec.holder_identity))
}

async fn until_led_by(leases: &Api<Lease>, identity: &str, deadline: Duration) -> anyhow::Result<()> {
    until(deadline, "leader", || async {
        let holder = holder(leases).await?;
        Ok(Look::at(holder.as_deref() == Some(identity), holder))
    })
    .await
}

async fn until_ready(operator: &Operator) -> anyhow::Result<()> {
    let (http, url) = (Http::new(SEEN), format!("http://127.0.0.1:{}/health/ready", operator.port));
    until(SEEN, "readiness", || async {
        let answer = http.get(&url).await?;
        Ok(Look::at(answer.status.is_success(), answer.text()))
    })
    .await
}

/// Whether somebody looked at the tenant.
async fn is_looked_at(ground: &Ground) -> anyhow::Result<bool> {
    let tenant = ground.api::<AnalyticsTenant>().get("acme").await?;
    Ok(tenant.metadata.finalizers.is_some_and(|finalizers| !finalizers.is_empty()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_29_one_leads_and_another_follows_one_that_stopped_or_vanished() -> anyhow::Result<()> {
    within(TEST, async {
        let cluster = PrivateCluster::start().await?;
        let leases = leases(&cluster).await?;
        let first = operator(&cluster, "first", LONG, &[]).await?;
        until_led_by(&leases, "first", SEEN).await?;
        let second = operator(&cluster, "second", LONG, &[]).await?;
        until_ready(&second).await?;
        assert_eq!(holder(&leases).await?.as_deref(), Some("first"), "who is ready need not lead");

        first.stop().await?;
        until_led_by(&leases, "second", AT_ONCE).await?;
        until_ready(&second).await?;
        second.stop().await?;
        assert_eq!(holder(&leases).await?, None);

        let third = operator(&cluster, "third", SHORT, &[]).await?;
        until_led_by(&leases, "third", AT_ONCE).await?;
        let fourth = operator(&cluster, "fourth", SHORT, &[]).await?;
        until_ready(&fourth).await?;
        third.vanish().await;
        assert_eq!(holder(&leases).await?.as_deref(), Some("third"), "it gave nothing back");
        until_led_by(&leases, "fourth", AT_ONCE).await?;
        fourth.stop().await
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_29_a_leader_that_loses_the_lease_or_cannot_renew_it_ends_with_a_failure() -> anyhow::Result<()>
{
    within(TEST, async {
        let cluster = PrivateCluster::start().await?;
        let leases = leases(&cluster).await?;
        let first = operator(&cluster, "first", SHORT, &[]).await?;
        until_led_by(&leases, "first", SEEN).await?;
        let theirs =
            json!({"spec": {"holderIdentity": "somebody-else", "renewTime": "2026-01-01T00:00:00.000000Z"}});
        leases.patch(LEASE, &PatchParams::default(), &Patch::Merge(&theirs)).await?;
        let failure = first.ended().await.unwrap_err();
        assert!(format!("{failure:#}").contains("lease `operators` went to `somebody-else`"), "{failure:#}");

        let second = operator(&cluster, "second", SHORT, &[]).await?;
        until_led_by(&leases, "second", SEEN).await?;
        cluster.kill().await?;
        let failure = second.ended().await.unwrap_err();
        assert!(format!("{failure:#}").contains("could not be renewed for 6 s"), "{failure:#}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_29_nothing_is_looked_at_before_the_lead_is_had() -> anyhow::Result<()> {
    within(TEST, async {
        let cluster = PrivateCluster::start().await?;
        let (leases, ground) = (leases(&cluster).await?, cluster.ground("led").await?);
        ground.tenant("acme", json!({})).await?;
        let theirs = json!({
            "metadata": {"name": LEASE},
            // Its time is long past, and says nothing: it is the silence that counts.
            "spec": {"holderIdentity": "gone", "leaseDurationSeconds": 20, "renewTime": "2026-01-01T00:00:00.000000Z"},
        });
        leases.create(&PostParams::default(), &serde_json::from_value(theirs)?).await?;
        let operator = operator(&cluster, "first", LONG, &[]).await?;
        until_ready(&operator).await?;
        until_led_by(&leases, "gone", SEEN).await?;
        while holder(&leases).await?.as_deref() == Some("gone") {
            let (is_looked_at, holder) = (is_looked_at(&ground).await?, holder(&leases).await?);
            assert!(!is_looked_at || holder.as_deref() == Some("first"), "looked at while {holder:?} leads");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        until(SEEN, "look at the tenant", || async {
            Ok(Look::at(is_looked_at(&ground).await?, "nobody looked at it"))
        })
        .await?;
        operator.stop().await
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_30_the_lease_is_given_back_after_the_running_reconcile_ended() -> anyhow::Result<()> {
    within(TEST, async {
        let cluster = PrivateCluster::start().await?;
        let (leases, ground) = (leases(&cluster).await?, cluster.ground("drained").await?);
        // A ClickHouse that takes a question and does not answer before the test wants it to.
        let clickhouse = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let url = format!("--clickhouse-url=http://{}", clickhouse.local_addr()?);
        let operator = operator(&cluster, "first", LONG, &[url]).await?;
        ground.tenant("acme", json!({"defaultPipeline": "None"})).await?;
        let (question, _) = tokio::time::timeout(SEEN, clickhouse.accept()).await??;

        operator.ask_to_stop();
        let second = self::operator(&cluster, "second", LONG, &[]).await?;
        until_ready(&second).await?;
        assert!(operator.is_running(), "its reconcile waits for an answer");
        assert_eq!(holder(&leases).await?.as_deref(), Some("first"));

        drop((question, clickhouse));
        operator.ended().await?;
        until_led_by(&leases, "second", AT_ONCE).await?;
        second.stop().await
    })
    .await
}

/// The operator of the chart, as its service account, with the name of the Lease that its Deployment says.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_chart_lets_its_operator_hold_its_lease_and_no_other() -> anyhow::Result<()> {
    within(TEST, async {
        let cluster = PrivateCluster::start().await?;
        let rendered = chart::template(NAMESPACE, &smallest()).await?;
        let name = rendered.split("--lease-name=").nth(1).and_then(|rest| rest.split('"').next());
        let name = name.expect("the Deployment names the Lease").to_owned();
        let folder = tempfile::TempDir::new()?;
        let path = folder.path().join("chart.yaml");
        std::fs::write(&path, rendered)?;
        cluster.kubectl(&["create", "namespace", NAMESPACE]).await?;
        let path = path.display().to_string();
        cluster.kubectl(&["apply", "--server-side", "--force-conflicts", "-f", &path]).await?;

        let mut config = cluster.config().await?;
        config.default_namespace = NAMESPACE.to_owned();
        config.auth_info.impersonate = Some(format!("system:serviceaccount:{NAMESPACE}:{RELEASE}"));
        let client = kube::Client::try_from(config)?;
        let flags = [
            format!("--kafka-bootstrap-servers=127.0.0.1:{}", free_port()?),
            format!("--clickhouse-url=http://127.0.0.1:{}", free_port()?),
            format!("--lease-name={name}"),
            "--lease-identity=chart".to_owned(),
        ];
        let operator = Operator::start(client.clone(), &flags)?;
        let all: Api<Lease> = Api::namespaced(cluster.client().await?, NAMESPACE);
        until(SEEN, "lease of the chart's operator", || async {
            let spec = all.get_opt(&name).await?.and_then(|lease| lease.spec);
            let holder = spec.and_then(|spec| spec.holder_identity);
            Ok(Look::at(holder.as_deref() == Some("chart"), holder))
        })
        .await?;
        operator.stop().await?;
        let released = all.get(&name).await?.spec.and_then(|spec| spec.holder_identity);
        assert_eq!(released, None);
        let others = Api::<Lease>::namespaced(client, NAMESPACE).get_opt("another").await;
        assert!(others.is_err(), "it may read {others:?}");
        Ok(())
    })
    .await
}
