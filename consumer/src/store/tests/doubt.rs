//! Which attempts count as rows that were inserted again.

use super::*;

/// How many rows count as inserted again when a batch of so many rows meets these answers and is stored then.
async fn reinserted(answers: &[Answer], rows: usize) -> u64 {
    let counted = Counted::default();
    let _guard = metrics::set_default_local_recorder(&counted);
    Fixture::new(answers).await.store(&names(rows)).await;
    counted.counter(names::ROWS_REINSERTED)
}

#[tokio::test]
async fn rows_that_cannot_have_landed_are_not_counted_as_inserted_again() {
    for answer in [
        Answer::Code(202),
        Answer::Code(241),
        Answer::Code(242),
        Answer::Code(243),
        Answer::Code(252),
        Answer::Code(60),
        Answer::Status(403),
    ] {
        assert_eq!(reinserted(&[answer, answer], 3).await, 0, "{answer:?}");
    }
}

#[tokio::test]
async fn rows_of_an_attempt_in_doubt_are_counted_as_inserted_again() {
    for answer in [
        Answer::Code(159),
        Answer::Code(209),
        Answer::Code(210),
        Answer::Code(319),
        Answer::Code(394),
        Answer::HeaderWith200(209),
        Answer::Written(2),
        Answer::WithoutSummary,
        Answer::Status(502),
        Answer::Hung,
        Answer::Reset,
    ] {
        assert_eq!(reinserted(&[answer], 3).await, 3, "{answer:?}");
    }
}

#[tokio::test]
async fn doubt_stays_until_the_rows_are_stored() {
    assert_eq!(reinserted(&[Answer::Hung, Answer::Code(252)], 3).await, 6);
}

#[tokio::test]
async fn doubt_of_a_block_is_doubt_of_its_halves() {
    // The second attempt is the first one again, and so are the halves that it is cut into.
    assert_eq!(reinserted(&[Answer::Hung, Answer::Code(241)], 2_400).await, 4_800);
    assert_eq!(reinserted(&[Answer::Code(241), Answer::Hung], 2_400).await, 1_200);
}

#[tokio::test]
async fn a_server_that_is_not_there_has_stored_nothing() {
    let counted = Counted::default();
    let _guard = metrics::set_default_local_recorder(&counted);
    let mut fixture = Fixture::new(&[]).await;
    let mut settings = fixture.server.settings();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    settings.url = format!("http://{free}");
    fixture.store.inserter = Inserter::new(&settings, Duration::from_millis(200)).unwrap();
    let batch = batch(&names(3));
    let storing = tokio::time::timeout(Duration::from_millis(300), fixture.store.store(&batch));
    assert!(storing.await.is_err());
    assert!(counted.counter(names::INSERT_RETRIES) > 2);
    assert_eq!(counted.counter(names::ROWS_REINSERTED), 0);
}
