use schema::{names::PipelineName, names::TopicPrefix, tenant_id::TenantId};
use uuid::Uuid;

use super::*;

type Given<'a> = (&'a str, Option<&'a [u8]>);

pub(crate) fn original(key: &[u8], headers: &[Given<'_>]) -> Arc<Original> {
    let now = Timestamp::parse("2026-01-31T12:00:00Z").unwrap();
    Arc::new(Original::of((3, 42), Some(key), headers.iter().copied(), now))
}

/// A letter of a whole record with this value.
pub(crate) fn letter(payload: &[u8]) -> DeadLetter {
    DeadLetter::of(&original(b"k", &[]), None, Some(payload), Refused::ForeignRecord)
}

fn source() -> Source {
    let topic = TopicName::of(
        &TopicPrefix::parse("millrace").unwrap(),
        &TenantId::parse("acme").unwrap(),
        &PipelineName::parse("web").unwrap(),
    );
    Source { topic, topic_id: TopicId(Uuid::from_u128(7)) }
}

fn headers(letter: &DeadLetter) -> Vec<(String, String)> {
    let text = |value: Cow<'_, [u8]>| String::from_utf8(value.into_owned()).unwrap();
    let headers = letter.headers(&source()).into_iter();
    headers.map(|(key, value)| (key.to_owned(), value.map_or("absent".to_owned(), text))).collect()
}

fn of(headers: &[(String, String)], name: &str) -> Vec<String> {
    headers.iter().filter(|(key, _)| key == name).map(|(_, value)| value.clone()).collect()
}

fn refused(key: &[u8], given: &[Given<'_>], payload: &[u8]) -> (DeadLetter, Vec<(String, String)>) {
    let letter = DeadLetter::of(&original(key, given), None, Some(payload), Refused::Malformed);
    let headers = headers(&letter);
    (letter, headers)
}

/// A letter as a consumer of its topic would hand it to us.
fn refused_again(letter: &DeadLetter) -> Vec<(String, String)> {
    let first = letter.headers(&source());
    let given: Vec<Given<'_>> = first.iter().map(|(name, value)| (*name, value.as_deref())).collect();
    let later = Timestamp::parse("2027-01-31T12:00:00Z").unwrap();
    let again = Original::of((0, 1), letter.key(), given.into_iter(), later);
    headers(&DeadLetter::of(&Arc::new(again), None, letter.payload(), Refused::Nul))
}

#[test]
fn a_line_keeps_the_headers_and_says_where_and_why() {
    let given = [("tenant", Some(&b"acme"[..])), ("empty", None), ("tenant", Some(&b"twice"[..]))];
    let letter = DeadLetter::of(&original(b"k", &given), Some(5), Some(b"p"), Refused::Malformed);
    assert_eq!((letter.key(), letter.payload()), (Some(&b"k"[..]), Some(&b"p"[..])));
    insta::assert_debug_snapshot!(headers(&letter));
}

#[test]
fn a_whole_record_has_no_index() {
    let (_, headers) = refused(b"k", &[], b"p");
    assert!(headers.iter().all(|(key, _)| key != dead_letter::INDEX));
}

#[test]
fn a_second_refusal_keeps_what_is_true_of_the_first_original() {
    let large = vec![b'x'; MAX_DEAD_LETTER_BYTES];
    let (letter, _) = refused(&large, &[("h", Some(&large))], &large);
    let headers = refused_again(&letter);
    assert_eq!(of(&headers, dead_letter::FIRST_FAILED_AT), ["2026-01-31T12:00:00.000Z"]);
    assert_eq!(
        of(&headers, dead_letter::FIRST_POSITION),
        ["00000000-0000-0000-0000-000000000007/3/42/0"],
        "a letter that is sent again keeps its identity"
    );
    assert_eq!(of(&headers, dead_letter::TRUNCATED), [large.len().to_string()]);
    assert_eq!(of(&headers, dead_letter::CUT), [format!("key={} headers=1", large.len())]);
    assert_eq!(of(&headers, dead_letter::REASON), ["nul"]);
    assert_eq!(of(&headers, dead_letter::OFFSET), ["1"]);
}

#[test]
fn a_letter_of_a_record_that_is_gone_says_so_also_after_another_refusal() {
    let now = Timestamp::parse("2026-01-31T12:00:00Z").unwrap();
    let given: [Given<'_>; 1] = [("tenant", Some(b"acme"))];
    let original = Arc::new(Original::rebuilt((3, 42), given.into_iter(), now));
    let letter = DeadLetter::of(&original, Some(5), Some(b"{}"), Refused::ByTable);
    for headers in [headers(&letter), refused_again(&letter)] {
        assert_eq!(of(&headers, dead_letter::REBUILT), ["row"]);
        assert_eq!(of(&headers, "tenant"), ["acme"]);
    }
    assert!(of(&refused(b"k", &[], b"p").1, dead_letter::REBUILT).is_empty());
}

#[test]
fn a_large_value_is_truncated_and_a_record_of_an_events_topic_is_not() {
    let (letter, headers) = refused(b"k", &[], &vec![b'x'; 5_000_000]);
    assert_eq!(letter.payload().unwrap().len(), MAX_PAYLOAD_BYTES);
    assert_eq!(of(&headers, dead_letter::TRUNCATED), ["5000000"]);
    let (letter, headers) = refused(b"k", &[], &vec![b'x'; 1024 * 1024 + 12]);
    assert_eq!(letter.payload().unwrap().len(), 1024 * 1024 + 12);
    assert!(of(&headers, dead_letter::TRUNCATED).is_empty());
}

#[test]
fn a_large_key_and_large_or_many_headers_are_cut_and_counted() {
    let (letter, headers) = refused(&[b'k'; 900_000], &[("small", Some(b"1"))], b"");
    assert_eq!(letter.key().unwrap().len(), MAX_KEY_BYTES);
    assert_eq!(of(&headers, dead_letter::CUT), ["key=900000"]);
    assert_eq!(of(&headers, "small"), ["1"]);

    let large = [("large", Some(&[b'h'; 900_000][..])), ("tenant", Some(b"acme"))];
    let (_, headers) = refused(b"k", &large, b"");
    assert_eq!(of(&headers, dead_letter::CUT), ["headers=1"]);
    assert_eq!(of(&headers, "tenant"), ["acme"]);

    let (_, headers) = refused(b"k", &vec![("", None); 400_000], b"");
    assert_eq!(of(&headers, dead_letter::CUT), ["headers=399745"]);
}

#[test]
fn a_letter_of_the_largest_kind_is_below_the_bound() {
    let large = vec![b'x'; MAX_DEAD_LETTER_BYTES];
    let half = &large[..MAX_KEPT_BYTES / 2 - HEADER_BYTES - 1];
    let inherited = &large[..MAX_INHERITED_BYTES - HEADER_BYTES - dead_letter::CUT.len()];
    let given = [("h", Some(half)), (dead_letter::CUT, Some(inherited))];
    let letter = DeadLetter::of(&original(&large, &given), Some(u16::MAX), Some(&large), Refused::ByTable);
    let sent: usize = headers(&letter).iter().map(|(name, value)| name.len() + value.len()).sum();
    let sent = sent + letter.key().unwrap().len() + letter.payload().unwrap().len();
    assert!((MAX_DEAD_LETTER_BYTES - 2 * 1024..MAX_DEAD_LETTER_BYTES).contains(&sent), "{sent}");
    assert!(letter.wire_bytes() >= sent);
}
