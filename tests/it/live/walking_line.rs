//! The walking line: one YAML file in, stored events out, with everything in pods.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use crds::condition::kind;
use crds::{AnalyticsTenant, AnalyticsTenantStatus};
use harness::chart;
use harness::http::Http;
use harness::kafka::metadata;
use harness::kubernetes::{Ground, kubectl};
use harness::ledger::Outcome;
use harness::load::Load;
use harness::shared;
use harness::wait::{Look, until, within};
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::ResourceExt as _;
use kube::api::ListParams;
use serde_json::{Value, json};

const TEST: Duration = Duration::from_secs(420);
const READY: Duration = Duration::from_secs(180);
const STORED: Duration = Duration::from_secs(60);
const GONE: Duration = Duration::from_secs(120);

/// A tenant that became ready, as its sender and its reader see it.
pub(crate) struct Onboarded {
    status: AnalyticsTenantStatus,
    pub(crate) database: String,
    pub(crate) url: String,
    pub(crate) bearer: String,
}

pub(crate) async fn onboard(ground: &Ground, name: &str, spec: Value) -> anyhow::Result<Onboarded> {
    ground.tenant(name, spec).await?;
    onboarded(ground, name).await
}

async fn onboarded(ground: &Ground, name: &str) -> anyhow::Result<Onboarded> {
    let tenant = ground.tenant_with(name, kind::READY, "True", READY).await?;
    let status = tenant.status.context("a ready tenant has a status")?;
    let id = status.tenant_id.clone().context("a ready tenant has an id")?;
    let key = ground.secret(&format!("{name}-api-keys"), "default").await?;
    Ok(Onboarded {
        database: status.database.clone().context("a ready tenant has a database")?.name,
        url: ground.service_url(&format!("{name}-default-ingester")).await?,
        bearer: format!("Bearer {id}:{key}"),
        status,
    })
}

/// Sends for a while and returns how many were acknowledged, once each of them is stored exactly once.
pub(crate) async fn send_and_find(site: &Onboarded, seconds: u64) -> anyhow::Result<usize> {
    let clickhouse = shared::clickhouse()?;
    let table = format!("{}.events", site.database);
    let known: Vec<uuid::Uuid> = clickhouse.copies(&table).await?.into_keys().collect();
    let load = Load::start(&site.url, &site.bearer, Duration::from_secs(seconds), Duration::from_secs(60));
    let (ledger, tally) = load.finish().await?;
    let sent = ledger.count(Outcome::Acknowledged);
    ensure!(sent > 0, "nothing was acknowledged: {tally:?}");
    until(STORED, "every event stored once", || async {
        let mut copies = clickhouse.copies(&table).await?;
        copies.retain(|id, _| !known.contains(id));
        let verdict = ledger.judge(&copies);
        Ok(Look::at(verdict.is_exact(), verdict.to_string()))
    })
    .await?;
    Ok(sent)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_tenant_becomes_a_line_whose_events_are_each_stored_once() -> anyhow::Result<()> {
    let _operator = chart::operator().await?;
    within(TEST, async {
        let ground = Ground::make("walking").await?;
        let first = onboard(&ground, "acme", json!({})).await?;
        let sent = send_and_find(&first, 3).await?;

        let pipeline = ground.pipeline_with("acme-default", kind::READY, "True", READY).await?;
        let topic =
            pipeline.status.and_then(|status| status.topic).context("a ready pipeline has a topic")?;
        let broker_says = metadata::topic_id(&shared::stack()?.kafka, &topic.name).await?;
        assert_eq!(topic.id, broker_says.to_string(), "the status holds Kafka's own id");
        for pod in ground.pods("acme-default-").await? {
            assert_restricted(&pod);
        }
        assert_no_secret_in_the_open(&ground, &first).await?;

        ground.delete_tenant("acme", GONE).await?;
        let clickhouse = shared::clickhouse()?;
        let kept = clickhouse.number(&format!("SELECT count() FROM {}.events", first.database)).await?;
        assert_eq!(kept, sent as u64, "Retain keeps the events");
        assert_eq!(
            metadata::topic_id(&shared::stack()?.kafka, &topic.name).await?,
            broker_says,
            "and the topic"
        );

        let again =
            onboard(&ground, "acme", json!({"deletionPolicy": {"kafka": "Delete", "clickhouse": "Delete"}}))
                .await?;
        assert_eq!(again.database, first.database);
        let uuid =
            |status: &AnalyticsTenantStatus| status.database.as_ref().map(|database| database.uuid.clone());
        assert_eq!(uuid(&again.status), uuid(&first.status), "the same database is adopted");
        send_and_find(&again, 2).await?;

        ground.delete_tenant("acme", GONE).await?;
        let databases = format!("SELECT count() FROM system.databases WHERE name = '{}'", first.database);
        assert_eq!(clickhouse.number(&databases).await?, 0, "Delete drops the database");
        for name in [topic.name.clone(), format!("{}.dlq", topic.name)] {
            until(GONE, "end of the topics", || async {
                let id = metadata::topic_id(&shared::stack()?.kafka, &name).await;
                Ok(Look::at(id.is_err(), id))
            })
            .await?;
        }
        ground.leave().await
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killing_every_pod_s_process_under_load_loses_and_doubles_nothing() -> anyhow::Result<()> {
    let _operator = chart::operator().await?;
    within(TEST, async {
        let ground = Ground::make("killing").await?;
        let site = onboard(&ground, "acme", json!({})).await?;
        let clickhouse = shared::clickhouse()?;
        let table = format!("{}.events", site.database);
        let load = Load::start(&site.url, &site.bearer, Duration::from_secs(20), Duration::from_secs(90));
        for program in ["consumer", "ingester", "operator", "consumer"] {
            tokio::time::sleep(Duration::from_secs(4)).await;
            let namespace = if program == "operator" { chart::NAMESPACE } else { ground.name.as_str() };
            kill_one(&ground, namespace, program).await?;
        }
        let (ledger, tally) = load.finish().await?;
        assert!(ledger.count(Outcome::Acknowledged) > 0, "{tally:?}");
        until(Duration::from_secs(120), "every event stored once", || async {
            let verdict = ledger.judge(&clickhouse.copies(&table).await?);
            Ok(Look::at(verdict.is_exact(), verdict.to_string()))
        })
        .await?;
        ground.tenant_with("acme", kind::READY, "True", READY).await?;
        ground.tenant("acme", json!({"deletionPolicy": {"kafka": "Delete", "clickhouse": "Delete"}})).await?;
        ground.tenant_with("acme", kind::READY, "True", READY).await?;
        ground.delete_tenant("acme", GONE).await?;
        ground.leave().await
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_added_to_the_tenant_is_taken_without_a_new_pod() -> anyhow::Result<()> {
    let _operator = chart::operator().await?;
    within(TEST, async {
        let ground = Ground::make("keys").await?;
        let policy = json!({"kafka": "Delete", "clickhouse": "Delete"});
        let site = onboard(&ground, "acme", json!({"deletionPolicy": policy})).await?;
        let names =
            |pods: Vec<Pod>| pods.iter().map(Pod::name_any).collect::<std::collections::BTreeSet<_>>();
        let before = names(ground.pods("acme-default-ingester").await?);
        let keys = json!([{"name": "mobile", "scopes": ["Ingest"]}, {"name": "reader", "scopes": ["Query"]}]);
        ground.tenant("acme", json!({"deletionPolicy": policy, "apiKeys": keys})).await?;
        ground.tenant_with("acme", kind::READY, "True", READY).await?;
        let id = site.status.tenant_id.unwrap_or_default();
        let mobile = format!("Bearer {id}:{}", ground.secret("acme-api-keys", "mobile").await?);
        let reader = format!("Bearer {id}:{}", ground.secret("acme-api-keys", "reader").await?);
        let http = Http::new(Duration::from_secs(20));
        let post = async |bearer: &str| {
            let headers = [("Authorization", bearer), ("Content-Type", "application/json")];
            http.post(&format!("{}/events", site.url), &headers, r#"{"event_name":"x"}"#).await
        };
        // A mounted Secret follows within about 90 s; several answers in a row, since there are two pods.
        until(Duration::from_secs(180), "new key in every pod and no old one", || async {
            let mut seen = Vec::new();
            for _ in 0..6 {
                seen.push((post(&mobile).await?.status.as_u16(), post(&site.bearer).await?.status.as_u16()));
            }
            Ok(Look::at(seen.iter().all(|pair| *pair == (200, 401)), seen))
        })
        .await?;
        assert_eq!(post(&reader).await?.status, 401, "a key that may only read sends nothing");
        assert_eq!(names(ground.pods("acme-default-ingester").await?), before, "no pod was replaced");
        ground.delete_tenant("acme", GONE).await?;
        ground.leave().await
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipeline_without_its_tenant_says_so_and_starts_when_the_tenant_comes() -> anyhow::Result<()> {
    let _operator = chart::operator().await?;
    within(TEST, async {
        let ground = Ground::make("orphan").await?;
        let small = json!({
            "tenantRef": {"name": "late"},
            "ingester": {"replicas": 1},
            "topic": {"partitions": 1},
            "deletionPolicy": {"kafka": "Delete"},
        });
        ground.pipeline("web", small).await?;
        let orphan = ground.pipeline_with("web", kind::READY, "False", Duration::from_secs(30)).await?;
        let conditions = orphan.status.unwrap_or_default().conditions;
        assert_eq!(harness::kubernetes::reason(&conditions, kind::READY), Some("TenantNotFound"));

        let policy = json!({"kafka": "Delete", "clickhouse": "Delete"});
        ground.tenant("late", json!({"defaultPipeline": "None", "deletionPolicy": policy})).await?;
        ground.pipeline_with("web", kind::READY, "True", READY).await?;

        // The tenant waits for a pipeline that it does not own.
        let tenants = ground.api::<AnalyticsTenant>();
        tenants.delete("late", &kube::api::DeleteParams::default()).await?;
        ground.tenant_with("late", kind::DELETION_BLOCKED, "True", Duration::from_secs(30)).await?;
        ground.api::<crds::Pipeline>().delete("web", &kube::api::DeleteParams::default()).await?;
        until(GONE, "end of the tenant", || async {
            Ok(Look::at(tenants.get_opt("late").await?.is_none(), "it is still there"))
        })
        .await?;
        ground.leave().await
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_tenants_of_one_id_never_share_a_database() -> anyhow::Result<()> {
    let _operator = chart::operator().await?;
    within(TEST, async {
        let ground = Ground::make("conflict").await?;
        let id = harness::names::unique("shared");
        let spec = json!({
            "tenantId": id, "defaultPipeline": "None",
            "deletionPolicy": {"kafka": "Delete", "clickhouse": "Delete"},
        });
        ground.tenant("older", spec.clone()).await?;
        ground.tenant_with("older", kind::READY, "True", READY).await?;
        ground.tenant("younger", spec).await?;
        let refused = ground.tenant_with("younger", kind::READY, "False", Duration::from_secs(30)).await?;
        let conditions = refused.status.unwrap_or_default().conditions;
        assert_eq!(harness::kubernetes::reason(&conditions, kind::READY), Some("NameConflict"));

        let count = format!("SELECT count() FROM system.databases WHERE name = 't_{}'", id.replace('-', "_"));
        ground.delete_tenant("younger", GONE).await?;
        assert_eq!(
            shared::clickhouse()?.number(&count).await?,
            1,
            "the loser's end drops nothing of the winner"
        );
        ground.delete_tenant("older", GONE).await?;
        assert_eq!(shared::clickhouse()?.number(&count).await?, 0);
        ground.leave().await
    })
    .await
}

/// The pod meets the restricted pod security standard, and a little more. The API server checks the standard by
/// the namespace's label; this names what is missing.
pub(crate) fn assert_restricted(pod: &Pod) {
    let name = pod.name_any();
    let spec = pod.spec.as_ref().expect("a pod has a spec");
    let pod_context = serde_json::to_value(&spec.security_context).unwrap_or_default();
    assert_eq!(pod_context["runAsNonRoot"], true, "{name}");
    assert_eq!(pod_context["seccompProfile"]["type"], "RuntimeDefault", "{name}");
    for container in &spec.containers {
        let context = serde_json::to_value(&container.security_context).unwrap_or_default();
        assert_eq!(context["allowPrivilegeEscalation"], false, "{name}");
        assert_eq!(context["readOnlyRootFilesystem"], true, "{name}");
        assert_eq!(context["capabilities"]["drop"], json!(["ALL"]), "{name}");
        let resources = serde_json::to_value(&container.resources).unwrap_or_default();
        assert!(resources["limits"]["memory"].is_string(), "{name} has a memory limit");
        for probe in [&container.liveness_probe, &container.readiness_probe] {
            assert!(probe.is_some(), "{name} has probes");
        }
    }
}

/// Keys and passwords stand in Secrets alone: in no pod spec, no status, no event and no log.
async fn assert_no_secret_in_the_open(ground: &Ground, site: &Onboarded) -> anyhow::Result<()> {
    let key = site.bearer.rsplit(':').next().unwrap_or_default();
    let password = &shared::stack()?.clickhouse_password;
    let namespace = format!("--namespace={}", ground.name);
    let kinds = "pods,deployments,services,configmaps,events,analyticstenants,pipelines";
    let mut open = kubectl(&["get", kinds, &namespace, "--output=yaml"]).await?;
    for pod in ground.pods("acme-default-").await? {
        open.push_str(&kubectl(&["logs", &pod.name_any(), &namespace]).await?);
    }
    let operator = format!("--namespace={}", chart::NAMESPACE);
    open.push_str(&kubectl(&["logs", &format!("deployment/{}", chart::RELEASE), &operator]).await?);
    assert!(!open.contains(key), "the tenant's key is in the open");
    assert!(!open.contains(password.as_str()), "ClickHouse's password is in the open");
    let secrets = ground.api::<Secret>().list(&ListParams::default()).await?;
    let settings = secrets.items.iter().find(|secret| secret.name_any().ends_with("-settings"));
    let settings = settings.context("there is a settings Secret")?;
    let text = serde_json::to_string(&settings.data)?;
    assert!(!text.contains(key), "the data plane knows digests only");
    Ok(())
}

/// Kills one process of a program of ours that runs in a pod of this namespace, as `kill -9` on its node does.
pub(crate) async fn kill_one(ground: &Ground, namespace: &str, program: &str) -> anyhow::Result<()> {
    let pods = kube::Api::<Pod>::namespaced(ground.client.clone(), namespace);
    let ids: Vec<String> =
        pods.list(&ListParams::default()).await?.items.iter().filter_map(Pod::uid).collect();
    let pid = process_in(&ids, program).with_context(|| format!("no {program} runs in {namespace}"))?;
    let status = std::process::Command::new("kill").args(["-KILL", &pid]).status()?;
    ensure!(status.success(), "failed to kill {program}");
    Ok(())
}

/// The id of a process with this name whose control group belongs to one of the pods.
fn process_in(pod_ids: &[String], program: &str) -> Option<String> {
    std::fs::read_dir("/proc").ok()?.flatten().map(|entry| entry.path()).find_map(|process| {
        let read = |file: &str| std::fs::read_to_string(Path::new(&process).join(file)).unwrap_or_default();
        let groups = read("cgroup");
        let is_ours = read("comm").trim() == program && pod_ids.iter().any(|id| groups.contains(id.as_str()));
        is_ours.then(|| process.file_name().map(|pid| pid.to_string_lossy().into_owned()))?
    })
}
