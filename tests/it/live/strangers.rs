//! What belongs to somebody else, or was changed by somebody's hand, met on real parts: it is told of and left alone.

use std::time::Duration;

use crds::condition::kind;
use crds::{Condition, Pipeline};
use harness::control_plane::ControlPlane;
use harness::kafka::{Kafka, metadata};
use harness::kubernetes::{Ground, reason, shown};
use harness::stand_in::StandIn;
use harness::wait::{Look, until, within};
use serde_json::json;

const TEST: Duration = Duration::from_secs(240);
const SEEN: Duration = Duration::from_secs(60);

/// Waits until a condition of the Pipeline `web` has this reason.
async fn says(ground: &Ground, kind: &str, wanted: &str) -> anyhow::Result<Vec<Condition>> {
    until(SEEN, &format!("reason {wanted} of {kind}"), || async {
        let status = ground.api::<Pipeline>().get("web").await?.status.unwrap_or_default();
        let is_said = reason(&status.conditions, kind) == Some(wanted);
        Ok(if is_said { Look::There(status.conditions) } else { Look::NotYet(shown(&status.conditions)) })
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_of_another_namespace_is_none() -> anyhow::Result<()> {
    within(TEST, async {
        let plane = ControlPlane::shared().await?;
        let (ours, theirs) = (plane.cluster.ground("ours").await?, plane.cluster.ground("theirs").await?);
        theirs.tenant("acme", json!({"defaultPipeline": "None"})).await?;
        theirs.tenant_with("acme", kind::READY, "True", SEEN).await?;
        ours.pipeline("web", json!({"tenantRef": {"name": "acme"}})).await?;
        let conditions = says(&ours, kind::READY, "TenantNotFound").await?;
        assert!(shown(&conditions).contains(&ours.name), "{}", shown(&conditions));
        let made = plane.writes(&ours)?.into_iter().filter(|write| {
            !write["objectRef"]["resource"]
                .as_str()
                .is_some_and(|kind| ["pipelines", "events"].contains(&kind))
        });
        assert_eq!(made.count(), 0, "nothing is made");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_of_somebody_else_is_left_alone() -> anyhow::Result<()> {
    within(TEST, async {
        let plane = ControlPlane::shared().await?;
        let ground = plane.cluster.ground("database").await?;
        let database = format!("t_{}_acme", ground.name.replace('-', "_"));
        let clickhouse = plane.clickhouse.reader();
        clickhouse.run(&format!("CREATE DATABASE {database} COMMENT 'of accounting'")).await?;
        clickhouse.run(&format!("CREATE TABLE {database}.bills (id UInt64) ORDER BY id")).await?;
        let policy = json!({"kafka": "Delete", "clickhouse": "Delete"});
        ground.tenant("acme", json!({"deletionPolicy": policy})).await?;
        let refused = ground.tenant_with("acme", kind::STALLED, "True", SEEN).await?;
        let conditions = refused.status.unwrap_or_default().conditions;
        assert_eq!(reason(&conditions, kind::DATABASE_READY), Some("NameConflict"), "{}", shown(&conditions));
        assert!(shown(&conditions).contains(&database));

        ground.delete_tenant("acme", SEEN).await?;
        let left = format!(
            "SELECT count() FROM system.tables WHERE database = '{database}' AND name = 'bills' \
             AND (SELECT comment FROM system.databases WHERE name = '{database}') = 'of accounting'"
        );
        assert_eq!(clickhouse.number(&left).await?, 1);
        assert_eq!(
            clickhouse.number(&left.replace(" AND name = 'bills'", "")).await?,
            1,
            "and nothing beside it"
        );
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_with_other_settings_that_nobody_left_behind_is_not_used() -> anyhow::Result<()> {
    within(TEST, async {
        let plane = ControlPlane::shared().await?;
        let ground = plane.cluster.ground("topic").await?;
        let _stand_in = StandIn::start_in(&ground);
        let topic = format!("millrace.{}-acme.web", ground.name);
        let kafka = Kafka::plain(&plane.kafka.address());
        kafka.make_topic(&topic, 3).await?;
        kafka.write(&topic, &[], b"theirs").await?;
        let id = metadata::topic_id(&plane.kafka.address(), &topic).await?;
        ground.tenant("acme", json!({"defaultPipeline": "None"})).await?;
        let spec = json!({
            "tenantRef": {"name": "acme"}, "topic": {"partitions": 6}, "deletionPolicy": {"kafka": "Delete"},
        });
        ground.pipeline("web", spec).await?;
        says(&ground, kind::TOPIC_READY, "NameConflict").await?;
        assert_eq!(kafka.ends(&topic).await?.len(), 3, "no partition was added");

        let pipelines = ground.api::<Pipeline>();
        pipelines.delete("web", &kube::api::DeleteParams::default()).await?;
        until(SEEN, "end of the Pipeline", || async {
            Ok(Look::at(pipelines.get_opt("web").await?.is_none(), "it is still there"))
        })
        .await?;
        assert_eq!(metadata::topic_id(&plane.kafka.address(), &topic).await?, id, "it is still the same one");
        assert_eq!(kafka.read(&topic).await?.len(), 1);
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_that_were_added_by_hand_are_told_of_until_the_spec_has_them() -> anyhow::Result<()> {
    within(TEST, async {
        let plane = ControlPlane::shared().await?;
        let ground = plane.cluster.ground("partitions").await?;
        let _stand_in = StandIn::start_in(&ground);
        ground.tenant("acme", json!({"defaultPipeline": "None"})).await?;
        let spec = |partitions: i32, rows: i32| {
            json!({"tenantRef": {"name": "acme"}, "topic": {"partitions": partitions}, "batch": {"maxRows": rows}})
        };
        ground.pipeline("web", spec(2, 1_000)).await?;
        ground.pipeline_with("web", kind::READY, "True", SEEN).await?;
        let kafka = Kafka::plain(&plane.kafka.address());
        kafka.grow_topic(&format!("millrace.{}-acme.web", ground.name), 4).await?;
        // Kafka cannot be watched: an edit is a reason to look before the next time.
        ground.pipeline("web", spec(2, 2_000)).await?;
        says(&ground, kind::TOPIC_READY, "PartitionsCannotShrink").await?;
        ground.pipeline("web", spec(4, 2_000)).await?;
        ground.pipeline_with("web", kind::READY, "True", SEEN).await?;
        Ok(())
    })
    .await
}
