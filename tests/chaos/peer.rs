//! The peer: ClickHouse's Kafka engine with a materialized view into a plain MergeTree, as its manual shows
//! (<https://clickhouse.com/docs/engines/table-engines/integrations/kafka>).

use std::time::Duration;

use harness::wait::{Look, until};

use crate::site::Site;

/// The group of the engine's consumers.
pub(crate) const GROUP: &str = "kafka-engine";

/// Time for a statement that has to wait for ClickHouse.
const MENDED: Duration = Duration::from_secs(120);

const COLUMNS: &str = "id UUID, event_name String, type String, user_id String, distinct_id String, \
    session_id String, timestamp String, received_at String, properties String";

fn source(site: &Site, name: &str) -> [String; 2] {
    let (database, servers, topic) = (&site.line.database, site.bootstrap_servers(), &site.line.topic);
    [
        format!(
            "CREATE TABLE IF NOT EXISTS {database}.{name} ({COLUMNS}) ENGINE = Kafka SETTINGS \
             kafka_broker_list = '{servers}', kafka_topic_list = '{topic}', kafka_group_name = '{GROUP}', \
             kafka_format = 'JSONEachRow', kafka_num_consumers = 1, kafka_flush_interval_ms = 500, \
             input_format_skip_unknown_fields = 1"
        ),
        format!(
            "CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.{name}_view TO {database}.stored \
             AS SELECT * FROM {database}.{name}"
        ),
    ]
}

/// Makes the engine's tables.
///
/// # Errors
/// When ClickHouse refuses.
pub(crate) async fn start(site: &Site) -> anyhow::Result<()> {
    let stored = format!(
        "CREATE TABLE {}.stored ({COLUMNS}) ENGINE = MergeTree ORDER BY (event_name, id)",
        site.line.database
    );
    for statement in [stored].into_iter().chain(source(site, "queue")) {
        site.line.clickhouse.run(&statement).await?;
    }
    Ok(())
}

/// A second consumer of the same group comes.
///
/// # Errors
/// When ClickHouse is away.
pub(crate) async fn begin_visit(site: &Site) -> anyhow::Result<()> {
    for statement in source(site, "guest") {
        site.line.clickhouse.run(&statement).await?;
    }
    Ok(())
}

/// It goes again, as soon as ClickHouse is there to be told.
///
/// # Errors
/// When ClickHouse stays away.
pub(crate) async fn end_visit(site: &Site) -> anyhow::Result<()> {
    let database = &site.line.database;
    until(MENDED, "end of the visit", || async {
        for table in ["guest_view", "guest"] {
            site.line.clickhouse.run(&format!("DROP TABLE IF EXISTS {database}.{table} SYNC")).await?;
        }
        Ok(Look::There(()))
    })
    .await
}
