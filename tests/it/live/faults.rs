//! Kafka, ClickHouse and our own processes die under load: nothing acknowledged is missing, nothing is doubled.
//!
//! The rows of the fault matrix that concern the consumer, and the tests of each. Those named after a row use private
//! servers; a ledger whose reader shares no code with the consumer says what has to be stored.
//!
//! | row | fault | test |
//! | --- | --- | --- |
//! | F12 | consumer killed at each step | `crashes::f12_*`, `a_consumer_killed_again_and_again_*` under load |
//! | F13 | the answer to an insert is lost | `crashes::f13_*`, `a_lost_slow_or_swallowed_answer_*` under load |
//! | F14 | storm of rebalances | `groups::f14_*`, `consumers_that_come_and_go_*` |
//! | F15 | frozen for longer than a session, and thawed | `crashes::f15_*` |
//! | F16 | the coordinator alone cannot be reached | `groups::f16_*` |
//! | F17 | an insert that hangs | `crashes::f17_*` |
//! | F18 | ClickHouse is away | `f18_*` |
//! | F19 | 252, too many parts | `servers::f19_*` |
//! | F20 | 241, too little memory | `servers::f20_*` |
//! | F22 | 200 with an exception | `servers::f22_*`; each answer in `consumer/src/answer.rs` |
//! | F23 | an insert without an answer | `crashes::f23_*` |
//! | F24 | column dropped, renamed, changed | `tables::f24_*` |
//! | F25 | column added | `tables::f25_*` |
//! | F26 | table dropped | `tables::f26_*` |
//! | F27 | password rotated | `passwords::f27_*`, without the time in which both are valid |
//! | F28 | poison | `records::f28_*`, and rows that the table refuses in `live/poison.rs` |
//! | F29 | no dead-letter topic | `records::f29_*` |
//! | F31 | one id, different content | `records::f31_*` |
//! | F32 | one id, two tenants | `records::f32_*` |
//! | F34 | skewed clocks, far years, summer time | `records::f34_*` |
//! | F35 | topic deleted and made again | `records::f35_*` |
//! | F36 | offsets reset or wiped | `groups::f36_*` |
//! | F37 | retention shorter than the outage | `groups::f37_*` |
//!
//! Random kills of all parts at once for as long as one likes: `make chaos`.

use std::time::Duration;

use anyhow::ensure;
use harness::kafka::Kafka;
use harness::ledger::{Ledger, Outcome};
use harness::line::Line;
use harness::load::{Load, Tally};
use harness::private::{PrivateClickHouse, PrivateKafka};
use harness::proxy::{Mode, Proxy};
use harness::shared;
use harness::wait::within;

mod crashes;
mod groups;
mod passwords;
mod records;
mod servers;
mod site;
mod tables;

const TEST: Duration = Duration::from_secs(300);
/// Time that what was acknowledged gets to become readable, once all parts are back.
const RECOVERED: Duration = Duration::from_secs(120);
/// How long Kafka or ClickHouse is away: longer than any deadline of a request or an insert.
const OUTAGE: Duration = Duration::from_secs(60);
/// Time after the load in which what was not answered is sent again.
const PATIENCE: Duration = Duration::from_secs(60);

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

async fn pause(duration: Duration) {
    tokio::time::sleep(duration).await;
}

/// Waits for the load's end and for what it sent.
async fn assert_exact(line: &Line, load: Load) -> anyhow::Result<Tally> {
    let (ledger, tally) = load.finish().await?;
    assert_stored(line, &ledger, tally).await
}

async fn assert_stored(line: &Line, ledger: &Ledger, tally: Tally) -> anyhow::Result<Tally> {
    ensure!(
        ledger.count(Outcome::Acknowledged) > 1_000,
        "too little was acknowledged to tell anything: {tally:?}"
    );
    assert_eq!(ledger.count(Outcome::Refused), 0, "nothing was wrong with the events: {tally:?}");
    assert_eq!(ledger.count(Outcome::Unknown), 0, "everything was answered in the end: {tally:?}");
    line.wait_until_exact(ledger, RECOVERED).await?;
    Ok(tally)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kafka_killed_under_load_is_answered_with_503_and_loses_nothing() -> anyhow::Result<()> {
    within(TEST, async {
        let kafka = PrivateKafka::start().await?;
        let line = Line::make(&Kafka::plain(&kafka.address()), &shared::clickhouse()?).await?;
        let mut ingester = line.ingester(&["--publish-timeout-ms=2000"]).await?;
        let mut consumer = line.consumer().await?;
        let load = Load::start(&ingester.url, &line.bearer(), OUTAGE + seconds(10), PATIENCE);
        pause(seconds(4)).await;
        kafka.kill().await?;
        pause(OUTAGE).await;
        kafka.start_again().await?;
        let tally = assert_exact(&line, load).await?;
        assert!(tally.busy > 0, "there were answers while Kafka was away: {tally:?}");
        assert_eq!(tally.busy_without_time, 0, "each says when to come again");
        assert!(ingester.program.is_running()? && consumer.program.is_running()?, "no process gave up");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_ingester_starts_without_kafka_and_recovers_by_itself() -> anyhow::Result<()> {
    within(TEST, async {
        let kafka = PrivateKafka::start().await?;
        let line = Line::make(&Kafka::plain(&kafka.address()), &shared::clickhouse()?).await?;
        kafka.kill().await?;
        let mut ingester = line.start_ingester(&["--publish-timeout-ms=1000"])?;
        let http = harness::http::Http::new(seconds(20));
        let ready = format!("{}/health/ready", ingester.probes);
        harness::wait::until(seconds(30), "503 of an unready ingester", || async {
            let answer = http.get(&ready).await?;
            Ok(harness::wait::Look::at(answer.status == 503, answer.status))
        })
        .await?;
        assert_eq!(line.post_event(&http, &ingester).await?.status, 503);
        kafka.start_again().await?;
        harness::wait::until(seconds(60), "ready ingester", || async {
            let answer = http.get(&ready).await?;
            Ok(harness::wait::Look::at(answer.status == 200, answer.text()))
        })
        .await?;
        assert_eq!(line.post_event(&http, &ingester).await?.status, 200);
        assert!(ingester.program.is_running()?);
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f18_clickhouse_killed_under_load_delays_events_and_loses_none() -> anyhow::Result<()> {
    within(TEST, async {
        let clickhouse = PrivateClickHouse::start().await?;
        let line = Line::make(&shared::kafka()?, &clickhouse.reader()).await?;
        let ingester = line.ingester(&[]).await?;
        let mut consumer = line.consumer().await?;
        let load = Load::start(&ingester.url, &line.bearer(), OUTAGE + seconds(10), PATIENCE);
        for outage in [seconds(1), OUTAGE] {
            pause(seconds(3)).await;
            clickhouse.kill().await?;
            pause(outage).await;
            clickhouse.start_again().await?;
        }
        let tally = assert_exact(&line, load).await?;
        assert_eq!((tally.busy, tally.lost), (0, 0), "the ingester does not need ClickHouse: {tally:?}");
        assert!(consumer.program.is_running()?, "the consumer waits instead of restarting");
        line.wait_until_committed(RECOVERED).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_slow_or_swallowed_answer_of_clickhouse_doubles_nothing() -> anyhow::Result<()> {
    within(TEST, async {
        let clickhouse = shared::clickhouse()?;
        let line = Line::make(&shared::kafka()?, &clickhouse).await?;
        let proxy = Proxy::start(clickhouse.url.trim_start_matches("http://").parse()?).await?;
        let ingester = line.ingester(&[]).await?;
        let through = format!("http://{}", proxy.address());
        let _consumer = line.consumer_through(&through, &["--insert-timeout-ms=1500"]).await?;
        let load = Load::start(&ingester.url, &line.bearer(), seconds(16), PATIENCE);
        for _ in 0..3 {
            for mode in [Mode::Cut, Mode::Delay(Duration::from_millis(400)), Mode::Blackhole] {
                pause(Duration::from_millis(1_200)).await;
                proxy.set(mode);
                pause(Duration::from_millis(500)).await;
            }
            proxy.set(Mode::Pass);
        }
        assert_exact(&line, load).await?;
        line.wait_until_committed(RECOVERED).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_killed_again_and_again_loses_and_doubles_nothing() -> anyhow::Result<()> {
    within(TEST, async {
        let clickhouse = shared::clickhouse()?;
        let line = Line::make(&shared::kafka()?, &clickhouse).await?;
        let proxy = Proxy::start(clickhouse.url.trim_start_matches("http://").parse()?).await?;
        let ingester = line.ingester(&[]).await?;
        let mut consumer = line.consumer_through(&format!("http://{}", proxy.address()), &[]).await?;
        let load = Load::start(&ingester.url, &line.bearer(), seconds(30), PATIENCE);
        for before_the_kill in
            [Mode::Blackhole, Mode::Delay(Duration::from_millis(150)), Mode::Blackhole, Mode::Pass]
        {
            pause(seconds(1)).await;
            // An insert that is on its way at the kill is where a commit too early would lose events.
            proxy.set(before_the_kill);
            pause(Duration::from_millis(900)).await;
            consumer.program.kill()?;
            proxy.set(Mode::Pass);
            consumer.restart(&line).await?;
        }
        assert_exact(&line, load).await?;
        line.wait_until_committed(RECOVERED).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ingester_killed_again_and_again_loses_nothing_it_acknowledged() -> anyhow::Result<()> {
    within(TEST, async {
        let line = Line::make(&shared::kafka()?, &shared::clickhouse()?).await?;
        let mut ingester = line.ingester(&[]).await?;
        let _consumer = line.consumer().await?;
        let load = Load::start(&ingester.url, &line.bearer(), seconds(15), PATIENCE);
        for round in 0..4 {
            pause(Duration::from_millis(1_500 + 211 * round)).await;
            load.until_in_flight().await?;
            ingester.program.kill()?;
            ingester.restart(&line).await?;
        }
        let tally = assert_exact(&line, load).await?;
        assert!(tally.lost > 0, "requests were cut in the middle: {tally:?}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_are_asked_to_stop_finish_what_they_began() -> anyhow::Result<()> {
    within(TEST, async {
        let line = Line::make(&shared::kafka()?, &shared::clickhouse()?).await?;
        let mut ingester = line.ingester(&[]).await?;
        let mut consumer = line.consumer().await?;
        let load = Load::start(&ingester.url, &line.bearer(), seconds(10), PATIENCE);
        pause(seconds(3)).await;
        let ended = ingester.program.stop().await?;
        assert!(ended.success(), "{ended} {}", ingester.program.tail());
        let ended = consumer.program.stop().await?;
        assert!(ended.success(), "{ended} {}", consumer.program.tail());
        ingester.restart(&line).await?;
        consumer.restart(&line).await?;
        assert_exact(&line, load).await?;
        line.wait_until_committed(RECOVERED).await?;
        let raw =
            line.clickhouse.number(&format!("SELECT count() FROM {}", line.table("events_raw"))).await?;
        let shown = line.clickhouse.number(&format!("SELECT count() FROM {}", line.table("events"))).await?;
        // What the clients sent again is a copy; what the consumer had stored and committed is not read again.
        let positions = format!("SELECT uniqExact(_kp, _ko, _ki) FROM {}", line.table("events_raw"));
        assert_eq!(line.clickhouse.number(&positions).await?, raw, "no record was inserted twice");
        assert!(raw >= shown);
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn consumers_that_come_and_go_lose_and_double_nothing() -> anyhow::Result<()> {
    within(TEST, async {
        let line = Line::make(&shared::kafka()?, &shared::clickhouse()?).await?;
        let ingester = line.ingester(&[]).await?;
        let _stays = line.consumer().await?;
        let load = Load::start(&ingester.url, &line.bearer(), seconds(12), PATIENCE);
        for _ in 0..2 {
            let mut guest = line.consumer().await?;
            pause(seconds(2)).await;
            guest.program.stop().await?;
        }
        assert_exact(&line, load).await?;
        line.wait_until_committed(RECOVERED).await
    })
    .await
}
