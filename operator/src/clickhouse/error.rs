//! What can go wrong between us and ClickHouse, and what kind of failure it is.

use std::time::Duration;

use clickhouse::error::Error as ClientError;
use crds::Reason;

use crate::failure::Failure;

/// A client that could not be made. The operator does not start without it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectionError {
    #[error("failed to read the certificates of ClickHouse's authority")]
    ReadAuthority { source: rustls::pki_types::pem::Error },
    #[error("failed to trust the certificates of ClickHouse's authority")]
    TrustAuthority { source: rustls::Error },
    #[error("the file of ClickHouse's authority holds no certificate")]
    NoAuthority,
    #[error("failed to read the system's certificates")]
    ReadSystemAuthorities { source: std::io::Error },
}

/// One statement that was not answered with success.
#[derive(Debug, thiserror::Error)]
pub(crate) enum QueryError {
    /// No answer: the statement may have been executed or not.
    #[error("no answer within {seconds} s")]
    Deadline { seconds: u64 },
    /// It was not sent.
    #[error("other statements kept ClickHouse busy for {} ms", .waited.as_millis())]
    Busy { waited: Duration },
    /// The server's own answer, with its code (<https://github.com/ClickHouse/ClickHouse/blob/master/src/Common/ErrorCodes.cpp>).
    #[error("{text}")]
    Exception { code: u32, text: String },
    /// Anything before or instead of an answer. Only the innermost cause says what happened.
    #[error("{cause}")]
    Client { cause: String, error: ClientError },
}

/// The longest part of the server's message that is kept: it ends up in a condition.
const MAX_TEXT_CHARS: usize = 400;

const DATABASE_ALREADY_EXISTS: u32 = 82;

impl QueryError {
    pub(super) fn new(error: ClientError) -> Self {
        match error {
            ClientError::BadResponse(text) => match code_of(&text) {
                Some(code) => Self::Exception { code, text: text.chars().take(MAX_TEXT_CHARS).collect() },
                None => Self::client(ClientError::BadResponse(text)),
            },
            other => Self::client(other),
        }
    }

    fn client(error: ClientError) -> Self {
        let mut innermost: &dyn std::error::Error = &error;
        while let Some(source) = innermost.source() {
            innermost = source;
        }
        let cause = innermost.to_string().chars().take(MAX_TEXT_CHARS).collect();
        Self::Client { cause, error }
    }

    pub(crate) fn says_it_exists(&self) -> bool {
        matches!(self, Self::Exception { code: DATABASE_ALREADY_EXISTS, .. })
    }

    /// The reason of the condition that a failed statement leads to.
    pub(crate) fn reason(&self) -> Reason {
        match self.failure() {
            Failure::Transient => Reason::ClickHouseUnreachable,
            Failure::Permission => Reason::ClickHousePermissionDenied,
            Failure::Refused | Failure::Conflict | Failure::Bug => Reason::ClickHouseRefused,
        }
    }

    /// What helps. The codes are the server's and grow with it: one that is unknown here is tried again.
    pub(crate) fn failure(&self) -> Failure {
        match self {
            Self::Busy { .. } | Self::Deadline { .. } => Failure::Transient,
            Self::Client { error: ClientError::InvalidParams(_) | ClientError::Unsupported(_), .. } => {
                Failure::Refused
            }
            Self::Client { .. } => Failure::Transient,
            Self::Exception { code, .. } => match code {
                // READONLY, UNKNOWN_USER, REQUIRED_PASSWORD, IP_ADDRESS_NOT_ALLOWED, DATABASE_ACCESS_DENIED,
                // ACCESS_DENIED, AUTHENTICATION_FAILED.
                164 | 192 | 194 | 195 | 291 | 497 | 516 => Failure::Permission,
                // A server that does not know what we need (UNKNOWN_FUNCTION, SYNTAX_ERROR, UNKNOWN_SETTING,
                // UNKNOWN_TYPE, UNKNOWN_STORAGE, SUPPORT_IS_DISABLED), or guards what we want to drop
                // (TABLE_SIZE_EXCEEDS_MAX_DROP_SIZE_LIMIT).
                46 | 50 | 56 | 62 | 115 | 344 | 359 => Failure::Refused,
                _ => Failure::Transient,
            },
        }
    }
}

/// The code in `Code: 516. DB::Exception: ...`.
fn code_of(text: &str) -> Option<u32> {
    let (_, rest) = text.split_once("Code: ")?;
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Failure) {
        let error = QueryError::new(ClientError::BadResponse(text.to_owned()));
        assert_eq!(error.failure(), expected, "{error:?}");
    }

    #[test]
    fn a_wrong_password_needs_an_administrator() {
        check("Code: 516. DB::Exception: millrace: Authentication failed", Failure::Permission);
    }

    #[test]
    fn a_missing_grant_needs_an_administrator() {
        check("Code: 497. DB::Exception: millrace: Not enough privileges.", Failure::Permission);
    }

    #[test]
    fn an_old_server_is_not_tried_again_and_again() {
        check("Code: 115. DB::Exception: Unknown setting 'merge_selector_base'", Failure::Refused);
    }

    #[test]
    fn a_table_above_the_drop_limit_is_not_tried_again_and_again() {
        check("Code: 359. DB::Exception: Table or Partition was not dropped.", Failure::Refused);
    }

    #[test]
    fn memory_and_unknown_codes_are_tried_again() {
        check("Code: 241. DB::Exception: Memory limit exceeded", Failure::Transient);
        check("Code: 99999. DB::Exception: something new", Failure::Transient);
        check("502 Bad Gateway", Failure::Transient);
    }

    #[test]
    fn no_answer_is_tried_again() {
        assert_eq!(QueryError::Deadline { seconds: 10 }.failure(), Failure::Transient);
        assert_eq!(QueryError::new(ClientError::TimedOut).failure(), Failure::Transient);
    }

    #[test]
    fn a_message_is_cut() {
        let text = format!("Code: 62. {}", "é".repeat(10_000));
        let error = QueryError::new(ClientError::BadResponse(text));
        assert_eq!(error.to_string().chars().count(), MAX_TEXT_CHARS);
    }
}
