//! Rows F24 to F26: somebody changes or drops the table under a running consumer.

use anyhow::Context as _;
use harness::wait::within;

use super::site::{ROW, Site, until_metric};

/// A change that the consumer cannot write through, and the one that takes it back.
struct Damage {
    broken_by: &'static str,
    mended_by: &'static str,
}

const DAMAGES: [Damage; 3] = [
    Damage {
        broken_by: "DROP COLUMN session_id",
        mended_by: "ADD COLUMN session_id String AFTER distinct_id",
    },
    Damage { broken_by: "RENAME COLUMN user_agent TO agent", mended_by: "RENAME COLUMN agent TO user_agent" },
    // The events have an address, which is too long for it.
    Damage {
        broken_by: "MODIFY COLUMN ip_address FixedString(2)",
        mended_by: "MODIFY COLUMN ip_address String",
    },
];

async fn damage(damage: &Damage) -> anyhow::Result<()> {
    let site = Site::make().await?;
    let mut consumer = site.consumer(&[]).await?;
    site.alter(damage.broken_by).await?;
    site.write(0..40).await?;
    let blocked = until_metric(&consumer, "consumer_insert_blocked", "", 1.0).await;
    blocked.with_context(|| format!("{}\n{}", damage.broken_by, consumer.program.tail()))?;
    assert_eq!(site.committed().await?.len(), 0, "nothing is skipped: {}", damage.broken_by);
    assert_eq!(site.letters(0).await?.len(), 0, "the data is fine: {}", damage.broken_by);
    assert!(consumer.program.is_running()?);
    site.alter(damage.mended_by).await?;
    // It looks again within a minute; a restart looks at once.
    consumer.program.stop().await?;
    consumer.restart(&site.line).await?;
    site.write(40..60).await?;
    site.assert_exact(0..60).await?;
    assert_eq!(consumer.metric("consumer_insert_blocked", "").await?, 0.0);
    assert_eq!(site.letters(0).await?.len(), 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f24_a_column_that_is_dropped_renamed_or_changed_stops_the_consumer_until_it_is_mended()
-> anyhow::Result<()> {
    within(ROW, async {
        let [dropped, renamed, changed] = &DAMAGES;
        tokio::try_join!(damage(dropped), damage(renamed), damage(changed)).map(drop)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f25_a_column_that_is_added_meanwhile_has_its_default_and_nothing_is_lost() -> anyhow::Result<()> {
    within(ROW, async {
        let site = Site::make().await?;
        let mut old = site.consumer(&[]).await?;
        site.write(0..40).await?;
        site.assert_exact(0..40).await?;
        site.alter("ADD COLUMN region String DEFAULT 'none'").await?;
        site.write(40..80).await?;
        let mut new = site.consumer(&[]).await?;
        site.write(80..120).await?;
        site.assert_exact(0..120).await?;
        old.program.stop().await?;
        site.write(120..160).await?;
        site.assert_exact(0..160).await?;
        assert_eq!(site.raw("SELECT countIf(region != 'none') FROM {}").await?, 0);
        assert!(new.program.is_running()?);
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f26_a_table_that_is_dropped_is_waited_for_and_its_next_generation_has_everything()
-> anyhow::Result<()> {
    within(ROW, async {
        let site = Site::make().await?;
        let mut consumer = site.consumer(&[]).await?;
        site.write(0..40).await?;
        site.assert_exact(0..40).await?;
        let committed = site.committed().await?;
        site.line.clickhouse.run(&format!("DROP TABLE {} SYNC", site.line.table("events_raw"))).await?;
        site.write(40..80).await?;
        until_metric(&consumer, "consumer_insert_blocked", "", 1.0).await?;
        assert_eq!(site.committed().await?, committed, "nothing is skipped");
        assert_eq!(site.letters(0).await?.len(), 0, "and nothing is put aside");
        assert!(consumer.program.is_running()?, "it says so, and waits");
        let again = site.with_line(site.line.with_tables_made_again().await?).await?;
        consumer.program.stop().await?;
        let _next = again.consumer(&[]).await?;
        again.assert_exact(0..80).await?;
        Ok(())
    })
    .await
}
