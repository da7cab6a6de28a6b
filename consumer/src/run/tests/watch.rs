//! What a consumer shows of itself: each metric and both probes, read from a process.

use schema::settings::{AuditSettings, ConsumerSettings};

use super::{process::Process, *};

/// Brokers, a ClickHouse, and a consumer process between them.
struct Watched {
    fixture: Fixture,
    process: Process,
}

impl Watched {
    async fn start(server: ClickHouse) -> Self {
        let fixture = Fixture::make(server);
        let process = Process::start(&fixture.settings_file());
        Self { fixture, process }
    }

    /// The same, and everything that was stored is looked up again and again.
    async fn audited(server: ClickHouse) -> Self {
        Self::audited_with(server, |_| {}).await
    }

    async fn audited_with(server: ClickHouse, change: impl FnOnce(&mut ConsumerSettings)) -> Self {
        let audited = |settings: &mut ConsumerSettings| {
            settings.audit = AuditSettings { share_per_mille: 1_000, interval_ms: 50 };
            change(settings);
        };
        let fixture = Fixture::make_with(server, audited, &[]);
        let process = Process::start(&fixture.settings_file());
        Self { fixture, process }
    }

    /// Waits until the audit has counted at least so many.
    async fn until_audited(&self, what: &str, least: f64) {
        self.process.until_metric(&format!("audit_events_{what}_total"), |seen| seen >= least).await;
    }

    async fn is(&self, name: &str, expected: f64) {
        self.process.until_metric(name, |value| value == expected).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_stored_is_counted() {
    let watched = Watched::start(ClickHouse::answering(&[Answer::Code(159), Answer::Code(252)]).await).await;
    watched.fixture.produce(0, &format!("{}\nnot json\n{}", line("a"), line("b")), "acme");
    watched.fixture.produce(0, &line("foreign"), "globex");
    watched.is("analytics_events_inserted_total", 2.0).await;
    watched.is("analytics_events_consumed_total", 4.0).await;
    watched.process.until_metric("analytics_batch_flush_seconds_count", |batches| batches >= 1.0).await;
    watched.is("analytics_pipeline_errors_total{stage=\"parse\",reason=\"malformed\"}", 1.0).await;
    watched.is("consumer_inserts_total{outcome=\"again\"}", 1.0).await;
    watched.is("consumer_inserts_total{outcome=\"slower\"}", 1.0).await;
    watched.is("consumer_inserts_total{outcome=\"stored\"}", 1.0).await;
    watched.is("consumer_insert_retries_total{class=\"again\"}", 1.0).await;
    watched.is("consumer_insert_retries_total{class=\"slower\"}", 1.0).await;
    watched.is("consumer_insert_retries_total{class=\"schema\"}", 0.0).await;
    watched.is("consumer_insert_rows_bucket{le=\"1\"}", 0.0).await;
    watched.is("consumer_insert_rows_bucket{le=\"10\"}", 1.0).await;
    watched.is("consumer_insert_rows_sum", 2.0).await;
    watched.is("consumer_insert_bytes_count", 1.0).await;
    watched.process.until_metric("consumer_insert_bytes_sum", |bytes| bytes > 100.0).await;
    watched.is("consumer_rows_reinserted_total", 4.0).await;
    watched.is("consumer_dead_letters_total{reason=\"malformed\"}", 1.0).await;
    watched.is("consumer_dead_letters_total{reason=\"wrong_tenant\"}", 1.0).await;
    watched.is("consumer_rebalances_total{kind=\"assigned\"}", 1.0).await;
    watched.is("consumer_rebalances_total{kind=\"lost\"}", 0.0).await;
    watched.is("consumer_partitions", 2.0).await;
    watched.process.until_metric("consumer_last_commit_timestamp_seconds", |time| time > 1.7e9).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_stored_yet_is_shown_as_lag() {
    let watched = Watched::start(ClickHouse::start(|_| Answer::Code(60)).await).await;
    watched.fixture.produce(0, &line("a"), "acme");
    watched.fixture.produce(0, &line("b"), "acme");
    watched.fixture.produce(1, &line("c"), "acme");
    watched.is("consumer_lag_records", 3.0).await;
    watched.is("consumer_insert_blocked", 1.0).await;
    watched.process.until_metric("consumer_lag_seconds", |age| age > 1.0 && age < 60.0).await;
    // The event itself says that it was received long ago.
    watched.process.until_metric("consumer_oldest_unstored_seconds", |age| age > 1_000_000.0).await;
    watched.process.until_metric("consumer_memory_held_bytes", |bytes| bytes > 100.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lag_is_none_once_everything_is_stored() {
    let watched = Watched::start(ClickHouse::answering(&[]).await).await;
    watched.fixture.produce(0, &line("a"), "acme");
    watched.is("analytics_events_inserted_total", 1.0).await;
    for gauge in ["records", "seconds"] {
        watched.is(&format!("consumer_lag_{gauge}"), 0.0).await;
    }
    watched.is("consumer_oldest_unstored_seconds", 0.0).await;
    watched.is("consumer_memory_held_bytes", 0.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ready_is_the_group_joined_and_live_is_the_loop_alone() {
    let watched = Watched::start(ClickHouse::start(|_| Answer::Hung).await).await;
    watched.process.until_status("/health/ready", 200).await;
    // ClickHouse never answers, and the brokers go away: neither is mended by a restart.
    watched.fixture.produce(0, &line("a"), "acme");
    watched.process.until_metric("consumer_inserts_total{outcome=\"again\"}", |failed| failed > 0.0).await;
    watched.fixture.cluster.broker_down(1).unwrap();
    watched
        .process
        .until_metric("analytics_pipeline_errors_total{stage=\"poll\",reason=\"kafka\"}", |n| n > 0.0)
        .await;
    watched.process.until_status("/health/live", 200).await;
    watched.process.until_status("/health/ready", 200).await;

    let waiting = Process::start(&watched.fixture.settings_file());
    waiting.until_status("/health/ready", 503).await;
    assert_eq!(
        waiting.get("/health/ready").await.unwrap().1,
        r#"{"status":"unavailable","missing":["group"]}"#
    );
    assert_eq!(waiting.get("/health/live").await.unwrap(), (200, r#"{"status":"ok"}"#.to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_without_partitions_is_ready_too() {
    let fixture = Fixture::make(ClickHouse::answering(&[]).await);
    let members: Vec<Process> = (0..3).map(|_| Process::start(&fixture.settings_file())).collect();
    for member in &members {
        member.until_status("/health/ready", 200).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_audit_does_not_find_is_an_alarm_without_a_payload() {
    let watched = Watched::audited(ClickHouse::answering(&[]).await).await;
    watched.fixture.produce(1, &line("hidden"), "acme");
    watched.until_audited("checked", 3.0).await;
    watched.is("audit_events_missing_total", 0.0).await;
    watched.is("audit_events_doubled_total", 0.0).await;
    // The first event of a lookup is shown twice, then not at all.
    watched.fixture.server.show(Some("0\t2\n"));
    watched.until_audited("doubled", 1.0).await;
    watched.is("audit_events_missing_total", 0.0).await;
    watched.fixture.server.show(Some("0\t0\n"));
    watched.until_audited("missing", 1.0).await;
    let log = watched.process.log();
    for alarm in ["is committed and not in `events`", "is in `events` more than once"] {
        let event = format!("the event 0 of the record at offset 0 of partition 1 {alarm}");
        let line = log.lines().find(|line| line.contains(&event)).unwrap_or_else(|| panic!("{log}"));
        assert!(line.contains("ERROR") && line.contains("partition=1 offset=0 index=0"), "{line}");
    }
    assert!(!log.contains("hidden"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_audit_that_gets_no_answer_finds_nothing_and_goes_on() {
    let watched = Watched::audited(ClickHouse::answering(&[]).await).await;
    watched.fixture.server.show(None);
    watched.fixture.produce(0, &line("a"), "acme");
    let failed = "analytics_pipeline_errors_total{stage=\"audit\",reason=\"audit_ask_retention\"}";
    watched.process.until_metric(failed, |failed| failed >= 2.0).await;
    watched.is("audit_events_checked_total", 0.0).await;
    watched.is("audit_events_missing_total", 0.0).await;
    watched.process.until_status("/health/live", 200).await;
    watched.fixture.server.show(Some(""));
    watched.until_audited("checked", 1.0).await;
    watched.is("audit_events_missing_total", 0.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loss_is_an_alarm_although_the_dead_letters_cannot_be_read() {
    let no_letters =
        |settings: &mut ConsumerSettings| settings.dead_letter_topic = topic().dead_letter().dead_letter();
    let watched = Watched::audited_with(ClickHouse::answering(&[]).await, no_letters).await;
    watched.fixture.server.show(Some("0\t0\n"));
    watched.fixture.produce(1, &line("a"), "acme");
    let failed = "analytics_pipeline_errors_total{stage=\"audit\",reason=\"audit_find_letters\"}";
    watched.process.until_metric(failed, |failed| failed >= 1.0).await;
    watched.until_audited("missing", 1.0).await;
    let failures = watched.process.metric(failed).await;
    assert!(failures >= Some(2.0), "{failures:?}");
    let log = watched.process.log();
    let alarm = "is committed and not in `events`; what may excuse it could not be read";
    let line = log.lines().find(|line| line.contains(alarm)).unwrap_or_else(|| panic!("{log}"));
    assert!(line.contains("ERROR") && line.contains("partition=1 offset=0 index=0"), "{line}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_audit_that_is_switched_off_asks_nothing() {
    let watched = Watched::start(ClickHouse::answering(&[]).await).await;
    watched.fixture.produce(0, &line("a"), "acme");
    watched.is("consumer_lag_records", 0.0).await;
    watched.is("analytics_events_inserted_total", 1.0).await;
    watched.fixture.produce(0, &line("b"), "acme");
    watched.is("analytics_events_inserted_total", 2.0).await;
    assert_eq!(watched.fixture.server.asked(), 0);
    watched.is("audit_events_checked_total", 0.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_of_a_batch_and_of_a_dead_letter_names_the_trace() {
    let watched = Watched::start(ClickHouse::answering(&[Answer::Code(159)]).await).await;
    let (trace, tail) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7-01");
    let payload = format!("{}\nnot json", line("a"));
    watched.fixture.produce_traced(0, &payload, "acme", Some(&format!("00-{trace}-{tail}")));
    watched.is("analytics_events_inserted_total", 1.0).await;
    let log = watched.process.log();
    for line in ["becomes a dead letter", "insert failed, trying again"] {
        let line = log.lines().find(|found| found.contains(line)).unwrap_or_else(|| panic!("{log}"));
        assert!(line.contains(&format!("trace_id={trace}")), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_does_not_wait_for_committed_offsets_that_kafka_does_not_tell() {
    let fixture = Fixture::make(ClickHouse::answering(&[]).await);
    fixture.produce(0, &line("a"), "acme");
    let moving = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_COORDINATOR; 1_000];
    fixture.cluster.request_errors(RDKafkaApiKey::OffsetFetch, &moving);
    let mut process = Process::start(&fixture.settings_file());
    let asked = "analytics_pipeline_errors_total{stage=\"poll\",reason=\"group\"}";
    process.until_metric(asked, |asked| asked >= 1.0).await;
    process.until_status("/health/ready", 503).await;
    process.stop().await;
    assert!(fixture.server.seen().is_empty());
}

/// The topic of the settings was deleted, and the brokers have another one of its name.
fn was_made_anew(settings: &mut ConsumerSettings) {
    is_foreign(settings);
    settings.topic_id.0 = uuid::Uuid::from_u128(settings.topic_id.0.as_u128() ^ 1);
}

/// What is committed is of the topic that is no more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_of_a_foreign_topic_that_was_made_anew_are_not_missing() {
    let audited = |settings: &mut ConsumerSettings| {
        was_made_anew(settings);
        settings.audit = AuditSettings { share_per_mille: 1_000, interval_ms: 50 };
    };
    let server = ClickHouse::answering(&[]).await;
    server.show(Some("0\t0\n"));
    let fixture = Fixture::make_with(server, audited, &[r#"{"event_name":"new"}"#; 2]);
    fixture.commit(0, 2);
    let process = Process::start(&fixture.settings_file());
    let let_go = "the topic was made anew, what it holds is not looked for";
    process.until("the audit lets them go", async || process.log().contains(let_go)).await;
    assert_eq!(process.metric("audit_events_missing_total").await, Some(0.0));
    process.until_metric("audit_events_checked_total", |checked| checked >= 1.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_a_foreign_topic_that_was_made_anew_is_stored() {
    let records = [r#"{"event_name":"new"}"#];
    let fixture = Fixture::make_with(ClickHouse::answering(&[]).await, was_made_anew, &records);
    let process = Process::start(&fixture.settings_file());
    process.until_metric("consumer_insert_blocked", |blocked| blocked == 1.0).await;
    assert!(process.log().contains("the topic was made anew"), "{}", process.log());
    assert!(fixture.server.seen().is_empty());
    assert_eq!(fixture.committed(), BTreeMap::new());
}
