//! Rows F12, F13, F15, F17 and F23: a consumer dies, freezes or waits around an insert.

use std::time::Duration;

use harness::proxy::Mode;
use harness::wait::{Look, until, within};

use super::site::{ROW, SOON, Site, pause, until_metric};

/// Longer than the session of a member, after which the group gives its partitions to others.
const BEYOND_SESSION: Duration = Duration::from_secs(19);

/// Where a consumer is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    BeforeInsert,
    DuringInsert,
    BeforeCommit,
    AfterCommit,
}

/// Kills a consumer at this step, and lets another one go on.
async fn kill_at(step: Step) -> anyhow::Result<()> {
    let site = Site::make().await?;
    site.set(match step {
        Step::BeforeInsert => Mode::Cut,
        Step::DuringInsert => Mode::Blackhole,
        Step::BeforeCommit => Mode::LoseAnswers,
        Step::AfterCommit => Mode::Pass,
    });
    let mut consumer = site.consumer(&["--insert-timeout-ms=2000"]).await?;
    site.write(0..200).await?;
    match step {
        Step::BeforeInsert | Step::DuringInsert => {
            until_metric(&consumer, "consumer_inserts_total", "again", 1.0).await?;
            assert_eq!(site.raw("SELECT count() FROM {}").await?, 0);
        }
        Step::BeforeCommit => {
            until(SOON, "stored rows", || async {
                let rows = site.raw("SELECT uniqExact(id) FROM {}").await?;
                Ok(Look::at(rows > 0, rows))
            })
            .await?;
        }
        Step::AfterCommit => drop(site.assert_exact(0..200).await?),
    }
    if step != Step::AfterCommit {
        assert_eq!(site.committed().await?.len(), 0, "nothing is committed before it is known to be stored");
    }
    consumer.program.kill()?;
    let before = settled_rows(&site).await?;
    site.set(Mode::Pass);
    consumer.restart(&site.line).await?;
    site.write(200..240).await?;
    site.assert_exact(0..240).await?;
    let copies = site.copies().await?;
    match step {
        Step::BeforeInsert | Step::DuringInsert | Step::AfterCommit => {
            assert_eq!(copies, 0, "{step:?}: what was committed, or never arrived, is there once");
        }
        // Each attempt whose answer was lost left a copy, and the next process made one more.
        Step::BeforeCommit => assert!(copies <= before, "{step:?}: {copies} copies of {before} rows"),
    }
    Ok(())
}

/// The rows that are there when what was on its way to the server has arrived.
async fn settled_rows(site: &Site) -> anyhow::Result<u64> {
    let rows = "SELECT count() FROM {}";
    until(SOON, "end of the inserts", || async {
        let before = site.raw(rows).await?;
        pause(Duration::from_secs(1)).await;
        let after = site.raw(rows).await?;
        Ok(if before == after { Look::There(after) } else { Look::NotYet(format!("{before}, then {after}")) })
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f12_a_consumer_killed_at_any_step_loses_and_doubles_nothing() -> anyhow::Result<()> {
    within(ROW, async {
        // At once, since the group of each takes 15 s to notice.
        tokio::try_join!(
            kill_at(Step::BeforeInsert),
            kill_at(Step::DuringInsert),
            kill_at(Step::BeforeCommit),
            kill_at(Step::AfterCommit)
        )?;
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f13_an_insert_whose_answer_is_lost_is_made_again_and_doubles_nothing() -> anyhow::Result<()> {
    within(ROW, async {
        let site = Site::make().await?;
        let consumer = site.consumer(&[]).await?;
        site.set(Mode::LoseAnswers);
        site.write(0..100).await?;
        until_metric(&consumer, "consumer_rows_reinserted_total", "", 1.0).await?;
        assert!(site.raw("SELECT uniqExact(id) FROM {}").await? > 0, "the server has applied it");
        assert_eq!(site.committed().await?.len(), 0);
        site.set(Mode::Pass);
        site.assert_exact(0..100).await?;
        assert_eq!(consumer.metric("consumer_dead_letters_total", "").await?, 0.0);
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f15_a_frozen_consumer_that_wakes_up_doubles_nothing() -> anyhow::Result<()> {
    within(ROW, async {
        let site = Site::make().await?;
        let mut zombie = site.consumer(&["--insert-timeout-ms=60000"]).await?;
        // It freezes with an insert that the server has applied and whose answer waits.
        site.set(Mode::Delay(Duration::from_secs(2)));
        site.write(0..100).await?;
        until(SOON, "stored rows", || async {
            let rows = site.raw("SELECT count() FROM {}").await?;
            Ok(Look::at(rows > 0, rows))
        })
        .await?;
        zombie.program.freeze()?;
        assert_eq!(site.committed().await?.len(), 0);
        site.set(Mode::Pass);
        let heir = site.consumer(&[]).await?;
        site.write(100..200).await?;
        site.assert_exact(0..200).await?;
        let ends = site.committed().await?;
        zombie.program.thaw()?;
        until_metric(&zombie, "consumer_rebalances_total", "lost", 1.0).await?;
        pause(Duration::from_secs(2)).await;
        assert_eq!(site.committed().await?, ends, "the late commit of a zombie changes nothing");
        site.write(200..300).await?;
        site.assert_exact(0..300).await?;
        assert!(zombie.program.is_running()?);
        drop(heir);
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f17_an_insert_that_hangs_for_longer_than_a_session_costs_no_rebalance() -> anyhow::Result<()> {
    within(ROW, async {
        let site = Site::make().await?;
        let consumer = site.consumer(&["--insert-timeout-ms=60000"]).await?;
        site.write(0..40).await?;
        site.assert_exact(0..40).await?;
        site.set(Mode::Blackhole);
        site.write(40..80).await?;
        pause(BEYOND_SESSION).await;
        // The answer never comes; the reset ends the wait before the deadline does.
        site.set(Mode::Cut);
        pause(Duration::from_millis(300)).await;
        site.set(Mode::Pass);
        site.assert_exact(0..80).await?;
        let rebalances = |kind| consumer.metric("consumer_rebalances_total", kind);
        let seen = (rebalances("assigned").await?, rebalances("revoked").await?, rebalances("lost").await?);
        assert_eq!(seen, (1.0, 0.0, 0.0), "the group has kept its member");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f23_an_insert_that_is_not_answered_in_time_is_ended_and_made_again() -> anyhow::Result<()> {
    within(ROW, async {
        let site = Site::make().await?;
        // A block of 20 rows takes 2 s, which is twice the deadline.
        site.alter("ADD COLUMN slow UInt8 MATERIALIZED sleepEachRow(0.1)").await?;
        let mut consumer = site.consumer(&["--insert-timeout-ms=1000"]).await?;
        site.write(0..20).await?;
        until_metric(&consumer, "consumer_inserts_total", "again", 3.0).await?;
        let ended = format!(
            "SELECT count() FROM system.query_log WHERE exception_code = 394 AND has(databases, '{}')",
            site.line.database
        );
        until(SOON, "an insert that its successor ended", || async {
            site.line.clickhouse.run("SYSTEM FLUSH LOGS").await?;
            let count = site.line.clickhouse.number(&ended).await?;
            Ok(Look::at(count > 0, count))
        })
        .await?;
        assert_eq!(site.committed().await?.len(), 0);
        site.alter("DROP COLUMN slow").await?;
        site.assert_exact(0..20).await?;
        assert!(consumer.program.is_running()?);
        Ok(())
    })
    .await
}
