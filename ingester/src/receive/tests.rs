use axum::body::Bytes;
use futures::stream;

use super::*;

const DEADLINE: Duration = Duration::from_secs(5);

fn with(name: &'static str, value: &str) -> HeaderMap {
    HeaderMap::from_iter([(axum::http::HeaderName::from_static(name), value.parse().unwrap())])
}

fn chunks(chunks: Vec<Result<Bytes, std::io::Error>>) -> Body {
    Body::from_stream(stream::iter(chunks))
}

async fn refusal(headers: &HeaderMap, mut body: Body, capacity: usize) -> Option<Error> {
    receive(headers, &mut body, &InFlight::new(capacity), DEADLINE).await.err()
}

#[tokio::test]
async fn a_body_is_read_and_its_bytes_are_given_back() {
    let in_flight = InFlight::new(10);
    let (body, reservation) =
        receive(&with("content-length", "6"), &mut Body::from("events"), &in_flight, DEADLINE).await.unwrap();
    assert_eq!((body.as_slice(), in_flight.free.available_permits()), (b"events".as_slice(), 4));
    drop(reservation);
    assert_eq!(in_flight.free.available_permits(), 10);
}

#[tokio::test]
async fn a_body_without_a_length_is_reserved_as_it_comes() {
    let in_flight = InFlight::new(10);
    let mut body = chunks(vec![Ok(Bytes::from_static(b"eve")), Ok(Bytes::from_static(b"nts"))]);
    let (body, _reservation) = receive(&HeaderMap::new(), &mut body, &in_flight, DEADLINE).await.unwrap();
    assert_eq!((body.as_slice(), in_flight.free.available_permits()), (b"events".as_slice(), 4));
}

#[tokio::test]
async fn a_full_house_is_told() {
    let length = with("content-length", "6");
    assert_eq!(refusal(&length, Body::from("events"), 5).await, Some(Error::Overloaded));
    assert_eq!(refusal(&HeaderMap::new(), Body::from("events"), 5).await, Some(Error::Overloaded));
    assert_eq!(refusal(&length, Body::from("events"), 6).await, None);
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused() {
    let house = 2 * MAX_BODY_BYTES;
    let length = with("content-length", &(MAX_BODY_BYTES + 1).to_string());
    assert_eq!(refusal(&length, Body::empty(), house).await, Some(Error::TooLarge));
    let half = || Ok(Bytes::from(vec![b' '; MAX_BODY_BYTES / 2]));
    let most = chunks(vec![half(), half()]);
    assert_eq!(refusal(&HeaderMap::new(), most, house).await, None);
    let more = chunks(vec![half(), half(), Ok(Bytes::from_static(b" "))]);
    assert_eq!(refusal(&HeaderMap::new(), more, house).await, Some(Error::TooLarge));
}

#[tokio::test]
async fn a_compressed_body_is_refused() {
    for coding in ["gzip", "br", "gzip, identity"] {
        assert_eq!(refusal(&with("content-encoding", coding), Body::empty(), 9).await, Some(Error::Encoding));
    }
    for coding in ["identity", "Identity", ""] {
        assert_eq!(refusal(&with("content-encoding", coding), Body::empty(), 9).await, None);
    }
}

#[tokio::test]
async fn a_slow_body_and_a_broken_one_are_told_apart() {
    let mut never = Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
    let outcome = receive(&HeaderMap::new(), &mut never, &InFlight::new(9), Duration::from_millis(1)).await;
    assert_eq!(outcome.err(), Some(Error::TooSlow));
    let broken = chunks(vec![Ok(Bytes::from_static(b"eve")), Err(std::io::Error::other("reset"))]);
    assert_eq!(refusal(&HeaderMap::new(), broken, 9).await, Some(Error::Broken));
}

#[tokio::test]
async fn a_refused_body_is_discarded_to_its_end_but_not_for_ever() {
    let mut body = chunks(vec![Ok(Bytes::from_static(b"eve")), Ok(Bytes::from_static(b"nts"))]);
    discard(&mut body).await;
    assert!(body.frame().await.is_none());
    let chunk = Bytes::from(vec![b' '; 1024 * 1024]);
    let mut endless = Body::from_stream(stream::repeat_with(move || Ok::<_, std::io::Error>(chunk.clone())));
    discard(&mut endless).await;
    assert!(endless.frame().await.is_some());
}
