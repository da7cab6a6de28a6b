//! Inserts that would wait for ever: what is found out by looking, and what somebody is told of.

use super::*;
use crate::retry::PATIENCE;

/// Longer than anything here takes, and shorter than a test may.
const LONG: Duration = Duration::from_secs(10);

/// Refuses what names an event with a code that is not known to the error policy.
fn refuses_oddly(names: &'static [&'static str]) -> impl FnMut(&Seen) -> Answer {
    move |seen| if names.iter().any(|name| seen.contains(name)) { Answer::Code(467) } else { Answer::Stored }
}

#[tokio::test]
async fn an_unlisted_code_of_an_extended_table_is_looked_for_as_a_listed_one() {
    let server = ClickHouse::start(refuses_oddly(&["event-37-"])).await;
    extend(&server);
    let mut fixture = Fixture::with(server.clone());
    let names = names(64);
    produce(&fixture.cluster.bootstrap_servers(), &record(&names));
    tokio::time::timeout(LONG, fixture.store(&names)).await.expect("a row may not block its batch");
    // One of them is stored again before each time that the row is tried again.
    assert_eq!(server.stored().iter().map(|seen| seen.rows).sum::<u64>(), 63 + 2);
    assert_eq!(fixture.dead_letters(1)[0].payload, line("event-37-"));
}

/// Everything is refused with a code that is not known, but for what `is_stored` lets pass, until there were so many
/// attempts.
fn passes_after(
    attempts: usize,
    is_stored: impl Fn(&Seen) -> bool + Send,
) -> impl FnMut(&Seen) -> Answer + Send {
    let mut seen_before = 0;
    move |seen| {
        seen_before += 1;
        if seen_before > attempts || is_stored(seen) { Answer::Stored } else { Answer::Code(77_777) }
    }
}

#[tokio::test]
async fn a_code_that_passes_puts_no_row_of_an_extended_table_aside() {
    let first_row_alone = |seen: &Seen| seen.rows == 1 && seen.contains("event-0-");
    for server in [
        ClickHouse::start(passes_after(50, |_| false)).await,
        ClickHouse::start(passes_after(50, first_row_alone)).await,
    ] {
        let counted = Counted::default();
        let _guard = metrics::set_default_local_recorder(&counted);
        extend(&server);
        let mut fixture = Fixture::with(server.clone());
        let names = names(64);
        produce(&fixture.cluster.bootstrap_servers(), &record(&names));
        tokio::time::timeout(LONG, fixture.store(&names)).await.expect("it has passed");
        assert_eq!(counted.counter(names::DEAD_LETTERS), 0);
        let stored = server.stored();
        assert!(names.iter().all(|name| stored.iter().any(|seen| seen.contains(name))));
        assert_eq!(counted.counter(names::EVENTS_INSERTED), 64);
    }
}

#[tokio::test]
async fn a_code_that_lasts_is_waited_for_while_it_refuses_what_was_stored_before() {
    let counted = Counted::default();
    let _guard = metrics::set_default_local_recorder(&counted);
    let mut is_first = true;
    // One row alone is stored, once.
    let once = move |seen: &Seen| match seen.rows {
        1 if std::mem::take(&mut is_first) => Answer::Stored,
        _ => Answer::Code(77_777),
    };
    let server = ClickHouse::start(once).await;
    extend(&server);
    let mut fixture = Fixture::with(server.clone());
    let names = names(16);
    produce(&fixture.cluster.bootstrap_servers(), &record(&names));
    let mending = async {
        while counted.gauge(names::INSERT_BLOCKED) != 1.0 {
            tokio::task::yield_now().await;
        }
        server.follow(|_| Answer::Stored);
    };
    tokio::time::timeout(LONG, async { tokio::join!(fixture.store(&names), mending) })
        .await
        .expect("somebody is called");
    assert_eq!(counted.counter(names::DEAD_LETTERS), 0);
    assert_eq!(counted.gauge(names::INSERT_BLOCKED), 0.0);
    assert_eq!(counted.counter(names::EVENTS_INSERTED), 16);
}

#[tokio::test]
async fn an_unlisted_code_of_an_extended_table_that_stores_nothing_is_held_and_put_aside() {
    let counted = Counted::default();
    let _guard = metrics::set_default_local_recorder(&counted);
    let server = ClickHouse::start(refuses_oddly(&["event-"])).await;
    extend(&server);
    let mut fixture = Fixture::with(server.clone());
    fixture.store.pace.hold = Duration::from_secs(1);
    let names = names(3);
    produce(&fixture.cluster.bootstrap_servers(), &record(&names));
    let batch = batch(&names);
    let mut storing = Box::pin(fixture.store.store(&batch));
    assert!(tokio::time::timeout(Duration::from_millis(500), &mut storing).await.is_err());
    assert_eq!(counted.gauge(names::INSERT_BLOCKED), 1.0);
    tokio::time::timeout(LONG, storing).await.expect("rows may not block their batch");
    assert_eq!(counted.gauge(names::INSERT_BLOCKED), 0.0);
    assert_eq!(fixture.dead_letters(3).len(), 3);
}

#[tokio::test]
async fn many_rows_that_are_refused_with_an_unlisted_code_wait_together_between_the_times_they_are_tried() {
    let server = ClickHouse::start(refuses_oddly(&["event-"])).await;
    extend(&server);
    let mut fixture = Fixture::with(server.clone());
    fixture.store.pace.hold = Duration::ZERO;
    // Each of them waiting for itself would take more than a minute.
    fixture.store.pace.first = Duration::from_millis(500);
    fixture.store.pace.longest = Duration::from_millis(500);
    let names = names(150);
    produce(&fixture.cluster.bootstrap_servers(), &record(&names));
    tokio::time::timeout(LONG, fixture.store(&names)).await.expect("they wait together");
    assert_eq!(fixture.dead_letters(150).len(), 150);
    let alone = server.seen().iter().filter(|(seen, _)| seen.rows == 1).count();
    assert_eq!(alone, 150 * PATIENCE as usize);
}

/// Stores a batch into a server that answers all attempts so, until there were some; then somebody mends it. Says
/// how many attempts there were before somebody was called.
async fn attempts_before_somebody_is_called(answer: Answer) -> usize {
    let counted = Counted::default();
    let _guard = metrics::set_default_local_recorder(&counted);
    let server = ClickHouse::start(move |_| answer).await;
    let mut fixture = Fixture::with(server.clone());
    let names = names(5);
    let mut attempts = 0;
    let mending = async {
        while counted.gauge(names::INSERT_BLOCKED) != 1.0 {
            attempts = server.seen().len();
            tokio::task::yield_now().await;
        }
        server.follow(|_| Answer::Stored);
    };
    tokio::time::timeout(LONG, async { tokio::join!(fixture.store(&names), mending) })
        .await
        .expect("somebody is called");
    assert_eq!(counted.gauge(names::INSERT_BLOCKED), 0.0);
    assert_eq!(counted.counter(names::DEAD_LETTERS), 0);
    assert_eq!(server.stored().iter().map(|seen| seen.rows).sum::<u64>(), 5);
    attempts
}

#[tokio::test]
async fn an_unlisted_code_of_a_table_as_expected_calls_somebody_and_puts_nothing_aside() {
    let attempts = attempts_before_somebody_is_called(Answer::Code(467)).await;
    assert!((2..6).contains(&attempts), "{attempts}");
}

#[tokio::test]
async fn answers_without_a_summary_call_somebody_before_copies_pile_up() {
    let attempts = attempts_before_somebody_is_called(Answer::WithoutSummary).await;
    assert!((2..6).contains(&attempts), "{attempts}");
}

#[tokio::test]
async fn a_code_that_passes_calls_nobody() {
    let counted = Counted::default();
    let _guard = metrics::set_default_local_recorder(&counted);
    let server = ClickHouse::start(|_| Answer::Code(202)).await;
    let mut fixture = Fixture::with(server.clone());
    let batch = batch(&names(3));
    let mut storing = Box::pin(fixture.store.store(&batch));
    assert!(tokio::time::timeout(Duration::from_millis(500), &mut storing).await.is_err());
    assert!(server.seen().len() > 8, "{}", server.seen().len());
    assert_eq!(counted.gauge(names::INSERT_BLOCKED), 0.0);
}
