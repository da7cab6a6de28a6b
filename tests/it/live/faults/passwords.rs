//! Row F27: the password for ClickHouse has changed.
//!
//! That both passwords are valid for a while is not tested: the local server cannot change its users while it runs.

use harness::clickhouse::ClickHouse;
use harness::wait::within;

use super::site::{ROW, Site, until_metric};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f27_a_consumer_with_an_old_password_waits_and_its_successor_stores_everything() -> anyhow::Result<()>
{
    within(ROW, async {
        let site = Site::make().await?;
        let known = &site.line.clickhouse;
        let old = ClickHouse::new(&known.url, &known.user, "the one before");
        let forgotten = site.with_line(site.line.with_clickhouse(&old)?).await?;
        let mut consumer = forgotten.consumer(&[]).await?;
        site.write(0..60).await?;
        until_metric(&consumer, "consumer_insert_blocked", "", 1.0).await?;
        assert_eq!(site.committed().await?.len(), 0, "nothing is skipped");
        assert_eq!(site.letters(0).await?.len(), 0, "the data is fine");
        assert!(consumer.program.is_running()?);

        // While pods are replaced the new one is there before the old one goes.
        let successor = site.consumer(&[]).await?;
        consumer.program.stop().await?;
        site.assert_exact(0..60).await?;
        assert_eq!(
            successor.metric("analytics_pipeline_errors_total", "insert").await?,
            0.0,
            "nothing failed"
        );
        Ok(())
    })
    .await
}
