//! What becomes of refused rows.

use super::*;

#[tokio::test]
async fn a_record_that_is_twice_in_a_batch_has_one_letter_for_each_refused_line() {
    for (refused, lines, inserted) in [(&["event-1-"][..], 1, 4), (&["event-"], 3, 0)] {
        let counted = Counted::default();
        let _guard = metrics::set_default_local_recorder(&counted);
        let mut fixture = Fixture::with(ClickHouse::start(refuses(refused)).await);
        let names = names(3);
        produce(&fixture.cluster.bootstrap_servers(), &record(&names));
        // The partition was taken away and came back while the batch was being filled.
        let mut batch = batch(&names);
        read(&mut batch, &names);
        fixture.store.store(&batch).await;
        let expected: Vec<String> = names.iter().map(|name| line(name)).collect();
        let expected = if lines == 1 { &expected[1..2] } else { &expected[..] };
        let letters = fixture.dead_letters(lines);
        assert_eq!(letters.iter().map(|letter| letter.payload.clone()).collect::<Vec<_>>(), expected);
        assert_eq!(counted.counter(names::DEAD_LETTERS), lines as u64);
        assert_eq!(counted.counter(names::EVENTS_INSERTED), inserted, "rows, and those stored");
    }
}
