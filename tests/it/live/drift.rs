//! What somebody changes by hand: tables and views on a real ClickHouse, topics on a real Kafka, a Deployment on a real
//! API server.

use std::time::Duration;

use anyhow::Context as _;
use crds::condition::kind;
use harness::clickhouse::ClickHouse;
use harness::control_plane::ControlPlane;
use harness::kafka::Kafka;
use harness::kubernetes::{Ground, reason};
use harness::operator::{Operator, flags};
use harness::private::{PrivateClickHouse, PrivateKafka};
use harness::private_cluster::PrivateCluster;
use harness::process::free_port;
use harness::stand_in::StandIn;
use harness::wait::{Look, until, within};
use k8s_openapi::api::apps::v1::Deployment;
use serde_json::json;

const TEST: Duration = Duration::from_secs(420);
const SEEN: Duration = Duration::from_secs(120);

/// The table `events_raw` of the tenant `acme`.
struct Table {
    ground: Ground,
    clickhouse: ClickHouse,
    database: String,
}

impl Table {
    async fn alter(&self, how: &str) -> anyhow::Result<()> {
        self.clickhouse.run(&format!("ALTER TABLE {}.events_raw {how}", self.database)).await.map(drop)
    }

    async fn engine(&self) -> anyhow::Result<String> {
        let query = format!(
            "SELECT engine_full FROM system.tables WHERE database = '{}' AND name = 'events_raw' FORMAT TSVRaw",
            self.database
        );
        self.clickhouse.run(&query).await
    }

    /// Waits until the condition `SchemaInSync` of the tenant says so.
    async fn differs(&self, how: &str) -> anyhow::Result<()> {
        let tenants = self.ground.api::<crds::AnalyticsTenant>();
        until(SEEN, how, || async {
            let conditions = tenants.get("acme").await?.status.unwrap_or_default().conditions;
            let told = conditions.iter().find(|condition| condition.kind == kind::SCHEMA_IN_SYNC);
            let says_so = told.is_some_and(|told| told.message.contains(how));
            let is_named = reason(&conditions, kind::SCHEMA_IN_SYNC) == Some("TableDiffers");
            Ok(Look::at(says_so && is_named, told.map(|told| told.message.clone())))
        })
        .await
    }

    /// What the operator changed or made in ClickHouse until now.
    async fn changes(&self) -> anyhow::Result<u64> {
        self.clickhouse.run("SYSTEM FLUSH LOGS").await?;
        self.sent("query_kind NOT IN ('Select', 'System')").await
    }

    async fn sent(&self, condition: &str) -> anyhow::Result<u64> {
        let query = format!(
            "SELECT count() FROM system.query_log WHERE type != 'QueryStart' \
             AND startsWith(http_user_agent, 'millrace-operator') AND {condition}"
        );
        self.clickhouse.number(&query).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_are_set_back_and_another_table_is_told_of() -> anyhow::Result<()> {
    within(TEST, async {
        let cluster = PrivateCluster::start().await?;
        let ground = cluster.ground("drift").await?;
        let folder = tempfile::TempDir::new()?;
        let server = PrivateClickHouse::start().await?;
        // Without a Pipeline nobody asks for Kafka.
        let mut flags = flags(&format!("127.0.0.1:{}", free_port()?), &server, folder.path())?;
        flags.push("--recheck-seconds=1".to_owned());
        let operator = Operator::start(cluster.client().await?, &flags)?;
        ground.tenant("acme", json!({"defaultPipeline": "None"})).await?;
        let tenant = ground.tenant_with("acme", kind::READY, "True", SEEN).await?;
        let database = tenant.status.and_then(|status| status.database).context("a database")?.name;
        let table = Table { ground, clickhouse: server.reader(), database };
        let as_made = table.engine().await?;

        let (changes, looks) = (table.changes().await?, table.sent("1").await?);
        until(SEEN, "looks at rest", || async {
            table.clickhouse.run("SYSTEM FLUSH LOGS").await?;
            let now = table.sent("1").await?;
            Ok(Look::at(now > looks + 8, now))
        })
        .await?;
        assert!(changes > 0, "the tables were made");
        assert_eq!(table.changes().await?, changes, "nothing is written at rest");

        table.alter("ADD COLUMN country String, ADD INDEX country_set country TYPE set(10) GRANULARITY 1").await?;
        for (setting, value) in [
            ("fsync_after_insert", "0"),
            ("fsync_part_directory", "0"),
            ("min_rows_to_fsync_after_merge", "0"),
            ("non_replicated_deduplication_window", "100"),
            ("auto_statistics_types", "'tdigest'"),
            ("string_serialization_version", "'with_size_stream'"),
        ] {
            table.alter(&format!("MODIFY SETTING {setting} = {value}")).await?;
        }
        table.alter("RESET SETTING merge_selector_base").await?;
        let sorted = |engine: &str| {
            let (_, settings) = engine.trim_end().rsplit_once(" SETTINGS ").unwrap_or_default();
            let mut settings: Vec<String> = settings.split(", ").map(str::to_owned).collect();
            settings.sort();
            settings
        };
        until(SEEN, "the settings of before", || async {
            let engine = table.engine().await?;
            Ok(Look::at(sorted(&engine) == sorted(&as_made), engine))
        })
        .await?;
        // A column more is nobody's trouble.
        table.ground.tenant_with("acme", kind::READY, "True", SEEN).await?;

        table.alter("DROP COLUMN user_agent").await?;
        table.differs("column `user_agent` is missing").await?;
        table.alter("ADD COLUMN user_agent String AFTER ip_address").await?;
        table.ground.tenant_with("acme", kind::READY, "True", SEEN).await?;

        table.alter("MODIFY COLUMN protocol LowCardinality(String)").await?;
        table.differs("column `protocol` is LowCardinality(String) and not String").await?;
        table.alter("MODIFY COLUMN protocol String").await?;
        table.ground.tenant_with("acme", kind::READY, "True", SEEN).await?;

        table.alter("ADD COLUMN more String, MODIFY ORDER BY (event_name, day, cityHash64(distinct_id), id, more)").await?;
        table.differs("ORDER BY is (event_name, day, cityHash64(distinct_id), id, more)").await?;
        operator.stop().await
    })
    .await
}

/// The API server drops `paused: false`, so that the real one has to say how it takes it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deployment_that_somebody_paused_is_resumed() -> anyhow::Result<()> {
    within(TEST, async {
        let plane = ControlPlane::shared().await?;
        let ground = plane.cluster.ground("paused").await?;
        let _available = StandIn::start_in(&ground);
        ground.tenant("acme", json!({})).await?;
        ground.pipeline_with("acme-default", kind::READY, "True", SEEN).await?;
        for name in ["acme-default-ingester", "acme-default-consumer"] {
            let pause = ["-n", &ground.name, "rollout", "pause", "deployment", name];
            plane.cluster.kubectl(&pause).await?;
            let deployments = ground.api::<Deployment>();
            until(SEEN, &format!("`{name}` to be resumed"), || async {
                let paused = deployments.get(name).await?.spec.and_then(|spec| spec.paused);
                Ok(Look::at(paused.is_none(), paused))
            })
            .await?;
        }
        Ok(())
    })
    .await
}

/// What Kafka and ClickHouse hold is compared in their own spelling, so that the real ones have to say it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_of_topics_and_views_are_set_back() -> anyhow::Result<()> {
    within(TEST, async {
        let (cluster, kafka, server) =
            tokio::try_join!(PrivateCluster::start(), PrivateKafka::start(), PrivateClickHouse::start())?;
        let ground = cluster.ground("drift").await?;
        let folder = tempfile::TempDir::new()?;
        let mut flags = flags(&kafka.address(), &server, folder.path())?;
        flags.push("--recheck-seconds=1".to_owned());
        let operator = Operator::start(cluster.client().await?, &flags)?;
        let _available = StandIn::start_in(&ground);
        ground.tenant("acme", json!({})).await?;
        let tenant = ground.tenant_with("acme", kind::READY, "True", SEEN).await?;
        let database = tenant.status.and_then(|status| status.database).context("a database")?.name;

        let topics = Kafka::plain(&kafka.address());
        for topic in [format!("millrace.{}-acme.acme-default", ground.name), format!("millrace.{}-acme.acme-default.dlq", ground.name)] {
            let as_made = topics.topic_settings(&topic).await?;
            // The last one is none that the operator has a wish for: it says that the change was made.
            let others = [("retention.ms", "1000"), ("cleanup.policy", "compact"), ("segment.jitter.ms", "1")];
            topics.replace_topic_settings(&topic, &others).await?;
            let mut expected = as_made.clone();
            expected.insert("segment.jitter.ms".to_owned(), "1".to_owned());
            until(SEEN, &format!("the settings of `{topic}`"), || async {
                let now = topics.topic_settings(&topic).await?;
                Ok(Look::at(now == expected, now))
            })
            .await?;
        }

        let clickhouse = server.reader();
        let definition = |view: &'static str| {
            format!("SELECT as_select FROM system.tables WHERE database = '{database}' AND name = '{view}' FORMAT TSVRaw")
        };
        for view in ["events", "hourly_event_stats"] {
            let as_made = clickhouse.run(&definition(view)).await?;
            anyhow::ensure!(!as_made.trim().is_empty(), "`{view}` is there");
            for change in [format!("DROP VIEW {database}.{view}"), format!("CREATE OR REPLACE VIEW {database}.{view} AS SELECT 1 AS theirs")] {
                clickhouse.run(&change).await?;
                until(SEEN, &format!("the view `{view}` after {change}"), || async {
                    let now = clickhouse.run(&definition(view)).await?;
                    Ok(Look::at(now == as_made, now))
                })
                .await?;
            }
        }
        ground.tenant_with("acme", kind::READY, "True", SEEN).await?;
        operator.stop().await
    })
    .await
}
