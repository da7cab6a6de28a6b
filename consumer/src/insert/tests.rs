use std::sync::Arc;

use schema::secret::Secret;

use super::*;
use crate::{
    columns::{block, tests::columns_of},
    connection::shown,
    scripted::{Answer, ClickHouse},
};

const DEADLINE: Duration = Duration::from_millis(300);

fn three_rows() -> Block {
    block(&Arc::new(columns_of(&[1, 2, 3])), 0..3)
}

async fn outcome(answer: Answer) -> String {
    let server = ClickHouse::answering(&[answer]).await;
    let inserter = Inserter::new(&server.settings(), DEADLINE).unwrap();
    match inserter.insert(three_rows(), "q").await {
        Ok(Stored { extra_rows }) => format!("stored +{extra_rows}"),
        Err(failure) => failure.to_string(),
    }
}

#[tokio::test]
async fn each_answer_has_its_outcome() {
    for (answer, expected) in [
        (Answer::Stored, "stored +0"),
        (Answer::Written(4), "stored +1"),
        (Answer::Written(2), "clickhouse reports 2 of 3 rows"),
        (Answer::Code(241), "clickhouse refused the statement with code 241 (OF_THE_SCRIPT)"),
        (Answer::HeaderWith200(209), "clickhouse refused the statement with code 209 (unnamed)"),
        (Answer::BodyWith200(209), "clickhouse refused the statement with code 209 (OF_THE_SCRIPT)"),
        (Answer::LongCode(6), "clickhouse refused the statement with code 6 (unnamed)"),
        (Answer::Status(502), "the answer had status 502 and no code"),
        (Answer::Hung, "there was no answer within 300 ms"),
        (Answer::Reset, "failed to send the statement"),
    ] {
        assert_eq!(outcome(answer).await, expected, "{answer:?}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_a_failure() {
    let mut settings = ClickHouse::answering(&[]).await.settings();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    settings.url = format!("http://{free}");
    let failure = Inserter::new(&settings, DEADLINE).unwrap().insert(three_rows(), "q").await.unwrap_err();
    assert!(matches!(failure, Failure::Connect { .. }), "{failure}");
}

#[tokio::test]
async fn an_insert_says_all_that_the_protocol_needs() {
    let server = ClickHouse::answering(&[]).await;
    let inserter = Inserter::new(&server.settings(), DEADLINE).unwrap();
    inserter.insert(three_rows(), "chain-1").await.unwrap();
    let (seen, _) = server.seen().remove(0);
    assert_eq!(seen.headers["content-length"], three_rows().bytes().to_string());
    assert!(!seen.headers.contains_key("transfer-encoding"));
    assert_eq!(seen.headers["x-clickhouse-user"], "acme");
    assert_eq!(seen.headers["x-clickhouse-key"], "pass word");
    assert_eq!(seen.body, three_rows().into_chunks().flatten().collect::<Vec<u8>>());
    insta::assert_snapshot!(seen.query.replace('&', "\n"));
}

#[tokio::test]
async fn the_connection_is_kept() {
    let server = ClickHouse::answering(&[]).await;
    let inserter = Inserter::new(&server.settings(), DEADLINE).unwrap();
    for _ in 0..3 {
        inserter.insert(three_rows(), "q").await.unwrap();
    }
    assert_eq!(server.seen().iter().map(|(seen, _)| seen.connection).collect::<Vec<_>>(), [0, 0, 0]);
}

#[tokio::test]
async fn settings_that_cannot_work_are_refused_at_the_start() {
    let good = ClickHouse::answering(&[]).await.settings();
    let with_url = |url: &str| ClickHouseSettings { url: url.to_owned(), ..good.clone() };
    for bad in [
        with_url("clickhouse:8123"),
        with_url("ftp://clickhouse"),
        with_url("http://"),
        ClickHouseSettings { user: "a\nb".to_owned(), ..good.clone() },
        ClickHouseSettings { password: Secret::new("a\nb".to_owned()), ..good.clone() },
        ClickHouseSettings { ca_pem: Some("no certificate".to_owned()), ..good.clone() },
    ] {
        assert!(Inserter::new(&bad, DEADLINE).is_err(), "{}", bad.url);
    }
    assert!(Inserter::new(&with_url("https://clickhouse:8443"), DEADLINE).is_ok());
}

#[test]
fn parameters_are_percent_encoded() {
    assert_eq!(percent_encoded("a-B_1.~ (x)=é"), "a-B_1.~%20%28x%29%3D%C3%A9");
}

#[tokio::test]
async fn an_error_does_not_show_the_credentials_of_an_address() {
    let good = ClickHouse::answering(&[]).await.settings();
    for (url, shown_url) in [
        ("ftp://acme:secret@clickhouse:21/", "`ftp://clickhouse:21/`"),
        ("http://acme:sec ret@clickhouse", "`http://clickhouse`"),
        ("ftp://acme:se/c@ret@clickhouse", "`ftp://clickhouse`"),
        ("acme:secret@clickhouse:8123", "`clickhouse:8123`"),
    ] {
        let bad = ClickHouseSettings { url: url.to_owned(), ..good.clone() };
        let failure = format!("{:#}", Inserter::new(&bad, DEADLINE).unwrap_err());
        assert!(failure.contains(shown_url) && !failure.contains("ret"), "{failure}");
    }
    assert_eq!(shown("http://clickhouse:8123/a"), "http://clickhouse:8123/a");
}
