//! What ClickHouse's answer to an insert says: stored, refused with a code, or doubt. Pure.
//!
//! Questions to it, of the audit as well, fail in the same ways, so that the texts of failures speak of statements.
//!
//! The status line alone proves nothing: 200 may come with an exception in a header or in the body
//! (<https://github.com/ClickHouse/ClickHouse/issues/65117>).

use std::{error::Error as StdError, time::Duration};

use hyper::HeaderMap;
use serde::Deserialize;

/// An insert that is known to be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stored {
    /// Rows that the server wrote beyond those sent: somebody's materialized view.
    pub(crate) extra_rows: u64,
}

/// An insert that is not known to be stored, or a question without an answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("clickhouse refused the statement with code {code} ({name})")]
    Refused { code: u32, name: String },
    #[error("the answer had status {status} and no code")]
    Status { status: u16 },
    #[error("the answer reports an exception without a code")]
    Exception,
    #[error("clickhouse reports {written} of {sent} rows")]
    FewerRows { sent: u64, written: u64 },
    #[error(
        "the answer has no readable header `x-clickhouse-summary`, which a proxy in between must let pass"
    )]
    NoSummary,
    #[error("there was no answer within {} ms", deadline.as_millis())]
    Deadline { deadline: Duration },
    #[error("failed to connect to clickhouse")]
    Connect { source: Box<dyn StdError + Send + Sync> },
    #[error("failed to send the statement")]
    Send { source: Box<dyn StdError + Send + Sync> },
    #[error("the answer has more than {most} bytes, which none to a statement of ours has")]
    TooLong { most: usize },
    #[error("the answer is not what was asked for")]
    Unexpected,
    #[error("failed to read the answer")]
    Read { source: Box<dyn StdError + Send + Sync> },
}

impl Failure {
    /// A label for metrics and logs.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Refused { .. } => "refused",
            Self::Status { .. } => "status",
            Self::Exception => "exception",
            Self::FewerRows { .. } => "fewer_rows",
            Self::NoSummary => "no_summary",
            Self::Deadline { .. } => "deadline",
            Self::Connect { .. } => "connect",
            Self::Send { .. } => "send",
            Self::TooLong { .. } => "too_long",
            Self::Unexpected => "unexpected",
            Self::Read { .. } => "read",
        }
    }
}

const CODE: &str = "x-clickhouse-exception-code";
const SUMMARY: &str = "x-clickhouse-summary";
/// What a body holds when the exception came after the headers were sent.
const MARKERS: [&str; 2] = ["__exception__", "DB::Exception"];

/// Stands for the name of a code that the text does not hold.
const UNNAMED: &str = "unnamed";

#[derive(Deserialize)]
struct Summary {
    written_rows: String,
}

/// An answer as far as it was read.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: Vec<u8>,
    /// Why there may be more of the text.
    pub(crate) cut: Option<Failure>,
}

/// Judges the answer to an insert of so many rows.
pub(crate) fn judge(answer: Answer, sent: u64) -> Result<Stored, Failure> {
    let answer = accepted(answer)?;
    match written_rows(&answer.headers) {
        None => Err(Failure::NoSummary),
        Some(written) if written < sent => Err(Failure::FewerRows { sent, written }),
        Some(written) => Ok(Stored { extra_rows: written - sent }),
    }
}

/// The answer again, if it is whole and nothing in it speaks of a failure. A code says so however much of the
/// text is missing: the text of a refused value is as long as the value.
pub(crate) fn accepted(answer: Answer) -> Result<Answer, Failure> {
    let Answer { status, headers, text, cut } = &answer;
    let body = String::from_utf8_lossy(text);
    let code = headers.get(CODE).and_then(|code| code.to_str().ok()?.parse().ok()).or_else(|| code_in(&body));
    match code {
        // The name stands at the end.
        Some(code) if cut.is_some() => return Err(Failure::Refused { code, name: UNNAMED.to_owned() }),
        Some(code) => return Err(Failure::Refused { code, name: name_in(&body) }),
        None if *status != 200 => return Err(Failure::Status { status: *status }),
        None if headers.contains_key(CODE) || MARKERS.iter().any(|marker| body.contains(marker)) => {
            return Err(Failure::Exception);
        }
        None => {}
    }
    drop(body);
    match answer {
        Answer { cut: Some(failure), .. } => Err(failure),
        whole => Ok(whole),
    }
}

fn written_rows(headers: &HeaderMap) -> Option<u64> {
    let summary: Summary = serde_json::from_slice(headers.get(SUMMARY)?.as_bytes()).ok()?;
    summary.written_rows.parse().ok()
}

/// The code in a text such as `Code: 241. DB::Exception: Memory limit exceeded (MEMORY_LIMIT_EXCEEDED)`.
fn code_in(body: &str) -> Option<u32> {
    let (_, rest) = body.split_once("Code: ")?;
    let (code, after) = rest.split_once('.')?;
    after.trim_start().starts_with("DB::Exception").then(|| code.parse().ok())?
}

/// The name of the code in the same text. The rest of it is left out, because it may repeat users' data.
fn name_in(body: &str) -> String {
    let is_name =
        |word: &&str| word.len() > 2 && word.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
    let in_brackets = body.split('(').skip(1).filter_map(|part| part.split_once(')').map(|(word, _)| word));
    in_brackets.filter(is_name).last().unwrap_or(UNNAMED).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMORY: &str = "Code: 241. DB::Exception: Query memory limit exceeded: 'secret (TOKEN)': While \
                          executing Native. (MEMORY_LIMIT_EXCEEDED) (version 26.7.2.1)";

    /// The verdict on three rows, in words.
    fn verdict(status: u16, headers: &[(&'static str, &str)], body: &str) -> String {
        let headers = headers
            .iter()
            .map(|(key, value)| (hyper::header::HeaderName::from_static(key), value.parse().unwrap()))
            .collect();
        judged(Answer { status, headers, text: body.as_bytes().to_vec(), cut: None })
    }

    fn judged(answer: Answer) -> String {
        match judge(answer, 3) {
            Ok(Stored { extra_rows }) => format!("stored +{extra_rows}"),
            Err(failure) => failure.to_string(),
        }
    }

    fn summary(written: &str) -> (&'static str, String) {
        (SUMMARY, format!(r#"{{"read_rows":"3","written_rows":"{written}","elapsed_ns":"1"}}"#))
    }

    #[track_caller]
    fn check(status: u16, written: &str, headers: &[(&'static str, &str)], body: &str, expected: &str) {
        let (name, value) = summary(written);
        let headers: Vec<_> = [(name, value.as_str())].into_iter().chain(headers.iter().copied()).collect();
        assert_eq!(verdict(status, &headers, body), expected);
    }

    #[test]
    fn as_many_rows_as_sent_are_stored() {
        check(200, "3", &[], "", "stored +0");
    }
    #[test]
    fn more_rows_are_stored_and_counted() {
        check(200, "6", &[], "", "stored +3");
    }
    #[test]
    fn fewer_rows_are_doubt() {
        check(200, "2", &[], "", "clickhouse reports 2 of 3 rows");
    }
    #[test]
    fn an_exception_header_with_200_is_a_failure() {
        check(200, "3", &[(CODE, "209")], "", "clickhouse refused the statement with code 209 (unnamed)");
        check(200, "3", &[(CODE, "what")], "", "the answer reports an exception without a code");
    }
    #[test]
    fn an_exception_in_the_body_with_200_is_a_failure() {
        check(
            200,
            "3",
            &[],
            MEMORY,
            "clickhouse refused the statement with code 241 (MEMORY_LIMIT_EXCEEDED)",
        );
        check(200, "3", &[], "__exception__\r\nabc", "the answer reports an exception without a code");
    }
    #[test]
    fn an_error_status_is_a_failure() {
        check(
            500,
            "0",
            &[(CODE, "241")],
            MEMORY,
            "clickhouse refused the statement with code 241 (MEMORY_LIMIT_EXCEEDED)",
        );
        check(503, "0", &[], "busy", "the answer had status 503 and no code");
        check(204, "3", &[], "", "the answer had status 204 and no code");
    }
    #[test]
    fn an_answer_without_a_summary_is_doubt() {
        assert_eq!(
            verdict(200, &[], "<html>"),
            "the answer has no readable header `x-clickhouse-summary`, which a proxy in between must let pass"
        );
        assert_eq!(verdict(200, &[(SUMMARY, "{}")], ""), verdict(200, &[], ""));
    }
    #[test]
    fn a_code_is_known_however_much_of_the_text_is_missing() {
        let cut = |status, headers: &[(&'static str, &str)], text: &str| {
            let headers = headers.iter();
            let headers = headers
                .map(|(key, value)| (hyper::header::HeaderName::from_static(key), value.parse().unwrap()))
                .collect();
            judged(Answer {
                status,
                headers,
                text: text.as_bytes().to_vec(),
                cut: Some(Failure::TooLong { most: 1 }),
            })
        };
        let (name, value) = summary("3");
        let refused = "clickhouse refused the statement with code 6 (unnamed)";
        assert_eq!(cut(500, &[(CODE, "6")], "Code: 6. DB::Exception: Cannot parse '(SECRET)"), refused);
        assert_eq!(cut(200, &[], "Code: 6. DB::Exception: Cannot parse '(SECRET)"), refused);
        let doubt = "the answer has more than 1 bytes, which none to a statement of ours has";
        assert_eq!(cut(200, &[(name, value.as_str())], "hello"), doubt);
    }
    #[test]
    fn the_text_of_an_exception_is_not_repeated() {
        assert!(!verdict(500, &[], MEMORY).contains("secret"));
    }
}
