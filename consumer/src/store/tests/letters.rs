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

#[tokio::test]
async fn a_refused_row_whose_record_is_gone_has_a_letter_that_can_be_written_back() {
    let counted = Counted::default();
    let _guard = metrics::set_default_local_recorder(&counted);
    let mut fixture = Fixture::with(ClickHouse::start(refuses(&["event-1-"])).await);
    // Nothing was ever written to the topic.
    fixture.store(&names(3)).await;
    let letters = fixture.dead_letters(1);
    assert_eq!(letters[0].payload, line("event-1-"));
    let headers = letters[0].headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    Parser::new(tenant(), settings_topic_id()).check_headers(headers.clone()).unwrap();
    for (name, expected) in [("dead-letter-rebuilt", "row"), ("dead-letter-index", "1")] {
        assert!(headers.clone().any(|header| header == (name, expected.as_bytes())), "{name}");
    }
    assert_eq!(counted.counter(names::DEAD_LETTERS_REBUILT), 1);
    assert_eq!(counted.counter(names::DEAD_LETTERS), 1);
    assert_eq!(counted.counter(names::EVENTS_INSERTED), 2);
}
