//! Rows F14, F16, F36 and F37: the group changes, loses its coordinator or its offsets, or the log is shorter.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::ensure;
use harness::kafka::Kafka;
use harness::ledger::Outcome;
use harness::line::Line;
use harness::load::Load;
use harness::private::{PrivateClickHouse, PrivateKafka};
use harness::proxy::Mode;
use harness::wait::within;

use super::site::{ROW, SOON, Site, pause, until_metric};

/// Consumers that come and go.
const GUESTS: u32 = 6;
const VISIT: Duration = Duration::from_secs(2);
/// Longer than the session of a member.
const BEYOND_SESSION: Duration = Duration::from_secs(19);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f14_a_storm_of_rebalances_doubles_nothing_and_ends_in_calm() -> anyhow::Result<()> {
    within(ROW, async {
        let site = Site::make().await?;
        let ingester = site.line.ingester(&[]).await?;
        let _stays = site.consumer(&[]).await?;
        let storm = VISIT * GUESTS;
        let load = Load::start(&ingester.url, &site.line.bearer(), storm, SOON);
        for number in 0..GUESTS {
            let mut guest = site.consumer(&[]).await?;
            pause(VISIT).await;
            // Every other one says goodbye.
            if number % 2 == 0 {
                guest.program.kill()?;
            } else {
                guest.program.stop().await?;
            }
        }
        let (ledger, tally) = load.finish().await?;
        ensure!(ledger.count(Outcome::Acknowledged) > 1_000, "too little was sent: {tally:?}");
        site.line.wait_until_exact(&ledger, SOON).await?;
        site.line.wait_until_committed(SOON).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f16_without_its_coordinator_a_consumer_doubles_nothing_and_goes_on_afterwards() -> anyhow::Result<()>
{
    within(ROW, async {
        let (_kafka, proxy) = PrivateKafka::start_behind_proxy().await?;
        let clickhouse = PrivateClickHouse::start().await?;
        let line = Line::make(&Kafka::plain(&proxy.address().to_string()), &clickhouse.reader()).await?;
        let site = Site::of(line).await?;
        let mut consumer = site.consumer(&[]).await?;
        site.write(0..40).await?;
        site.assert_exact(0..40).await?;
        proxy.set(Mode::WithoutGroups);
        site.write(40..80).await?;
        pause(BEYOND_SESSION).await;
        site.write(80..120).await?;
        proxy.set(Mode::Pass);
        site.write(120..160).await?;
        site.assert_exact(0..160).await?;
        assert!(consumer.program.is_running()?);
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f36_offsets_that_are_reset_or_wiped_are_read_again_and_double_nothing() -> anyhow::Result<()> {
    within(ROW, async {
        let site = Site::make().await?;
        let mut consumer = site.consumer(&[]).await?;
        site.write(0..200).await?;
        site.assert_exact(0..200).await?;
        consumer.program.stop().await?;
        let start: BTreeMap<i32, i64> = site.committed().await?.into_keys().map(|id| (id, 0)).collect();
        let (group, topic) = (site.line.group.as_str(), site.line.topic.as_str());
        site.line.kafka.set_committed(group, topic, &start).await?;
        consumer.restart(&site.line).await?;
        until_metric(&consumer, "analytics_events_inserted_total", "", 200.0).await?;
        site.assert_exact(0..200).await?;
        consumer.program.stop().await?;

        // A group without a single offset, as after they were wiped or have expired.
        let wiped = site.with_line(site.line.with_fresh_group()?).await?;
        let again = wiped.consumer(&[]).await?;
        until_metric(&again, "analytics_events_inserted_total", "", 200.0).await?;
        wiped.write(200..220).await?;
        wiped.assert_exact(0..220).await?;
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f37_what_retention_removed_meanwhile_is_counted_exactly() -> anyhow::Result<()> {
    within(ROW, async {
        let site = Site::make().await?;
        let mut consumer = site.consumer(&[]).await?;
        site.write(0..100).await?;
        site.assert_exact(0..100).await?;
        consumer.program.stop().await?;
        let stored = site.committed().await?;
        site.write(1_000..1_400).await?;
        // All but the last record of each partition.
        let topic = site.line.topic.as_str();
        let ends = site.line.kafka.ends(topic).await?;
        let start = |(partition, end): (&i32, &i64)| (*partition, (end - 1).max(0));
        let starts: BTreeMap<i32, i64> = ends.iter().map(start).collect();
        site.line.kafka.delete_records(topic, &starts).await?;
        // Only a partition with a commit knows where it was.
        let lost: i64 = stored.iter().map(|(partition, from)| (starts[partition] - from).max(0)).sum();
        ensure!(lost > 0, "records were removed: {stored:?} {starts:?}");
        consumer.restart(&site.line).await?;
        until_metric(&consumer, "consumer_records_lost_total", "", lost as f64).await?;
        site.line.wait_until_committed(SOON).await?;
        assert_eq!(consumer.metric("consumer_records_lost_total", "").await?, lost as f64);
        let twice = "SELECT count() - uniqExact(id) FROM {}";
        assert_eq!(site.raw(twice).await?, 0);
        assert!(
            site.raw("SELECT countIf(toUInt128(id) > 1000) FROM {}").await? > 0,
            "what was left is stored"
        );
        Ok(())
    })
    .await
}
