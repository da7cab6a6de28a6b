//! Kafka behind certificates and users: SASL_SSL with SCRAM-SHA-512, for every client that we have.

use std::time::Duration;

use harness::ledger::Outcome;
use harness::line::Line;
use harness::load::Load;
use harness::shared;
use harness::wait::within;
use schema::secret::Secret;

const TEST: Duration = Duration::from_secs(120);

#[tokio::test]
async fn events_pass_through_a_secured_kafka() -> anyhow::Result<()> {
    within(TEST, async {
        let line = Line::make(&shared::secured_kafka()?, &shared::clickhouse()?).await?;
        let ingester = line.ingester(&[]).await?;
        let _consumer = line.consumer().await?;
        let load =
            Load::start(&ingester.url, &line.bearer(), Duration::from_secs(2), Duration::from_secs(20));
        let (ledger, _) = load.finish().await?;
        let sent = ledger.count(Outcome::Acknowledged);
        assert!(sent > 0, "something was acknowledged");
        line.wait_for_events(sent as u64, Duration::from_secs(30)).await?;
        let verdict = ledger.judge(&line.clickhouse.copies(&line.table("events")).await?);
        assert!(verdict.is_exact(), "{verdict}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_wrong_password_makes_the_ingester_unready_and_answers_503() -> anyhow::Result<()> {
    within(TEST, async {
        let mut secured = shared::secured_kafka()?;
        let line = Line::make(&secured, &shared::clickhouse()?).await?;
        if let Some(sasl) = &mut secured.settings.sasl {
            sasl.password = Secret::new("not the password".to_owned());
        }
        let line = line.with_kafka(&secured)?;
        let ingester = line.start_ingester(&["--publish-timeout-ms=2000"])?;
        let http = harness::http::Http::new(Duration::from_secs(20));
        let answer = harness::wait::until(Duration::from_secs(20), "answer", || async {
            Ok(harness::wait::Look::There(line.post_event(&http, &ingester).await?))
        })
        .await?;
        assert_eq!(answer.status, 503, "{}", answer.text());
        assert!(!answer.header("retry-after").is_empty());
        assert_eq!(http.get(&format!("{}/health/ready", ingester.probes)).await?.status, 503);
        assert_eq!(http.get(&format!("{}/health/live", ingester.probes)).await?.status, 200);
        assert!(!ingester.program.log().contains("not the password"), "the log holds no password");
        Ok(())
    })
    .await
}
