//! Rows F28, F29, F31, F32, F34 and F35: what is in the records, and where the dead ones go.

use std::collections::BTreeMap;
use std::time::Duration;

use harness::proxy::Mode;
use harness::wait::{Look, until, within};
use schema::record;
use serde_json::json;

use super::site::{NOON, ROW, SOON, Site, event, event_with, id, pause, until_metric};

/// A poisoned record delays its partition for at most so long.
const POISON_DELAY: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f28_each_kind_of_poison_is_put_aside_with_its_bytes_and_its_neighbours_are_stored()
-> anyhow::Result<()> {
    within(ROW, async {
        let site = Site::make().await?;
        let consumer = site.consumer(&[]).await?;
        let nested = format!(r#"{{"a":{}1{}}}"#, "[".repeat(70), "]".repeat(70));
        let nested = event(90).to_string().replace(r#"{"number":90,"price":"12.5"}"#, &nested);
        let lines = [
            ("malformed", "not an event".to_owned()),
            ("malformed", event_with(91, json!({"timestamp": 1e300}))),
            ("nul", event_with(92, json!({"event_name": "a\u{0}b"}))),
            ("too_deep", nested),
        ];
        let mut expected = BTreeMap::new();
        let mut number = 0;
        for (reason, poison) in lines {
            let neighbours = [event(number).to_string(), poison.clone(), event(number + 1).to_string()];
            site.write_lines(&neighbours).await?;
            expected.insert(poison, reason);
            number += 2;
        }
        let stranger = event(93).to_string();
        for (header, value, reason) in [
            (record::TENANT, "somebody-else", "wrong_tenant"),
            (record::SCHEMA_VERSION_HEADER, "99", "unknown_schema_version"),
        ] {
            let mut headers: BTreeMap<&str, String> = site.line.record_headers().into_iter().collect();
            headers.insert(header, value.to_owned());
            let headers: Vec<(&str, &str)> =
                headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            // Different bytes, by which each letter is told.
            let value = format!("{stranger} {reason}");
            site.line.kafka.write(site.line.topic.as_str(), &headers, value.as_bytes()).await?;
            expected.insert(value, reason);
        }
        // Giant numbers are no poison in a property: they keep their text.
        let giant = event(number).to_string().replace(r#""12.5""#, "1e999999");
        site.write_lines(&[giant]).await?;

        let letters = tokio::time::timeout(POISON_DELAY, site.letters(expected.len())).await??;
        let found: BTreeMap<String, &str> = letters
            .iter()
            .map(|letter| {
                let reason = letter.headers[record::dead_letter::REASON].as_str();
                (String::from_utf8_lossy(&letter.value).into_owned(), reason)
            })
            .collect();
        assert_eq!(found, expected);
        site.assert_exact(0..number + 1).await?;
        let kept =
            format!("SELECT countIf(properties['price'] = '1e999999' AND id = '{}') FROM {{}}", id(number));
        assert_eq!(site.raw(&kept).await?, 1);
        assert_eq!(consumer.metric("consumer_dead_letters_total", "").await?, expected.len() as f64);
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f29_without_its_dead_letter_topic_a_consumer_commits_nothing_and_skips_nothing() -> anyhow::Result<()>
{
    within(ROW, async {
        let site = Site::make().await?;
        let topic = site.line.topic.dead_letter();
        site.line.kafka.delete_topic(topic.as_str()).await?;
        let mut consumer = site.consumer(&[]).await?;
        let poison = "not an event".to_owned();
        site.write_lines(&[event(0).to_string(), poison.clone(), event(1).to_string()]).await?;
        // librdkafka waits half a minute for a topic that may have just been made.
        until_metric(&consumer, "analytics_pipeline_errors_total", "dead_letter", 1.0).await?;
        site.write(2..22).await?;
        pause(Duration::from_secs(1)).await;
        assert_eq!(site.committed().await?.len(), 0, "what cannot be put aside is not passed");
        assert!(consumer.program.is_running()?);
        site.line.kafka.make_topic(topic.as_str(), 1).await?;
        site.assert_exact(0..22).await?;
        let letters = site.letters(1).await?;
        assert_eq!(letters[0].value, poison.into_bytes());
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f31_of_one_id_with_different_content_the_last_received_wins_whatever_the_order() -> anyhow::Result<()>
{
    within(ROW, async {
        let site = Site::make().await?;
        let consumer = site.consumer(&[]).await?;
        let received = |number: u32, minute: u32, price: &str| {
            let time = format!("2026-01-31T12:{minute:02}:00.000Z");
            event_with(number, json!({"received_at": time, "properties": {"price": price}}))
        };
        for line in [
            // The later one first, and the other way round, each in a record and an insert of its own.
            received(0, 7, "last"),
            received(1, 3, "first"),
            received(0, 3, "first"),
            received(1, 7, "last"),
        ] {
            site.write_lines(&[line]).await?;
            site.line.wait_until_committed(SOON).await?;
        }
        let shown = format!(
            "SELECT countIf(properties['price'] = 'last') * 10 + count() FROM {}",
            site.line.table("events")
        );
        assert_eq!(site.line.clickhouse.number(&shown).await?, 22, "two events, both as last received");
        // Reading everything again, in whatever order, changes nothing.
        drop(consumer);
        let again = site.with_line(site.line.with_fresh_group()?).await?;
        let _next = again.consumer(&[]).await?;
        again.assert_exact(0..2).await?;
        assert_eq!(site.line.clickhouse.number(&shown).await?, 22);
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f32_the_same_id_in_two_tenants_is_two_events() -> anyhow::Result<()> {
    within(ROW, async {
        let (one, other) = (Site::make().await?, Site::make().await?);
        let _consumers = (one.consumer(&[]).await?, other.consumer(&[]).await?);
        one.write(0..20).await?;
        other.write(0..30).await?;
        one.assert_exact(0..20).await?;
        other.assert_exact(0..30).await?;
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f34_skewed_clocks_neither_double_an_event_nor_spread_an_insert() -> anyhow::Result<()> {
    within(ROW, async {
        let site = Site::make().await?;
        // Everything waits for one batch.
        site.set(Mode::Cut);
        let consumer = site.consumer(&[]).await?;
        // An SDK's retries by way of ingesters whose clocks are two hours apart.
        for received_at in ["2026-01-31T10:00:00.000Z", NOON, "2026-01-31T14:00:00.000Z"] {
            site.write_lines(&[event_with(0, json!({"received_at": received_at}))]).await?;
        }
        // Around the change to summer time in Europe, and around a midnight, each sent twice.
        let times = [
            "2025-03-30T00:59:59.999Z",
            "2025-03-30T01:00:00.000Z",
            "2025-10-26T00:59:59.999Z",
            "2025-10-26T01:00:00.000Z",
            "2025-12-31T23:59:59.999Z",
            "2026-01-01T00:00:00.000Z",
        ];
        for _ in 0..2 {
            let line = |(number, time): (u32, &&str)| event_with(number, json!({"timestamp": time}));
            site.write_lines(&(1..).zip(&times).map(line).collect::<Vec<_>>()).await?;
        }
        // More months than an insert may have partitions.
        let month = |number: u32| {
            let (year, month) = (2000 + number / 12, 1 + number % 12);
            event_with(7 + number, json!({"timestamp": format!("{year}-{month:02}-15T12:00:00.000Z")}))
        };
        site.write_lines(&(0..120).map(month).collect::<Vec<_>>()).await?;
        // Clients that live in another century.
        for year in ["1970", "2100"] {
            let time = format!("{year}-06-15T12:00:00.000Z");
            site.write_lines(&[event_with(900, json!({"timestamp": time}))]).await?;
        }
        site.set(Mode::Pass);
        site.assert_exact(0..127).await?;
        let letters = site.letters(2).await?;
        let mut reasons: Vec<&str> =
            letters.iter().map(|letter| letter.headers[record::dead_letter::REASON].as_str()).collect();
        reasons.sort_unstable();
        assert_eq!(reasons, ["timestamp_too_new", "timestamp_too_old"]);
        assert_eq!(consumer.metric("consumer_insert_blocked", "").await?, 0.0);
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f35_a_topic_that_is_made_again_is_read_from_its_start_beside_what_is_stored() -> anyhow::Result<()> {
    within(ROW, async {
        let site = Site::make().await?;
        let mut consumer = site.consumer(&[]).await?;
        // So many records that some of either topic lie in the same partition.
        site.write(0..300).await?;
        site.assert_exact(0..300).await?;
        consumer.program.stop().await?;
        let again = site.with_line(site.line.with_topic_made_again(3).await?).await?;
        again.write(300..600).await?;
        let _next = again.consumer(&[]).await?;
        again.assert_exact(0..600).await?;
        until(SOON, "rows of two topics at the same positions", || async {
            let same = "SELECT count() - uniqExact(_kp, _ko, _ki) FROM {}";
            let seen = (again.raw("SELECT uniqExact(_inc) FROM {}").await?, again.raw(same).await?);
            Ok(Look::at(seen.0 == 2 && seen.1 > 0, seen))
        })
        .await?;
        assert_eq!(again.copies().await?, 0);
        Ok(())
    })
    .await
}
