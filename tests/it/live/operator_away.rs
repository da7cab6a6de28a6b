//! The data plane without its operator: pods ask it for nothing, and the kubelet alone brings them back.

use std::time::Duration;

use anyhow::ensure;
use crds::condition::kind;
use harness::chart;
use harness::kubernetes::Ground;
use harness::ledger::Outcome;
use harness::load::Load;
use harness::shared;
use harness::wait::{Look, until, within};
use serde_json::json;

use super::upgrade::pods;
use super::walking_line::{Onboarded, kill_one, onboard};

const TEST: Duration = Duration::from_secs(420);
const READY: Duration = Duration::from_secs(180);
const STORED: Duration = Duration::from_secs(120);
/// Seconds of events without an operator, in which each program is killed once.
const LOAD: u64 = 12;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_36_without_an_operator_events_flow_and_killed_programs_come_back() -> anyhow::Result<()> {
    let operator = chart::no_operator().await?;
    within(TEST, async {
        operator.start().await?;
        let ground = Ground::make("away").await?;
        let policy = json!({"deletionPolicy": {"kafka": "Delete", "clickhouse": "Delete"}});
        let site = onboard(&ground, "acme", policy).await?;
        let before = pods(&ground).await?;
        ensure!(before.len() == 3, "two ingesters and a consumer: {before:?}");

        operator.stop().await?;
        send_through_kills(&ground, &site).await?;

        operator.bring_back().await?;
        ground.tenant_with("acme", kind::READY, "True", READY).await?;
        ensure!(pods(&ground).await? == before, "the operator that came back replaced a pod");
        ground.delete_tenant("acme", READY).await?;
        ground.leave().await
    })
    .await
}

/// Sends while the programs of the data plane are killed, and waits until each acknowledged event is stored once.
async fn send_through_kills(ground: &Ground, site: &Onboarded) -> anyhow::Result<()> {
    let load = Load::start(&site.url, &site.bearer, Duration::from_secs(LOAD), Duration::from_secs(90));
    for program in ["consumer", "ingester"] {
        tokio::time::sleep(Duration::from_secs(LOAD / 3)).await;
        kill_one(ground, &ground.name, program).await?;
    }
    let (ledger, tally) = load.finish().await?;
    ensure!(ledger.count(Outcome::Acknowledged) > 0, "nothing was acknowledged: {tally:?}");
    let (clickhouse, table) = (shared::clickhouse()?, format!("{}.events", site.database));
    until(STORED, "every event stored once", || async {
        let verdict = ledger.judge(&clickhouse.copies(&table).await?);
        Ok(Look::at(verdict.is_exact(), verdict.to_string()))
    })
    .await
}
