//! Deletions on a real API server: of a namespace, of a protected tenant, and of what lost its finalizer.

use std::time::Duration;

use anyhow::Context as _;
use crds::condition::kind;
use crds::{AnalyticsTenant, Pipeline};
use harness::control_plane::ControlPlane;
use harness::kafka::{Kafka, metadata};
use harness::kubernetes::{Ground, reason};
use harness::operator::{Operator, flags};
use harness::private::{PrivateClickHouse, PrivateKafka};
use harness::private_cluster::PrivateCluster;
use harness::stand_in::StandIn;
use harness::wait::{Look, until, within};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::ResourceExt as _;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

const TEST: Duration = Duration::from_secs(420);
const SEEN: Duration = Duration::from_secs(120);
/// The namespace controller looks again after some seconds, each time later; and so does a back-off.
const ENDED: Duration = Duration::from_secs(180);

/// The database and the topics of the tenant `acme` with the Pipelines `acme-default` and `web`.
#[derive(Debug, PartialEq, Eq)]
struct Data {
    database: String,
    uuid: String,
    /// Names and ids, the topics of dead letters among them.
    topics: Vec<(String, String)>,
}

impl Data {
    async fn of(ground: &Ground) -> anyhow::Result<Self> {
        let tenant = ground.tenant_with("acme", kind::READY, "True", SEEN).await?;
        let database = tenant.status.and_then(|status| status.database).context("a database")?;
        let mut topics = Vec::new();
        for name in ["acme-default", "web"] {
            let pipeline = ground.pipeline_with(name, kind::READY, "True", SEEN).await?;
            let status = pipeline.status.context("a ready Pipeline has a status")?;
            let both = [status.topic, status.dead_letter_topic].into_iter().flatten();
            topics.extend(both.map(|topic| (topic.name, topic.id)));
        }
        Ok(Self { database: database.name, uuid: database.uuid, topics })
    }

    /// What the comment of the database says after its release.
    fn released(&self, ground: &Ground) -> String {
        let mut ids: Vec<&str> = self.topics.iter().map(|(_, id)| id.as_str()).collect();
        ids.sort_unstable();
        format!("released {}/acme topics={}", ground.name, ids.join(","))
    }
}

async fn with_two_pipelines(ground: &Ground, spec: Value) -> anyhow::Result<Data> {
    ground.tenant("acme", spec).await?;
    ground.pipeline("web", json!({"tenantRef": {"name": "acme"}, "drainTimeoutSeconds": 1})).await?;
    Data::of(ground).await
}

async fn end(ground: &Ground) -> anyhow::Result<()> {
    let namespaces = Api::<Namespace>::all(ground.client.clone());
    namespaces.delete(&ground.name, &DeleteParams::default()).await?;
    await_end(ground).await
}

async fn await_end(ground: &Ground) -> anyhow::Result<()> {
    let namespaces = Api::<Namespace>::all(ground.client.clone());
    until(ENDED, "end of the namespace", || async {
        let found = namespaces.get_opt(&ground.name).await?;
        let status = found.as_ref().and_then(|found| found.status.clone());
        Ok(Look::at(found.is_none(), status))
    })
    .await
}

async fn make_again(ground: &Ground) -> anyhow::Result<()> {
    let namespace = serde_json::from_value(json!({"metadata": {"name": ground.name}}))?;
    Api::<Namespace>::all(ground.client.clone()).create(&PostParams::default(), &namespace).await?;
    Ok(())
}

async fn comment(clickhouse: &PrivateClickHouse, database: &str) -> anyhow::Result<String> {
    let query = format!("SELECT comment FROM system.databases WHERE name = '{database}' FORMAT TSVRaw");
    Ok(clickhouse.reader().run(&query).await?.trim_end().to_owned())
}

async fn patch<K>(api: &Api<K>, name: &str, patch: &Value) -> anyhow::Result<()>
where
    K: Clone + serde::de::DeserializeOwned + std::fmt::Debug,
{
    api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_21_a_namespace_that_ends_loses_nothing_that_is_to_be_kept() -> anyhow::Result<()> {
    within(TEST, async {
        let plane = ControlPlane::shared().await?;
        let ground = plane.cluster.ground("kept").await?;
        let _stand_in = StandIn::start_in(&ground);
        let kafka = Kafka::plain(&plane.kafka.address());
        let before = with_two_pipelines(&ground, json!({})).await?;
        let (events, _) = &before.topics[2];
        kafka.write(events, &[], b"{}").await?;
        end(&ground).await?;

        for (name, id) in &before.topics {
            assert_eq!(&metadata::topic_id(&plane.kafka.address(), name).await?.to_string(), id, "{name}");
        }
        assert_eq!(kafka.ends(events).await?.values().sum::<i64>(), 1, "what was not stored waits");
        assert_eq!(comment(&plane.clickhouse, &before.database).await?, before.released(&ground));

        make_again(&ground).await?;
        assert_eq!(with_two_pipelines(&ground, json!({})).await?, before, "all of it is taken over");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_that_ends_takes_along_what_is_to_be_deleted() -> anyhow::Result<()> {
    within(TEST, async {
        let plane = ControlPlane::shared().await?;
        let ground = plane.cluster.ground("dropped").await?;
        let _stand_in = StandIn::start_in(&ground);
        let policy = json!({"deletionPolicy": {"kafka": "Delete", "clickhouse": "Delete"}});
        let before = with_two_pipelines(&ground, policy).await?;
        end(&ground).await?;
        for (name, _) in &before.topics {
            assert!(metadata::topic_id(&plane.kafka.address(), name).await.is_err(), "`{name}` is there");
        }
        assert_eq!(comment(&plane.clickhouse, &before.database).await?, "", "there is no such database");
        Ok(())
    })
    .await
}

/// As the README does it. The managed Pipeline waits for nobody, and the tenant for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_quickstart_is_deleted_at_once() -> anyhow::Result<()> {
    within(TEST, async {
        let plane = ControlPlane::shared().await?;
        let ground = plane.cluster.ground("quickstart").await?;
        let _stand_in = StandIn::start_in(&ground);
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/quickstart.yaml");
        plane.cluster.kubectl(&["apply", "-n", &ground.name, "-f", file]).await?;
        ground.tenant_with("acme", kind::READY, "True", SEEN).await?;
        plane.cluster.kubectl(&["delete", "-n", &ground.name, "-f", file, "--timeout=60s"]).await?;
        assert!(ground.api::<Pipeline>().get_opt("acme-default").await?.is_none());
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_protected_tenant_works_on_after_its_deletion_until_it_may_go() -> anyhow::Result<()> {
    within(TEST, async {
        let plane = ControlPlane::shared().await?;
        let ground = plane.cluster.ground("protected").await?;
        let _stand_in = StandIn::start_in(&ground);
        ground.tenant("acme", json!({"deletionProtection": true})).await?;
        ground.tenant_with("acme", kind::READY, "True", SEEN).await?;
        let tenants = ground.api::<AnalyticsTenant>();
        let deployments = ground.api::<Deployment>();
        let uid = deployments.get("acme-default-ingester").await?.uid();
        tenants.delete("acme", &DeleteParams::default()).await?;
        let held = ground.tenant_with("acme", kind::DELETION_BLOCKED, "True", SEEN).await?;
        let conditions = held.status.context("a status")?.conditions;
        assert_eq!(reason(&conditions, kind::DELETION_BLOCKED), Some("ProtectionEnabled"));
        assert_eq!(reason(&conditions, kind::READY), Some("Ready"));

        let revoked = json!({"spec": {"apiKeys": [{"name": "other", "scopes": ["Ingest"]}]}});
        patch(&tenants, "acme", &revoked).await?;
        until(SEEN, "the other key alone", || async {
            let data = ground.api::<Secret>().get("acme-api-keys").await?.data.unwrap_or_default();
            Ok(Look::at(data.keys().eq(["other"]), data.keys().cloned().collect::<Vec<_>>()))
        })
        .await?;
        assert_eq!(deployments.get("acme-default-ingester").await?.uid(), uid, "the pods went on");

        patch(&tenants, "acme", &json!({"spec": {"deletionProtection": false}})).await?;
        until(SEEN, "end of the tenant", || async {
            Ok(Look::at(tenants.get_opt("acme").await?.is_none(), "it is still there"))
        })
        .await
    })
    .await
}

/// Kubernetes deletes the children before it asks the finalizer of the tenant.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_protected_tenant_that_is_deleted_in_the_foreground_keeps_its_data() -> anyhow::Result<()> {
    within(TEST, async {
        let plane = ControlPlane::shared().await?;
        let ground = plane.cluster.ground("foreground").await?;
        let _stand_in = StandIn::start_in(&ground);
        let spec = json!({"tier": "Enterprise", "retention": {"days": 1},
            "deletionPolicy": {"kafka": "Delete", "clickhouse": "Delete"}});
        let before = with_two_pipelines(&ground, spec).await?;
        let (tenants, secrets) = (ground.api::<AnalyticsTenant>(), ground.api::<Secret>());
        tenants.delete("acme", &DeleteParams::foreground()).await?;
        let held = ground.pipeline_with("acme-default", kind::DELETION_BLOCKED, "True", SEEN).await?;
        let conditions = held.status.context("a status")?.conditions;
        assert_eq!(reason(&conditions, kind::DELETION_BLOCKED), Some("ProtectionEnabled"));
        until(SEEN, "end of the keys", || async {
            Ok(Look::at(secrets.get_opt("acme-api-keys").await?.is_none(), "they are still there"))
        })
        .await?;
        // An edit makes the operator look again, and it makes nothing.
        patch(&tenants, "acme", &json!({"spec": {"displayName": "Acme"}})).await?;
        ground.tenant_with("acme", kind::DELETION_BLOCKED, "True", SEEN).await?;
        assert!(secrets.get_opt("acme-api-keys").await?.is_none(), "no keys were made anew");
        for (name, id) in &before.topics {
            assert_eq!(&metadata::topic_id(&plane.kafka.address(), name).await?.to_string(), id, "{name}");
        }
        assert!(comment(&plane.clickhouse, &before.database).await?.starts_with("owned "));

        patch(&tenants, "acme", &json!({"spec": {"deletionProtection": false}})).await?;
        ground.api::<Pipeline>().delete("web", &DeleteParams::default()).await?;
        until(ENDED, "end of the tenant", || async {
            Ok(Look::at(tenants.get_opt("acme").await?.is_none(), "it is still there"))
        })
        .await?;
        assert_eq!(comment(&plane.clickhouse, &before.database).await?, "", "there is no such database");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_waits_for_an_absent_kafka_until_it_is_abandoned() -> anyhow::Result<()> {
    within(TEST, async {
        let cluster = PrivateCluster::start().await?;
        let ground = cluster.ground("without-kafka").await?;
        let folder = tempfile::TempDir::new()?;
        let (kafka, clickhouse) = (PrivateKafka::start().await?, PrivateClickHouse::start().await?);
        let flags = flags(&kafka.address(), &clickhouse, folder.path())?;
        let operator = Operator::start(cluster.client().await?, &flags)?;
        let _stand_in = StandIn::start(&ground.client);
        ground.tenant("acme", json!({"deletionPolicy": {"kafka": "Delete"}})).await?;
        ground.pipeline("web", json!({"tenantRef": {"name": "acme"}})).await?;
        let before = Data::of(&ground).await?;
        kafka.kill().await?;

        Api::<Namespace>::all(ground.client.clone()).delete(&ground.name, &DeleteParams::default()).await?;
        let abandon =
            json!({"metadata": {"annotations": {"analytics.millrace.dev/abandon-external": "true"}}});
        for name in ["acme-default", "web"] {
            ground.pipeline_with(name, kind::DELETION_BLOCKED, "True", ENDED).await?;
            patch(&ground.api::<Pipeline>(), name, &abandon).await?;
        }
        await_end(&ground).await?;
        assert!(comment(&clickhouse, &before.database).await?.starts_with("released "));
        kafka.start_again().await?;
        for (name, id) in &before.topics {
            assert_eq!(&metadata::topic_id(&kafka.address(), name).await?.to_string(), id, "{name} is left");
        }
        operator.stop().await
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_lost_its_finalizer_is_held_again_or_taken_over_by_hand() -> anyhow::Result<()> {
    within(TEST, async {
        let cluster = PrivateCluster::start().await?;
        let ground = cluster.ground("unheld").await?;
        let folder = tempfile::TempDir::new()?;
        let (kafka, clickhouse) = (PrivateKafka::start().await?, PrivateClickHouse::start().await?);
        let flags = flags(&kafka.address(), &clickhouse, folder.path())?;
        let operator = Operator::start(cluster.client().await?, &flags)?;
        let _stand_in = StandIn::start(&ground.client);
        let before = with_two_pipelines(&ground, json!({})).await?;
        let (tenants, pipelines) = (ground.api::<AnalyticsTenant>(), ground.api::<Pipeline>());
        let free = json!({"metadata": {"finalizers": null}});
        patch(&tenants, "acme", &free).await?;
        patch(&pipelines, "web", &free).await?;
        until(SEEN, "finalizers", || async {
            let finalizers = (
                tenants.get("acme").await?.metadata.finalizers,
                pipelines.get("web").await?.metadata.finalizers,
            );
            Ok(Look::at(finalizers.0.is_some() && finalizers.1.is_some(), finalizers))
        })
        .await?;

        // Nobody cleans up: as after an uninstall that somebody helped along.
        operator.stop().await?;
        for pipeline in ["acme-default", "web"] {
            patch(&pipelines, pipeline, &free).await?;
            pipelines.delete(pipeline, &DeleteParams::default()).await?;
        }
        patch(&tenants, "acme", &free).await?;
        tenants.delete("acme", &DeleteParams::default()).await?;
        until(SEEN, "end of all", || async {
            let is_left =
                tenants.get_opt("acme").await?.is_some() || pipelines.get_opt("web").await?.is_some();
            Ok(Look::at(!is_left, "something is left"))
        })
        .await?;

        let operator = Operator::start(cluster.client().await?, &flags)?;
        ground.tenant("acme", json!({})).await?;
        let refused = ground.tenant_with("acme", kind::DATABASE_READY, "False", SEEN).await?;
        let conditions = refused.status.context("a status")?.conditions;
        assert_eq!(reason(&conditions, kind::DATABASE_READY), Some("NameConflict"));
        let told = conditions.iter().find(|condition| condition.kind == kind::DATABASE_READY);
        let message = &told.context("the condition")?.message;
        let statement = message.split('`').find(|text| text.starts_with("ALTER DATABASE"));
        clickhouse.reader().run(statement.with_context(|| message.clone())?).await?;
        ground.tenant_with("acme", kind::DATABASE_READY, "True", ENDED).await?;

        ground.pipeline("web", json!({"tenantRef": {"name": "acme"}})).await?;
        for name in ["acme-default", "web"] {
            let refused = ground.pipeline_with(name, kind::TOPIC_READY, "False", SEEN).await?;
            let conditions = refused.status.context("a status")?.conditions;
            assert_eq!(reason(&conditions, kind::TOPIC_READY), Some("NameConflict"));
        }
        let ids: Vec<&str> = before.topics.iter().map(|(_, id)| id.as_str()).collect();
        let note = json!({"status": {"retainedTopics": ids}}).to_string();
        let words =
            ["patch", "atn", "acme", "-n", &ground.name, "--subresource=status", "--type=merge", "-p", &note];
        cluster.kubectl(&words).await?;
        assert_eq!(Data::of(&ground).await?, before);
        operator.stop().await
    })
    .await
}
