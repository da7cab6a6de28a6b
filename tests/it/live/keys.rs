//! The keys of a tenant on a real API server: those that are brought along, and the end of one. No Pipeline is needed.

use std::time::Duration;

use crds::AnalyticsTenant;
use crds::analytics_tenant::ApiKeyState;
use crds::condition::kind;
use harness::kubernetes::{Ground, reason};
use harness::operator::{Operator, flags};
use harness::private::PrivateClickHouse;
use harness::private_cluster::PrivateCluster;
use harness::process::free_port;
use harness::wait::{Look, until, within};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Secret;
use schema::api_key::{ENTROPY_BYTES, KeyKind, generate};
use serde_json::{Value, json};

const TEST: Duration = Duration::from_secs(120);
/// Well below the time after which the operator looks again although nothing tells of a change.
const SEEN: Duration = Duration::from_secs(30);

/// An operator with a ClickHouse, so that a tenant is at rest when it has all it asks for.
async fn start(
    cluster: &PrivateCluster,
    clickhouse: &PrivateClickHouse,
    folder: &tempfile::TempDir,
) -> anyhow::Result<Operator> {
    let nobody = format!("127.0.0.1:{}", free_port()?);
    let flags = flags(&nobody, clickhouse, folder.path())?;
    Operator::start(cluster.client().await?, &flags)
}

/// A Secret of the user's own with a key made of this byte.
async fn own(ground: &Ground, byte: u8) -> anyhow::Result<String> {
    let key = generate(KeyKind::Write, [byte; ENTROPY_BYTES]).expose().to_owned();
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": "own", "labels": {"analytics.millrace.dev/api-key": "true"}},
        "stringData": {"token": key},
    });
    ground.apply::<Secret>("own", &secret).await?;
    Ok(key)
}

async fn copied(ground: &Ground, key: &str) -> anyhow::Result<()> {
    until(SEEN, "copy of the key", || async {
        Ok(Look::at(ground.secret("acme-api-keys", "own").await? == key, "another key"))
    })
    .await
}

fn spec(keys: Value) -> Value {
    json!({"defaultPipeline": "None", "apiKeys": keys})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_brought_along_follows_its_secret() -> anyhow::Result<()> {
    within(TEST, async {
        let cluster = PrivateCluster::start().await?;
        let ground = cluster.ground("brought").await?;
        let (clickhouse, folder) = (PrivateClickHouse::start().await?, tempfile::TempDir::new()?);
        let operator = start(&cluster, &clickhouse, &folder).await?;
        let keys = json!([
            {"name": "own", "scopes": ["Ingest"], "secretRef": {"name": "own", "key": "token"}},
            {"name": "made", "scopes": ["Ingest"]},
        ]);
        ground.tenant("acme", spec(keys)).await?;
        let waiting = ground.tenant_with("acme", kind::DATABASE_READY, "True", SEEN).await?;
        let conditions = waiting.status.unwrap_or_default().conditions;
        assert_eq!(reason(&conditions, kind::CREDENTIALS_READY), Some("SecretNotFound"));
        assert!(ground.secret("acme-api-keys", "made").await?.starts_with("mrw_"));

        let first = own(&ground, 1).await?;
        ground.tenant_with("acme", kind::READY, "True", SEEN).await?;
        copied(&ground, &first).await?;
        // Nothing is missing any longer, so that only the watch can tell in time.
        let second = own(&ground, 2).await?;
        copied(&ground, &second).await?;
        operator.stop().await
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_a_key_is_seen_when_it_comes() -> anyhow::Result<()> {
    within(TEST, async {
        let cluster = PrivateCluster::start().await?;
        let ground = cluster.ground("ending").await?;
        let (clickhouse, folder) = (PrivateClickHouse::start().await?, tempfile::TempDir::new()?);
        let operator = start(&cluster, &clickhouse, &folder).await?;
        let end = Timestamp::now() + SignedDuration::from_secs(15);
        let keys = json!([{"name": "web", "scopes": ["Ingest"], "expiresAt": end.to_string()}]);
        ground.tenant("acme", spec(keys)).await?;
        let ready = ground.tenant_with("acme", kind::READY, "True", SEEN).await?;
        assert_eq!(state(&ready), Some(ApiKeyState::Active));
        until(SEEN, "end of the key", || async {
            let tenant = ground.api::<AnalyticsTenant>().get("acme").await?;
            Ok(Look::at(state(&tenant) == Some(ApiKeyState::Expired), state(&tenant)))
        })
        .await?;
        assert!(Timestamp::now() >= end);
        let ended = ground.tenant_with("acme", kind::CREDENTIALS_READY, "True", SEEN).await?;
        let conditions = ended.status.unwrap_or_default().conditions;
        assert_eq!(reason(&conditions, kind::CREDENTIALS_READY), Some("KeyExpired"));
        operator.stop().await
    })
    .await
}

fn state(tenant: &AnalyticsTenant) -> Option<ApiKeyState> {
    Some(tenant.status.as_ref()?.api_keys.first()?.state)
}
